//! Workflows: jobs that run after one another on any agents, and the runs of them.

use super::Deadlines;
use crate::Timestamp;
use crate::id::{JobId, TriggerId, WorkflowId};
use crate::job::TerminalStatus;
use crate::token::Slug;
use crate::workflow::RunStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Jobs over agents, in the order of what they need. Its natural key is its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workflow {
    /// The name in paths; the nearest slug of the name where a document gives none.
    pub slug: Slug,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What a run is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<WorkflowInput>,
    /// What a run does.
    pub jobs: Vec<WorkflowJob>,
}

/// One thing a run is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkflowInput {
    /// Its name: `inputs.<key>`.
    pub key: String,
    /// What it may be.
    #[serde(rename = "type", default)]
    pub input_type: InputType,
    /// What it is where a run gives none. Absent: null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Whether a run must give it, or the default must be there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub required: bool,
    /// The only values it may have. Empty: any of its type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Value>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// The type of an input: one of JSON's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum InputType {
    /// Text.
    #[default]
    String,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A map.
    Object,
    /// A list.
    Array,
}

/// One job of a workflow, or one per item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkflowJob {
    /// Unique in the workflow.
    pub name: Slug,
    /// Who runs it.
    pub agent: AgentChoice,
    /// Laid over the agent's config. Templates over `workflow`, `inputs`, `run`, `item`, `jobAgent`, `job`, `workspace`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// Jobs that must be over before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Slug>,
    /// CEL over `inputs`, `needs`, `succeeded` and `item`: whether it runs, asked when all it needs is over. Absent:
    /// `succeeded`, that is, when all it needs was successful.
    #[serde(rename = "if", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// One job per item, `item` in each. Absent: one job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEach>,
    /// How long it may wait on its platform and run.
    #[serde(default)]
    pub deadlines: Deadlines,
}

/// Who runs a job. In manifests a map with one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AgentChoice {
    /// The agent of that name.
    Ref(String),
    /// CEL over `jobAgent`: the first that matches, by name.
    Selector(String),
}

/// What a job fans out over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ForEach {
    /// The items of an input that is an array.
    Input(String),
    /// These.
    Items(Vec<Value>),
}

/// One run of a workflow: what it was when the run began, and with what. The rest is in the facts of its jobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkflowRun {
    /// The workflow.
    pub workflow: WorkflowId,
    /// The workflow's name when the run began.
    pub workflow_name: String,
    /// The workflow's slug when the run began.
    pub workflow_slug: Slug,
    /// Every input, with its value.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub inputs: Map<String, Value>,
    /// The workflow's jobs when the run began.
    pub jobs: Vec<WorkflowJob>,
    /// Who or what began it.
    pub begun_by: BegunBy,
    /// When.
    pub at: Timestamp,
    /// The wish that it end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<RunCancel>,
    /// How it ended, kept by the policy evaluator: it is told when the facts of its jobs are forgotten. Absent: it is not
    /// over, or runs again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<RunEnd>,
    /// The sequence of `JOBS` up to which facts were looked at when the end was last kept or taken back: who knows less
    /// cannot tell better.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub end_sequence: u64,
}

fn is_zero(sequence: &u64) -> bool {
    *sequence == 0
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunEnd {
    /// In one word.
    pub status: RunStatus,
    /// When the last of its jobs ended.
    pub at: Timestamp,
    /// How each job ended that was asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub jobs: BTreeMap<JobId, TerminalStatus>,
}

/// Who or what began a run. In JSON a map with one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum BegunBy {
    /// Whoever has the key of that name, or signed in under it.
    User(String),
    /// A trigger.
    Trigger {
        /// Which.
        id: TriggerId,
        /// Its name then.
        name: String,
        /// The delivery of the event.
        delivery: String,
    },
}

/// A wish that a run end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunCancel {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
