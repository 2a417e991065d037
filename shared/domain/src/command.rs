//! Commands: what the dispatcher and the syncer ask of an agent.

use crate::Timestamp;
use crate::id::JobAgentId;
use crate::job::{ExternalRef, JobRef};
use crate::token::Slug;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// What an agent is asked to do with a job. Delivered at least once; every verb is idempotent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentCommand {
    /// What to do.
    pub verb: Verb,
    /// Which job.
    pub job: JobRef,
    /// The agent.
    pub agent: JobAgentId,
    /// Its platform.
    pub platform: Slug,
    /// The rendered config.
    pub config: Map<String, Value>,
    /// Where in the config secrets belong, by JSON pointer, and their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// The last change of a freeze in the workspace that the dispatch took into account, as a revision of the catalog.
    /// One that has come since sends the job back.
    #[serde(default)]
    pub freezes_seen: u64,
    /// When a freeze that the dispatch saw begins by time alone; from then on the job is sent back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze_begins_at: Option<Timestamp>,
    /// The sequence in `JOBS` of the fact this command was born from: the next append expects it,
    /// so that the ordinary case needs no look-up.
    pub after: u64,
    /// For a retry: the run to run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<ExternalRef>,
    /// For `cancel`: whether to ask by force.
    #[serde(default)]
    pub force: bool,
}

/// What to do with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// Start it on the platform.
    Trigger,
    /// Look at it.
    Observe,
    /// End it.
    Cancel,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Verb; 3] = [Verb::Trigger, Verb::Observe, Verb::Cancel];

    /// The token in command subjects.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Trigger => "trigger",
            Verb::Observe => "observe",
            Verb::Cancel => "cancel",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
