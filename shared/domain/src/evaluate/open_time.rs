//! The clock of a rollout: it stands still while nothing may start, so that what was due meanwhile does not start at once.

use super::deployment_window::{first_let, lets_until};
use super::ruling::after;
use crate::Timestamp;
use crate::entity::DeploymentWindow;
use crate::window::Calendar;
use chrono::TimeDelta;
use std::sync::Arc;

/// From when to when nothing could start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stop {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

/// When a rollout started, and the windows that must be open for it to go on.
pub(super) struct Start<'a> {
    pub(super) at: Timestamp,
    pub(super) windows: Vec<(&'a DeploymentWindow, Arc<Calendar>)>,
}

impl Start<'_> {
    /// The first instant at which so much time has passed since the start in which something could start, and at which
    /// something can. `None`: there is none, or not within a bounded search.
    pub(super) fn due(&self, offset: TimeDelta, stops: &[Stop]) -> Option<Timestamp> {
        /// Each round passes one stop or one closing.
        const ROUNDS_MAX: usize = 4_096;
        let stops = joined(stops);
        let windows: Vec<_> =
            self.windows.iter().map(|(rule, calendar)| (*rule, calendar.as_ref())).collect();
        let (mut instant, mut left) = (self.at, offset);
        for _ in 0..ROUNDS_MAX {
            let open = first_let(&windows, instant)?;
            let next = stops.iter().find(|stop| open < stop.until);
            if let Some(stop) = next.filter(|stop| stop.from <= open) {
                instant = stop.until;
                continue;
            }
            let closes = windows.iter().filter_map(|(rule, calendar)| lets_until(rule, calendar, open));
            let Some(end) = closes.chain(next.map(|stop| stop.from)).min() else {
                return Some(after(open, left));
            };
            let span = end - open;
            if left < span {
                return Some(after(open, left));
            }
            (instant, left) = (end, left - span);
        }
        None
    }
}

/// In order, those that touch as one.
fn joined(stops: &[Stop]) -> Vec<Stop> {
    let mut sorted: Vec<Stop> = stops.iter().copied().filter(|stop| stop.from < stop.until).collect();
    sorted.sort_unstable();
    let mut joined: Vec<Stop> = Vec::new();
    for stop in sorted {
        match joined.last_mut() {
            Some(last) if stop.from <= last.until => last.until = last.until.max(stop.until),
            Some(_) | None => joined.push(stop),
        }
    }
    joined
}

/// When more than `most` of the spans hold at once. A span without an end holds still: what it stops waits anyway.
pub(super) fn crowded(spans: impl Iterator<Item = (Timestamp, Option<Timestamp>)>, most: usize) -> Vec<Stop> {
    let mut turns: Vec<(Timestamp, i64)> = Vec::new();
    for (from, until) in spans {
        turns.push((from, 1));
        turns.extend(until.map(|until| (until, -1)));
    }
    // At one instant what ends comes first: nothing lies between.
    turns.sort_unstable();
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let (mut stops, mut held, mut since) = (Vec::new(), 0, None);
    for (at, turn) in turns {
        held += turn;
        match (since, held > most) {
            (None, true) => since = Some(at),
            (Some(from), false) => {
                stops.push(Stop { from, until: at });
                since = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }
    stops
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn stop(from: i64, until: i64) -> Stop {
        Stop { from: at(from), until: at(until) }
    }

    fn window(hours: u32) -> (DeploymentWindow, Arc<Calendar>) {
        let rule = DeploymentWindow {
            rrule: "FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0".to_owned(),
            duration_minutes: hours * 60,
            timezone: "UTC".to_owned(),
            allow_window: true,
        };
        let calendar = Calendar::new(&rule, at(0)).unwrap();
        (rule, Arc::new(calendar))
    }

    #[test]
    fn the_clock_stands_still_while_nothing_may_start() {
        let start = Start { at: at(10), windows: Vec::new() };
        let due = |offset: i64, stops: &[Stop]| start.due(TimeDelta::seconds(offset), stops).unwrap();
        let stops = [stop(60, 70), stop(30, 50), stop(45, 55)];
        for (offset, second) in [(0, 10), (19, 29), (20, 55), (24, 59), (25, 70), (125, 170)] {
            assert_eq!(due(offset, &stops), at(second), "{offset}");
        }
        assert_eq!(due(7, &[]), at(17));
        assert_eq!(due(0, &[stop(5, 12)]), at(12), "it starts while it is stopped");
    }

    #[test]
    fn what_was_due_overnight_is_due_one_after_the_other_in_the_morning() {
        let (rule, calendar) = window(8);
        let hour = |hour: i64| at(hour * 3_600);
        let start = Start { at: hour(16), windows: vec![(&rule, calendar)] };
        let due = |position: i64| start.due(TimeDelta::hours(position), &[]).unwrap();
        // It closes at 17:00, and opens at 9:00 the next day.
        for (position, expected) in [(0, 16), (1, 33), (2, 34), (8, 40), (9, 57), (17, 81)] {
            assert_eq!(due(position), hour(expected), "{position}");
        }
    }

    #[test]
    fn more_than_so_many_at_once_stop_it() {
        let spans = [(0, Some(10)), (5, Some(20)), (15, None), (20, Some(30))];
        let spans = spans.map(|(from, until)| (at(from), until.map(at)));
        assert_eq!(crowded(spans.into_iter(), 1), [stop(5, 10), stop(15, 20), stop(20, 30)]);
        assert_eq!(crowded(spans.into_iter(), 2), []);
    }
}
