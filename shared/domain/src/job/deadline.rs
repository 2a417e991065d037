//! Deadlines: until when each phase may last, and what its passing means. No phase but the last is without one.

use super::state::{JobState, Phase};
use super::status::ActiveStatus;
use crate::Timestamp;
use crate::entity::Deadlines;
use chrono::TimeDelta;

/// How long a job may wait for a slot: seven days.
const HELD: TimeDelta = TimeDelta::days(7);
/// How long a person may take to act on the platform: thirty days, after which GitHub itself gives up.
const ACTION_REQUIRED: TimeDelta = TimeDelta::days(30);
/// How long a call's outcome may stay unknown before the job is called lost: two hours, longer than any platform may have us
/// wait before the next call (an hour and a minute).
const UNRESOLVED: TimeDelta = TimeDelta::hours(2);
/// How long a platform may take over a cancellation before it is forced: two minutes.
const CANCEL_FORCE: TimeDelta = TimeDelta::minutes(2);
/// How long a platform may take over a forced cancellation: fifteen minutes.
const CANCEL_GIVE_UP: TimeDelta = TimeDelta::minutes(15);

/// A deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When it passes.
    pub at: Timestamp,
    /// What its passing means.
    pub then: Overdue,
}

/// What the passing of a deadline means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Overdue {
    /// It took too long: cancel it.
    Cancel,
    /// The platform did not end it when asked: ask by force.
    ForceCancel,
    /// The platform did not end it by force either: call it over.
    GiveUp,
    /// Nobody could say what became of it: call it lost.
    Lost,
}

/// The deadline the job is under; `None` when it is over.
pub fn due(state: &JobState) -> Option<Due> {
    let deadlines =
        state.assigned.as_ref().map_or_else(Deadlines::default, |assigned| assigned.dispatch.deadlines);
    let queue = TimeDelta::seconds(deadlines.queue_seconds.into());
    let run = TimeDelta::seconds(deadlines.run_seconds.into());
    let since = state.phase_since;
    let (at, then) = match &state.phase {
        Phase::Requested | Phase::Dispatched => (since + queue, Overdue::Cancel),
        Phase::Held { .. } => (since + HELD, Overdue::Cancel),
        // Until the queue deadline its agent may try again as often as a try had no effect, and then says itself that it is
        // too late. Only what stays silent longer is lost.
        Phase::Triggering { .. } => {
            let tried_until =
                state.dispatched_at.map_or(state.updated_at, |at| state.updated_at.max(at + queue));
            (tried_until + UNRESOLVED, Overdue::Lost)
        }
        Phase::Unknown { .. } => (since + UNRESOLVED, Overdue::Lost),
        // A run that had begun and waits again is still that run.
        Phase::Running { status: ActiveStatus::Queued } => match state.started_at {
            Some(started) => (started + run, Overdue::Cancel),
            None => (state.dispatched_at.unwrap_or(since) + queue, Overdue::Cancel),
        },
        Phase::Running { status: ActiveStatus::InProgress } => {
            (state.started_at.unwrap_or(since) + run, Overdue::Cancel)
        }
        Phase::Running { status: ActiveStatus::ActionRequired } => (since + ACTION_REQUIRED, Overdue::Cancel),
        Phase::Cancelling(cancelling) if cancelling.forced => (since + CANCEL_GIVE_UP, Overdue::GiveUp),
        Phase::Cancelling(_) => (since + CANCEL_FORCE, Overdue::ForceCancel),
        Phase::Finished { .. } => return None,
    };
    Some(Due { at, then })
}
