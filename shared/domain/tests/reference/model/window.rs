//! "Open from each occurrence of `rrule` (in `timezone`) for `durationMinutes`; overlapping windows join."
//!
//! Every opening of the next two months is written down, day by day, hour by hour.

use super::Says;
use super::scene::Scene;
use chrono::{
    DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;
use domain::Timestamp;
use domain::entity::{DeploymentWindow, Policy, Record};
use domain::target::TargetKey;

pub(crate) fn judge(
    scene: &Scene<'_>,
    rule: &DeploymentWindow,
    policy: &Record<Policy>,
    target: &TargetKey,
) -> Says {
    if rule.timezone.parse::<Tz>().is_err() {
        return Says::Deny;
    }
    // "The first deployment to a target (no version ever succeeded there) ignores it."
    if is_first(scene, target) {
        return Says::YES;
    }
    let window = Window::of(rule, policy);
    let run = window.runs(scene.now).into_iter().find(|(_, close)| *close > scene.now);
    match (run, rule.allow_window) {
        (Some((open, close)), true) if open <= scene.now => Says::Allow { since: None, until: Some(close) },
        (Some((open, _)), true) => Says::Wait(Some(open)),
        // "A recurrence without further occurrences denies (`allowWindow: true`)."
        (None, true) => Says::Deny,
        (Some((open, close)), false) if open <= scene.now => Says::Wait(Some(close)),
        (Some((open, _)), false) => Says::Allow { since: None, until: Some(open) },
        (None, false) => Says::YES,
    }
}

pub(crate) fn is_first(scene: &Scene<'_>, target: &TargetKey) -> bool {
    scene.current(target).is_none()
}

/// A rule and its anchor.
pub(crate) struct Window<'a> {
    rule: &'a DeploymentWindow,
    created_at: Timestamp,
}

impl<'a> Window<'a> {
    pub(crate) fn of(rule: &'a DeploymentWindow, policy: &'a Record<Policy>) -> Self {
        Self { rule, created_at: policy.meta.created_at }
    }

    /// The first instant, this one included, at which it allows; none if it never does.
    pub(crate) fn allows_from(&self, instant: Timestamp) -> Option<Timestamp> {
        let run = self.runs(instant).into_iter().find(|(_, close)| *close > instant);
        match (run, self.rule.allow_window) {
            (Some((open, _)), true) => Some(open.max(instant)),
            (None, true) => None,
            (Some((open, close)), false) if open <= instant => Some(close),
            (_, false) => Some(instant),
        }
    }

    /// From when to when it does not allow, of what begins until `until` and ends after `from`.
    pub(crate) fn closed(&self, from: Timestamp, until: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let runs = self.runs(until);
        let mut closed = Vec::new();
        if self.rule.allow_window {
            let mut since = Timestamp::MIN_UTC;
            for (open, close) in runs {
                closed.push((since, open));
                since = close;
            }
        } else {
            closed = runs;
        }
        closed.retain(|(begins, ends)| *begins <= until && *ends > from && begins < ends);
        closed
    }

    /// From when to when it is open, joined, until two months after the instant.
    fn runs(&self, instant: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let length = TimeDelta::minutes(i64::from(self.rule.duration_minutes));
        let mut runs: Vec<(Timestamp, Timestamp)> = Vec::new();
        for open in self.openings(instant + TimeDelta::days(60)) {
            // "a duration is elapsed time, not wall clock"
            let close = open + length;
            match runs.last_mut() {
                Some((_, end)) if open <= *end => *end = close.max(*end),
                _ => runs.push((open, close)),
            }
        }
        runs
    }

    /// "Without `DTSTART` the recurrence is anchored at the policy's creation."
    fn openings(&self, until: Timestamp) -> Vec<Timestamp> {
        let zone: Tz = self.rule.timezone.parse().unwrap();
        let anchor = self.created_at.with_timezone(&zone).naive_local();
        let part =
            |key: &str| self.rule.rrule.split(';').find_map(|part| part.strip_prefix(key)?.strip_prefix('='));
        let number = |key: &str| part(key).map(|text| text.parse::<u32>().unwrap());
        let hour = number("BYHOUR").unwrap_or(anchor.hour());
        let minute = number("BYMINUTE").unwrap_or(anchor.minute());
        let second = number("BYSECOND").unwrap_or(anchor.second());
        let count = number("COUNT").map_or(usize::MAX, |count| count as usize);
        let interval = i64::from(number("INTERVAL").unwrap_or(1));
        let weekly = match part("FREQ") {
            Some("DAILY") => false,
            Some("WEEKLY") => true,
            other => panic!("not a frequency of these worlds: {other:?}"),
        };
        let days = part("BYDAY").map(|days| days.split(',').collect::<Vec<_>>());
        let mut openings = Vec::new();
        let mut date = anchor.date();
        while openings.len() < count {
            let local = date.and_hms_opt(hour, minute, second).unwrap();
            if first_valid(&zone, local) >= until {
                break;
            }
            let of_interval = if weekly {
                (monday(date) - monday(anchor.date())).num_weeks() % interval == 0
            } else {
                (date - anchor.date()).num_days() % interval == 0
            };
            let of_days = match &days {
                Some(days) => days.contains(&&format!("{}", date.weekday()).to_uppercase()[..2]),
                None => !weekly || date.weekday() == anchor.weekday(),
            };
            if of_interval && of_days && local >= anchor.with_nanosecond(0).unwrap() {
                openings.push(first_valid(&zone, local));
            }
            date = date + Days::new(1);
        }
        openings.sort();
        openings
    }
}

fn monday(date: NaiveDate) -> NaiveDate {
    date - Days::new(u64::from(date.weekday().num_days_from_monday()))
}

/// "Local times that do not exist because clocks go forward are moved forward by the gap; of times that exist twice the
/// first counts."
fn first_valid(zone: &Tz, local: NaiveDateTime) -> Timestamp {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.with_timezone(&Utc),
        LocalResult::None => {
            // As the clock that does not go forward would say it.
            let before: DateTime<Tz> =
                zone.from_local_datetime(&(local - TimeDelta::hours(3))).earliest().unwrap();
            before.with_timezone(&Utc) + TimeDelta::hours(3)
        }
    }
}
