//! Asks rollouts: over which targets a version goes, which place each has, and on which of them it went badly.

use super::ask::Parts;
use super::facts::JobStanding;
use super::gates::Asked;
use super::gradual_rollout::{self, Need, Placed, Turn};
use super::history::speaks_against;
use super::open_time::{Start, Stop, crowded};
use super::review::Floor;
use super::ruling::Ruling;
use super::view::{DeploymentView, Place};
use crate::Timestamp;
use crate::entity::{GradualRollout, Kind, Policy, Record, RolloutAction, RolloutControl, Version};
use crate::id::{EnvironmentId, PolicyId, RolloutControlId, VersionId};
use crate::target::TargetKey;
use rustc_hash::FxHashMap;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

/// What is the same for all targets of a rollout, each found once.
#[derive(Default)]
pub(super) struct Rollouts<'a> {
    known: RefCell<FxHashMap<Asked, Rc<Rollout<'a>>>>,
    /// The targets of an environment that a policy governs, in order.
    governed: RefCell<FxHashMap<(PolicyId, EnvironmentId), Targets>>,
    /// On which targets of an environment a version's job ended last, and badly, and when, as decisions remember it.
    ended_badly: RefCell<FxHashMap<EnvironmentId, Rc<EndedBadly>>>,
}

type Targets = Rc<[TargetKey]>;
type EndedBadly = FxHashMap<VersionId, Vec<(TargetKey, Timestamp)>>;

/// The rollout of a version over the targets of an environment that a policy governs.
struct Rollout<'a> {
    version: VersionId,
    /// In order.
    targets: Targets,
    /// The place by hash of each of the targets, from 0.
    positions: OnceCell<Vec<u32>>,
    /// From when to when it was bad on targets, each with the target's turn: its offset in seconds, and its place.
    bad: Vec<((u64, u32), Bad)>,
    /// A person's word on it.
    control: Option<&'a Record<RolloutControl>>,
}

/// From when to when a version was bad on a target. No end: it is.
#[derive(Debug, Clone, Copy)]
struct Bad {
    from: Timestamp,
    until: Option<Timestamp>,
}

impl Rollout<'_> {
    fn has(&self, target: &TargetKey) -> bool {
        self.targets.binary_search(target).is_ok()
    }

    /// The target's place by hash; behind all where it is none of them.
    fn position(&self, target: &TargetKey) -> usize {
        let positions = self.positions.get_or_init(|| {
            let mut order: Vec<usize> = (0..self.targets.len()).collect();
            order.sort_by_cached_key(|nth| gradual_rollout::rank_of(&self.targets[*nth], self.version));
            let mut positions = vec![0; order.len()];
            for (position, nth) in (0..).zip(order) {
                positions[nth] = position;
            }
            positions
        });
        let nth = self.targets.binary_search(target).ok();
        nth.map_or(self.targets.len(), |nth| positions[nth] as usize)
    }
}

impl<'a> DeploymentView<'a> {
    /// `start` is when all other gates were met; `None`: they are not.
    pub(super) fn gradual_rollout(
        &self,
        policy: &'a Record<Policy>,
        index: usize,
        rule: &'a GradualRollout,
        (place, version): (&Place<'a>, &'a Record<Version>),
        start: Option<&Start<'_>>,
        runs: bool,
    ) -> Ruling {
        if let Some((id, error)) = self.ws.broken(Kind::RolloutControl).next() {
            return Ruling::error(format!("the word {id} on a rollout cannot be read: {error}"));
        }
        if let Some(why) = self.targets_untold() {
            return Ruling::error(why);
        }
        let rollout = self.rollout(policy, index, rule, place, version);
        let placed = self.placed(&rollout, &place.key, policy, index, rule, VersionId(version.meta.id));
        let before = || rollout.bad.iter().filter(|(turn, _)| *turn < placed.turn()).map(|(_, bad)| bad);
        let failures = before().filter(|bad| bad.until.is_none()).count();
        let control = rollout.control.map(|control| &control.spec);
        let mut stops = Vec::new();
        if rule.pause_on_failure {
            stops = crowded(before().map(|bad| (bad.from, bad.until)), rule.max_failures as usize);
        }
        let pauses = control.into_iter().flat_map(|control| &control.pauses);
        stops.extend(pauses.map(|pause| Stop { from: pause.from, until: pause.until }));
        let turn = Turn { placed, start, stops, failures, control, runs };
        gradual_rollout::judge(rule, &turn, self.now)
    }

    fn placed(
        &self,
        rollout: &Rollout<'_>,
        target: &TargetKey,
        policy: &Record<Policy>,
        index: usize,
        rule: &GradualRollout,
        version: VersionId,
    ) -> Placed {
        let before = self.decided.decision(target);
        let remembered = before.and_then(|before| Placed::remembered(before, policy, index, version));
        remembered
            .unwrap_or_else(|| Placed::new(rule, rollout.position(target), rollout.targets.len().max(1)))
    }

    /// The rollout of a version over the targets of an environment that the policy governs.
    fn rollout(
        &self,
        policy: &'a Record<Policy>,
        index: usize,
        rule: &GradualRollout,
        place: &Place<'a>,
        version: &'a Record<Version>,
    ) -> Rc<Rollout<'a>> {
        let version_id = VersionId(version.meta.id);
        let asked: Asked = (PolicyId(policy.meta.id), index, version_id, place.key.environment);
        if let Some(known) = self.rollouts.known.borrow().get(&asked) {
            return Rc::clone(known);
        }
        let control = self.ws.rollout_control(RolloutControlId::of(version_id, place.key.environment));
        let targets = self.governed(policy, place);
        let positions = OnceCell::new();
        let mut rollout = Rollout { version: version_id, targets, positions, bad: Vec::new(), control };
        let forgiven = control
            .filter(|control| control.spec.action == RolloutAction::Resume)
            .map(|control| control.spec.at);
        let turn = |target| self.placed(&rollout, &target, policy, index, rule, version_id).turn();
        let bad = self.bad_on(&rollout, place.key.environment, forgiven);
        rollout.bad = bad.into_iter().map(|(target, bad)| (turn(target), bad)).collect();
        let rollout = Rc::new(rollout);
        self.rollouts.known.borrow_mut().insert(asked, Rc::clone(&rollout));
        rollout
    }

    fn governed(&self, policy: &'a Record<Policy>, place: &Place<'a>) -> Targets {
        let asked = (PolicyId(policy.meta.id), place.key.environment);
        if let Some(known) = self.rollouts.governed.borrow().get(&asked) {
            return Rc::clone(known);
        }
        let governed = self.targets_in(place.key.environment).iter().filter(|target| {
            self.ws.resource(target.resource).is_some_and(|resource| {
                // Of whom it cannot be told, it is not told here either: its own decision is denied.
                self.selects(policy, Parts { resource, ..place.parts() }).unwrap_or(false)
            })
        });
        let governed: Targets = governed.copied().collect();
        self.rollouts.governed.borrow_mut().insert(asked, Rc::clone(&governed));
        governed
    }

    /// When it was bad on the targets of the rollout: from where the version failed, or its verification did, until the next
    /// job of it there ended, or a person let the rollout go on.
    fn bad_on(
        &self,
        rollout: &Rollout<'_>,
        environment: EnvironmentId,
        forgiven: Option<Timestamp>,
    ) -> Vec<(TargetKey, Bad)> {
        // One that is being tried again has not been mended yet.
        let ended = self.facts.jobs_of_version(rollout.version).filter(|job| job.is_over());
        let mut jobs: Vec<_> = ended.filter(|job| rollout.has(&job.job.target)).collect();
        jobs.sort_unstable_by_key(|job| (job.job.target, job.sequence));
        let mut bad = self.remembered_bad(rollout, environment, forgiven);
        for (nth, job) in jobs.iter().enumerate() {
            let target = job.job.target;
            let Some(from) = self.bad_since(&target, job) else { continue };
            let next = jobs.get(nth + 1).filter(|next| next.job.target == target).map(|next| next.at);
            let forgiven = forgiven.filter(|at| from <= *at);
            let until = next.into_iter().chain(forgiven).min();
            bad.push((target, Bad { from, until }));
        }
        bad
    }

    /// The same where the facts have forgotten, and the last decision on a target remembers how its last job ended.
    fn remembered_bad(
        &self,
        rollout: &Rollout<'_>,
        environment: EnvironmentId,
        forgiven: Option<Timestamp>,
    ) -> Vec<(TargetKey, Bad)> {
        let remembered = self.ended_badly(environment);
        let of_version = remembered.get(&rollout.version).into_iter().flatten();
        let is_known = |target| self.facts.jobs_of(target).any(|job| job.job.version == rollout.version);
        let forgotten = of_version.filter(|(target, _)| rollout.has(target) && !is_known(target));
        let bad = |from: Timestamp| Bad { from, until: forgiven.filter(|at| from <= *at) };
        forgotten.map(|(target, from)| (*target, bad(*from))).collect()
    }

    fn ended_badly(&self, environment: EnvironmentId) -> Rc<EndedBadly> {
        if let Some(known) = self.rollouts.ended_badly.borrow().get(&environment) {
            return Rc::clone(known);
        }
        let mut ended_badly = EndedBadly::default();
        for target in self.targets_in(environment) {
            let last = self.decided.decision(target).and_then(|before| before.last.as_ref());
            if let Some(last) = last.filter(|last| speaks_against(last.status, last.reason)) {
                ended_badly.entry(last.version).or_default().push((*target, last.at));
            }
        }
        let ended_badly = Rc::new(ended_badly);
        self.rollouts.ended_badly.borrow_mut().insert(environment, Rc::clone(&ended_badly));
        ended_badly
    }

    /// Since when the job's end speaks against the version, if it does.
    fn bad_since(&self, target: &TargetKey, job: &JobStanding) -> Option<Timestamp> {
        let (status, reason) = job.status();
        if speaks_against(status, reason) {
            return Some(job.at);
        }
        let place = self.place(target).filter(|_| job.succeeded())?;
        self.verified(&place, job).failed_at()
    }

    /// Who may ask for the place of a target in the rollout of a version.
    pub(super) fn need(&self, place: &Place<'a>, floor: &Floor, version: VersionId) -> Need {
        let Some(record) = self.version(version) else {
            return if self.is_unreadable(version) { Need::Kept } else { Need::Gone };
        };
        let was_bad = || {
            let mut jobs = self.facts.jobs_of(&place.key).filter(|job| job.job.version == version);
            let last = self.decided.decision(&place.key).and_then(|before| before.last.as_ref());
            last.is_some_and(|last| last.version == version && speaks_against(last.status, last.reason))
                || jobs.any(|job| self.bad_since(&place.key, job).is_some())
        };
        if floor.is_below(self, record) || was_bad() { Need::Kept } else { Need::Spare }
    }
}
