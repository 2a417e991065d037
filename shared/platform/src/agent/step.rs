//! What a trigger command means for a job in a given state: pure, so that every phase can be looked at.

use chrono::TimeDelta;
use domain::Timestamp;
use domain::job::{ExternalRef, JobState, OrderKey, Phase};
use std::time::Duration;

/// What to do next for a job that is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing was tried yet.
    Start,
    /// A try was made, or may be under way: look for its run. Without one, the next try may begin at `not_before`.
    Look {
        /// The try.
        fence: u32,
        /// When its run would have shown up.
        not_before: Timestamp,
    },
    /// The platform has it but did not name it: look for it, never try again.
    Find,
    /// The run is known.
    Known,
    /// Somebody wishes it to end.
    Cancel,
    /// Nothing: it is over, or not yet our turn.
    Nothing,
}

/// What to do next. `window` is how long a try of unknown outcome may take to show its run, `lag` the platform's part of it.
pub(super) fn step(state: &JobState, window: Duration, lag: Duration) -> Step {
    match &state.phase {
        Phase::Requested | Phase::Held { .. } | Phase::Finished { .. } => Step::Nothing,
        Phase::Dispatched => Step::Start,
        // The last fact is the one that recorded the try: later ones leave the phase.
        Phase::Triggering { fence } => {
            Step::Look { fence: *fence, not_before: state.updated_at + delta(window) }
        }
        // The call is over since that fact: only the search may lag.
        Phase::Unknown { fence } => Step::Look { fence: *fence, not_before: state.updated_at + delta(lag) },
        Phase::Running { .. } if state.external.is_none() => Step::Find,
        Phase::Running { .. } => Step::Known,
        Phase::Cancelling(_) => Step::Cancel,
    }
}

/// The run that is to run again, while its next attempt has not been seen.
pub(super) fn run_to_repeat(state: &JobState) -> Option<&ExternalRef> {
    state.external.as_ref().filter(|run| run.attempt < state.external_attempt)
}

/// Orders our own word about a run right at the last look: a newer look, recorded meanwhile, wins over it.
pub(super) fn last_order(state: &JobState) -> OrderKey {
    let attempt = state.external_attempt;
    match state.order {
        Some(order) if order.attempt >= attempt => order,
        Some(_) | None => OrderKey { attempt, version: i64::MIN },
    }
}

/// Until when the platform must have taken it: the queue deadline of its dispatch.
pub(super) fn start_until(state: &JobState) -> Option<Timestamp> {
    let queue = state.assigned.as_ref()?.dispatch.deadlines.queue_seconds;
    Some(state.dispatched_at? + TimeDelta::seconds(queue.into()))
}

/// A span of time in the calendar's terms. None of ours is longer than a `TimeDelta`.
pub(super) fn delta(span: Duration) -> TimeDelta {
    TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX)
}
