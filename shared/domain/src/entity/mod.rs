//! Intent: what people and CI declare. One record per entity in the catalog, the last one counts.

mod control;
mod delivery;
mod policy;
mod recovery;
mod schedule;
mod source;
mod structure;
mod variable;
mod workflow;

pub use control::{Freeze, Pause, Pin, Redeploy, RolloutAction, RolloutControl, Skip};
pub use delivery::{
    Approval, ApprovalStatus, CreateVersion, RunWorkflow, Trigger, TriggerAction, Version, VersionDependency,
    VersionStatus,
};
pub use policy::{
    AnyApproval, DeploymentDependency, EnvironmentProgression, Policy, PolicyRule, VersionSelector, built_in,
};
pub use recovery::{
    BackoffStrategy, DatadogMetric, HttpMetric, Metric, MetricProvider, PrometheusMetric, Retry, Rollback,
    SleepMetric, Verification, VerificationTrigger,
};
pub use schedule::{DeploymentWindow, GradualRollout, RolloutType, VersionCooldown};
pub use source::{
    CloudEventsAuth, HeaderName, HmacScheme, InvalidName, JsonPointer, Naming, SignatureEncoding,
    SignatureHash, SourceKind, TokenScheme, TriggerSource,
};
pub use structure::{
    AgentRef, Deadlines, Deployment, Environment, JobAgent, OnNewVersion, Resource, ResourceProvider, System,
    Workspace,
};
pub use variable::{DeploymentVariable, DeploymentVariableValue, RelationshipRule, VariableSet};
pub use workflow::{
    AgentChoice, BegunBy, ForEach, InputType, RunCancel, RunEnd, Workflow, WorkflowInput, WorkflowJob,
    WorkflowRun,
};

use crate::Timestamp;
use crate::token::Slug;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use uuid::Uuid;

/// The default of what is on unless it is switched off.
fn yes() -> bool {
    true
}

/// Free key-value pairs people attach to an entity. `ctrlplane/links` holds a JSON map name → URL.
pub type Metadata = BTreeMap<String, String>;

/// What every entity carries beside its spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// The entity's id; version 5 of its natural key where it was born from one.
    pub id: Uuid,
    /// The tenant.
    pub workspace: Slug,
    /// The name people read; the natural key unless the kind says otherwise.
    pub name: String,
    /// Free key-value pairs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: Metadata,
    /// When it was first written.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// One entity: its meta and its spec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record<S> {
    /// Id, names, times.
    pub meta: Meta,
    /// What was declared.
    pub spec: S,
}

macro_rules! entities {
    ($($(#[$doc:meta])* $name:ident = $token:literal),+ $(,)?) => {
        /// Any entity of the catalog; the value behind a catalog key.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "kind")]
        pub enum Entity { $($(#[$doc])* $name(Record<$name>)),+ }

        /// The kinds of entities; the second token of a catalog key.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Kind { $($(#[$doc])* $name),+ }

        impl Kind {
            /// Every kind, in the order in which a fresh catalog is best written (what is named before what names it).
            pub const ALL: &'static [Kind] = &[$(Kind::$name),+];

            /// The token in catalog keys: lower-case with hyphens.
            pub fn token(self) -> &'static str {
                match self { $(Kind::$name => $token),+ }
            }

            /// The name in manifests.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$name => stringify!($name)),+ }
            }

            /// The kind people mean: its manifest name or its token, in any case, singular or plural.
            pub fn parse(text: &str) -> Option<Self> {
                let wanted = text.to_ascii_lowercase().replace(['-', '_'], "");
                let same = |kind: &Kind| {
                    let name = kind.name().to_ascii_lowercase();
                    let plural = match name.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u'])) {
                        Some(stem) => format!("{stem}ies"),
                        None => format!("{name}s"),
                    };
                    wanted == name || wanted == plural
                };
                Self::ALL.iter().copied().find(same)
            }
        }

        impl Entity {
            /// Which kind it is.
            pub fn kind(&self) -> Kind {
                match self { $(Entity::$name(_) => Kind::$name),+ }
            }

            /// Id, names, times.
            pub fn meta(&self) -> &Meta {
                match self { $(Entity::$name(record) => &record.meta),+ }
            }

            /// Id, names, times, to change.
            pub fn meta_mut(&mut self) -> &mut Meta {
                match self { $(Entity::$name(record) => &mut record.meta),+ }
            }
        }
    };
}

entities! {
    /// A tenant.
    Workspace = "workspace",
    /// A group of deployments and environments.
    System = "system",
    /// Where.
    Environment = "environment",
    /// Who tells of resources.
    ResourceProvider = "resource-provider",
    /// Something that is deployed to.
    Resource = "resource",
    /// Who runs jobs.
    JobAgent = "job-agent",
    /// What and how.
    Deployment = "deployment",
    /// How resources are related.
    RelationshipRule = "relationship-rule",
    /// Values that several deployments share.
    VariableSet = "variable-set",
    /// When.
    Policy = "policy",
    /// An endpoint that takes events in.
    TriggerSource = "trigger-source",
    /// From event to version.
    Trigger = "trigger",
    /// One build.
    Version = "version",
    /// A person's word.
    Approval = "approval",
    /// One rule bypassed.
    Skip = "skip",
    /// Nothing new starts.
    Freeze = "freeze",
    /// One version and no other.
    Pin = "pin",
    /// Once more.
    Redeploy = "redeploy",
    /// A rollout paused or resumed.
    RolloutControl = "rollout-control",
    /// Jobs that run after one another, on any agents.
    Workflow = "workflow",
    /// One run of a workflow.
    WorkflowRun = "workflow-run",
}

/// The key of an entity in the `catalog` bucket: `<workspace>.<kind>.<id>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CatalogKey {
    /// The tenant.
    pub workspace: Slug,
    /// The kind.
    pub kind: Kind,
    /// The entity's id.
    pub id: Uuid,
}

impl Entity {
    /// Where the catalog keeps it.
    pub fn key(&self) -> CatalogKey {
        let meta = self.meta();
        CatalogKey { workspace: meta.workspace.clone(), kind: self.kind(), id: meta.id }
    }

    /// The name in paths and subjects, of which there is one of a kind in a workspace.
    pub fn slug(&self) -> Option<&Slug> {
        if let Entity::Workflow(workflow) = self {
            return Some(&workflow.spec.slug);
        }
        if let Entity::Deployment(deployment) = self { Some(&deployment.spec.slug) } else { None }
    }
}

impl fmt::Display for CatalogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.workspace, self.kind.token(), self.id)
    }
}

/// Why a string is not a catalog key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a catalog key is <workspace>.<kind>.<uuid>")]
pub struct CatalogKeyError;

impl std::str::FromStr for CatalogKey {
    type Err = CatalogKeyError;

    fn from_str(text: &str) -> Result<Self, CatalogKeyError> {
        let mut parts = text.split('.');
        let (Some(workspace), Some(kind), Some(id), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(CatalogKeyError);
        };
        Ok(Self {
            workspace: workspace.parse().map_err(|_| CatalogKeyError)?,
            kind: Kind::ALL.iter().copied().find(|k| k.token() == kind).ok_or(CatalogKeyError)?,
            id: Uuid::parse_str(id).map_err(|_| CatalogKeyError)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_key_reads_back_what_it_prints() {
        for kind in Kind::ALL {
            let key = CatalogKey { workspace: "acme".parse().unwrap(), kind: *kind, id: Uuid::nil() };
            assert_eq!(key.to_string().parse::<CatalogKey>(), Ok(key));
        }
        for bad in ["", "acme.system", "acme.sistem.00000000-0000-0000-0000-000000000000", "a.b.c.d"] {
            assert!(bad.parse::<CatalogKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn people_may_name_a_kind_in_their_way() {
        for (text, kind) in [
            ("Policy", Kind::Policy),
            ("policies", Kind::Policy),
            ("job-agents", Kind::JobAgent),
            ("jobagent", Kind::JobAgent),
            ("Environments", Kind::Environment),
            ("redeploys", Kind::Redeploy),
            ("rollout-controls", Kind::RolloutControl),
        ] {
            assert_eq!(Kind::parse(text), Some(kind), "{text}");
        }
        assert_eq!(Kind::parse("pod"), None);
    }
}
