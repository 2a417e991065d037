//! What comes and goes: versions, approvals, and the rules that make versions from events.

use crate::Timestamp;
use crate::audit::Role;
use crate::entity::Record;
use crate::id::{DeploymentId, EnvironmentId, VersionId, WorkflowId, derive};
use crate::trigger_rule::CREATED_BY;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// One build of a deployment. Its natural key is deployment and tag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Version {
    /// What it is a version of.
    pub deployment: DeploymentId,
    /// Unique in the deployment.
    pub tag: String,
    /// Whether it may go anywhere.
    #[serde(default)]
    pub status: VersionStatus,
    /// What templates read as `version.config`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// The highest layer of a job's config.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub job_agent_config: Map<String, Value>,
    /// What must run on the same resource before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<VersionDependency>,
    /// When we were first told of it, where that is not its creation: who declares it may say that, and so may not
    /// decide by it which rules it is older than.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_since: Option<Timestamp>,
    /// When what jobs are made of was last changed: its name, config, metadata or dependencies. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_since: Option<Timestamp>,
    /// Who changed it: beside who created it they are its makers.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub edited_by: BTreeSet<String>,
}

/// What begins with this among the metadata is written by us, and no content.
const OURS: &str = "ctrlplane/";

/// Whether an entry of a version's metadata is content.
fn is_content(key: &String, _: &mut String) -> bool {
    key != CREATED_BY && !key.starts_with(OURS)
}

impl Record<Version> {
    /// Since when it is known: what rules measure time from.
    pub fn known_since(&self) -> Timestamp {
        self.spec.known_since.unwrap_or(self.meta.created_at)
    }

    /// Since when it is what it is now: what people said before was said of something else.
    pub fn content_since(&self) -> Timestamp {
        self.known_since().max(self.spec.content_since.unwrap_or(Timestamp::MIN_UTC))
    }

    /// Who made it, where that is known.
    pub fn created_by(&self) -> Option<&str> {
        let maker = self.meta.metadata.get(CREATED_BY).map(String::as_str);
        maker.filter(|maker| !maker.trim().is_empty())
    }

    /// Names its content: what [`Record::has_content_of`] compares.
    pub fn content(&self) -> Uuid {
        let mut metadata = self.meta.metadata.clone();
        metadata.retain(is_content);
        let Version { config, job_agent_config, dependencies, .. } = &self.spec;
        let parts = (&self.meta.name, metadata, config, job_agent_config, dependencies);
        derive(&["content", &serde_json::to_string(&parts).expect("JSON of JSON")])
    }

    /// Whether a job of it is made of the same as one of the other: whatever templates and gates may read of it. Links,
    /// its status and who made it are none of that.
    pub fn has_content_of(&self, other: &Self) -> bool {
        let metadata = |of: &Self| {
            let mut metadata = of.meta.metadata.clone();
            metadata.retain(is_content);
            metadata
        };
        let Version {
            deployment: _,
            tag: _,
            status: _,
            config,
            job_agent_config,
            dependencies,
            known_since: _,
            content_since: _,
            edited_by: _,
        } = &self.spec;
        (config, job_agent_config) == (&other.spec.config, &other.spec.job_agent_config)
            && dependencies == &other.spec.dependencies
            && self.meta.name == other.meta.name
            && metadata(self) == metadata(other)
    }
}

/// What must run on a resource before a version may go there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VersionDependency {
    /// The other deployment.
    pub deployment: DeploymentId,
    /// CEL over `version` and `deployment`: which of its versions will do.
    pub version_selector: String,
}

/// The life of a version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum VersionStatus {
    /// Not there yet.
    Building,
    /// A candidate.
    #[default]
    Ready,
    /// It did not build.
    Failed,
    /// Somebody said no: what runs it goes back.
    Rejected,
    /// Not a candidate for now; what runs it keeps it.
    Paused,
}

/// A person's word on a version in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// The version.
    pub version: VersionId,
    /// Where.
    pub environment: EnvironmentId,
    /// Who.
    pub user: String,
    /// Yes or no.
    pub status: ApprovalStatus,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The person's role when it was said, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// When it was said.
    pub at: Timestamp,
    /// Of which content of the version it was said, as whoever took it in knew the version. Kept by the server. Absent: of
    /// before that was kept, and its instant tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_content: Option<Uuid>,
}

impl Approval {
    /// Whether it was said of the version as it is now. By content, because the clocks of two who write may differ.
    pub fn is_about(&self, version: &Record<Version>) -> bool {
        self.is_of(version.content(), version.content_since())
    }

    /// Whether it was said of that content, which is there since then.
    pub(crate) fn is_of(&self, content: Uuid, since: Timestamp) -> bool {
        self.of_content.map_or(self.at >= since, |of| of == content)
    }
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ApprovalStatus {
    /// Yes.
    Approved,
    /// No: a veto.
    Rejected,
}

/// From an event to what it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trigger {
    /// The name of the trigger source whose events it reads.
    pub source: String,
    /// The event type as the sender names it, e.g. `push`.
    pub event: String,
    /// CEL over `event` (the payload), `type`, `source`, `subject`. Absent: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// What happens.
    pub then: TriggerAction,
}

/// What an event starts. In manifests a map with one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TriggerAction {
    /// A version is created, unless its tag exists.
    CreateVersion(CreateVersion),
    /// A workflow is run, once per delivery.
    RunWorkflow(RunWorkflow),
}

/// Templates (over `event`, `type`, `source`, `subject`) of the version to create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateVersion {
    /// The deployment.
    pub deployment: DeploymentId,
    /// Template of the tag.
    pub tag: String,
    /// Template of the name; the tag where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Templates in values.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// Templates in values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// Templates (over `event`, `type`, `source`, `subject`) of the inputs with which a workflow is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunWorkflow {
    /// The workflow.
    pub workflow: WorkflowId,
    /// Templates in values, by input; `{{ event.x }}` and nothing else keeps its type.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub inputs: Map<String, Value>,
}
