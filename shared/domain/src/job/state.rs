//! The state of a job: the fold of its facts.

use super::event::{CancelReason, Dispatch, ExternalRef, HeldWhy, JobRef, Links, OrderKey, RawStatus};
use super::status::{ActiveStatus, JobStatus, Reason, TerminalStatus};
use crate::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a job is on its way, with what only that place knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "phase", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Phase {
    /// Decided, not dispatched. Owner: dispatcher.
    Requested,
    /// Waits for its dispatch. Owner: dispatcher.
    Held {
        /// For what.
        why: HeldWhy,
    },
    /// The agent has its command. Owner: agent.
    Dispatched,
    /// The agent may be calling the platform right now. Owner: agent.
    Triggering {
        /// Which try.
        fence: u32,
    },
    /// The platform was called and nobody knows whether it heard. Owner: agent, which looks.
    Unknown {
        /// Which try.
        fence: u32,
    },
    /// The platform has it. Owner: platform; the agent looks.
    Running {
        /// As last seen.
        status: ActiveStatus,
    },
    /// Somebody wishes it to end. Owner: dispatcher without a fence, else agent.
    Cancelling(Cancelling),
    /// Over.
    Finished {
        /// How.
        status: TerminalStatus,
    },
}

/// A wish to end, and how far the job had come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cancelling {
    /// Who wished it.
    pub by: String,
    /// Why.
    pub reason: CancelReason,
    /// The try that may have reached the platform; absent: no try was made.
    pub fence: Option<u32>,
    /// How the run was last seen; absent: no run is known.
    pub seen: Option<ActiveStatus>,
    /// How often the platform was asked to end it.
    pub sent: u32,
    /// Whether it was asked by force.
    pub forced: bool,
}

/// The dispatch a job is under. The context is left out: it is in the fact, and large.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Assigned {
    /// Who runs it and with what.
    #[serde(flatten)]
    pub dispatch: Dispatch,
}

/// Everything known of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobState {
    /// Which job.
    pub job: JobRef,
    /// Where on its way.
    #[serde(flatten)]
    pub phase: Phase,
    /// The catalog revision its request saw.
    pub catalog_revision: u64,
    /// Who runs it, once dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned: Option<Assigned>,
    /// The run on the platform, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalRef>,
    /// Orders the last look that counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderKey>,
    /// The platform's own last words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<RawStatus>,
    /// Why it is as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// For a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Deep links into the platform.
    #[serde(default)]
    pub links: Links,
    /// How often it ran on the platform: 1, and 1 more per retry.
    pub external_attempt: u32,
    /// When it was requested.
    pub created_at: Timestamp,
    /// When the phase was entered.
    pub phase_since: Timestamp,
    /// When it was dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatched_at: Option<Timestamp>,
    /// When it was first seen to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// When the platform last confirmed the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// When the last fact was recorded.
    pub updated_at: Timestamp,
}

impl Phase {
    /// How the run was last seen while it is not over; `None` where no run is known, or it is over.
    pub fn seen(&self) -> Option<ActiveStatus> {
        match self {
            Phase::Running { status } => Some(*status),
            Phase::Cancelling(cancelling) => cancelling.seen,
            Phase::Requested
            | Phase::Held { .. }
            | Phase::Dispatched
            | Phase::Triggering { .. }
            | Phase::Unknown { .. }
            | Phase::Finished { .. } => None,
        }
    }
}

impl JobState {
    /// What everybody may see.
    pub fn status(&self) -> JobStatus {
        match &self.phase {
            Phase::Finished { status } => (*status).into(),
            Phase::Requested
            | Phase::Held { .. }
            | Phase::Dispatched
            | Phase::Triggering { .. }
            | Phase::Unknown { .. }
            | Phase::Running { .. }
            | Phase::Cancelling(_) => self.phase.seen().map_or(JobStatus::Pending, JobStatus::from),
        }
    }

    /// Whether it is over, until a new attempt.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished { .. })
    }
}
