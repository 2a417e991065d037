//! One job in the queue of its agent: who has it, until when, and under which fence. Pure: a change is a function of the
//! record and now, and the store writes it by compare-and-set.

mod claim;
mod end;
mod report;
mod told;

#[cfg(test)]
mod tests;

pub(crate) use claim::Claimant;
pub(crate) use report::{Report, Reported};

use domain::Timestamp;
use domain::command::AgentCommand;
use domain::job::{ActiveStatus, Links, Reason, TerminalStatus};
use serde::{Deserialize, Serialize};

/// How often a job may come back to the queue in one attempt, lost or given back, before it is over.
const RETURNS_MAX: u32 = 50;
/// How many words of a puller become facts in one attempt. Later ones are kept, and told with the next change of status.
const TOLD_MAX: u32 = 200;

/// A job of a pull agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// The command that brought it: the job, its config, and the fact it was born from.
    pub(crate) command: AgentCommand,
    /// The agent's name, for people.
    pub(crate) agent_name: String,
    /// The job's attempt on its platform, from 1: one more per retry.
    pub(crate) attempt: u32,
    /// Names the present stay in the queue and the claim that ends it. Grows whenever a claim ends without a report.
    pub(crate) fence: u32,
    /// Counts what people can see, so that older news never overwrites newer.
    pub(crate) version: i64,
    /// How many words of pullers people were told in this attempt.
    #[serde(default)]
    pub(crate) told: u32,
    /// Leases that ran out in this attempt.
    #[serde(default)]
    pub(crate) lost: u32,
    /// How often it came back to the queue in this attempt.
    #[serde(default)]
    pub(crate) returned: u32,
    /// The last fence under which it was given back, so that giving it back twice is once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) released: Option<u32>,
    /// Since when it waits.
    pub(crate) queued_at: Timestamp,
    /// Until when somebody must have claimed it for the first time.
    pub(crate) queue_until: Timestamp,
    /// Whether anybody has claimed it in this attempt.
    #[serde(default)]
    pub(crate) begun: bool,
    /// Whether somebody wishes it to end.
    #[serde(default)]
    pub(crate) cancelling: bool,
    /// What pullers said.
    #[serde(default)]
    pub(crate) words: Words,
    /// Where it is.
    pub(crate) stage: Stage,
}

/// What pullers said last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Words {
    pub(crate) status: ActiveStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) external_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    #[serde(default)]
    pub(crate) links: Links,
}

impl Default for Words {
    fn default() -> Self {
        Self {
            status: ActiveStatus::InProgress,
            message: None,
            progress: None,
            external_id: None,
            url: None,
            links: Links::new(),
        }
    }
}

/// Where a job is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Stage {
    /// Anybody may claim it.
    Waiting {
        /// Why it waits again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// Whether a lease ran out.
        #[serde(default)]
        lost: bool,
    },
    /// Somebody has it.
    Claimed(Claim),
    /// It is over.
    Over {
        /// How.
        status: TerminalStatus,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Under which fence a puller said so; absent: we did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by_fence: Option<u32>,
    },
    /// It is not ours any more: taken back by its dispatcher, or ended elsewhere.
    Withdrawn,
}

/// Who has a job, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Claim {
    /// As the puller calls itself.
    pub(crate) by: String,
    /// Chosen by the puller, so that a claim whose answer was lost can be asked for again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) claim_id: Option<String>,
    pub(crate) lease_seconds: u32,
    pub(crate) until: Timestamp,
}

/// Why a puller may not do what it asks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum No {
    #[error("job is claimed by {by:?}")]
    Taken { by: String },
    #[error("fence {asked} is not the job's any more (it is {now}): the claim has ended, stop working on it")]
    Stale { asked: u32, now: u32 },
    #[error("the job is over: {status}")]
    Over { status: String },
    #[error("the job is not in the queue any more")]
    Gone,
}

impl Record {
    /// A job that was dispatched: the first time, again after it was taken back, or for its next attempt.
    pub(crate) fn queue(
        before: Option<&Record>,
        command: AgentCommand,
        agent_name: String,
        attempt: u32,
        queue_until: Timestamp,
        now: Timestamp,
    ) -> Self {
        Self {
            command,
            agent_name,
            attempt,
            fence: before.map_or(1, |before| before.fence + 1),
            version: before.map_or(0, |before| before.version),
            told: 0,
            lost: 0,
            returned: 0,
            released: None,
            queued_at: now,
            queue_until,
            begun: false,
            cancelling: false,
            words: Words::default(),
            stage: Stage::Waiting { why: None, lost: false },
        }
    }

    /// Whether it needs nobody any more.
    pub(crate) fn is_over(&self) -> bool {
        match &self.stage {
            Stage::Waiting { .. } | Stage::Claimed(_) => false,
            Stage::Over { .. } | Stage::Withdrawn => true,
        }
    }

    /// Whether it waits for its first claim: its job can still be taken back.
    pub(crate) fn is_fresh(&self) -> bool {
        !self.begun && matches!(self.stage, Stage::Waiting { .. })
    }
}
