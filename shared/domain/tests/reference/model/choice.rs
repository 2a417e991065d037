//! "The newest that every gate of every enabled matching policy allows is **desired**." And what is to be done about it.

use super::gates::{Asked, ask};
use super::scene::{Held, Scene};
use super::{freeze, pin, retry, rollback, verification};
use domain::Timestamp;
use domain::entity::{OnNewVersion, Record, Version, VersionStatus};
use domain::id::{JobId, ReleaseId, VersionId};
use domain::job::TerminalStatus;
use domain::target::TargetKey;
use std::collections::BTreeSet;

/// What the model says to a target.
pub(crate) struct Answer<'a> {
    /// Every candidate, newest first, and what each rule says to it.
    pub(crate) asked: Vec<(&'a Record<Version>, Vec<Asked<'a>>)>,
    pub(crate) desired: Option<VersionId>,
    pub(crate) request: Option<(VersionId, ReleaseId, u32)>,
    /// The wish that this fulfils, or the last that was fulfilled.
    pub(crate) redeployed_at: Option<Timestamp>,
    pub(crate) supersede: Option<JobId>,
    pub(crate) verifications: BTreeSet<JobId>,
    pub(crate) held: Vec<Held>,
    /// When rules say something else to what is held.
    pub(crate) of_held: Vec<Timestamp>,
    /// When a retry or a rollback that waits may go, beside what the rules say.
    pub(crate) then: Option<Timestamp>,
}

impl Answer<'_> {
    /// Every instant at which time alone may make it another one.
    pub(crate) fn instants(&self) -> BTreeSet<Timestamp> {
        let rules = self.asked.iter().flat_map(|(_, asked)| asked);
        rules.filter_map(|asked| asked.says.changes()).chain(self.then).chain(self.of_held.clone()).collect()
    }

    /// What comes of it.
    pub(crate) fn consequences(&self) -> Consequences {
        let held = self.held.iter().map(|held| held.version).collect();
        (self.desired, self.request, self.supersede, self.verifications.clone(), held)
    }
}

/// Desired, requested, superseded, verified, held.
pub(crate) type Consequences = (
    Option<VersionId>,
    Option<(VersionId, ReleaseId, u32)>,
    Option<JobId>,
    BTreeSet<JobId>,
    BTreeSet<VersionId>,
);

pub(crate) fn choose<'a>(scene: &Scene<'a>, target: &TargetKey) -> Answer<'a> {
    let held = rollback::held(scene, target);
    let is_held = |version: &&Record<Version>| held.iter().any(|held| held.version.0 == version.meta.id);
    let (kept_back, ready): (Vec<_>, Vec<_>) = scene.ready(target.deployment).into_iter().partition(is_held);
    let runs = stays(scene, target, &held);
    let pending = rollback::pending(scene, target, &held);
    let back = pending.and_then(|_| rollback::back_to(scene, target, &held));
    let pinned = pin::narrowest(scene, target).map(|pin| pin.spec.version);
    // "Where what runs is rejected, they are", and where another one is pinned.
    let elsewhere = pinned.is_some_and(|pinned| runs != Some(pinned));
    let above = runs
        .or(back)
        .or(pending.map(|held| held.version))
        .filter(|_| !elsewhere && !runs_rejected(scene, target));
    let ready = ready.into_iter().filter(|v| !rollback::between(scene, &held, above, v));
    let of_held = kept_back.into_iter().flat_map(|version| ask(scene, target, version));
    let of_held = of_held.filter_map(|asked| asked.says.changes()).collect();
    let asked: Vec<_> = ready.map(|version| (version, ask(scene, target, version))).collect();
    // What is held back makes way for what is newer, or for what ran before.
    let floor = match pending {
        // "Where what runs is rejected, they are."
        Some(_) if runs_rejected(scene, target) => None,
        // "… or another one is pinned."
        Some(held) if pinned.is_some_and(|pinned| pinned != held.version && Some(pinned) != back) => None,
        // "Unless a newer version passes": what runs, but was changed since it was asked for, is one, and no other than itself
        // lies between it and the held one.
        Some(held) => runs.filter(|runs| Some(*runs) != back).or(Some(held.version)),
        // A held version is on its way where somebody runs its job again.
        None => runs.or_else(|| {
            let way = scene.active(target).map(|job| job.job.version);
            way.filter(|version| held.iter().any(|held| held.version == *version))
        }),
    };
    let passing = asked.iter().find(|(version, asked)| {
        let allowed = asked.iter().all(|asked| asked.says.allows());
        allowed && floor.is_none_or(|floor| at_least(scene, version, floor))
    });
    let mut answer = Answer {
        desired: None,
        request: None,
        redeployed_at: scene.remembered.get(target).and_then(|remembered| remembered.redeployed_at),
        supersede: None,
        verifications: verification::wanted(scene, target),
        then: None,
        held: held.clone(),
        of_held,
        asked: Vec::new(),
    };
    match (passing, pending) {
        (Some((version, _)), _) => {
            let id = VersionId(version.meta.id);
            answer.desired = Some(id);
            bring(scene, target, id, back.is_some(), &mut answer);
        }
        (None, Some(_)) => {
            answer.desired = kept(scene, target);
            if let Some(back) = back.and_then(|back| scene.version(back)) {
                // "deployed again, gates or not (but for freezes and pins)"
                let frozen = freeze::judge(scene, target);
                if frozen.allows() && pin::judge(scene, target, back).allows() {
                    let back = VersionId(back.meta.id);
                    answer.desired = Some(back);
                    if in_the_way(scene, target, back, &mut answer) {
                    } else if wished(scene, target, back) {
                        request(scene, target, back, &mut answer);
                    } else {
                        try_once_more(scene, target, back, &mut answer);
                    }
                }
                answer.then = answer.then.into_iter().chain(frozen.changes()).min();
            }
        }
        // "When nothing passes, what runs stays."
        (None, None) => answer.desired = kept(scene, target),
    }
    // What may not go whatever its gates say need not be asked.
    answer.asked = asked;
    answer.asked.retain(|(version, _)| floor.is_none_or(|floor| at_least(scene, version, floor)));
    answer
}

/// "What runs, or is on its way, is not replaced by an *older* version unless it was rejected, rolled back, or another one
/// is pinned."
fn stays(scene: &Scene<'_>, target: &TargetKey, held: &[Held]) -> Option<VersionId> {
    let way = scene.active(target).map(|job| job.job.version);
    let runs = scene.current(target).map(|(job, _)| job.job.version);
    let pinned = pin::narrowest(scene, target).map(|pin| pin.spec.version);
    [way, runs].into_iter().flatten().find(|version| {
        scene.version(*version).is_some_and(|version| version.spec.status != VersionStatus::Rejected)
            && held.iter().all(|held| held.version != *version)
            && pinned.is_none_or(|pinned| pinned == *version)
    })
}

fn runs_rejected(scene: &Scene<'_>, target: &TargetKey) -> bool {
    let runs = scene.current(target).and_then(|(job, _)| scene.version(job.job.version));
    runs.is_some_and(|runs| runs.spec.status == VersionStatus::Rejected)
}

/// What stays where nothing passes: what is on its way, or what runs.
fn kept(scene: &Scene<'_>, target: &TargetKey) -> Option<VersionId> {
    let way = scene.active(target).map(|job| job.job.version);
    let runs = scene.current(target).map(|(job, _)| job.job.version);
    [way, runs].into_iter().flatten().find(|version| {
        scene.version(*version).is_some_and(|version| version.spec.status != VersionStatus::Rejected)
    })
}

fn at_least(scene: &Scene<'_>, version: &Record<Version>, floor: VersionId) -> bool {
    let floor = scene.version(floor);
    floor.is_none_or(|floor| {
        (version.meta.created_at, version.meta.id) >= (floor.meta.created_at, floor.meta.id)
    })
}

/// Asks for a job of a version that every gate allows, unless it runs, was tried, or another job is on its way. Where
/// something has to come back after a failure, what runs is no reason not to.
fn bring(
    scene: &Scene<'_>,
    target: &TargetKey,
    version: VersionId,
    comes_back: bool,
    answer: &mut Answer<'_>,
) {
    let release = scene.release(target, version);
    if in_the_way(scene, target, version, answer) {
        return;
    }
    if wished(scene, target, version) {
        return request(scene, target, version, answer);
    }
    if !comes_back && scene.current(target).is_some_and(|(job, _)| job.job.release == release) {
        return;
    }
    try_once_more(scene, target, version, answer);
}

fn try_once_more(scene: &Scene<'_>, target: &TargetKey, version: VersionId, answer: &mut Answer<'_>) {
    let release = scene.release(target, version);
    // "A release that comes back gets a job of its own": what failed before something else succeeded is not failing.
    let ended = scene.ended(target).into_iter().rev();
    let mut failing = ended.take_while(|(_, end)| end.status != TerminalStatus::Successful);
    let tried = failing.find(|(job, _)| job.job.release == release);
    match tried {
        // "Without the rule, nothing is tried again by itself."
        Some((_, end)) if end.badly() => match retry::at(scene, target, release) {
            Some(at) if at > scene.now => answer.then = Some(at),
            Some(_) => request(scene, target, version, answer),
            None => {}
        },
        Some(_) | None => request(scene, target, version, answer),
    }
}

/// Whether a job is on its way; one of another release is superseded, where the deployment says so.
fn in_the_way(scene: &Scene<'_>, target: &TargetKey, version: VersionId, answer: &mut Answer<'_>) -> bool {
    let Some(active) = scene.active(target) else { return false };
    let supersedes = scene.deployment(target.deployment).spec.on_new_version == OnNewVersion::Supersede;
    if supersedes && active.job.release != scene.release(target, version) && !active.cancelling {
        answer.supersede = Some(active.job.id);
    }
    true
}

fn request(scene: &Scene<'_>, target: &TargetKey, version: VersionId, answer: &mut Answer<'_>) {
    let release = scene.release(target, version);
    let attempts = scene.deploys(target).into_iter().filter(|job| job.job.release == release).count();
    answer.request = Some((version, release, attempts as u32 + 1));
    let wish = scene
        .redeploys()
        .map(|wish| &wish.spec)
        .find(|wish| wish.target == *target && wish.version.is_none_or(|about| about == version));
    answer.redeployed_at = wish.map(|wish| wish.at).or(answer.redeployed_at);
}

/// "**Redeploy**: one more job of what is desired, when the gates allow it." "A job that began after that fulfils it."
fn wished(scene: &Scene<'_>, target: &TargetKey, desired: VersionId) -> bool {
    scene.redeploys().map(|wish| &wish.spec).any(|wish| {
        wish.target == *target
            && wish.version.is_none_or(|version| version == desired)
            && scene.deploys(target).into_iter().all(|job| {
                // What a wish is about is not brought by a job of another version.
                let about = wish.version.is_none_or(|version| version == job.job.version);
                !about || job.requested_at < wish.at
            })
    })
}
