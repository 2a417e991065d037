//! `evolve`: what a fact makes of a state. Total: any fact fits any state, so that any history folds.

use super::event::{CancelReason, HeldWhy, JobEvent, JobFact, OrderKey, Snapshot, Source};
use super::state::{Assigned, Cancelling, JobState, Phase};
use super::status::{ActiveStatus, Reason, TerminalStatus};

/// The state after the event; `None` before the first.
pub fn evolve(state: Option<JobState>, event: &JobEvent) -> JobState {
    let mut state = state.unwrap_or_else(|| born(event));
    let before = std::mem::discriminant(&state.phase);
    apply(&mut state, event);
    if std::mem::discriminant(&state.phase) != before {
        state.phase_since = event.at;
    }
    state.updated_at = event.at;
    state
}

/// The state after all events, oldest first; `None` without any.
pub fn fold<'a>(events: impl IntoIterator<Item = &'a JobEvent>) -> Option<JobState> {
    events.into_iter().fold(None, |state, event| Some(evolve(state, event)))
}

/// The fact as it is to be recorded on top of the state. An end says how the job ended, wishes considered, so that the
/// last fact of a job alone tells it: whoever reads only last facts needs no others.
pub fn settled(state: &JobState, fact: JobFact) -> JobFact {
    match fact {
        JobFact::Finished(mut snapshot) => {
            (snapshot.status, snapshot.reason) = ending(snapshot.status, snapshot.reason, wish(&state.phase));
            JobFact::Finished(snapshot)
        }
        JobFact::Requested { .. }
        | JobFact::Held { .. }
        | JobFact::Dispatched(_)
        | JobFact::TriggerStarted { .. }
        | JobFact::Triggered { .. }
        | JobFact::TriggerUnknown { .. }
        | JobFact::Observed(_)
        | JobFact::CancelRequested { .. }
        | JobFact::CancelSent { .. }
        | JobFact::RetryRequested { .. } => fact,
    }
}

fn wish(phase: &Phase) -> Option<CancelReason> {
    match phase {
        Phase::Cancelling(cancelling) => Some(cancelling.reason),
        Phase::Requested
        | Phase::Held { .. }
        | Phase::Dispatched
        | Phase::Triggering { .. }
        | Phase::Unknown { .. }
        | Phase::Running { .. }
        | Phase::Finished { .. } => None,
    }
}

fn born(event: &JobEvent) -> JobState {
    JobState {
        job: event.job.clone(),
        phase: Phase::Requested,
        catalog_revision: 0,
        assigned: None,
        external: None,
        order: None,
        raw: None,
        reason: None,
        message: None,
        links: Default::default(),
        external_attempt: 1,
        created_at: event.at,
        phase_since: event.at,
        dispatched_at: None,
        started_at: None,
        completed_at: None,
        confirmed_at: None,
        updated_at: event.at,
    }
}

fn apply(state: &mut JobState, event: &JobEvent) {
    match &event.fact {
        JobFact::Requested { catalog_revision, .. } => state.catalog_revision = *catalog_revision,
        JobFact::Held { why } => {
            state.message = Some(held_message(why));
            state.reason = Some(match why {
                HeldWhy::Concurrency { .. } => Reason::Concurrency,
                HeldWhy::Freeze { .. } => Reason::Frozen,
            });
            state.phase = Phase::Held { why: why.clone() };
            state.dispatched_at = None;
        }
        JobFact::Dispatched(dispatch) => {
            if !matches!(state.phase, Phase::Cancelling(_)) {
                state.phase = Phase::Dispatched;
            }
            state.assigned = Some(Assigned { dispatch: dispatch.clone() });
            state.dispatched_at = Some(event.at);
            state.reason = None;
            state.message = None;
            state.completed_at = None;
        }
        JobFact::TriggerStarted { fence } => match &mut state.phase {
            Phase::Cancelling(cancelling) => cancelling.fence = Some(*fence),
            Phase::Requested
            | Phase::Held { .. }
            | Phase::Dispatched
            | Phase::Triggering { .. }
            | Phase::Unknown { .. }
            | Phase::Running { .. }
            | Phase::Finished { .. } => {
                state.phase = Phase::Triggering { fence: *fence };
                state.reason = None;
                state.message = None;
            }
        },
        JobFact::Triggered { external, links } => {
            state.external_attempt = external.attempt;
            state.external = Some(external.clone());
            state.links.extend(links.clone());
            state.confirmed_at = Some(event.at);
            run_on(state, state.phase.seen().unwrap_or(ActiveStatus::Queued));
            if matches!(state.phase, Phase::Running { .. }) {
                state.reason = None;
                state.message = None;
            }
        }
        JobFact::TriggerUnknown { fence, message } => {
            if let Phase::Cancelling(cancelling) = &mut state.phase {
                cancelling.fence = Some(*fence);
            } else {
                state.phase = Phase::Unknown { fence: *fence };
                state.reason = Some(Reason::Unknown);
            }
            state.message = Some(message.clone());
        }
        JobFact::Observed(snapshot) => {
            if begins_anew(state, snapshot.order) {
                state.dispatched_at = Some(event.at);
                state.started_at = None;
            }
            seen(state, snapshot, event);
            if snapshot.status == ActiveStatus::InProgress && state.started_at.is_none() {
                state.started_at = Some(event.at);
            }
            state.completed_at = None;
            run_on(state, snapshot.status);
        }
        JobFact::CancelRequested { by, reason } => cancel(state, by, *reason),
        JobFact::CancelSent { force } => {
            if let Phase::Cancelling(cancelling) = &mut state.phase {
                cancelling.sent += 1;
                cancelling.forced |= *force;
            }
        }
        JobFact::RetryRequested { .. } => {
            state.phase = Phase::Requested;
            state.external_attempt += 1;
            state.reason = None;
            state.message = None;
            state.raw = None;
            state.dispatched_at = None;
            state.started_at = None;
            state.completed_at = None;
        }
        JobFact::Finished(snapshot) => {
            let cancelled_for = wish(&state.phase);
            if begins_anew(state, snapshot.order) {
                state.started_at = None;
            }
            seen(state, snapshot, event);
            let (status, reason) = ending(snapshot.status, snapshot.reason, cancelled_for);
            state.reason = reason;
            state.completed_at = Some(event.at);
            state.phase = Phase::Finished { status };
        }
    }
}

/// A run that ends as cancelled because *we* wished so carries our reason; out of time is a failure.
fn ending(
    status: TerminalStatus,
    reason: Option<Reason>,
    wished: Option<CancelReason>,
) -> (TerminalStatus, Option<Reason>) {
    if status != TerminalStatus::Cancelled {
        return (status, reason);
    }
    match wished {
        Some(CancelReason::TimedOut) => (TerminalStatus::Failure, Some(Reason::TimedOut)),
        Some(CancelReason::Superseded | CancelReason::Removed) => (status, Some(Reason::Superseded)),
        Some(CancelReason::User) => (status, Some(Reason::CancelledByUser)),
        None => (status, reason),
    }
}

fn held_message(why: &HeldWhy) -> String {
    match why {
        HeldWhy::Concurrency { limit, ahead, .. } => {
            format!("all {limit} slots are taken, {ahead} ahead")
        }
        HeldWhy::Freeze { reason, until: None, .. } => format!("frozen: {reason}"),
        HeldWhy::Freeze { reason, until: Some(until), .. } => {
            format!("frozen until {}: {reason}", until.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
        }
    }
}

fn run_on(state: &mut JobState, status: ActiveStatus) {
    match &mut state.phase {
        Phase::Cancelling(cancelling) => cancelling.seen = Some(status),
        Phase::Requested
        | Phase::Held { .. }
        | Phase::Dispatched
        | Phase::Triggering { .. }
        | Phase::Unknown { .. }
        | Phase::Running { .. }
        | Phase::Finished { .. } => state.phase = Phase::Running { status },
    }
}

/// Whether a look is the first at a later attempt of a run that is known: what the attempt before it began, and when, says
/// nothing of this one. An attempt that *we* asked for was counted when it was.
fn begins_anew(state: &JobState, order: Option<OrderKey>) -> bool {
    state.external.is_some() && order.is_some_and(|order| order.attempt > state.external_attempt)
}

fn seen<S>(state: &mut JobState, snapshot: &Snapshot<S>, event: &JobEvent) {
    if let Some(external) = &snapshot.external {
        state.external_attempt = external.attempt;
        state.external = Some(external.clone());
    }
    if let Some(order) = snapshot.order {
        state.order = Some(order);
        state.external_attempt = state.external_attempt.max(order.attempt);
        if let Some(external) = &mut state.external {
            external.attempt = external.attempt.max(order.attempt);
        }
        // Our own word has an order too, so that a newer look wins over it; it confirms nothing.
        if snapshot.source != Source::Ctrlplane {
            state.confirmed_at = Some(event.at);
        }
    }
    if snapshot.raw.is_some() {
        state.raw.clone_from(&snapshot.raw);
    }
    state.reason = snapshot.reason;
    state.message.clone_from(&snapshot.message);
    state.links.extend(snapshot.links.clone());
}

fn cancel(state: &mut JobState, by: &str, reason: CancelReason) {
    let (fence, seen) = match &state.phase {
        Phase::Requested | Phase::Held { .. } | Phase::Dispatched => (None, None),
        Phase::Triggering { fence } | Phase::Unknown { fence } => (Some(*fence), None),
        Phase::Running { status } => (Some(0), Some(*status)),
        // The first wish counts; a finished job has nothing to cancel.
        Phase::Cancelling(_) | Phase::Finished { .. } => return,
    };
    state.phase =
        Phase::Cancelling(Cancelling { by: by.to_owned(), reason, fence, seen, sent: 0, forced: false });
}
