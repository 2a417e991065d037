//! A workflow run as GitHub knows it, and GitHub's open vocabularies of status and conclusion.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $($variant,)+
            /// A word GitHub might invent tomorrow.
            Other(String),
        }

        impl $name {
            /// The word on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }
    };
}

vocabulary! {
    /// `status` of a run or job.
    Status {
        Requested = "requested",
        Queued = "queued",
        Pending = "pending",
        Waiting = "waiting",
        InProgress = "in_progress",
        Completed = "completed",
    }
}

vocabulary! {
    /// `conclusion` of a completed run or job.
    Conclusion {
        Success = "success",
        Failure = "failure",
        Neutral = "neutral",
        Cancelled = "cancelled",
        Skipped = "skipped",
        TimedOut = "timed_out",
        ActionRequired = "action_required",
        StartupFailure = "startup_failure",
        Stale = "stale",
    }
}

/// A workflow run, at its latest attempt.
#[derive(Clone, Debug)]
pub struct Run {
    pub id: u64,
    /// `owner/name`.
    pub repo: String,
    /// Workflow file name.
    pub workflow: String,
    /// Branch or tag, short.
    pub git_ref: String,
    pub inputs: BTreeMap<String, String>,
    pub display_title: String,
    pub status: Status,
    pub conclusion: Option<Conclusion>,
    /// From 1; a re-run adds one and keeps the id.
    pub run_attempt: u32,
    pub run_number: u64,
    pub head_sha: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// When this attempt was asked for.
    pub run_started_at: DateTime<Utc>,
    /// When the dispatch arrived, at full precision (the wire shows whole seconds).
    pub dispatch_received_at: DateTime<Utc>,
    /// The same on the monotonic clock, to measure latency.
    pub dispatch_received: std::time::Instant,
    /// `traceparent` header of the dispatch.
    pub traceparent: Option<String>,
    pub(crate) job: Job,
    pub(crate) place: Arc<Place>,
}

impl Run {
    pub fn is_completed(&self) -> bool {
        self.status == Status::Completed
    }
}

/// The only job of a run's attempt.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) completed_at: Option<DateTime<Utc>>,
}

/// The repository and workflow a run belongs to, as payloads show them.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) repo_id: u64,
    pub(crate) owner: String,
    pub(crate) name: String,
    pub(crate) workflow_id: u64,
    pub(crate) workflow_file: String,
    pub(crate) workflow_name: String,
    pub(crate) workflow_state: &'static str,
    pub(crate) installation_id: Option<u64>,
}
