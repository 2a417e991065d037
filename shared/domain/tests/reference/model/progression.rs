//! "Of the environments that share a system with the deployment and match `dependsOnEnvironmentSelector` (never the
//! target's own), one is enough."

use super::Says;
use super::means::{means, targets};
use super::scene::{Job, Scene, creation};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::entity::{EnvironmentProgression, Record, Version};
use domain::id::EnvironmentId;
use domain::job::TerminalStatus;
use domain::target::TargetKey;

/// What an environment offers.
enum Offer {
    /// "A matching environment without targets of the deployment allows … the version's creation".
    NoTargets,
    /// Too few successes.
    TooFew,
    /// From the end of the soak until it is too old.
    Between(Timestamp, Option<Timestamp>),
}

pub(crate) fn judge(
    scene: &Scene<'_>,
    rule: &EnvironmentProgression,
    target: &TargetKey,
    version: &Record<Version>,
) -> Says {
    let deployment = scene.deployment(target.deployment);
    let mut offers = Vec::new();
    for environment in scene.environments() {
        let id = EnvironmentId(environment.meta.id);
        let shares = environment.spec.systems.iter().any(|s| deployment.spec.systems.contains(s));
        if !shares || id == target.environment {
            continue;
        }
        let name = [("environment.name", environment.meta.name.as_str())];
        match means(&rule.depends_on_environment_selector, &name) {
            Err(_) => return Says::Deny,
            Ok(false) => {}
            Ok(true) => offers.push(offer(scene, rule, target, id, version)),
        }
    }
    // "no matching environment denies"
    if offers.is_empty() {
        return Says::Deny;
    }
    let created = creation(version);
    let says = at(scene.now, &offers, created);
    let Says::Allow { since, .. } = says else { return says };
    // By time alone it changes at the first of the offers' instants at which it no longer allows.
    let mut ends: Vec<_> = offers.iter().filter_map(Offer::end).filter(|end| *end > scene.now).collect();
    ends.sort();
    let until = ends.into_iter().find(|end| !at(*end, &offers, created).allows());
    Says::Allow { since, until }
}

/// What the environments together say at an instant.
fn at(now: Timestamp, offers: &[Offer], created: Timestamp) -> Says {
    let mut since: Option<Timestamp> = None;
    let mut from: Option<Timestamp> = None;
    let mut may_come = false;
    for offer in offers {
        match offer {
            Offer::NoTargets => since = Some(since.map_or(created, |s| s.min(created))),
            Offer::TooFew => may_come = true,
            Offer::Between(start, end) => {
                if end.is_some_and(|end| end <= now || end <= *start) {
                    continue;
                }
                let earliest = if *start <= now { &mut since } else { &mut from };
                *earliest = Some(earliest.map_or(*start, |e: Timestamp| e.min(*start)));
            }
        }
    }
    match since {
        Some(_) => Says::Allow { since, until: None },
        // "It waits while one has too few successes or soaks; where all are too old, it denies."
        None if may_come || from.is_some() => Says::Wait(from),
        None => Says::Deny,
    }
}

impl Offer {
    fn end(&self) -> Option<Timestamp> {
        match self {
            Offer::NoTargets | Offer::TooFew => None,
            Offer::Between(_, end) => *end,
        }
    }
}

fn offer(
    scene: &Scene<'_>,
    rule: &EnvironmentProgression,
    target: &TargetKey,
    environment: EnvironmentId,
    version: &Record<Version>,
) -> Offer {
    let there: Vec<_> =
        targets(scene, target.deployment).into_iter().filter(|t| t.environment == environment).collect();
    if there.is_empty() {
        return Offer::NoTargets;
    }
    // "`minimumSuccessPercentage` of the deployment's targets (rounded up)"
    let needed = (rule.minimum_success_percentage * there.len() as f64 / 100.0).ceil() as usize;
    let mut first = Vec::new();
    let mut last = Vec::new();
    for target in &there {
        let mut good: Vec<_> = scene
            .deploys(target)
            .into_iter()
            .filter(|job| job.job.version.0 == version.meta.id)
            .filter_map(|job| counts_from(scene, rule, job))
            .collect();
        good.sort();
        first.extend(good.first().copied());
        last.extend(good.last().copied());
    }
    if first.len() < needed || needed == 0 {
        return Offer::TooFew;
    }
    first.sort();
    last.sort();
    // "the soak … runs from the success that met the percentage to the exact second"
    let soaked = first[needed - 1] + TimeDelta::minutes(i64::from(rule.minimum_soak_time_minutes));
    // "the youngest set of successes that meets the percentage may be at most so old"
    let oldest_of_youngest = last[last.len() - needed];
    let end = rule.maximum_age_hours.map(|hours| oldest_of_youngest + TimeDelta::hours(i64::from(hours)));
    Offer::Between(soaked, end)
}

/// From when a job counts as success, if it does.
fn counts_from(scene: &Scene<'_>, rule: &EnvironmentProgression, job: &Job) -> Option<Timestamp> {
    let end = job.end?;
    if !rule.success_statuses.contains(&end.status) {
        return None;
    }
    if !rule.require_verification_passed {
        return Some(end.at);
    }
    // "a success counts from the moment its verifications have all passed; a success that nothing verified does not count"
    let mut passed = None;
    for verification in scene.verifications(job) {
        let measured = verification.end.filter(|end| end.status == TerminalStatus::Successful)?;
        passed = passed.max(Some(measured.at));
    }
    passed
}
