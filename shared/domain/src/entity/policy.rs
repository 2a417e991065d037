//! When: policies and their rules, as declared. What they mean is in `evaluate`.

use super::recovery::{Retry, Rollback, Verification};
use super::schedule::{DeploymentWindow, GradualRollout, VersionCooldown};
use super::yes;
use crate::job::TerminalStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A set of rules for the release targets it selects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// CEL over `environment`, `deployment`, `resource`: which release targets it governs.
    pub selector: String,
    /// Higher is shown first; rules of all matching policies count alike.
    #[serde(default)]
    pub priority: i32,
    /// A disabled policy is ignored.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// All must allow.
    #[serde(default)]
    pub rules: Vec<PolicyRule>,
}

/// The gates that hold without any policy, by the names that decisions give them. Nobody skips them.
pub mod built_in {
    /// What the version needs must run on the resource.
    pub const VERSION_DEPENDENCY: &str = "versionDependency";
    /// Every variable must have a value.
    pub const VARIABLES: &str = "variables";
    /// Nothing new starts while a freeze is on.
    pub const FREEZE: &str = "freeze";
    /// Where a version is pinned, no other may go.
    pub const PIN: &str = "pin";
    /// All of them.
    pub const ALL: [&str; 4] = [VERSION_DEPENDENCY, VARIABLES, FREEZE, PIN];
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $word:literal),+ $(,)?) => {
        /// One rule. In manifests a map with one key: the rule's name.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase")]
        pub enum PolicyRule { $($(#[$doc])* $name($name)),+ }

        impl PolicyRule {
            /// The names of all rules, as manifests and explanations write them.
            pub const NAMES: &'static [&'static str] = &[$($word),+];

            /// The rule's name as manifests and explanations write it.
            pub fn name(&self) -> &'static str {
                match self { $(PolicyRule::$name(_) => $word),+ }
            }
        }

        $(impl $name {
            /// The rule's name as manifests and explanations write it.
            pub const RULE: &'static str = $word;
        })+
    };
}

rules! {
    /// People must say yes.
    AnyApproval = "anyApproval",
    /// Another environment must have it first.
    EnvironmentProgression = "environmentProgression",
    /// One target after the other.
    GradualRollout = "gradualRollout",
    /// At certain times.
    DeploymentWindow = "deploymentWindow",
    /// Not too often.
    VersionCooldown = "versionCooldown",
    /// The version must match.
    VersionSelector = "versionSelector",
    /// Something else must be there first.
    DeploymentDependency = "deploymentDependency",
    /// What failed is tried again.
    Retry = "retry",
    /// What failed makes way for what worked.
    Rollback = "rollback",
    /// What succeeded is measured.
    Verification = "verification",
}

impl PolicyRule {
    /// The names of the rules that are gates.
    pub const GATES: &'static [&'static str] = &[
        AnyApproval::RULE,
        EnvironmentProgression::RULE,
        GradualRollout::RULE,
        DeploymentWindow::RULE,
        VersionCooldown::RULE,
        VersionSelector::RULE,
        DeploymentDependency::RULE,
    ];
    /// The names of the rules that say what happens afterwards.
    pub const AFTERWARDS: &'static [&'static str] = &[Retry::RULE, Rollback::RULE, Verification::RULE];

    /// Whether it says if a version may go. The others say what happens afterwards, and cannot be skipped.
    pub fn is_gate(&self) -> bool {
        match self {
            PolicyRule::AnyApproval(_)
            | PolicyRule::EnvironmentProgression(_)
            | PolicyRule::GradualRollout(_)
            | PolicyRule::DeploymentWindow(_)
            | PolicyRule::VersionCooldown(_)
            | PolicyRule::VersionSelector(_)
            | PolicyRule::DeploymentDependency(_) => true,
            PolicyRule::Retry(_) | PolicyRule::Rollback(_) | PolicyRule::Verification(_) => false,
        }
    }
}

macro_rules! as_rule {
    ($($one:ident: $name:ident),+) => {
        #[allow(clippy::wildcard_enum_match_arm, reason = "each accessor is about one rule")]
        impl PolicyRule {$(
            #[doc = concat!("The rule, where it is a `", stringify!($one), "`.")]
            pub fn $one(&self) -> Option<&$name> {
                match self {
                    PolicyRule::$name(rule) => Some(rule),
                    _ => None,
                }
            }
        )+}
    };
}

as_rule!(any_approval: AnyApproval, retry: Retry, rollback: Rollback);

/// N distinct people approve a version for an environment; one rejection by an allowed approver vetoes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnyApproval {
    /// How many distinct people. At least 1.
    #[schemars(range(min = 1))]
    pub min_approvals: u32,
    /// CEL over `user` (`name`, `role`): whose word counts. Absent: everybody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvers: Option<String>,
    /// Whether those who created the version (metadata `createdBy`) or changed it count. Default true. Where it is false and
    /// the creator is not known, nobody counts.
    #[serde(default = "yes")]
    pub allow_self_approval: bool,
    /// An approval counts for so many seconds. Absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub expires_after_seconds: Option<u32>,
}

/// A share of another environment's targets must run this version well, and have done so for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentProgression {
    /// CEL over `environment`: the environments to look at; one that satisfies is enough.
    pub depends_on_environment_selector: String,
    /// Percentage of targets with a success of this version. Default 100.
    #[serde(default = "hundred")]
    #[schemars(range(min = 0, max = 100))]
    pub minimum_success_percentage: f64,
    /// Minutes since the success that met the percentage. Default 0.
    #[serde(default)]
    pub minimum_soak_time_minutes: u32,
    /// The success that met the percentage may be at most so old. Absent: any age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub maximum_age_hours: Option<u32>,
    /// Which ends of a job count as success. Default `successful`.
    #[serde(default = "successful")]
    pub success_statuses: Vec<TerminalStatus>,
    /// Whether a success counts only once it passed the verification of its target. Default false. Where nothing
    /// verifies, no success counts then.
    #[serde(default)]
    pub require_verification_passed: bool,
}

fn successful() -> Vec<TerminalStatus> {
    vec![TerminalStatus::Successful]
}

fn hundred() -> f64 {
    100.0
}

/// Only versions that match may go where the policy governs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VersionSelector {
    /// CEL over `version`, `environment`, `resource`, `deployment`.
    pub selector: String,
    /// Shown as the reason when it does not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Another deployment must run on the same resource, in a version that matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentDependency {
    /// CEL over `deployment` and `version`: the other deployment and the version that runs there.
    pub depends_on: String,
}
