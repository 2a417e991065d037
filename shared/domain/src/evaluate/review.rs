//! Which version a target should run: the candidates, newest first, and what every rule says of each.

use super::ruling::Ruling;
use super::view::{DeploymentView, Place};
use crate::Timestamp;
use crate::decision::{ConsideredVersion, RuleVerdict, Verdict};
use crate::entity::{Policy, PolicyRule, Record, Version, VersionStatus};
use crate::id::{ReleaseId, VersionId};
use std::cmp::Reverse;

/// How many candidates a decision shows.
const SHOWN_MAX: usize = 10;

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
    /// The newest that passes, and the release it makes here.
    pub(super) chosen: Option<(&'a Record<Version>, ReleaseId)>,
    /// The earliest instant at which time alone may change what is said of the ones that do not pass.
    pub(super) next_look: Option<Timestamp>,
    /// The earliest instant at which time alone may take the yes back from the chosen one.
    pub(super) chosen_until: Option<Timestamp>,
}

/// Looks at the candidates down to the first that passes, or to the floor.
pub(super) fn review<'a>(view: &DeploymentView<'a>, place: &Place<'a>, floor: &Floor) -> Review<'a> {
    let mut review = Review { considered: Vec::new(), chosen: None, next_look: None, chosen_until: None };
    for version in view.versions() {
        if let Floor::After(instant) = floor
            && version.meta.created_at <= *instant
        {
            break;
        }
        if version.spec.status == VersionStatus::Ready {
            let mut rulings = rulings(view, place, version);
            let release = view.release_of(&place.key, VersionId(version.meta.id));
            if let Err(error) = &release {
                rulings.push((
                    None,
                    "variables",
                    Ruling::deny(format!("a variable cannot be resolved: {error}")),
                ));
            }
            let allowed = rulings.iter().all(|(_, _, ruling)| ruling.verdict.allows());
            let change = rulings.iter().filter_map(|(_, _, ruling)| ruling.next_change()).min();
            review.considered.push(considered(version, allowed, rulings));
            if let (true, Ok(release)) = (allowed, release) {
                review.chosen = Some((version, release));
                review.chosen_until = change;
                break;
            }
            review.next_look = review.next_look.into_iter().chain(change).min();
        }
        if matches!(floor, Floor::Version(id) if id.0 == version.meta.id) {
            break;
        }
    }
    shorten(&mut review.considered);
    review
}

/// The most telling ones stay: the newest, and the one that was chosen.
fn shorten(considered: &mut Vec<ConsideredVersion>) {
    if considered.len() > SHOWN_MAX {
        let chosen = considered.pop();
        considered.truncate(SHOWN_MAX - 1);
        considered.extend(chosen);
    }
}

type NamedRuling<'a> = (Option<&'a Record<Policy>>, &'static str, Ruling);

/// What every rule of every enabled matching policy says; all are asked, so that *why* is complete.
fn rulings<'a>(
    view: &DeploymentView<'a>,
    place: &Place<'a>,
    version: &'a Record<Version>,
) -> Vec<NamedRuling<'a>> {
    let mut rulings = Vec::new();
    for (id, error) in view.broken_policies() {
        rulings.push((None, "policy", Ruling::deny(format!("the policy {id} cannot be read: {error}"))));
    }
    for (policy, broken) in place.policies() {
        let policy = *policy;
        if let Some(error) = broken {
            let reason = format!("the policy's selector cannot be evaluated: {error}");
            rulings.push((Some(policy), "selector", Ruling::deny(reason)));
            continue;
        }
        for (index, rule) in policy.spec.rules.iter().enumerate() {
            let ruling = match rule {
                PolicyRule::AnyApproval(rule) => view.any_approval(policy, index, rule, place, version),
                PolicyRule::EnvironmentProgression(rule) => {
                    view.environment_progression(policy, index, rule, place, version)
                }
                PolicyRule::VersionSelector(rule) => view.version_selector(rule, place, version),
                PolicyRule::GradualRollout(_)
                | PolicyRule::DeploymentWindow(_)
                | PolicyRule::VersionCooldown(_)
                | PolicyRule::DeploymentDependency(_)
                | PolicyRule::Retry(_)
                | PolicyRule::Rollback(_)
                | PolicyRule::Verification(_) => Ruling::deny("not evaluated"),
            };
            rulings.push((Some(policy), rule.name(), ruling));
        }
    }
    rulings
}

fn considered(version: &Record<Version>, allowed: bool, rulings: Vec<NamedRuling<'_>>) -> ConsideredVersion {
    let rules = rulings
        .into_iter()
        .map(|(policy, rule, ruling)| match policy {
            Some(policy) => ruling.of_policy(policy, rule),
            None => ruling.built_in(rule),
        })
        .collect();
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
