//! `admit`: whether a fact may be appended to a job's history. This is where old news is stopped.

use super::event::{ExternalRef, HeldWhy, JobFact, OrderKey, Snapshot, Source};
use super::state::{JobState, Phase};
use super::status::{ActiveStatus, Reason, TerminalStatus};

/// The answer to "may this fact be appended?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Yes, it is news.
    Append,
    /// No need: the history says as much, or says something newer.
    AlreadySo,
    /// No.
    Refused(Refusal),
}

/// Why a fact may not be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The job was never requested.
    #[error("the job was never requested")]
    NoSuchJob,
    /// It is over; only a new attempt leaves that.
    #[error("the job is finished")]
    Finished,
    /// Somebody wished it to end.
    #[error("the job is being cancelled")]
    Cancelling,
    /// It has not been dispatched.
    #[error("the job has not been dispatched")]
    NotDispatched,
    /// It is past that point.
    #[error("the job is already past that point")]
    Past,
    /// It belongs to another run.
    #[error("the job belongs to another run")]
    OtherRun,
    /// It is not finished, so it cannot run again.
    #[error("the job is still active")]
    Active,
    /// Its gates said no before anybody asked for it: nothing is there to be tried again.
    #[error("the job was taken back before it was asked for; redeploy the version instead")]
    Withdrawn,
    /// Nobody wished it to end.
    #[error("nobody asked to cancel the job")]
    NotCancelling,
}

use Admission::{AlreadySo, Append, Refused};

/// Whether `fact` may follow a history that folds to `state`.
pub fn admit(state: Option<&JobState>, fact: &JobFact) -> Admission {
    let Some(state) = state else {
        return match fact {
            JobFact::Requested { .. } => Append,
            withdrawn if withdrawn.withdraws() => Append,
            JobFact::Held { .. }
            | JobFact::Dispatched(_)
            | JobFact::TriggerStarted { .. }
            | JobFact::Triggered { .. }
            | JobFact::TriggerUnknown { .. }
            | JobFact::Observed(_)
            | JobFact::CancelRequested { .. }
            | JobFact::CancelSent { .. }
            | JobFact::RetryRequested { .. }
            | JobFact::Finished(_) => Refused(Refusal::NoSuchJob),
        };
    };
    match fact {
        JobFact::Requested { .. } => AlreadySo,
        JobFact::Held { why } => held(&state.phase, why),
        JobFact::Dispatched(_) => dispatched(&state.phase),
        JobFact::TriggerStarted { fence } => trigger_started(&state.phase, *fence),
        JobFact::Triggered { external, .. } => triggered(state, external),
        JobFact::TriggerUnknown { fence, message } => trigger_unknown(state, *fence, message),
        JobFact::Observed(snapshot) => observed(state, snapshot),
        JobFact::CancelRequested { .. } => cancel_requested(&state.phase),
        JobFact::CancelSent { .. } => cancel_sent(&state.phase),
        JobFact::RetryRequested { .. } => {
            if state.reason == Some(Reason::Withdrawn) {
                Refused(Refusal::Withdrawn)
            } else if state.is_finished() {
                Append
            } else {
                Refused(Refusal::Active)
            }
        }
        JobFact::Finished(snapshot) => finished(state, snapshot),
    }
}

/// A job that waits for another reason than it is known to says so. A freeze takes back a dispatch as long as no agent
/// has recorded the intent to call: whoever appends first wins.
fn held(phase: &Phase, why: &HeldWhy) -> Admission {
    let is_freeze = match why {
        HeldWhy::Concurrency { .. } => false,
        HeldWhy::Freeze { .. } => true,
    };
    match phase {
        Phase::Requested => Append,
        Phase::Held { why: known } if known == why => AlreadySo,
        Phase::Held { why: HeldWhy::Freeze { .. } } => Append,
        Phase::Held { why: HeldWhy::Concurrency { .. } } if is_freeze => Append,
        Phase::Held { why: HeldWhy::Concurrency { .. } } => AlreadySo,
        Phase::Dispatched if is_freeze => Append,
        Phase::Dispatched | Phase::Triggering { .. } | Phase::Unknown { .. } | Phase::Running { .. } => {
            Refused(Refusal::Past)
        }
        Phase::Cancelling(_) => Refused(Refusal::Cancelling),
        Phase::Finished { .. } => Refused(Refusal::Finished),
    }
}

fn dispatched(phase: &Phase) -> Admission {
    match phase {
        Phase::Requested | Phase::Held { .. } => Append,
        Phase::Dispatched | Phase::Triggering { .. } | Phase::Unknown { .. } | Phase::Running { .. } => {
            AlreadySo
        }
        Phase::Cancelling(_) => Refused(Refusal::Cancelling),
        Phase::Finished { .. } => Refused(Refusal::Finished),
    }
}

fn trigger_started(phase: &Phase, fence: u32) -> Admission {
    match phase {
        Phase::Requested | Phase::Held { .. } => Refused(Refusal::NotDispatched),
        Phase::Dispatched => Append,
        Phase::Triggering { fence: last } | Phase::Unknown { fence: last } if fence > *last => Append,
        Phase::Triggering { .. } | Phase::Unknown { .. } => AlreadySo,
        Phase::Running { .. } => Refused(Refusal::Past),
        Phase::Cancelling(_) => Refused(Refusal::Cancelling),
        Phase::Finished { .. } => Refused(Refusal::Finished),
    }
}

fn triggered(state: &JobState, external: &ExternalRef) -> Admission {
    let known = state.external.as_ref();
    let same = known.is_some_and(|known| is_same_run(known, external));
    match &state.phase {
        Phase::Requested | Phase::Held { .. } => Refused(Refusal::NotDispatched),
        Phase::Dispatched | Phase::Triggering { .. } | Phase::Unknown { .. } => {
            if known.is_some() && !same {
                return Refused(Refusal::OtherRun);
            }
            Append
        }
        Phase::Cancelling(cancelling) if cancelling.seen.is_none() => Append,
        // Accepted without a name, and seen to be queued: now the run is known.
        Phase::Running { .. } | Phase::Cancelling(_) if known.is_none() => Append,
        Phase::Running { .. } | Phase::Cancelling(_) if same => AlreadySo,
        Phase::Finished { .. } if same => AlreadySo,
        Phase::Running { .. } | Phase::Cancelling(_) => Refused(Refusal::OtherRun),
        Phase::Finished { .. } => Refused(Refusal::Finished),
    }
}

/// A try whose outcome stays unknown may say another reason why it does.
fn trigger_unknown(state: &JobState, fence: u32, message: &str) -> Admission {
    match &state.phase {
        Phase::Requested | Phase::Held { .. } | Phase::Dispatched => Refused(Refusal::NotDispatched),
        Phase::Triggering { fence: last } if *last == fence => Append,
        Phase::Unknown { fence: last } if *last == fence && state.message.as_deref() != Some(message) => {
            Append
        }
        Phase::Triggering { .. } | Phase::Unknown { .. } | Phase::Running { .. } | Phase::Cancelling(_) => {
            AlreadySo
        }
        Phase::Finished { .. } => Refused(Refusal::Finished),
    }
}

fn observed(state: &JobState, snapshot: &Snapshot<ActiveStatus>) -> Admission {
    if let Some(stop) = of_another_run(state, snapshot.external.as_ref()) {
        return stop;
    }
    match &state.phase {
        Phase::Requested | Phase::Held { .. } => Refused(Refusal::NotDispatched),
        Phase::Dispatched | Phase::Triggering { .. } | Phase::Unknown { .. } => {
            if is_news(state, snapshot.order, Rank::Active(snapshot.status), snapshot.source) {
                Append
            } else {
                AlreadySo
            }
        }
        Phase::Running { .. } | Phase::Cancelling(_) => {
            let says_more = state.phase.seen() != Some(snapshot.status)
                || (snapshot.raw.is_some() && snapshot.raw != state.raw)
                || snapshot.message != state.message
                || snapshot.order.map(|o| o.attempt) > state.order.map(|o| o.attempt);
            if says_more && is_news(state, snapshot.order, Rank::Active(snapshot.status), snapshot.source) {
                Append
            } else {
                AlreadySo
            }
        }
        Phase::Finished { .. } => of_a_new_attempt(state, snapshot.order),
    }
}

fn finished(state: &JobState, snapshot: &Snapshot<TerminalStatus>) -> Admission {
    if let Some(stop) = of_another_run(state, snapshot.external.as_ref()) {
        return stop;
    }
    match &state.phase {
        Phase::Requested | Phase::Held { .. } if snapshot.order.is_some() => Refused(Refusal::NotDispatched),
        Phase::Requested
        | Phase::Held { .. }
        | Phase::Dispatched
        | Phase::Triggering { .. }
        | Phase::Unknown { .. }
        | Phase::Running { .. }
        | Phase::Cancelling(_) => {
            if is_news(state, snapshot.order, Rank::Over, snapshot.source) {
                Append
            } else {
                AlreadySo
            }
        }
        Phase::Finished { .. } => of_a_new_attempt(state, snapshot.order),
    }
}

fn cancel_requested(phase: &Phase) -> Admission {
    match phase {
        Phase::Requested
        | Phase::Held { .. }
        | Phase::Dispatched
        | Phase::Triggering { .. }
        | Phase::Unknown { .. }
        | Phase::Running { .. } => Append,
        Phase::Cancelling(_) => AlreadySo,
        Phase::Finished { .. } => Refused(Refusal::Finished),
    }
}

fn cancel_sent(phase: &Phase) -> Admission {
    match phase {
        Phase::Cancelling(_) => Append,
        Phase::Finished { .. } => Refused(Refusal::Finished),
        Phase::Requested
        | Phase::Held { .. }
        | Phase::Dispatched
        | Phase::Triggering { .. }
        | Phase::Unknown { .. }
        | Phase::Running { .. } => Refused(Refusal::NotCancelling),
    }
}

/// Two names of one run; its attempt and its URL may change.
fn is_same_run(one: &ExternalRef, other: &ExternalRef) -> bool {
    (&one.platform, &one.host, &one.scope, &one.id) == (&other.platform, &other.host, &other.scope, &other.id)
}

fn of_another_run(state: &JobState, external: Option<&ExternalRef>) -> Option<Admission> {
    match (state.external.as_ref(), external) {
        (Some(known), Some(new)) if !is_same_run(known, new) => Some(Refused(Refusal::OtherRun)),
        _ => None,
    }
}

/// What leaves a terminal state: a look at a later attempt than the one that ended.
fn of_a_new_attempt(state: &JobState, order: Option<OrderKey>) -> Admission {
    match order {
        Some(order) if order.attempt > state.external_attempt => Append,
        _ => AlreadySo,
    }
}

/// Breaks ties between looks with one order key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Active(ActiveStatus),
    Over,
}

/// Whether a look is newer than the last one that counted. A look without an order key is our own word: it counts.
/// Platforms stamp whole seconds, so one key can belong to several looks: then the later word wins,
/// and a read that was made after the state it is judged by wins always.
fn is_news(state: &JobState, order: Option<OrderKey>, rank: Rank, source: Source) -> bool {
    let Some(order) = order else { return true };
    if order.attempt < state.external_attempt {
        return false;
    }
    let Some(last) = state.order else { return true };
    match order.cmp(&last) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => match source {
            Source::Read | Source::Ctrlplane => true,
            Source::Webhook => Some(rank) > rank_of(state),
        },
    }
}

fn rank_of(state: &JobState) -> Option<Rank> {
    if state.is_finished() { Some(Rank::Over) } else { state.phase.seen().map(Rank::Active) }
}
