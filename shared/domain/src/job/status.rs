//! The public vocabulary of job statuses: the field's own words, kept as they are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What everybody may see of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Not yet accepted outside.
    Pending,
    /// Accepted by the platform, not running.
    Queued,
    /// Running.
    #[serde(alias = "inProgress")]
    InProgress,
    /// A person must act on the platform.
    #[serde(alias = "actionRequired")]
    ActionRequired,
    /// Ended well.
    Successful,
    /// Ended badly.
    Failure,
    /// Ended because somebody wished so.
    Cancelled,
    /// The platform decided that there was nothing to do.
    Skipped,
    /// The agent's configuration does not fit: workflow, ref, inputs, template.
    #[serde(alias = "invalidJobAgent")]
    InvalidJobAgent,
    /// Credentials or permissions do not reach.
    #[serde(alias = "invalidIntegration")]
    InvalidIntegration,
    /// The platform does not know the run.
    #[serde(alias = "externalRunNotFound")]
    ExternalRunNotFound,
}

impl JobStatus {
    /// Every status.
    pub const ALL: [JobStatus; 11] = [
        JobStatus::Pending,
        JobStatus::Queued,
        JobStatus::InProgress,
        JobStatus::ActionRequired,
        JobStatus::Successful,
        JobStatus::Failure,
        JobStatus::Cancelled,
        JobStatus::Skipped,
        JobStatus::InvalidJobAgent,
        JobStatus::InvalidIntegration,
        JobStatus::ExternalRunNotFound,
    ];

    /// Whether only a new attempt can leave it.
    pub fn is_terminal(self) -> bool {
        match self {
            JobStatus::Pending | JobStatus::Queued | JobStatus::InProgress | JobStatus::ActionRequired => {
                false
            }
            JobStatus::Successful
            | JobStatus::Failure
            | JobStatus::Cancelled
            | JobStatus::Skipped
            | JobStatus::InvalidJobAgent
            | JobStatus::InvalidIntegration
            | JobStatus::ExternalRunNotFound => true,
        }
    }

    /// The word on the wire: snake case.
    pub fn as_str(self) -> &'static str {
        match self {
            JobStatus::Pending => "pending",
            JobStatus::Queued => "queued",
            JobStatus::InProgress => "in_progress",
            JobStatus::ActionRequired => "action_required",
            JobStatus::Successful => "successful",
            JobStatus::Failure => "failure",
            JobStatus::Cancelled => "cancelled",
            JobStatus::Skipped => "skipped",
            JobStatus::InvalidJobAgent => "invalid_job_agent",
            JobStatus::InvalidIntegration => "invalid_integration",
            JobStatus::ExternalRunNotFound => "external_run_not_found",
        }
    }

    /// The word as clients of the HTTP API read it: lower camel case.
    pub fn as_camel(self) -> &'static str {
        match self {
            JobStatus::Pending => "pending",
            JobStatus::Queued => "queued",
            JobStatus::InProgress => "inProgress",
            JobStatus::ActionRequired => "actionRequired",
            JobStatus::Successful => "successful",
            JobStatus::Failure => "failure",
            JobStatus::Cancelled => "cancelled",
            JobStatus::Skipped => "skipped",
            JobStatus::InvalidJobAgent => "invalidJobAgent",
            JobStatus::InvalidIntegration => "invalidIntegration",
            JobStatus::ExternalRunNotFound => "externalRunNotFound",
        }
    }

    /// The status of that word, in snake or lower-camel case.
    pub fn parse(word: &str) -> Option<Self> {
        let flat = |s: &str| s.replace('_', "").to_ascii_lowercase();
        Self::ALL.into_iter().find(|s| flat(s.as_str()) == flat(word))
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The statuses a run on a platform can be in while it is not over.
/// Their order breaks ties between observations of the same instant: a later word is the newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActiveStatus {
    /// Accepted, not running.
    Queued,
    /// A person must act.
    ActionRequired,
    /// Running.
    InProgress,
}

impl From<ActiveStatus> for JobStatus {
    fn from(status: ActiveStatus) -> Self {
        match status {
            ActiveStatus::Queued => JobStatus::Queued,
            ActiveStatus::ActionRequired => JobStatus::ActionRequired,
            ActiveStatus::InProgress => JobStatus::InProgress,
        }
    }
}

/// The statuses a job can end in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TerminalStatus {
    /// Ended well.
    Successful,
    /// Ended badly.
    Failure,
    /// Ended because somebody wished so.
    Cancelled,
    /// Nothing to do.
    Skipped,
    /// Configuration does not fit.
    #[serde(alias = "invalidJobAgent")]
    InvalidJobAgent,
    /// Credentials do not reach.
    #[serde(alias = "invalidIntegration")]
    InvalidIntegration,
    /// The platform does not know the run.
    #[serde(alias = "externalRunNotFound")]
    ExternalRunNotFound,
}

impl TryFrom<JobStatus> for TerminalStatus {
    type Error = JobStatus;

    /// # Errors
    /// With the status itself, where it ends nothing.
    fn try_from(status: JobStatus) -> Result<Self, JobStatus> {
        match status {
            JobStatus::Successful => Ok(TerminalStatus::Successful),
            JobStatus::Failure => Ok(TerminalStatus::Failure),
            JobStatus::Cancelled => Ok(TerminalStatus::Cancelled),
            JobStatus::Skipped => Ok(TerminalStatus::Skipped),
            JobStatus::InvalidJobAgent => Ok(TerminalStatus::InvalidJobAgent),
            JobStatus::InvalidIntegration => Ok(TerminalStatus::InvalidIntegration),
            JobStatus::ExternalRunNotFound => Ok(TerminalStatus::ExternalRunNotFound),
            JobStatus::Pending | JobStatus::Queued | JobStatus::InProgress | JobStatus::ActionRequired => {
                Err(status)
            }
        }
    }
}

impl From<TerminalStatus> for JobStatus {
    fn from(status: TerminalStatus) -> Self {
        match status {
            TerminalStatus::Successful => JobStatus::Successful,
            TerminalStatus::Failure => JobStatus::Failure,
            TerminalStatus::Cancelled => JobStatus::Cancelled,
            TerminalStatus::Skipped => JobStatus::Skipped,
            TerminalStatus::InvalidJobAgent => JobStatus::InvalidJobAgent,
            TerminalStatus::InvalidIntegration => JobStatus::InvalidIntegration,
            TerminalStatus::ExternalRunNotFound => JobStatus::ExternalRunNotFound,
        }
    }
}

/// Why a job is as it is, where the status alone does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A deadline passed, ours or the platform's.
    TimedOut,
    /// A newer version took its place.
    Superseded,
    /// Nobody could say what became of it.
    Lost,
    /// A person or a rule said no.
    Rejected,
    /// A person cancelled it.
    CancelledByUser,
    /// It was sent and no answer came: being resolved by looking, never by sending again.
    Unknown,
    /// It waits for a slot of its agent.
    Concurrency,
    /// No agent matches.
    NoAgent,
    /// A template or config could not be rendered.
    BadConfig,
    /// The platform could not even start the run (workflow file or policy).
    StartupFailure,
    /// Cancelled on the platform, not by us.
    CancelledOnPlatform,
    /// It waits for a freeze to end.
    Frozen,
    /// A verification could not tell whether it works.
    Inconclusive,
    /// It was decided, and taken back before anybody asked for it.
    Withdrawn,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_in_both_spellings() {
        for status in JobStatus::ALL {
            let json = serde_json::to_value(status).unwrap();
            assert_eq!(json, status.as_str());
            assert_eq!(JobStatus::parse(status.as_str()), Some(status));
            assert_eq!(JobStatus::parse(status.as_camel()), Some(status));
            assert_eq!(serde_json::from_value::<JobStatus>(status.as_camel().into()).ok(), Some(status));
            for word in [status.as_str(), status.as_camel()] {
                let read = serde_json::from_value::<TerminalStatus>(word.into()).ok();
                assert_eq!(read, TerminalStatus::try_from(status).ok(), "{word}");
            }
        }
        assert_eq!(JobStatus::parse("inProgress"), Some(JobStatus::InProgress));
        assert_eq!(JobStatus::parse("running"), None);
    }
}
