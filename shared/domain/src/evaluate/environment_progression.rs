//! `environmentProgression`: another environment must run this version well first, and have done so for a while.

use super::ruling::{Ruling, after, rfc};
use crate::Timestamp;
use crate::decision::{Progress, RuleInputs, Verdict};
use crate::entity::EnvironmentProgression;
use chrono::TimeDelta;

/// An environment the rule's selector matches, and how the version fares there.
pub(super) struct Dependency<'a> {
    /// Its name, for people.
    pub(super) name: &'a str,
    /// How many targets the deployment has there.
    pub(super) targets: usize,
    /// On how many it succeeded, which does not count since nothing verifies it there.
    pub(super) unverified: usize,
    /// Per target with a success of the version: its first and its last.
    pub(super) successes: Vec<Success>,
}

/// When a version succeeded on one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Success {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
}

/// One matching environment that satisfies is enough; with none that matches nothing passes.
/// The soak runs from the first success that met the percentage; the age is that of the youngest
/// set of successes that meets it, so that a version brought there again is fresh again.
pub(super) fn judge(
    rule: &EnvironmentProgression,
    version_since: Timestamp,
    dependencies: &[Dependency<'_>],
    now: Timestamp,
) -> Ruling {
    let share = rule.minimum_success_percentage;
    if !(0.0..=100.0).contains(&share) {
        return Ruling::error(format!("minimumSuccessPercentage is {share}; it must be between 0 and 100"));
    }
    if dependencies.is_empty() {
        let selector = &rule.depends_on_environment_selector;
        return Ruling::deny(format!("no other environment of the deployment matches `{selector}`"));
    }
    let rulings = dependencies.iter().map(|dependency| one(rule, version_since, dependency, now)).collect();
    let environments =
        dependencies.iter().map(|dependency| progress(rule, version_since, dependency)).collect();
    best(rulings).on(RuleInputs::Progression { environments })
}

/// How far one environment is.
fn progress(
    rule: &EnvironmentProgression,
    version_since: Timestamp,
    dependency: &Dependency<'_>,
) -> Progress {
    let Dependency { name, targets, successes, .. } = dependency;
    let needed = needed(*targets, rule.minimum_success_percentage);
    let met = met(successes, needed, version_since);
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Progress {
        environment: (*name).to_owned(),
        targets: small(*targets),
        succeeded: small(successes.len()),
        needed: small(needed),
        met_at: met.map(|(met, _)| met),
        soaked_at: met.map(|(met, _)| soaked(rule, met)),
        too_old_at: met.and_then(|(_, youngest)| too_old(rule, needed, youngest)),
    }
}

fn soaked(rule: &EnvironmentProgression, met: Timestamp) -> Timestamp {
    after(met, TimeDelta::minutes(rule.minimum_soak_time_minutes.into()))
}

/// When the youngest successes that meet the share are too old.
fn too_old(rule: &EnvironmentProgression, needed: usize, youngest: Timestamp) -> Option<Timestamp> {
    let hours = rule.maximum_age_hours.filter(|_| needed > 0)?;
    Some(after(youngest, TimeDelta::hours(hours.into())))
}

fn one(
    rule: &EnvironmentProgression,
    version_since: Timestamp,
    dependency: &Dependency<'_>,
    now: Timestamp,
) -> Ruling {
    let Dependency { name, targets, unverified, successes } = dependency;
    if *targets == 0 {
        return Ruling::allow(format!("{name} has no targets of this deployment"), Some(version_since));
    }
    let needed = needed(*targets, rule.minimum_success_percentage);
    let so_far = format!("{name}: {} of {targets} targets have it, {needed} needed", successes.len());
    let Some((met, youngest)) = met(successes, needed, version_since) else {
        let nobody = match unverified {
            0 => String::new(),
            n => format!("; on {n} it succeeded and no policy verifies it there"),
        };
        return Ruling::wait(format!("{so_far}{nobody}"), None);
    };
    let too_old_at = too_old(rule, needed, youngest);
    if let Some(at) = too_old_at.filter(|at| *at <= now) {
        return Ruling::deny(format!("{so_far}; too old since {}", rfc(at)));
    }
    let soaked = soaked(rule, met);
    if now < soaked {
        let reason = format!("{so_far}; it soaks until {}", rfc(soaked));
        // When the yes ends that it becomes.
        return Ruling::wait(reason, Some(soaked)).ending(too_old_at);
    }
    Ruling::allow(format!("{so_far}; since {}", rfc(soaked)), Some(soaked)).ending(too_old_at)
}

/// The least number of targets that is at least that percentage of them.
fn needed(targets: usize, percentage: f64) -> usize {
    let share = targets as f64 * percentage / 100.0;
    // 70 % of 10 must be 7, whatever binary fractions make of it.
    let rounded_up = (share - 1e-9).ceil().max(0.0);
    (rounded_up as usize).min(targets)
}

/// When the percentage was first met, and since when it is met by the youngest successes.
fn met(successes: &[Success], needed: usize, version_since: Timestamp) -> Option<(Timestamp, Timestamp)> {
    if needed == 0 {
        return Some((version_since, version_since));
    }
    let mut firsts: Vec<Timestamp> = successes.iter().map(|success| success.first).collect();
    let mut lasts: Vec<Timestamp> = successes.iter().map(|success| success.last).collect();
    firsts.sort_unstable();
    lasts.sort_unstable_by(|a, b| b.cmp(a));
    Some((*firsts.get(needed - 1)?, *lasts.get(needed - 1)?))
}

/// A yes if any says yes; else not yet, if any says so; else no.
fn best(rulings: Vec<Ruling>) -> Ruling {
    let yes = rulings.iter().filter(|ruling| ruling.verdict.allows());
    if let Some(earliest) = yes.clone().min_by_key(|ruling| ruling.satisfied_at) {
        let ends = yes.map(|ruling| ruling.ends_at).collect::<Option<Vec<_>>>();
        let last = ends.and_then(|ends| ends.into_iter().max());
        return earliest.clone().ending(last.and_then(|last| carried_on(&rulings, last)));
    }
    let reason = rulings.iter().map(|ruling| ruling.reason.as_str()).collect::<Vec<_>>().join("; ");
    let mut waits = rulings.iter().filter_map(|ruling| match ruling.verdict {
        Verdict::Wait { until } => Some(until),
        Verdict::Allow | Verdict::Deny => None,
    });
    match waits.next() {
        None => Ruling::deny(reason),
        Some(first) => Ruling::wait(reason, waits.fold(first, earlier)),
    }
}

/// Until when a yes lasts that ends at `last`, where others have soaked by then. `None`: for good.
fn carried_on(rulings: &[Ruling], mut last: Timestamp) -> Option<Timestamp> {
    loop {
        let takes_over = |ruling: &&Ruling| {
            let soaks = matches!(ruling.verdict, Verdict::Wait { until: Some(until) } if until <= last);
            soaks && ruling.ends_at.is_none_or(|ends| ends > last)
        };
        let Some(next) = rulings.iter().find(takes_over) else { return Some(last) };
        last = next.ends_at?;
    }
}

/// The earlier of two instants, where there is any.
fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::TerminalStatus;

    fn at(minute: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    /// `staging:4 5 9..20` = four targets; one with a success at minute 5, one with its first at 9 and its last at 20.
    fn dependency(text: &str) -> Dependency<'_> {
        let mut words = text.split_whitespace();
        let (name, targets) = words.next().unwrap().split_once(':').unwrap();
        let successes = words
            .map(|word| {
                let (first, last) = word.split_once("..").unwrap_or((word, word));
                Success { first: at(first.parse().unwrap()), last: at(last.parse().unwrap()) }
            })
            .collect();
        Dependency { name, targets: targets.parse().unwrap(), unverified: 0, successes }
    }

    fn rule(percentage: f64, soak: u32, age_hours: Option<u32>) -> EnvironmentProgression {
        EnvironmentProgression {
            depends_on_environment_selector: "s".into(),
            minimum_success_percentage: percentage,
            minimum_soak_time_minutes: soak,
            maximum_age_hours: age_hours,
            require_verification_passed: false,
            success_statuses: vec![TerminalStatus::Successful],
        }
    }

    #[track_caller]
    fn check(
        rule: &EnvironmentProgression,
        dependencies: &[&str],
        now: i64,
        verdict: Verdict,
        reason: &str,
    ) -> Ruling {
        let dependencies: Vec<_> = dependencies.iter().map(|text| dependency(text)).collect();
        let ruling = judge(rule, at(0), &dependencies, at(now));
        assert_eq!((&ruling.verdict, ruling.reason.as_str()), (&verdict, reason));
        ruling
    }

    const WAIT: Verdict = Verdict::Wait { until: None };

    #[test]
    fn the_share_of_targets_is_met_exactly() {
        for (targets, percentage, expected) in [
            (10, 70.0, 7),
            (10, 70.1, 8),
            (3, 33.34, 2),
            (3, 33.33, 1),
            (3, 100.0, 3),
            (7, 1.0, 1),
            (7, 0.0, 0),
            (1000, 99.9, 999),
        ] {
            assert_eq!(needed(targets, percentage), expected, "{percentage} % of {targets}");
        }
        let half = rule(50.0, 0, None);
        check(&half, &["staging:4 5"], 60, WAIT, "staging: 1 of 4 targets have it, 2 needed");
        let reason = "staging: 2 of 4 targets have it, 2 needed; since 1970-01-01T00:09:00Z";
        let ruling = check(&half, &["staging:4 9 5"], 60, Verdict::Allow, reason);
        assert_eq!(ruling.satisfied_at, Some(at(9)));
    }

    #[test]
    fn the_soak_runs_from_the_success_that_met_the_share_to_the_exact_instant() {
        let soak = rule(100.0, 30, None);
        let reason = "staging: 2 of 2 targets have it, 2 needed; it soaks until 1970-01-01T00:39:00Z";
        check(&soak, &["staging:2 5 9..20"], 38, Verdict::Wait { until: Some(at(39)) }, reason);
        let reason = "staging: 2 of 2 targets have it, 2 needed; since 1970-01-01T00:39:00Z";
        let ruling = check(&soak, &["staging:2 5 9..20"], 39, Verdict::Allow, reason);
        assert_eq!((ruling.satisfied_at, ruling.ends_at), (Some(at(39)), None));
    }

    #[test]
    fn what_is_too_old_passes_no_more_until_it_is_brought_again() {
        let young = rule(100.0, 0, Some(1));
        let reason = "staging: 1 of 1 targets have it, 1 needed; since 1970-01-01T00:05:00Z";
        let ruling = check(&young, &["staging:1 5"], 64, Verdict::Allow, reason);
        assert_eq!(ruling.ends_at, Some(at(65)));
        let reason = "staging: 1 of 1 targets have it, 1 needed; too old since 1970-01-01T01:05:00Z";
        check(&young, &["staging:1 5"], 65, Verdict::Deny, reason);
        let reason = "staging: 1 of 1 targets have it, 1 needed; since 1970-01-01T00:05:00Z";
        check(&young, &["staging:1 5..60"], 65, Verdict::Allow, reason);
    }

    #[test]
    fn one_matching_environment_is_enough_and_none_is_a_no() {
        let all = rule(100.0, 10, None);
        check(&all, &[], 60, Verdict::Deny, "no other environment of the deployment matches `s`");
        check(&all, &["qa:0"], 60, Verdict::Allow, "qa has no targets of this deployment");
        let reason = "qa: 1 of 1 targets have it, 1 needed; since 1970-01-01T00:15:00Z";
        check(&all, &["qa:1 5", "staging:1"], 60, Verdict::Allow, reason);
        let reason = "qa: 1 of 1 targets have it, 1 needed; it soaks until 1970-01-01T01:05:00Z; \
                      staging: 0 of 1 targets have it, 1 needed";
        check(&all, &["qa:1 55", "staging:1"], 60, Verdict::Wait { until: Some(at(65)) }, reason);
    }

    #[test]
    fn a_yes_lasts_while_one_environment_takes_over_from_another() {
        let young = rule(1.0, 1, Some(1));
        let reason = "dev: 1 of 1 targets have it, 1 needed; since 1970-01-01T00:06:00Z";
        for (others, ends) in [
            (&["staging:1"][..], 65),
            (&["staging:1 60"][..], 120),
            (&["staging:1 64"][..], 124),
            (&["staging:1 60", "qa:1 60"][..], 120),
        ] {
            let all: Vec<_> = ["dev:1 5"].iter().chain(others).copied().collect();
            let now = if others == ["staging:1 64"] { 64 } else { 60 };
            let ruling = check(&young, &all, now, Verdict::Allow, reason);
            assert_eq!(ruling.ends_at, Some(at(ends)), "{others:?}");
        }
    }

    #[test]
    fn nothing_needed_is_met_since_the_version_is_there() {
        let reason = "staging: 0 of 2 targets have it, 0 needed; since 1970-01-01T00:10:00Z";
        check(&rule(0.0, 10, Some(1)), &["staging:2"], 600, Verdict::Allow, reason);
    }

    #[test]
    fn a_share_that_is_none_is_a_no() {
        for share in [f64::NAN, -1.0, 100.5] {
            let ruling = judge(&rule(share, 0, None), at(0), &[dependency("staging:1 5")], at(9));
            assert_eq!(ruling.verdict, Verdict::Deny, "{share}");
            assert!(ruling.reason.contains("between 0 and 100"));
        }
    }
}
