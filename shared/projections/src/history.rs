//! The timeline of a job: one entry per fact, with what the fact made of the job.

use domain::Timestamp;
use domain::job::{JobEvent, JobFact, JobState, JobStatus, OrderKey, Reason, Source};
use serde::{Deserialize, Serialize};

/// How many entries of one job are kept: the last.
pub const HISTORY_MAX: usize = 200;

/// A platform that stamps in another unit than milliseconds would give lags beyond a week: those are left out.
const LAG_MS_MAX: i64 = 7 * 24 * 60 * 60 * 1_000;

/// One fact in a job's timeline. Made of the facts alone, so that a rebuild makes the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// The sequence of the fact in `JOBS`.
    pub sequence: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// Its name on the wire.
    pub fact: String,
    /// The status after it.
    pub status: JobStatus,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// For a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How a look at the run came to us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// What caused the fact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// From the platform's stamp to ours, in ms: how late the news was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_ms: Option<i64>,
}

impl HistoryEntry {
    /// The entry of an event with that sequence in `JOBS`, which made the job so.
    pub fn of(sequence: u64, event: &JobEvent, after: &JobState) -> Self {
        let (source, order) = look(&event.fact);
        Self {
            sequence,
            at: event.at,
            fact: event.fact.name().to_owned(),
            status: after.status(),
            reason: after.reason,
            message: after.message.clone(),
            source,
            cause: event.cause.clone(),
            lag_ms: order
                .map(|order| event.at.timestamp_millis().saturating_sub(order.version))
                .filter(|lag| (0..=LAG_MS_MAX).contains(lag)),
        }
    }
}

fn look(fact: &JobFact) -> (Option<Source>, Option<OrderKey>) {
    match fact {
        JobFact::Observed(snapshot) => (Some(snapshot.source), snapshot.order),
        JobFact::Finished(snapshot) => (Some(snapshot.source), snapshot.order),
        JobFact::Requested { .. }
        | JobFact::Held { .. }
        | JobFact::Dispatched(_)
        | JobFact::TriggerStarted { .. }
        | JobFact::Triggered { .. }
        | JobFact::TriggerUnknown { .. }
        | JobFact::CancelRequested { .. }
        | JobFact::CancelSent { .. }
        | JobFact::RetryRequested { .. } => (None, None),
    }
}
