//! The instants at which a rule opens.
//!
//! A rule recurs on the clock on the wall, which is computed as if there were no time zones; only then is each local time made an
//! instant. Old rules are not counted through from their beginning: they are moved forward by whole periods first.

use super::WindowError;
use super::rule::{Rule, refused, wrong};
use crate::Timestamp;
use chrono::{
    Datelike, Days, LocalResult, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Timelike,
    Utc,
};
use chrono_tz::Tz;
use rrule::{Frequency, RRule, RRuleSet};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A rule with COUNT is counted through once: so many openings at most.
const COUNT_MAX: u32 = 10_000;
/// … within so many days from its start: a hundred years, after which nobody asks.
const COUNTED_FOR: Days = Days::new(36_525);
/// A day has so many openings at most.
const PER_DAY_MAX: u32 = 24 * 60;
/// No clock is moved forward by more (Samoa once left out a day), and no zone is further from UTC.
const FARTHEST: TimeDelta = TimeDelta::hours(26);

/// When a window opens.
#[derive(Debug)]
pub(super) enum Openings {
    /// At these instants, in order.
    Counted(Vec<Timestamp>),
    /// Again and again.
    Recurring(Box<Recurrence>),
}

/// A rule without COUNT.
#[derive(Debug)]
pub(super) struct Recurrence {
    rule: RRule,
    start: NaiveDateTime,
    zone: Tz,
    until: Option<Timestamp>,
}

impl Openings {
    pub(super) fn new(rule: Rule, zone: Tz, anchored_at: Timestamp) -> Result<Self, WindowError> {
        let start = rule.start.unwrap_or_else(|| {
            let local = zone.from_utc_datetime(&anchored_at.naive_utc()).naive_local();
            local.with_nanosecond(0).unwrap_or(local)
        });
        // Validating takes the days that are counted from a month's end out of sight.
        let from_end = rule.recurrence.get_by_month_day().iter().any(|day| *day < 0);
        let recurrence = Recurrence {
            rule: rule.recurrence.validate(rrule::Tz::UTC.from_utc_datetime(&start)).map_err(refused)?,
            start,
            zone,
            until: rule.until,
        };
        recurrence.bounded(from_end)?;
        let openings = match rule.count {
            Some(count) if count > COUNT_MAX => {
                return Err(wrong(
                    format!("COUNT is more than {COUNT_MAX}"),
                    Some("say its end by UNTIL".to_owned()),
                ));
            }
            Some(count) => {
                let end = start.checked_add_days(COUNTED_FOR).unwrap_or(NaiveDateTime::MAX);
                let locals = recurrence.local(start).take(count as usize).take_while(|local| *local < end);
                let mut instants: Vec<Timestamp> = locals.map(|local| instant(zone, local)).collect();
                instants.sort_unstable();
                Openings::Counted(instants)
            }
            None => Openings::Recurring(Box::new(recurrence)),
        };
        Ok(openings)
    }

    /// All openings from an instant on, in order.
    pub(super) fn from(&self, from: Timestamp) -> Box<dyn Iterator<Item = Timestamp> + '_> {
        match self {
            Openings::Counted(instants) => {
                let first = instants.partition_point(|opening| *opening < from);
                Box::new(instants[first..].iter().copied())
            }
            Openings::Recurring(recurrence) => Box::new(recurrence.from(from)),
        }
    }

    /// The openings from one instant on and before another.
    pub(super) fn within(&self, from: Timestamp, before: Timestamp) -> Vec<Timestamp> {
        self.from(from).take_while(|opening| *opening < before).collect()
    }

    /// The last opening after one instant, up to and at another.
    pub(super) fn last_within(&self, after: Timestamp, to: Timestamp) -> Option<Timestamp> {
        // Dense rules are found near the end; sparse ones cost little over the whole of it.
        let near = (to - TimeDelta::hours(1)).max(after);
        [near, after].into_iter().find_map(|from| {
            self.from(from).take_while(|opening| *opening <= to).filter(|opening| *opening > after).last()
        })
    }
}

impl Recurrence {
    /// Refuses what opens too often, and what never opens.
    fn bounded(&self, from_end: bool) -> Result<(), WindowError> {
        let many = |list: usize, unsaid: u32| {
            if list == 0 { unsaid } else { u32::try_from(list).unwrap_or(u32::MAX) }
        };
        let rule = &self.rule;
        let hours = many(rule.get_by_hour().len(), 24);
        let minutes = many(rule.get_by_minute().len(), 60);
        let per_day = hours.saturating_mul(minutes).saturating_mul(many(rule.get_by_second().len(), 60));
        if per_day > PER_DAY_MAX {
            return Err(wrong(
                format!("it opens more than {PER_DAY_MAX} times a day"),
                Some("leave out BYSECOND or BYMINUTE".to_owned()),
            ));
        }
        let never = || {
            let hint = "leave out one of its parts: they must all be true of one instant, as BYMONTHDAY=31 never is in BYMONTH=4";
            wrong("it never opens: no day matches all of its parts".to_owned(), Some(hint.to_owned()))
        };
        let longest = |month: &u8| match month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let days = rule.get_by_month_day();
        if let (Some(longest), false) =
            (rule.get_by_month().iter().map(longest).max(), days.is_empty() || from_end)
            && days.iter().all(|day| *day > longest)
        {
            return Err(never());
        }
        self.local(self.start).next().map(|_| ()).ok_or_else(never)
    }

    /// The openings from an instant on, in order.
    fn from(&self, from: Timestamp) -> impl Iterator<Item = Timestamp> {
        let local = self.zone.from_utc_datetime(&from.naive_utc()).naive_local() - FARTHEST;
        let ordered =
            Ordered { zone: self.zone, locals: self.local(local), next: None, held: BinaryHeap::new() };
        let until = self.until;
        ordered
            .skip_while(move |opening| *opening < from)
            .take_while(move |opening| until.is_none_or(|until| *opening <= until))
    }

    /// The openings on the clock on the wall, from a local time on.
    fn local(&self, from: NaiveDateTime) -> impl Iterator<Item = NaiveDateTime> + use<> {
        let start = self.moved_to(from).unwrap_or(self.start);
        RRuleSet::new(rrule::Tz::UTC.from_utc_datetime(&start))
            .rrule(self.rule.clone())
            .limit()
            .into_iter()
            .map(|opening| opening.naive_utc())
            .skip_while(move |opening| *opening < from)
    }

    /// The beginning of a period of the rule that is not after `from`; None where that is the rule's own beginning.
    /// What the rule takes from its start (day, hour, …) was written into it when it was validated.
    fn moved_to(&self, from: NaiveDateTime) -> Option<NaiveDateTime> {
        let interval = i64::from(self.rule.get_interval());
        let whole =
            |periods: i64| Some(periods.div_euclid(interval)).filter(|n| *n > 0).map(|n| n * interval);
        let (start, midnight) = (self.start.date(), NaiveTime::MIN);
        match self.rule.get_freq() {
            Frequency::Yearly => {
                let years = whole((from.year() - start.year()).into())?;
                let year = start.year() + i32::try_from(years).ok()?;
                Some(NaiveDate::from_ymd_opt(year, 1, 1)?.and_time(midnight))
            }
            Frequency::Monthly => {
                let months = |date: NaiveDate| i64::from(date.year()) * 12 + i64::from(date.month0());
                let months = whole(months(from.date()) - months(start))?;
                let first =
                    start.with_day(1)?.checked_add_months(Months::new(u32::try_from(months).ok()?))?;
                Some(first.and_time(midnight))
            }
            Frequency::Weekly => {
                let week = |date: NaiveDate| date.week(self.rule.get_week_start()).first_day();
                let weeks = whole((week(from.date()) - week(start)).num_weeks())?;
                Some(
                    week(start)
                        .checked_add_days(Days::new(u64::try_from(weeks * 7).ok()?))?
                        .and_time(midnight),
                )
            }
            Frequency::Daily => {
                let days = whole((from.date() - start).num_days())?;
                Some(start.checked_add_days(Days::new(u64::try_from(days).ok()?))?.and_time(midnight))
            }
            Frequency::Hourly => {
                let start = start.and_hms_opt(self.start.hour(), 0, 0)?;
                Some(start + TimeDelta::hours(whole((from - start).num_hours())?))
            }
            Frequency::Minutely => {
                let start = start.and_hms_opt(self.start.hour(), self.start.minute(), 0)?;
                Some(start + TimeDelta::minutes(whole((from - start).num_minutes())?))
            }
            Frequency::Secondly => None,
        }
    }
}

/// Instants in order. Local times are, but those that a clock leaves out may come after later ones.
struct Ordered<I> {
    zone: Tz,
    locals: I,
    next: Option<Timestamp>,
    held: BinaryHeap<Reverse<Timestamp>>,
}

impl<I: Iterator<Item = NaiveDateTime>> Iterator for Ordered<I> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        while self.next.is_none() {
            let Some(local) = self.locals.next() else { break };
            match self.zone.from_local_datetime(&local) {
                LocalResult::None => self.held.push(Reverse(instant(self.zone, local))),
                LocalResult::Single(_) | LocalResult::Ambiguous(..) => {
                    self.next = Some(instant(self.zone, local))
                }
            }
        }
        match (self.held.peek(), self.next) {
            (Some(Reverse(held)), Some(next)) if next <= *held => self.next.take(),
            (Some(_), _) => self.held.pop().map(|Reverse(held)| held),
            (None, _) => self.next.take(),
        }
    }
}

/// The instant of a local time: of two the first; one that clocks leave out is as long after the change as it is said to be.
pub(super) fn instant(zone: Tz, local: NaiveDateTime) -> Timestamp {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) => at.with_timezone(&Utc),
        LocalResult::Ambiguous(one, other) => one.min(other).with_timezone(&Utc),
        LocalResult::None => {
            // On the clock as it was shortly before.
            let before = zone.from_utc_datetime(&(local - FARTHEST)).naive_local() - (local - FARTHEST);
            (local - before).and_utc()
        }
    }
}
