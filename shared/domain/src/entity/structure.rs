//! The lasting structure: who, what, where, on what, and by whose hands.

use super::variable::DeploymentVariable;
use crate::id::{ResourceProviderId, SystemId};
use crate::token::Slug;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A tenant. Its name is its slug.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workspace {
    /// The name people read; the slug where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// A group: its deployments go to its environments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct System {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Where: a stage that selects resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Environment {
    /// Systems it belongs to. In none, it has no release targets.
    pub systems: Vec<SystemId>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// CEL over `resource`: which resources are in it.
    pub resource_selector: String,
}

/// What and how: something that has versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deployment {
    /// Its token in status subjects; from the name where a manifest gives none.
    pub slug: Slug,
    /// Systems it belongs to. In none, it has no release targets.
    pub systems: Vec<SystemId>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// CEL over `resource`, `environment`: where it can go. Absent: everywhere its environments are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_selector: Option<String>,
    /// CEL over `jobAgent`, `resource`, `environment`: who runs its jobs, unless `jobAgents` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_agent_selector: Option<String>,
    /// Who runs its jobs: the first entry whose selector matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub job_agents: Vec<AgentRef>,
    /// Laid over the agent's config.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub job_agent_config: Map<String, Value>,
    /// What a newer version does to a job in progress.
    #[serde(default)]
    pub on_new_version: OnNewVersion,
    /// How long its jobs may take.
    #[serde(default)]
    pub deadlines: Deadlines,
    /// What its templates may speak of as `variables.<key>`. Without any, they see the resource's variables as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<DeploymentVariable>,
}

/// An agent by name or id, for the resources it matches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentRef {
    /// The agent's name.
    #[serde(rename = "ref")]
    pub name: String,
    /// CEL over `resource`, `environment`, `jobAgent`. Absent: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Laid over the agent's config, under the deployment's.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
}

/// What happens to the job in progress when a newer version passes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnNewVersion {
    /// It finishes first.
    #[default]
    Wait,
    /// It is cancelled.
    Supersede,
}

/// How long a job may wait and run, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Deadlines {
    /// From dispatch until the platform runs it. Default 86,400 (one day).
    #[schemars(range(min = 1))]
    pub queue_seconds: u32,
    /// From the first sign of running until it ends. Default 21,600 (six hours, GitHub's own limit for a job).
    #[schemars(range(min = 1))]
    pub run_seconds: u32,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { queue_seconds: 86_400, run_seconds: 21_600 }
    }
}

/// Who tells of resources: it owns a set of them, and says all of it at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceProvider {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Something that is deployed to. Its natural key is its identifier, the entity's name what people read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resource {
    /// Unique in the workspace.
    pub identifier: String,
    /// Its type, e.g. `kubernetes-cluster`.
    #[serde(rename = "type", default, skip_serializing_if = "String::is_empty")]
    pub resource_type: String,
    /// The version of its schema, e.g. `ctrlplane.dev/kubernetes/cluster/v1`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// What a job needs to reach it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// Values for a deployment's variables.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub variables: Map<String, Value>,
    /// The provider whose set it is in. Absent: nobody's, and any provider may take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ResourceProviderId>,
}

/// Who runs jobs: a platform and how to reach it. Never holds a secret, only names of secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobAgent {
    /// The platform, e.g. `github-app`; the token in command and status subjects.
    #[serde(rename = "type")]
    pub platform: Slug,
    /// The lowest layer of a job's config.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// How many of its jobs may be active at once. Absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_concurrent: Option<u32>,
}
