//! What a world begins with.

use super::step::Step;
use domain::Timestamp;
use domain::audit::Role;
use domain::entity::PolicyRule;
use std::fmt;

pub(crate) const DEPLOYMENTS: [&str; 2] = ["web", "api"];
pub(crate) const ENVIRONMENTS: [&str; 3] = ["dev", "staging", "production"];
pub(crate) const USERS: [&str; 3] = ["ann", "bob", "maker"];
/// What each of them may do.
pub(crate) const ROLES: [Role; 3] = [Role::Admin, Role::Approver, Role::Approver];

/// What a world begins with, and what happens in it.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) begins_at: Timestamp,
    /// Of each deployment: whether a newer version cancels the job in progress.
    pub(crate) supersede: [bool; 2],
    /// Whether `api` belongs to a system that only production shares.
    pub(crate) api_apart: bool,
    /// Of each resource: in which environments it is.
    pub(crate) resources: Vec<[bool; 3]>,
    pub(crate) policies: Vec<PolicyPlan>,
    pub(crate) steps: Vec<Step>,
}

/// A policy that a world may have.
#[derive(Debug, Clone)]
pub(crate) struct PolicyPlan {
    /// Whether it is there from the beginning; else a step brings it.
    pub(crate) early: bool,
    pub(crate) enabled: bool,
    pub(crate) selector: String,
    pub(crate) rules: Vec<PolicyRule>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "at {}", self.begins_at)?;
        for (name, supersede) in DEPLOYMENTS.iter().zip(self.supersede) {
            writeln!(f, "deployment {name}{}", if supersede { " supersede" } else { "" })?;
        }
        if self.api_apart {
            writeln!(f, "api shares a system with production only")?;
        }
        for (n, within) in self.resources.iter().enumerate() {
            let within: Vec<_> =
                ENVIRONMENTS.iter().zip(within).filter(|(_, is)| **is).map(|(name, _)| *name).collect();
            writeln!(f, "resource r{n} in {}", within.join(", "))?;
        }
        for (n, policy) in self.policies.iter().enumerate() {
            let when = if policy.early { "" } else { " (later)" };
            let on = if policy.enabled { "" } else { " (disabled)" };
            writeln!(f, "policy p{n}{when}{on} on {}", policy.selector)?;
            for rule in &policy.rules {
                writeln!(f, "    {}", serde_json::to_string(rule).map_err(|_| fmt::Error)?)?;
            }
        }
        Ok(())
    }
}

/// Steps are told as what came of them, by the story.
impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} steps", self.steps.len())
    }
}
