//! Typed ids. Every id is a uuid; those born from content are version 5, so that the same cause,
//! seen twice, names the same thing.

use crate::Timestamp;
use crate::entity::Skip;
use crate::target::TargetKey;
use crate::token::Slug;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The root of every name-based id of this system. Wire law: changing it renames everything.
const NAMESPACE: Uuid = Uuid::from_u128(0x6a1f52c0_5a0e_5e0b_9d53_6374726c706c);

/// The version 5 uuid of the parts, each length-prefixed so that no two lists of parts collide.
pub fn derive(parts: &[&str]) -> Uuid {
    let mut name = Vec::with_capacity(parts.iter().map(|p| p.len() + 8).sum());
    for part in parts {
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&NAMESPACE, &name)
}

macro_rules! typed_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Ok(Self(Uuid::parse_str(text)?))
            }
        }
    )+};
}

typed_id! {
    /// A tenant.
    WorkspaceId,
    /// A group of deployments and environments.
    SystemId,
    /// What is deployed and how.
    DeploymentId,
    /// Where.
    EnvironmentId,
    /// One thing that is deployed to.
    ResourceId,
    /// One build of a deployment.
    VersionId,
    /// A version with its variables on one release target.
    ReleaseId,
    /// One run of a release on a platform.
    JobId,
    /// Who runs jobs.
    JobAgentId,
    /// A set of rules.
    PolicyId,
    /// A rule from event to version.
    TriggerId,
    /// An endpoint that takes events in.
    TriggerSourceId,
    /// A person's word on a version in an environment.
    ApprovalId,
    /// One rule bypassed for a version.
    SkipId,
    /// A time in which nothing new starts.
    FreezeId,
    /// One version and no other.
    PinId,
    /// A wish to bring something once more.
    RedeployId,
    /// A person's word on a rollout.
    RolloutControlId,
    /// Values that several deployments share.
    VariableSetId,
    /// How resources are related.
    RelationshipRuleId,
    /// Who tells of resources.
    ResourceProviderId,
    /// Jobs that run after one another.
    WorkflowId,
    /// One run of a workflow.
    WorkflowRunId,
}

impl WorkspaceId {
    /// The id of the workspace with this slug.
    pub fn of(slug: &Slug) -> Self {
        Self(derive(&["workspace", slug.as_str()]))
    }
}

macro_rules! may_be_absent {
    ($($name:ident),+ $(,)?) => {$(
        impl $name {
            /// None: that of a workflow's job, which brings nothing anywhere. It is not written.
            pub fn none() -> Self {
                Self(Uuid::nil())
            }

            /// Whether there is none.
            pub fn is_none(&self) -> bool {
                self.0.is_nil()
            }
        }
    )+};
}

may_be_absent! { VersionId, ReleaseId }

macro_rules! named_in_workspace {
    ($($name:ident = $kind:literal),+ $(,)?) => {$(
        impl $name {
            /// The id of the entity of this natural key in the workspace: the same name, the same id.
            pub fn of(workspace: &Slug, natural_key: &str) -> Self {
                Self(derive(&[$kind, workspace.as_str(), natural_key]))
            }
        }
    )+};
}

named_in_workspace! {
    SystemId = "system",
    DeploymentId = "deployment",
    EnvironmentId = "environment",
    ResourceId = "resource",
    JobAgentId = "job-agent",
    PolicyId = "policy",
    TriggerId = "trigger",
    TriggerSourceId = "trigger-source",
    FreezeId = "freeze",
    VariableSetId = "variable-set",
    RelationshipRuleId = "relationship-rule",
    ResourceProviderId = "resource-provider",
    WorkflowId = "workflow",
}

impl VersionId {
    /// The id of a deployment's version with this tag.
    pub fn of(deployment: DeploymentId, tag: &str) -> Self {
        Self(derive(&["version", &deployment.to_string(), tag]))
    }
}

impl ApprovalId {
    /// One record per version, environment and person: a second word replaces the first.
    pub fn of(version: VersionId, environment: EnvironmentId, user: &str) -> Self {
        Self(derive(&["approval", &version.to_string(), &environment.to_string(), user]))
    }
}

/// A part of a key that may be absent.
fn optional(part: Option<impl fmt::Display>) -> String {
    part.map(|part| part.to_string()).unwrap_or_default()
}

impl SkipId {
    /// One per rule, version and scope: another one for the same replaces it.
    pub fn of(skip: &Skip) -> Self {
        Self(derive(&[
            "skip",
            &skip.policy.to_string(),
            &skip.rule,
            &optional(skip.rule_index),
            &skip.version.to_string(),
            &optional(skip.environment),
            &optional(skip.resource),
        ]))
    }
}

impl PinId {
    /// One per scope.
    pub fn of(
        deployment: DeploymentId,
        environment: Option<EnvironmentId>,
        resource: Option<ResourceId>,
    ) -> Self {
        Self(derive(&["pin", &deployment.to_string(), &optional(environment), &optional(resource)]))
    }
}

impl RedeployId {
    /// One per target: the last wish counts.
    pub fn of(target: &TargetKey) -> Self {
        Self(derive(&["redeploy", &target.to_string()]))
    }
}

impl RolloutControlId {
    /// One per version and environment: the last word counts.
    pub fn of(version: VersionId, environment: EnvironmentId) -> Self {
        Self(derive(&["rollout-control", &version.to_string(), &environment.to_string()]))
    }
}

impl WorkflowRunId {
    /// The run that a trigger begins for a delivery: the same delivery, the same run.
    pub fn of_delivery(workspace: &Slug, delivery: &str, trigger: TriggerId) -> Self {
        Self(derive(&["workflow-run", workspace.as_str(), delivery, &trigger.to_string()]))
    }

    /// The run that somebody asks for under a key of their own: asked again, it is the same run.
    pub fn of_request(workspace: &Slug, key: &str) -> Self {
        Self(derive(&["workflow-run-request", workspace.as_str(), key]))
    }
}

impl JobId {
    /// The id of a job of a workflow's run; `item`: which of those that one job fans out to, from 0.
    pub fn of_run(run: WorkflowRunId, name: &Slug, item: Option<u32>, attempt: u32) -> Self {
        let (run, item, attempt) = (run.to_string(), optional(item), attempt.to_string());
        Self(derive(&["workflow-job", &run, name.as_str(), &item, &attempt]))
    }

    /// The id of the n-th job of a release. The agent is not part of it: which agent runs a job is
    /// decided at dispatch, and a changed choice must not give the same attempt a second job.
    pub fn of(release: ReleaseId, attempt: u32) -> Self {
        Self(derive(&["job", &release.to_string(), &attempt.to_string()]))
    }

    /// The id of the job that verifies, by one rule of a policy, what a job brought when it succeeded at that instant.
    pub fn of_verification(of: JobId, succeeded_at: Timestamp, policy: PolicyId, rule_index: u32) -> Self {
        let at = succeeded_at.timestamp_micros().to_string();
        Self(derive(&["verification", &of.to_string(), &at, &policy.to_string(), &rule_index.to_string()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_parts_give_the_same_id_and_no_two_lists_collide() {
        assert_eq!(derive(&["a", "b"]), derive(&["a", "b"]));
        assert_ne!(derive(&["ab", "c"]), derive(&["a", "bc"]));
        assert_ne!(derive(&["a"]), derive(&["a", ""]));
    }

    #[test]
    fn ids_are_wire_law() {
        let acme: Slug = "acme".parse().unwrap();
        let web = DeploymentId::of(&acme, "web");
        assert_eq!(web.to_string(), "29a51467-f7cc-52a4-900d-eddf4607415f");
    }
}
