//! Recurring windows: when they are open. What a policy makes of that is in `evaluate`.
//!
//! A rule is read by `rule`, its openings come from `recurrence`; here they are joined to spans.

mod recurrence;
mod rule;
#[cfg(test)]
mod tests;

use crate::Timestamp;
use crate::entity::DeploymentWindow;
use chrono::TimeDelta;
use recurrence::Openings;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The longest a window stays open, in minutes: a leap year.
const LONGEST_MINUTES: u32 = 366 * 24 * 60;
/// So many openings in a row are joined to one span, in each direction, before it is taken to be without end.
const JOINED_MAX: usize = 4_000;
/// So many answers are kept: whoever walks through the spans of a rollout does so once for each target.
const KEPT: usize = 4_096;

/// A window's openings, ready to be asked. Clones share what was found.
#[derive(Debug, Clone)]
pub struct Calendar(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    openings: Openings,
    duration: TimeDelta,
    /// What was answered: the state, by from when until `changes_at` it is the answer.
    kept: Mutex<BTreeMap<Timestamp, State>>,
}

/// What a window is at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Whether it is open.
    pub open: bool,
    /// Since when it is open, joined windows being one. None: it is closed, or has been open for longer than anybody looks back.
    pub since: Option<Timestamp>,
    /// The next instant at which it opens or closes. None: never again. Where windows join without end it is the end of what
    /// was looked at: worth asking again then, and open until then for sure.
    pub changes_at: Option<Timestamp>,
}

/// Why a window is none, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct WindowError {
    /// What is wrong, as a sentence without its end.
    pub problem: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// The field of the window that is wrong.
    pub field: &'static str,
}

impl Calendar {
    /// Compiles a window. `anchored_at` is the policy's creation: where the rule has no DTSTART it recurs from there.
    ///
    /// # Errors
    /// When the rule cannot be read, never opens, or would need more work than anybody should do for it.
    pub fn new(window: &DeploymentWindow, anchored_at: Timestamp) -> Result<Self, WindowError> {
        if window.duration_minutes == 0 || window.duration_minutes > LONGEST_MINUTES {
            return Err(WindowError {
                problem: format!("a window is open for 1 to {LONGEST_MINUTES} minutes"),
                hint: Some("60 are an hour, 1440 a day".to_owned()),
                field: "durationMinutes",
            });
        }
        let zone = rule::zone(&window.timezone)?;
        let openings = Openings::new(rule::parse(&window.rrule, zone)?, zone, anchored_at)?;
        let duration = TimeDelta::minutes(window.duration_minutes.into());
        Ok(Self(Arc::new(Inner { openings, duration, kept: Mutex::default() })))
    }

    /// Whether it is open at an instant, since when, and when that changes.
    pub fn at(&self, now: Timestamp) -> State {
        // What is kept is only ever replaced as a whole: a panic elsewhere cannot have left it half done.
        let kept = || self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let last = kept().range(..=now).next_back().map(|(_, state)| *state);
        if let Some(state) = last.filter(|state| state.changes_at.is_none_or(|change| now < change)) {
            return state;
        }
        let state = self.0.look(now);
        let mut kept = kept();
        kept.insert(state.since.unwrap_or(now), state);
        if kept.len() > KEPT {
            kept.pop_first();
        }
        state
    }

    /// Whether it is open for all of the two years after `t`, or closed for so little of them that it can only be a mistake:
    /// less than a hundredth, as where clocks are put back once a year. What has an end is not for good.
    pub(crate) fn is_open_for_good(&self, t: Timestamp) -> bool {
        /// So many spans tell.
        const SPANS_MAX: usize = 60;
        let (Some(from), span) = (self.first_open_from(t), TimeDelta::days(2 * 366)) else { return false };
        let (mut at, mut closed) = (from, TimeDelta::zero());
        for _ in 0..SPANS_MAX {
            let state = self.at(at);
            let Some(next) = state.changes_at else { return false };
            if !state.open {
                closed += next - at;
            }
            at = next;
            if span < at - from {
                break;
            }
        }
        closed < (at - from) / 100
    }

    /// Whether it is closed at `t` and never opens again.
    pub(crate) fn is_over(&self, t: Timestamp) -> bool {
        let Inner { openings, duration, .. } = self.0.as_ref();
        !openings.from(t - *duration).any(|opening| opening + *duration > t)
    }

    /// The first instant from `t` on at which it is open.
    pub fn first_open_from(&self, t: Timestamp) -> Option<Timestamp> {
        let state = self.at(t);
        if state.open { Some(t) } else { state.changes_at }
    }
}

impl Inner {
    fn look(&self, now: Timestamp) -> State {
        let Some(last) = self.openings.last_within(now - self.duration, now) else {
            let next = self.openings.from(now).find(|opening| *opening > now);
            return State { open: false, since: None, changes_at: next };
        };
        State { open: true, since: self.start(last), changes_at: Some(self.end(last)) }
    }

    /// When the span that is open at an opening began.
    fn start(&self, opening: Timestamp) -> Option<Timestamp> {
        let mut start = opening;
        let mut joined = 0;
        // Each step looks twice as far back as the one before, so that long chains take few steps.
        let mut reach = self.duration;
        loop {
            let earlier = self.openings.within(start - reach, start);
            let mut reached = start;
            for opening in earlier.iter().rev() {
                if *opening + self.duration < reached {
                    return Some(reached);
                }
                reached = *opening;
                joined += 1;
            }
            if reached == start {
                return Some(start);
            }
            if joined > JOINED_MAX {
                return None;
            }
            start = reached;
            reach = self.duration.max((reach * 2).min(TimeDelta::days(32)));
        }
    }

    /// When the span that is open at an opening ends.
    fn end(&self, opening: Timestamp) -> Timestamp {
        let mut end = opening + self.duration;
        for next in self.openings.from(opening).take(JOINED_MAX) {
            if next > end {
                break;
            }
            end = next + self.duration;
        }
        end
    }
}
