//! Whether a call may be made now: pure, `now` is an argument. Writes are paced by GCRA (a leaky bucket whose whole state
//! is one moment), everything is stopped by what the platform said of its limits.

use crate::platform::CallError;
use chrono::TimeDelta;
use domain::Timestamp;
pub(super) use domain::budget::BudgetRecord as Record;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a call costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A read.
    Read,
    /// A write that creates something: paced.
    Write,
}

impl Kind {
    /// The label in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Read => "read",
            Kind::Write => "write",
        }
    }
}

/// The pace of writes, from the agent's config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateLimit {
    /// How many writes per minute, over all replicas; 0: no pace of ours.
    pub writes_per_minute: u32,
    /// How many may come at once after a pause; at least 1.
    #[serde(default = "one")]
    pub burst: u32,
}

fn one() -> u32 {
    1
}

impl RateLimit {
    /// github.com: about 80 content-creating calls a minute (REST API docs, secondary rate limits), few of them at once.
    pub const GITHUB: RateLimit = RateLimit { writes_per_minute: 80, burst: 10 };
    /// No pace, as on GitHub Enterprise Server, whose limits are off by default.
    pub const OFF: RateLimit = RateLimit { writes_per_minute: 0, burst: 1 };

    fn interval(self) -> Option<TimeDelta> {
        let per_minute = i64::from(self.writes_per_minute);
        (per_minute > 0).then(|| TimeDelta::microseconds(60_000_000 / per_minute))
    }
}

/// Not now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rate limited for {} s: {why}", after.as_secs())]
pub struct RateLimited {
    /// When to ask again.
    pub after: Duration,
    /// Why, for a person.
    pub why: String,
}

impl From<RateLimited> for CallError {
    fn from(limited: RateLimited) -> Self {
        CallError::RateLimited { after: limited.after, why: limited.why }
    }
}

/// What an answer of the platform told about its limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Learned {
    /// How many calls the platform allows in one window.
    pub limit: Option<u64>,
    /// Calls left until `reset_at`.
    pub remaining: Option<u64>,
    /// When the platform counts anew.
    pub reset_at: Option<Timestamp>,
    /// The platform asks for silence: `Retry-After`, or its secondary limit.
    pub blocked_for: Option<Duration>,
}

/// The answer to "may this call be made?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Yes, at once, and nobody needs to know.
    Go,
    /// Yes, once this record is what all replicas know.
    Reserve(Box<Record>),
    /// Not before that moment.
    Wait { until: Timestamp, why: &'static str },
}

/// Whether a call may be made at `now`.
pub(super) fn decide(record: &Record, limit: RateLimit, kind: Kind, now: Timestamp) -> Verdict {
    if let Some(until) = record.blocked_until.filter(|until| *until > now) {
        return Verdict::Wait { until, why: "the platform asked for a pause" };
    }
    if record.remaining == Some(0)
        && let Some(reset_at) = record.reset_at.filter(|reset_at| *reset_at > now)
    {
        // One second more: the platform tells whole seconds.
        return Verdict::Wait { until: reset_at + TimeDelta::seconds(1), why: "the hourly limit is used up" };
    }
    let Some(interval) = limit.interval().filter(|_| kind == Kind::Write) else { return Verdict::Go };
    let expected = record.next_write_at.map_or(now, |at| at.max(now));
    let burst = i32::try_from(limit.burst.max(1) - 1).unwrap_or(i32::MAX);
    let until = expected - interval * burst;
    if until > now {
        return Verdict::Wait { until, why: "writes are paced" };
    }
    Verdict::Reserve(Box::new(Record { next_write_at: Some(expected + interval), ..*record }))
}

/// How far apart callers that were told to wait come back: together they would be told the same again.
pub(super) fn spacing(limit: RateLimit, kind: Kind) -> TimeDelta {
    limit.interval().filter(|_| kind == Kind::Write).unwrap_or(TimeDelta::milliseconds(20))
}

/// What is known after an answer. Answers come in any order: within one window of the platform's count the lowest counts,
/// and a pause is never shortened.
pub(super) fn learn(record: &Record, learned: &Learned, now: Timestamp) -> Record {
    let mut next = *record;
    if let Some(wait) = learned.blocked_for {
        let until = now + TimeDelta::from_std(wait).unwrap_or(PAUSE_MAX).min(PAUSE_MAX);
        next.blocked_until = next.blocked_until.max(Some(until));
    }
    next.limit = learned.limit.or(next.limit);
    if let Some(remaining) = learned.remaining {
        let same_window = next.reset_at == learned.reset_at && next.reset_at.is_some_and(|at| at > now);
        next.remaining = match next.remaining {
            Some(known) if same_window => Some(known.min(remaining)),
            Some(_) | None => Some(remaining),
        };
        next.reset_at = learned.reset_at;
        next.observed_at = Some(now);
    }
    next
}

/// Two records of one budget, ours and what another replica wrote: the more careful of both.
pub(super) fn merge(ours: &Record, theirs: &Record) -> Record {
    let mut merged = *theirs;
    merged.blocked_until = ours.blocked_until.max(theirs.blocked_until);
    merged.next_write_at = ours.next_write_at.max(theirs.next_write_at);
    let (older, newer) = if ours.observed_at > theirs.observed_at { (theirs, ours) } else { (ours, theirs) };
    merged.limit = newer.limit.or(older.limit);
    merged.observed_at = newer.observed_at;
    merged.reset_at = newer.reset_at;
    merged.remaining = match (older.remaining, newer.remaining) {
        (Some(a), Some(b)) if older.reset_at == newer.reset_at => Some(a.min(b)),
        (_, newest) => newest,
    };
    merged
}

/// No platform's word silences us for longer.
const PAUSE_MAX: TimeDelta = TimeDelta::hours(2);

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: RateLimit = RateLimit { writes_per_minute: 60, burst: 3 };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_pace() {
        let mut record = Record::default();
        let mut went = Vec::new();
        for second in 0..6 {
            while let Verdict::Reserve(next) = decide(&record, PACE, Kind::Write, at(second)) {
                record = *next;
                went.push(second);
            }
        }
        assert_eq!(went, [0, 0, 0, 1, 2, 3, 4, 5]);
        let Verdict::Wait { until, .. } = decide(&record, PACE, Kind::Write, at(5)) else {
            panic!("the pace is used up")
        };
        assert_eq!(until, at(6));
    }

    #[test]
    fn without_a_pace_and_for_reads_nothing_is_reserved() {
        let record = Record { next_write_at: Some(at(1000)), ..Record::default() };
        assert_eq!(decide(&record, RateLimit::OFF, Kind::Write, at(0)), Verdict::Go);
        assert_eq!(decide(&record, PACE, Kind::Read, at(0)), Verdict::Go);
    }

    #[test]
    fn a_pause_stops_all_until_it_is_over() {
        let pause = Learned { blocked_for: Some(Duration::from_secs(60)), ..Learned::default() };
        let record = learn(&Record::default(), &pause, at(0));
        for kind in [Kind::Read, Kind::Write] {
            let verdict = decide(&record, RateLimit::OFF, kind, at(59));
            assert!(matches!(verdict, Verdict::Wait { until, .. } if until == at(60)), "{verdict:?}");
            assert_eq!(decide(&record, RateLimit::OFF, kind, at(60)), Verdict::Go);
        }
        let shorter = Learned { blocked_for: Some(Duration::from_secs(5)), ..Learned::default() };
        assert_eq!(learn(&record, &shorter, at(10)), record, "a pause is never shortened");
    }

    #[test]
    fn a_used_up_hour_waits_for_the_next() {
        let used_up = Learned { remaining: Some(0), reset_at: Some(at(100)), ..Learned::default() };
        let record = learn(&Record::default(), &used_up, at(0));
        let verdict = decide(&record, RateLimit::OFF, Kind::Read, at(99));
        assert!(matches!(verdict, Verdict::Wait { until, .. } if until == at(101)), "{verdict:?}");
        assert_eq!(decide(&record, RateLimit::OFF, Kind::Read, at(100)), Verdict::Go);
    }

    #[test]
    fn answers_out_of_order_never_give_back_what_was_used() {
        let answer = |remaining, reset| Learned {
            remaining: Some(remaining),
            reset_at: Some(at(reset)),
            ..Learned::default()
        };
        let record = learn(&Record::default(), &answer(10, 100), at(0));
        assert_eq!(learn(&record, &answer(12, 100), at(1)).remaining, Some(10));
        assert_eq!(learn(&record, &answer(9, 100), at(1)).remaining, Some(9));
        assert_eq!(learn(&record, &answer(5000, 3700), at(101)).remaining, Some(5000), "a new hour");
    }

    #[test]
    fn of_two_replicas_the_more_careful_counts() {
        let ours = Record {
            blocked_until: Some(at(50)),
            limit: Some(5_000),
            remaining: Some(7),
            reset_at: Some(at(100)),
            next_write_at: Some(at(3)),
            observed_at: Some(at(2)),
        };
        let theirs = Record {
            blocked_until: None,
            limit: None,
            remaining: Some(9),
            reset_at: Some(at(100)),
            next_write_at: Some(at(4)),
            observed_at: Some(at(1)),
        };
        let merged = Record { next_write_at: Some(at(4)), ..ours };
        assert_eq!(merge(&ours, &theirs), merged);
        assert_eq!(merge(&theirs, &ours), merged);
    }
}
