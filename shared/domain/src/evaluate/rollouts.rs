//! Asks rollouts: over which targets a version goes, which place each has, and on which of them it went badly.

use super::ask::Parts;
use super::decide::is_rejected;
use super::facts::JobStanding;
use super::gates::Asked;
use super::gradual_rollout::{self, Need, PLACES_MAX, Placed, Turn};
use super::history::{History, speaks_against};
use super::once::Once;
use super::open_time::{Start, Stop, crowded};
use super::review::Floor;
use super::ruling::Ruling;
use super::verification::Verified;
use super::view::{DeploymentView, Place};
use crate::Timestamp;
use crate::decision::{JobOnTarget, RolloutPlace, TargetDecision};
use crate::entity::{GradualRollout, Kind, Policy, Record, RolloutAction, RolloutControl, Version};
use crate::id::{EnvironmentId, PolicyId, RolloutControlId, VersionId};
use crate::target::TargetKey;
use rustc_hash::FxHashMap;
use std::cell::{Cell, OnceCell};
use std::rc::Rc;

/// What is the same for all targets of a rollout, each found once.
#[derive(Default)]
pub(super) struct Rollouts<'a> {
    known: Once<Asked, Rc<Rollout<'a>>>,
    /// The targets of an environment that a policy governs, in order.
    governed: Once<(PolicyId, EnvironmentId), Targets>,
    /// On which targets of an environment a version's job ended last, and badly, and when, as decisions remember it.
    ended_badly: Once<EnvironmentId, Rc<EndedBadly>>,
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

/// A rule asked about the rollout of a version to a target.
#[derive(Clone, Copy)]
pub(super) struct Question<'v, 'a> {
    pub(super) policy: &'a Record<Policy>,
    pub(super) index: usize,
    pub(super) rule: &'a GradualRollout,
    pub(super) version: &'a Record<Version>,
    pub(super) place: &'v Place<'a>,
    pub(super) places: &'v Places,
}

impl Question<'_, '_> {
    fn rule_of_version(&self) -> RuleOfVersion {
        let index = u32::try_from(self.index).unwrap_or(u32::MAX);
        (VersionId(self.version.meta.id), PolicyId(self.policy.meta.id), index)
    }
}

type RuleOfVersion = (VersionId, PolicyId, u32);

/// The places in rollouts that a target was given, and how many more it can be given.
pub(super) struct Places {
    known: FxHashMap<RuleOfVersion, RolloutPlace>,
    free: Cell<usize>,
}

impl Places {
    /// Takes one more, if there is one.
    fn take(&self) -> bool {
        let left = self.free.get().checked_sub(1);
        self.free.set(left.unwrap_or(0));
        left.is_some()
    }
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

    /// The place of a target that was not given one yet.
    fn by_hash(&self, rule: &GradualRollout, target: &TargetKey) -> Placed {
        Placed::new(rule, self.position(target), self.targets.len().max(1))
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
        asked: &Question<'_, 'a>,
        start: Option<&Start<'_>>,
        runs: bool,
    ) -> Ruling {
        let Question { policy, rule, place, .. } = *asked;
        if let Some((id, error)) = self.ws.broken(Kind::RolloutControl).next() {
            return Ruling::error(format!("the word {id} on a rollout cannot be read: {error}"));
        }
        if let Some(why) = self.targets_untold() {
            return Ruling::error(why);
        }
        let rollout = self.rollout(asked);
        let known = asked.places.known.get(&asked.rule_of_version());
        let known = known.and_then(|known| Placed::remembered(known, policy));
        let placed = known.unwrap_or_else(|| rollout.by_hash(rule, &place.key));
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
        let ruling = gradual_rollout::judge(rule, &turn, self.now);
        let is_new = known.is_none() && start.is_some();
        if is_new && !asked.places.take() && !ruling.verdict.allows() {
            return gradual_rollout::without_place();
        }
        ruling
    }

    /// The places the target was given, and how many more it can be given.
    pub(super) fn places(&self, place: &Place<'a>, history: &History<'a>, floor: &Floor) -> Places {
        let before = self.decided.decision(&place.key);
        let known: FxHashMap<_, _> = before
            .into_iter()
            .flat_map(TargetDecision::rollout_places)
            .map(|given| (given.rule(), given))
            .collect();
        let kept = known.values().filter(|given| self.need(place, history, floor, given) == Need::Kept);
        let free = Cell::new(PLACES_MAX.saturating_sub(kept.count()));
        Places { known, free }
    }

    /// The rollout of a version over the targets of an environment that the policy governs.
    fn rollout(&self, asked: &Question<'_, 'a>) -> Rc<Rollout<'a>> {
        let Question { policy, index, version, place, .. } = *asked;
        let key = (PolicyId(policy.meta.id), index, VersionId(version.meta.id), place.key.environment);
        self.rollouts.known.get(key, || Rc::new(self.find_rollout(asked)))
    }

    fn find_rollout(&self, asked: &Question<'_, 'a>) -> Rollout<'a> {
        let Question { policy, rule, version, place, .. } = *asked;
        let (version, environment) = (VersionId(version.meta.id), place.key.environment);
        let control = self.ws.rollout_control(RolloutControlId::of(version, environment));
        let targets = self.governed(policy, place);
        let mut rollout = Rollout { version, targets, positions: OnceCell::new(), bad: Vec::new(), control };
        let forgiven = control
            .filter(|control| control.spec.action == RolloutAction::Resume)
            .map(|control| control.spec.at);
        let turn = |target: &TargetKey| {
            let mut given =
                self.decided.decision(target).into_iter().flat_map(TargetDecision::rollout_places);
            let given = given.find(|given| given.rule() == asked.rule_of_version());
            let given = given.and_then(|given| Placed::remembered(&given, policy));
            given.unwrap_or_else(|| rollout.by_hash(rule, target)).turn()
        };
        let bad = self.bad_on(&rollout, environment, forgiven);
        rollout.bad = bad.into_iter().map(|(target, bad)| (turn(&target), bad)).collect();
        rollout
    }

    fn governed(&self, policy: &'a Record<Policy>, place: &Place<'a>) -> Targets {
        let asked = (PolicyId(policy.meta.id), place.key.environment);
        let is_governed = |target: &&TargetKey| {
            self.ws.resource(target.resource).is_some_and(|resource| {
                // Of whom it cannot be told, it is not told here either: its own decision is denied.
                self.selects(policy, Parts { resource, ..place.parts() }).unwrap_or(false)
            })
        };
        let targets = self.targets_in(place.key.environment);
        self.rollouts.governed.get(asked, || targets.iter().filter(is_governed).copied().collect())
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
            let Some(from) = self.bad_since(job) else { continue };
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
        let remembered =
            self.rollouts.ended_badly.get(environment, || Rc::new(self.ended_badly(environment)));
        let of_version = remembered.get(&rollout.version).into_iter().flatten();
        // Until another job of it has ended there, nothing is mended.
        let is_known = |target| {
            let mut jobs = self.facts.jobs_of(target).filter(|job| job.job.version == rollout.version);
            jobs.any(|job| job.is_over())
        };
        let forgotten = of_version.filter(|(target, _)| rollout.has(target) && !is_known(target));
        let bad = |from: Timestamp| Bad { from, until: forgiven.filter(|at| from <= *at) };
        forgotten.map(|(target, from)| (*target, bad(*from))).collect()
    }

    fn ended_badly(&self, environment: EnvironmentId) -> EndedBadly {
        let mut ended_badly = EndedBadly::default();
        for target in self.targets_in(environment) {
            let last = self.decided.decision(target).and_then(|before| before.last.as_ref());
            if let Some(last) = last.filter(|last| speaks_against(last.status, last.reason)) {
                ended_badly.entry(last.version).or_default().push((*target, last.at));
            }
        }
        ended_badly
    }

    /// Since when the job's end speaks against the version, if it does.
    fn bad_since(&self, job: &JobStanding) -> Option<Timestamp> {
        let (status, reason) = job.status();
        if speaks_against(status, reason) {
            return Some(job.at);
        }
        // What was measured is a fact, whichever policies there are now.
        let measured = || Verified::of(self.facts, job, std::iter::empty()).failed_at();
        job.succeeded().then(measured)?
    }

    /// Who may ask for a place that the target was given.
    pub(super) fn need(
        &self,
        place: &Place<'a>,
        history: &History<'a>,
        floor: &Floor,
        given: &RolloutPlace,
    ) -> Need {
        match self.ws.policy(given.policy) {
            Some(policy) if policy.meta.updated_at == given.policy_updated_at => {}
            None if self.is_broken(Kind::Policy, given.policy.0) => {}
            Some(_) | None => return Need::Gone,
        }
        let Some(version) = self.version(given.version) else {
            return if self.is_unreadable(given.version) { Need::Kept } else { Need::Gone };
        };
        if is_rejected(version) {
            return Need::Spare;
        }
        // What is on its way may fail, and then what is newer than what runs is a candidate again.
        let runs = match &history.current {
            Some(current) if self.version(current.version).is_some() => Floor::Version(current.version),
            Some(current) if !self.is_unreadable(current.version) => Floor::After(current.since),
            Some(_) | None => Floor::None,
        };
        if floor.is_below(self, version) || runs.is_below(self, version) {
            return Need::Kept;
        }
        let is_last =
            |last: &JobOnTarget| last.version == given.version && speaks_against(last.status, last.reason);
        let mut jobs = self.facts.jobs_of(&place.key).filter(|job| job.job.version == given.version);
        let was_bad =
            history.last.as_ref().is_some_and(is_last) || jobs.any(|job| self.bad_since(job).is_some());
        if was_bad { Need::Kept } else { Need::Spare }
    }
}
