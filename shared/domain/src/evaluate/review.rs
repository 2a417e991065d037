//! Which version a target should run: the candidates, newest first, and what every rule says of each.

use super::history::History;
use super::open_time::Start;
use super::rollback::{self, Holds};
use super::ruling::{Named, Ruling, latest};
use super::skip::Skipped;
use super::view::{DeploymentView, Place};
use super::{deployment_window, pin, skip, version_cooldown};
use crate::Timestamp;
use crate::decision::{ConsideredVersion, RuleVerdict, Verdict};
use crate::entity::{DeploymentWindow, Kind, Policy, PolicyRule, Record, Version, VersionStatus};
use crate::id::{ReleaseId, VersionId};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// How many candidates a decision shows.
const SHOWN_MAX: usize = 10;
/// How many candidates are asked for one decision; what is older than so many that do not pass is not asked.
const ASKED_MAX: usize = 200;

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

/// What came of looking at the candidates.
pub(super) struct Review<'a> {
    /// The candidates that were looked at, newest first.
    pub(super) considered: Vec<ConsideredVersion>,
    /// Those that were looked at as well and are too many to show.
    pub(super) hidden: Vec<ConsideredVersion>,
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
) -> Review<'a> {
    let mut review = Review {
        considered: Vec::new(),
        hidden: Vec::new(),
        waits_for: BTreeSet::new(),
        chosen: None,
        next_look: None,
        chosen_until: None,
    };
    let pin = view.pin(&place.key);
    let mut below_a_hold = false;
    // Where a version that is held cannot be read, what is older than its failure may lie below it.
    let unreadable = holds.held.iter().filter(|held| view.is_unreadable(held.version));
    let unreadable_since = unreadable.map(|held| held.since).max();
    for version in view.versions() {
        let id = VersionId(version.meta.id);
        below_a_hold |= unreadable_since.is_some_and(|since| version.meta.created_at <= since);
        if let Floor::After(instant) = floor
            && version.meta.created_at <= *instant
        {
            break;
        }
        let is_floor = matches!(floor, Floor::Version(floor) if *floor == id);
        let held = holds.of(id);
        let is_between = below_a_hold && !is_floor && !matches!(floor, Floor::None) && held.is_none();
        let is_pinned = pin.is_some_and(|pin| pin.spec.version == id);
        // What is pinned is asked however many newer ones there are.
        let is_asked = review.considered.len() < ASKED_MAX || is_pinned;
        if version.spec.status == VersionStatus::Ready
            && is_asked
            && !is_between
            && holds.restore.as_ref().is_none_or(|r| r.version != id)
        {
            let mut rulings = rulings(view, place, history, version);
            rulings.extend(held.map(|held| Named::built_in("rollback", rollback::judge(held))));
            if review.take(view, place, version, rulings) {
                break;
            }
        }
        below_a_hold |= held.is_some();
        if is_floor || is_pinned || (pin.is_none() && !is_asked) {
            break;
        }
    }
    if let (None, Some(restore)) = (&review.chosen, &holds.restore)
        && let Some(version) = view.version(restore.version)
    {
        let back = Ruling::allow("it ran here before, and what came after it failed", None);
        let mut rulings = vec![Named::built_in("rollback", back)];
        rulings.extend(view.freeze(place).map(|ruling| Named::built_in("freeze", ruling)));
        rulings.extend(pinned(view, place, version));
        review.take(view, place, version, rulings);
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
        mut rulings: Vec<Named<'a>>,
    ) -> bool {
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

/// What every gate of every enabled matching policy says; all are asked, so that *why* is complete.
pub(super) fn rulings<'a>(
    view: &DeploymentView<'a>,
    place: &Place<'a>,
    history: &History<'a>,
    version: &'a Record<Version>,
) -> Vec<Named<'a>> {
    let id = VersionId(version.meta.id);
    let of_policies: usize = place.policies().iter().map(|(policy, _)| policy.spec.rules.len().max(1)).sum();
    let mut rulings = Vec::with_capacity(of_policies + BUILT_IN_MOSTLY);
    for (id, error) in view.broken_policies() {
        let ruling = Ruling::error(format!("the policy {id} cannot be read: {error}"));
        rulings.push(Named::built_in("policy", ruling));
    }
    rulings.extend(view.freeze(place).map(|ruling| Named::built_in("freeze", ruling)));
    rulings.extend(pinned(view, place, version));
    for needs in &version.spec.dependencies {
        rulings.push(Named::built_in("versionDependency", view.version_dependency(needs, place)));
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
                PolicyRule::DeploymentDependency(rule) => view.deployment_dependency(rule, place),
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
        }
    }
    if rollouts.is_empty() {
        return rulings;
    }
    let start = started_at(view, version, &rulings, &windows);
    let runs = history.current.as_ref().is_some_and(|current| current.version == id);
    for (policy, index, name, rule) in rollouts {
        let ruling = view.gradual_rollout(policy, index, rule, (place, version), start.as_ref(), runs);
        let ruling = match skip(policy, index) {
            Some(skipped) => skipped.apply(policy, ruling),
            None => ruling,
        };
        rulings.push(Named::of(policy, index, name, ruling));
    }
    rulings
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
