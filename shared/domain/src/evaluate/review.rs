//! Which version a target should run: the candidates, newest first, and what every rule says of each.

use super::history::History;
use super::open_time::Start;
use super::rollback::{self, Holds};
use super::rollouts::{Places, Question};
use super::ruling::{Named, Ruling, latest};
use super::skip::Skipped;
use super::view::{DeploymentView, Place};
use super::{deployment_window, pin, skip, version_cooldown};
use crate::Timestamp;
use crate::decision::{ConsideredVersion, HeldVersion, RuleVerdict, Verdict};
use crate::entity::{
    DeploymentDependency, DeploymentWindow, Kind, Policy, PolicyRule, Record, Version, VersionStatus,
};
use crate::id::{PolicyId, ReleaseId, VersionId};

use std::cell::{OnceCell, RefCell};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// How many candidates a decision shows.
const SHOWN_MAX: usize = 10;

/// Of how many built-in rules there is something to say, hardly ever of more.
const BUILT_IN_MOSTLY: usize = 2;

/// What is never replaced by an older version.
pub(super) enum Floor {
    /// Nothing runs, or what runs was rejected.
    None,
    /// This version runs or is on its way.
    Version(VersionId),
    /// A version that the catalog does not know any more runs: only what came after it may replace it.
    After(Timestamp),
}

impl Floor {
    /// Whether the version may replace what runs.
    pub(super) fn is_below(&self, view: &DeploymentView<'_>, version: &Record<Version>) -> bool {
        let rank = |of: &Record<Version>| (of.meta.created_at, of.meta.id);
        match self {
            Floor::None => true,
            Floor::Version(floor) => view.version(*floor).is_none_or(|floor| rank(version) > rank(floor)),
            Floor::After(instant) => version.meta.created_at > *instant,
        }
    }
}

/// How much is asked about candidates that are too many to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Every rule of so many, so that *why* is complete of them; of more of them as of those that are too many to show.
    Of(usize),
    /// Down to the first rule that holds one back: before that rule says something else, the others do not matter.
    Shown,
}

/// What came of looking at the candidates.
pub(super) struct Review<'a> {
    /// The candidates that were looked at, newest first.
    pub(super) considered: Vec<ConsideredVersion>,
    /// Those that were looked at as well and are too many to show.
    pub(super) hidden: Vec<ConsideredVersion>,
    /// How many more do not pass, of which nothing else is known.
    pub(super) untold: usize,
    /// The rules that hold one of them back.
    pub(super) waits_for: BTreeSet<&'static str>,
    /// The newest that passes, and the release it makes here.
    pub(super) chosen: Option<(&'a Record<Version>, ReleaseId)>,
    /// The earliest instant at which time alone may change what is said of the ones that do not pass.
    pub(super) next_look: Option<Timestamp>,
    /// The earliest instant at which time alone may take the yes back from the chosen one.
    pub(super) chosen_until: Option<Timestamp>,
}

/// Looks at the candidates down to the first that passes, or to the floor. What a rollback holds back is none, nor is
/// what lies between it and what runs; where nothing newer passes, what ran before comes back.
pub(super) fn review<'a>(
    view: &DeploymentView<'a>,
    place: &Place<'a>,
    floor: &Floor,
    history: &History<'a>,
    holds: &Holds,
    depth: Depth,
) -> Review<'a> {
    let mut review = Review {
        considered: Vec::new(),
        hidden: Vec::new(),
        untold: 0,
        waits_for: BTreeSet::new(),
        chosen: None,
        next_look: None,
        chosen_until: None,
    };
    let pin = view.pin(&place.key);
    let mut below: Option<&HeldVersion> = None;
    // Where a version that is held cannot be read, what is older than its failure may lie below it.
    let unreadable = holds.held.iter().filter(|held| view.is_unreadable(held.version));
    let unreadable = unreadable.max_by_key(|held| held.since);
    let on_target = OnTarget::of(view, place, history, floor);
    for version in view.versions() {
        let id = VersionId(version.meta.id);
        below = below.or(unreadable.filter(|held| version.meta.created_at <= held.since));
        if let Floor::After(instant) = floor
            && version.meta.created_at <= *instant
        {
            break;
        }
        let is_floor = matches!(floor, Floor::Version(floor) if *floor == id);
        let held = holds.of(id);
        let is_between = !is_floor && !matches!(floor, Floor::None) && held.is_none();
        let between = below.filter(|_| is_between);
        let is_pinned = pin.is_some_and(|pin| pin.spec.version == id);
        let ran_before = holds.restore.as_ref().is_some_and(|restore| restore.version == id);
        // What ran before comes back at the end, gates or not; where what runs was rejected, it is one of many as well.
        let is_candidate = version.spec.status == VersionStatus::Ready && !(ran_before && is_floor);
        let is_one_to_show = is_floor || is_pinned || ran_before || held.is_some();
        let is_shown = review.considered.len() < SHOWN_MAX || is_one_to_show;
        let is_told = is_shown
            || match depth {
                Depth::Of(most) => review.considered.len() < most,
                Depth::Shown => false,
            };
        if is_candidate && let Some(held) = between {
            // Whatever the gates say, so they are not asked.
            if is_told {
                let below = rollback::judge_below(held, view.is_unreadable(held.version));
                review.considered.push(considered(version, false, vec![Named::built_in("rollback", below)]));
            } else {
                review.untold += 1;
            }
        } else if is_candidate {
            let extent = if is_told { Extent::All } else { Extent::FirstObstacle };
            let mut rulings = on_target.rulings(version, extent);
            rulings.extend(held.map(|held| Named::built_in("rollback", rollback::judge(held))));
            if review.take(view, place, version, rulings, extent) {
                break;
            }
        }
        below = held.or(below);
        if is_floor || is_pinned {
            break;
        }
    }
    if let (None, Some(restore)) = (&review.chosen, &holds.restore)
        && let Some(version) = view.version(restore.version)
    {
        review.considered.retain(|told| told.version != restore.version);
        let back = Ruling::allow("it ran here before, and what came after it failed", None);
        let mut rulings = vec![Named::built_in("rollback", back)];
        rulings.extend(view.freeze(place).map(|ruling| Named::built_in("freeze", ruling)));
        rulings.extend(pinned(view, place, version));
        review.take(view, place, version, rulings, Extent::All);
    }
    review.hidden = shorten(&mut review.considered);
    review
}

impl<'a> Review<'a> {
    /// Takes in what the rules say of a version, and tells whether it is the one.
    fn take(
        &mut self,
        view: &DeploymentView<'a>,
        place: &Place<'a>,
        version: &'a Record<Version>,
        rulings: Vec<Named<'a>>,
        extent: Extent,
    ) -> bool {
        // A place in a rollout is kept; of the others nothing need be remembered.
        if extent == Extent::FirstObstacle
            && !rulings.iter().any(Named::gives_place)
            && let Some(Named { rule, ruling, .. }) =
                rulings.last().filter(|last| !last.ruling.verdict.allows())
        {
            self.untold += 1;
            self.waits_for.insert(rule);
            self.next_look = self.next_look.into_iter().chain(ruling.next_change()).min();
            return false;
        }
        let mut rulings = rulings;
        let release = view.release_of(&place.key, VersionId(version.meta.id));
        if let Err(error) = &release {
            let ruling = Ruling::error(format!("a variable cannot be resolved: {error}"));
            rulings.push(Named::built_in("variables", ruling));
        }
        let allowed = rulings.iter().all(|named| named.ruling.verdict.allows());
        let held_back = rulings.iter().filter(|named| !named.ruling.verdict.allows());
        self.waits_for.extend(held_back.map(|named| named.rule));
        let change = rulings.iter().filter_map(|named| named.ruling.next_change()).min();
        self.considered.push(considered(version, allowed, rulings));
        if let (true, Ok(release)) = (allowed, release) {
            self.chosen = Some((version, release));
            self.chosen_until = change;
            return true;
        }
        self.next_look = self.next_look.into_iter().chain(change).min();
        false
    }

    /// All that were looked at, newest first: those that are shown, and those that are too many among them.
    pub(super) fn all(mut self) -> (Vec<ConsideredVersion>, usize) {
        if !self.hidden.is_empty() {
            let last = self.considered.pop();
            self.considered.append(&mut self.hidden);
            self.considered.extend(last);
        }
        (self.considered, self.untold)
    }

    /// Tells of each candidate what comes of asking, which says whether it is the chosen one.
    pub(super) fn tell(&mut self, ask: impl Fn(VersionId, bool) -> Option<Named<'a>>) {
        let chosen = self.chosen.map(|(version, _)| VersionId(version.meta.id));
        for told in self.considered.iter_mut().chain(&mut self.hidden) {
            let said = ask(told.version, Some(told.version) == chosen);
            told.rules.extend(said.map(Named::into_verdict));
        }
    }

    /// Tells of the chosen version what is said of its retries.
    pub(super) fn tell_retries(&mut self, said: Vec<Named<'a>>) {
        let chosen = self.chosen.map(|(version, _)| VersionId(version.meta.id));
        if let Some(told) = self.considered.iter_mut().find(|told| Some(told.version) == chosen) {
            told.rules.extend(said.into_iter().map(Named::into_verdict));
        }
    }
}

/// The most telling ones stay: the newest, and the one that was chosen.
fn shorten(considered: &mut Vec<ConsideredVersion>) -> Vec<ConsideredVersion> {
    if considered.len() <= SHOWN_MAX {
        return Vec::new();
    }
    let chosen = considered.pop();
    let hidden = considered.split_off(SHOWN_MAX - 1);
    considered.extend(chosen);
    hidden
}

/// How far the rules of a version are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of them.
    All,
    /// Down to the first that does not allow it, which is the last in the answer. Rollouts are asked all the same when it
    /// is their turn: each gives a place that is to be remembered.
    FirstObstacle,
}

/// A target whose candidates are asked one after the other: what is the same for all of them is found once.
pub(super) struct OnTarget<'v, 'a> {
    view: &'v DeploymentView<'a>,
    place: &'v Place<'a>,
    history: &'v History<'a>,
    floor: &'v Floor,
    freeze: Option<Ruling>,
    places: OnceCell<Places>,
    /// What `deploymentDependency` says, by policy and index of the rule.
    dependencies: RefCell<Vec<((PolicyId, usize), Ruling)>>,
}

impl<'v, 'a> OnTarget<'v, 'a> {
    pub(super) fn of(
        view: &'v DeploymentView<'a>,
        place: &'v Place<'a>,
        history: &'v History<'a>,
        floor: &'v Floor,
    ) -> Self {
        let (places, dependencies) = (OnceCell::new(), RefCell::default());
        Self { view, place, history, floor, freeze: view.freeze(place), places, dependencies }
    }

    /// What every gate of every enabled matching policy says.
    pub(super) fn rulings(&self, version: &'a Record<Version>, extent: Extent) -> Vec<Named<'a>> {
        let Self { view, place, history, .. } = *self;
        let id = VersionId(version.meta.id);
        let rules =
            || place.policies().iter().map(|(policy, _)| policy.spec.rules.len().max(1)).sum::<usize>();
        let expected = match extent {
            Extent::All => rules() + BUILT_IN_MOSTLY,
            Extent::FirstObstacle => BUILT_IN_MOSTLY,
        };
        let mut rulings = Vec::with_capacity(expected);
        let is_enough = |rulings: &[Named<'_>]| {
            extent == Extent::FirstObstacle
                && rulings.last().is_some_and(|last| !last.ruling.verdict.allows())
        };
        for (id, error) in view.broken_policies() {
            let ruling = Ruling::error(format!("the policy {id} cannot be read: {error}"));
            rulings.push(Named::built_in("policy", ruling));
        }
        if is_enough(&rulings) {
            return rulings;
        }
        rulings.extend(self.freeze.clone().map(|ruling| Named::built_in("freeze", ruling)));
        if is_enough(&rulings) {
            return rulings;
        }
        rulings.extend(pinned(view, place, version));
        if is_enough(&rulings) {
            return rulings;
        }
        for needs in &version.spec.dependencies {
            rulings.push(Named::built_in("versionDependency", view.version_dependency(needs, place)));
            if is_enough(&rulings) {
                return rulings;
            }
        }
        let has_run = history.current.is_some();
        let skips: Vec<_> = view.ws.skips_of(id).collect();
        let skip = |policy, index| skip::of_rule(&skips, policy, index, &place.key, view.now);
        let mut rollouts = Vec::new();
        let mut windows = Vec::new();
        for (policy, broken) in place.policies() {
            let policy = *policy;
            if let Some(error) = broken {
                let reason = format!("the policy's selector cannot be evaluated: {error}");
                rulings.push(Named::of(policy, 0, "selector", Ruling::error(reason)));
                if is_enough(&rulings) {
                    return rulings;
                }
                continue;
            }
            for (index, rule) in policy.spec.rules.iter().enumerate() {
                let ruling = match rule {
                    PolicyRule::AnyApproval(rule) => view.any_approval(policy, index, rule, place, version),
                    PolicyRule::EnvironmentProgression(rule) => {
                        view.environment_progression(policy, index, rule, place, version)
                    }
                    PolicyRule::VersionSelector(rule) => {
                        view.version_selector(policy, index, rule, place, version)
                    }
                    PolicyRule::DeploymentWindow(rule) => {
                        if has_run && !matches!(skip(policy, index), Some(Skipped::By(_))) {
                            windows.push((policy, rule));
                        }
                        view.deployment_window(policy, index, rule, has_run)
                    }
                    PolicyRule::VersionCooldown(rule) => {
                        let (active, last) = (history.on_its_way(), history.last_deploy());
                        version_cooldown::judge(rule, id, active, last, view.now)
                    }
                    PolicyRule::DeploymentDependency(rule) => self.dependency(policy, index, rule),
                    PolicyRule::GradualRollout(rollout) => {
                        rollouts.push((policy, index, rule.name(), rollout));
                        continue;
                    }
                    PolicyRule::Retry(_) | PolicyRule::Rollback(_) | PolicyRule::Verification(_) => continue,
                };
                let ruling = match skip(policy, index) {
                    Some(skipped) => skipped.apply(policy, ruling),
                    None => ruling,
                };
                rulings.push(Named::of(policy, index, rule.name(), ruling));
                if is_enough(&rulings) {
                    return rulings;
                }
            }
        }
        if rollouts.is_empty() {
            return rulings;
        }
        let start = started_at(view, version, &rulings, &windows);
        let runs = history.current.as_ref().is_some_and(|current| current.version == id);
        let places = self.places.get_or_init(|| view.places(place, history, self.floor));
        for (policy, index, name, rule) in rollouts {
            let asked = Question { policy, index, rule, version, place, places };
            let ruling = view.gradual_rollout(&asked, start.as_ref(), runs);
            let ruling = match skip(policy, index) {
                Some(skipped) => skipped.apply(policy, ruling),
                None => ruling,
            };
            rulings.push(Named::of(policy, index, name, ruling));
        }
        rulings
    }

    fn dependency(&self, policy: &Record<Policy>, index: usize, rule: &'a DeploymentDependency) -> Ruling {
        let asked = (PolicyId(policy.meta.id), index);
        if let Some((_, known)) = self.dependencies.borrow().iter().find(|(of, _)| *of == asked) {
            return known.clone();
        }
        let ruling = self.view.deployment_dependency(rule, self.place);
        self.dependencies.borrow_mut().push((asked, ruling.clone()));
        ruling
    }
}

fn pinned<'a>(
    view: &DeploymentView<'a>,
    place: &Place<'a>,
    version: &'a Record<Version>,
) -> Option<Named<'a>> {
    if let Some((id, error)) = view.ws.broken(Kind::Pin).next() {
        let ruling = Ruling::error(format!("the pin {id} cannot be read: {error}"));
        return Some(Named::built_in("pin", ruling));
    }
    let pin = view.pin(&place.key)?;
    let tag = view.version(pin.spec.version).map(|version| version.spec.tag.as_str());
    Some(Named::built_in("pin", pin::judge(pin, tag, VersionId(version.meta.id))))
}

/// When the rollouts of a version start on a target: when the last of the other gates was met, and from then on
/// when all windows let it go. `None`: a gate is not met.
fn started_at<'a>(
    view: &DeploymentView<'_>,
    version: &Record<Version>,
    rulings: &[Named<'_>],
    windows: &[(&Record<Policy>, &'a DeploymentWindow)],
) -> Option<Start<'a>> {
    if !rulings.iter().all(|named| named.ruling.verdict.allows()) {
        return None;
    }
    let met = rulings.iter().map(|named| named.ruling.satisfied_at);
    let met = latest(met.chain([Some(version.known_since())]))?;
    let calendars = windows.iter().map(|(policy, rule)| {
        view.ws.compiled().calendar(rule, policy.meta.created_at).ok().map(|calendar| (*rule, calendar))
    });
    let windows = calendars.collect::<Option<Vec<_>>>()?;
    let lets: Vec<_> = windows.iter().map(|(rule, calendar)| (*rule, calendar.as_ref())).collect();
    let at = deployment_window::first_let(&lets, met)?;
    Some(Start { at, windows })
}

fn considered(version: &Record<Version>, allowed: bool, rulings: Vec<Named<'_>>) -> ConsideredVersion {
    let rules = rulings.into_iter().map(Named::into_verdict).collect();
    ConsideredVersion { version: VersionId(version.meta.id), tag: version.spec.tag.clone(), allowed, rules }
}

/// Why a version does not pass: what denies it, else what it waits for.
pub(super) fn obstacles(considered: &ConsideredVersion) -> (Obstacle, String) {
    let denied = considered.rules.iter().any(|rule| rule.verdict == Verdict::Deny);
    let tells = |rule: &&RuleVerdict| match rule.verdict {
        Verdict::Allow => false,
        Verdict::Deny => true,
        Verdict::Wait { .. } => !denied,
    };
    let reasons: Vec<String> = considered
        .rules
        .iter()
        .filter(tells)
        .map(|rule| format!("{} ({} of {})", rule.reason, rule.rule, rule.policy_name))
        .collect();
    (if denied { Obstacle::Denied } else { Obstacle::Waits }, reasons.join("; "))
}

/// What holds a version back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    Denied,
    Waits,
}

/// The order in which policies are shown: highest priority first, then by name.
pub(super) fn rank_of(policy: &Record<Policy>) -> impl Ord + use<> {
    (Reverse(policy.spec.priority), policy.meta.name.clone(), policy.meta.id)
}
