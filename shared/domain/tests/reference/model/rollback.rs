//! "When retries are used up and the last job of a release ended in one of `onJobStatuses`, or a verification of it failed,
//! the version is **held** on this target, and the last version that succeeded here before becomes desired."

use super::gates::policies;
use super::scene::{End, Held, Job, Scene};
use super::{pin, retry, verification};
use domain::entity::{PolicyRule, Record, Rollback, Version, VersionStatus};
use domain::id::VersionId;
use domain::job::TerminalStatus;
use domain::target::TargetKey;

/// What is held, now.
pub(crate) fn held(scene: &Scene<'_>, target: &TargetKey) -> Vec<Held> {
    let mut held = scene.remembered.get(target).map(|r| r.held.clone()).unwrap_or_default();
    held.retain(|held| !is_let_go(scene, target, held));
    if let Some(new) = newly(scene, target)
        && !wanted(scene, target, &new)
        && !is_let_go(scene, target, &new)
        && held.iter().all(|held| held.version != new.version)
    {
        held.insert(0, new);
    }
    held
}

/// "until somebody redeploys it there, pins it, or the variables of its release change"
fn is_let_go(scene: &Scene<'_>, target: &TargetKey, held: &Held) -> bool {
    wanted(scene, target, held) || scene.release(target, held.version) != held.release
}

fn wanted(scene: &Scene<'_>, target: &TargetKey, held: &Held) -> bool {
    // Whoever wishes for it when its job is over knows how that went.
    let job = scene.jobs.iter().find(|job| job.job.id == held.job);
    let over = job.and_then(|job| job.end).map_or(held.since, |end| end.at);
    let redeployed = scene
        .redeploys()
        .map(|wish| &wish.spec)
        .any(|wish| wish.target == *target && wish.version == Some(held.version) && wish.at >= over);
    let pinned = pin::narrowest(scene, target).is_some_and(|pin| pin.spec.version == held.version);
    redeployed || pinned
}

fn newly(scene: &Scene<'_>, target: &TargetKey) -> Option<Held> {
    let rules: Vec<&Rollback> = policies(scene, target)
        .into_iter()
        .filter(|(_, readable)| readable.is_ok())
        .flat_map(|(policy, _)| &policy.spec.rules)
        .filter_map(|rule| match rule {
            PolicyRule::Rollback(rollback) => Some(rollback),
            _ => None,
        })
        .collect();
    if scene.active(target).is_some() {
        return None;
    }
    let (job, end) = scene.last(target)?;
    let since = if end.badly() {
        // "A version that had succeeded here before is not held for a failed job: going back further would not help."
        let good = |(other, end): &(&Job, End)| {
            other.job.version == job.job.version && end.status == TerminalStatus::Successful
        };
        if scene.ended(target).iter().any(good) {
            return None;
        }
        let tried = retry::at(scene, target, job.job.release).is_none();
        let on_status = rules.iter().any(|rule| rule.on_job_statuses.contains(&end.status));
        if !(tried && on_status) {
            return None;
        }
        end.at
    } else {
        if !rules.iter().any(|rule| rule.on_verification_failure) {
            return None;
        }
        verification::failed(scene, job)?.at
    };
    let job = &job.job;
    Some(Held { version: job.version, release: job.release, job: job.id, since })
}

/// "the last version that succeeded here before (and is not held, rejected or changed since it was asked for, and is still in the catalog)"
pub(crate) fn back_to(scene: &Scene<'_>, target: &TargetKey, held: &[Held]) -> Option<VersionId> {
    let good =
        scene.ended(target).into_iter().rev().filter(|(_, end)| end.status == TerminalStatus::Successful);
    let found = good.map(|(job, _)| (job.job.version, job.requested_at)).find(|(version, asked)| {
        let known = scene.version(*version).is_some_and(|known| {
            let changed = known.spec.content_since.is_some_and(|changed| changed > *asked);
            known.spec.status != VersionStatus::Rejected && !changed
        });
        known && held.iter().all(|held| held.version != *version)
    });
    found.map(|(version, _)| version)
}

/// The hold that still waits for its rollback: nothing succeeded on the target since what it holds back ended.
pub(crate) fn pending<'h>(scene: &Scene<'_>, target: &TargetKey, held: &'h [Held]) -> Option<&'h Held> {
    let ended = scene.ended(target);
    let is_open = |held: &&Held| {
        let at = ended.iter().position(|(job, _)| job.job.id == held.job);
        at.is_some_and(|at| ended[at + 1..].iter().all(|(_, end)| end.status != TerminalStatus::Successful))
    };
    let open = held.iter().find(is_open)?;
    // What has set out to bring something else is not turned round.
    let way = scene.active(target).map(|job| job.job.version);
    way.is_none_or(|way| Some(way) == back_to(scene, target, held)).then_some(open)
}

/// "Versions between the held one and what runs are no candidates there either."
pub(crate) fn between(
    scene: &Scene<'_>,
    held: &[Held],
    runs: Option<VersionId>,
    version: &Record<Version>,
) -> bool {
    let age = |version: &Record<Version>| (version.meta.created_at, version.meta.id);
    let Some(runs) = runs.and_then(|runs| scene.version(runs)) else { return false };
    held.iter()
        .filter_map(|held| scene.version(held.version))
        .any(|held| age(runs) < age(version) && age(version) < age(held))
}
