//! The decisions as this replica knows them: the fold of the `targets` bucket, with its own writes taken in at once.

use domain::Timestamp;
use domain::decision::TargetDecision;
use domain::entity::{DeploymentDependency, EnvironmentProgression, GradualRollout, built_in};
use domain::evaluate::Decided;
use domain::id::{DeploymentId, ResourceId, VersionId};
use domain::job::JobStatus;
use domain::target::TargetKey;
use domain::token::Slug;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The rule whose verdict depends on what happens in other environments.
const PROGRESSION: &str = EnvironmentProgression::RULE;
/// The rule whose verdict depends on what happens to other targets of the environment.
const ROLLOUT: &str = GradualRollout::RULE;
/// The rules whose verdicts depend on what other deployments run on the resource.
const DEPENDENCIES: [&str; 2] = [DeploymentDependency::RULE, built_in::VERSION_DEPENDENCY];

/// Every decision, by target.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    known: HashMap<TargetKey, Known>,
    deployments: HashMap<DeploymentId, OfDeployment>,
    on_resource: HashMap<ResourceId, BTreeSet<TargetKey>>,
    /// By resource, the targets with a version that waits for another deployment.
    depending: HashMap<ResourceId, BTreeSet<TargetKey>>,
    looks: BTreeSet<(Timestamp, TargetKey)>,
}

/// A decision and its revision.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) decision: Option<Arc<TargetDecision>>,
    /// Of the last write or deletion; the next write of a decision replaces it.
    pub(crate) revision: u64,
}

#[derive(Debug, Default)]
struct OfDeployment {
    targets: BTreeSet<TargetKey>,
    /// Those with a version that waits for another environment.
    progressing: BTreeSet<TargetKey>,
    /// Those with a version that waits for its turn in a rollout.
    rolling: BTreeSet<TargetKey>,
    /// The fact that last ended or reopened one of its jobs.
    turned_at: u64,
    /// The fact that last changed the health of a rollout.
    health_at: u64,
}

/// Targets whose time has come, of one deployment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) workspace: Slug,
    pub(crate) targets: BTreeSet<TargetKey>,
    pub(crate) instant: Timestamp,
}

impl Decisions {
    /// Takes in a decision, read or written; an older one than known is ignored.
    pub(crate) fn put(&mut self, decision: TargetDecision, revision: u64) {
        let target = decision.target;
        if self.known.get(&target).is_some_and(|known| known.revision >= revision) {
            return;
        }
        self.unlist(&target);
        let of = self.deployments.entry(target.deployment).or_default();
        of.targets.insert(target);
        if waits_for(&decision, &[PROGRESSION]) {
            of.progressing.insert(target);
        }
        if waits_for(&decision, &[ROLLOUT]) {
            of.rolling.insert(target);
        }
        self.on_resource.entry(target.resource).or_default().insert(target);
        if waits_for(&decision, &DEPENDENCIES) {
            self.depending.entry(target.resource).or_default().insert(target);
        }
        if let Some(look) = decision.next_look {
            self.looks.insert((look, target));
        }
        self.known.insert(target, Known { decision: Some(Arc::new(decision)), revision });
    }

    /// Takes in a deletion.
    pub(crate) fn delete(&mut self, target: TargetKey, revision: u64) {
        if self.known.get(&target).is_none_or(|known| known.revision < revision) {
            self.unlist(&target);
            self.known.insert(target, Known { decision: None, revision });
        }
    }

    pub(crate) fn get(&self, target: &TargetKey) -> Option<&Known> {
        self.known.get(target)
    }

    /// Every target of the deployment that was ever decided on, also those that are gone.
    pub(crate) fn targets_of(&self, deployment: DeploymentId) -> impl Iterator<Item = TargetKey> {
        self.deployments.get(&deployment).into_iter().flat_map(|of| of.targets.iter().copied())
    }

    /// Whether the last job on the target, as its decision has it, was of the version and did not succeed.
    pub(crate) fn last_was_bad(&self, target: &TargetKey, version: VersionId) -> bool {
        let decision = self.known.get(target).and_then(|known| known.decision.as_ref());
        let last = decision.and_then(|decision| decision.last.as_ref());
        last.is_some_and(|last| last.version == version && last.status != JobStatus::Successful)
    }

    /// Notes that a job of `target` ended or runs again, by the fact of that sequence, and tells whose decision may
    /// change by it: its own, those with a version that waits for another environment, where it says something of
    /// the health of a rollout those that wait for their turn in one, and those of other deployments on the resource
    /// that wait for what runs there.
    pub(crate) fn turned(
        &mut self,
        target: &TargetKey,
        sequence: u64,
        changes_health: bool,
    ) -> BTreeSet<TargetKey> {
        let of = self.deployments.entry(target.deployment).or_default();
        of.turned_at = of.turned_at.max(sequence);
        if changes_health {
            of.health_at = of.health_at.max(sequence);
        }
        let elsewhere = of.progressing.iter().filter(|other| other.environment != target.environment);
        let beside =
            of.rolling.iter().filter(|other| changes_health && other.environment == target.environment);
        let depending = self.depending.get(&target.resource).into_iter().flatten();
        elsewhere.chain(beside).chain(depending).copied().chain([*target]).collect()
    }

    /// Whether the decision on the target waits for another environment, or for its turn, and was made on facts that did
    /// not hold a later turn of a job of its deployment: then [`Decisions::turned`] could not know that it depends on it.
    pub(crate) fn missed_a_turn(&self, target: &TargetKey, facts_seen: u64) -> bool {
        let of = self.deployments.get(&target.deployment);
        of.is_some_and(|of| {
            (of.turned_at > facts_seen && of.progressing.contains(target))
                || (of.health_at > facts_seen && of.rolling.contains(target))
        }) || self.others_turned(target, facts_seen)
    }

    /// Whether another deployment that runs on the resource turned after those facts, and the target waits for it.
    fn others_turned(&self, target: &TargetKey, facts_seen: u64) -> bool {
        let waits = self.depending.get(&target.resource).is_some_and(|waiting| waiting.contains(target));
        let others = self.on_resource.get(&target.resource).into_iter().flatten();
        waits
            && others
                .filter_map(|other| self.deployments.get(&other.deployment))
                .any(|of| of.turned_at > facts_seen)
    }

    /// Every deployment with decisions, and its workspace.
    pub(crate) fn deployments(&self) -> impl Iterator<Item = (Slug, DeploymentId)> {
        self.deployments.iter().filter_map(|(deployment, of)| {
            let decision = of.targets.iter().find_map(|target| self.known.get(target)?.decision.as_ref())?;
            Some((decision.workspace.clone(), *deployment))
        })
    }

    /// The earliest instant at which time alone changes something.
    pub(crate) fn next_look(&self) -> Option<Timestamp> {
        self.looks.first().map(|(instant, _)| *instant)
    }

    /// Takes out what is due, by deployment. A decision that is written again is listed again.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> BTreeMap<DeploymentId, Due> {
        let mut due: BTreeMap<DeploymentId, Due> = BTreeMap::new();
        while let Some((instant, target)) = self.looks.first().copied().filter(|(look, _)| *look <= now) {
            self.looks.pop_first();
            let decision = self.known.get(&target).and_then(|known| known.decision.as_ref());
            let Some(decision) = decision else { continue };
            let of = due.entry(target.deployment).or_insert_with(|| Due {
                workspace: decision.workspace.clone(),
                targets: BTreeSet::new(),
                instant,
            });
            of.targets.insert(target);
        }
        due
    }

    fn unlist(&mut self, target: &TargetKey) {
        if let Some(of) = self.deployments.get_mut(&target.deployment) {
            of.targets.remove(target);
            of.progressing.remove(target);
            of.rolling.remove(target);
        }
        for index in [&mut self.on_resource, &mut self.depending] {
            if let Some(targets) = index.get_mut(&target.resource) {
                targets.remove(target);
            }
        }
        let before = self.known.get(target).and_then(|known| known.decision.as_ref());
        if let Some(look) = before.and_then(|decision| decision.next_look) {
            self.looks.remove(&(look, *target));
        }
    }
}

impl Decided for Decisions {
    fn decision(&self, target: &TargetKey) -> Option<&TargetDecision> {
        self.known.get(target)?.decision.as_deref()
    }

    fn on_resource(&self, resource: ResourceId) -> Vec<TargetKey> {
        self.on_resource.get(&resource).into_iter().flatten().copied().collect()
    }
}

fn waits_for(decision: &TargetDecision, which: &[&str]) -> bool {
    which.iter().any(|rule| decision.waits_for.contains(*rule))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use domain::decision::TargetState;
    use domain::id::{EnvironmentId, ResourceId, derive};

    fn target(environment: &str) -> TargetKey {
        TargetKey {
            deployment: DeploymentId(derive(&["d"])),
            environment: EnvironmentId(derive(&[environment])),
            resource: ResourceId(derive(&["r"])),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn decision(environment: &str, next_look: Option<i64>, waits: bool) -> TargetDecision {
        TargetDecision {
            workspace: "acme".parse().unwrap(),
            target: target(environment),
            state: TargetState::Waiting,
            summary: "test".into(),
            desired: None,
            current: None,
            active: None,
            last: None,
            attempts: Vec::new(),
            considered: Vec::new(),
            left_out: 0,
            waits_for: waits.then(|| PROGRESSION.to_owned()).into_iter().collect(),
            places: Vec::new(),
            next_look: next_look.map(at),
            catalog_revision: 0,
            decided_at: at(0),
            cause: None,
            earlier: Default::default(),
            held: Default::default(),
            redeployed: Default::default(),
            verifications: Default::default(),
        }
    }

    #[test]
    fn an_older_decision_or_its_echo_changes_nothing() {
        let mut decisions = Decisions::default();
        decisions.put(decision("a", Some(10), false), 7);
        decisions.put(decision("a", None, true), 7);
        decisions.put(decision("a", None, true), 6);
        decisions.delete(target("a"), 7);
        assert_eq!(decisions.get(&target("a")).unwrap().revision, 7);
        assert_eq!(decisions.next_look(), Some(at(10)));
        decisions.delete(target("a"), 8);
        assert!(decisions.get(&target("a")).unwrap().decision.is_none());
        assert_eq!((decisions.next_look(), decisions.targets_of(target("a").deployment).count()), (None, 0));
        decisions.put(decision("a", Some(10), false), 7);
        assert!(decisions.get(&target("a")).unwrap().decision.is_none(), "the deletion is newer");
    }

    #[test]
    fn what_is_due_comes_once_and_again_when_it_is_decided_again() {
        let mut decisions = Decisions::default();
        decisions.put(decision("a", Some(10), false), 1);
        decisions.put(decision("b", Some(20), false), 2);
        assert!(decisions.take_due(at(9)).is_empty());
        let due = decisions.take_due(at(10));
        assert_eq!(due[&target("a").deployment].targets, BTreeSet::from([target("a")]));
        assert_eq!(due[&target("a").deployment].instant, at(10));
        assert!(decisions.take_due(at(10)).is_empty());
        decisions.put(decision("a", Some(15), false), 3);
        assert_eq!(decisions.next_look(), Some(at(15)));
        assert_eq!(decisions.take_due(at(30))[&target("a").deployment].targets.len(), 2);
    }

    #[test]
    fn what_waits_for_another_environment_depends_on_it() {
        let mut decisions = Decisions::default();
        decisions.put(decision("staging", None, false), 1);
        decisions.put(decision("production", None, true), 2);
        let both = BTreeSet::from([target("staging"), target("production")]);
        assert_eq!(decisions.turned(&target("staging"), 1, false), both);
        assert_eq!(decisions.turned(&target("production"), 2, false), BTreeSet::from([target("production")]));
        decisions.put(decision("production", None, false), 3);
        assert_eq!(decisions.turned(&target("staging"), 3, false), BTreeSet::from([target("staging")]));
    }

    #[test]
    fn who_waits_for_its_turn_is_woken_by_what_changes_the_health_of_the_rollout() {
        let mut decisions = Decisions::default();
        let beside = TargetKey { resource: ResourceId(derive(&["other"])), ..target("production") };
        let waits_for = BTreeSet::from([ROLLOUT.to_owned()]);
        decisions.put(TargetDecision { waits_for, ..decision("production", None, false) }, 1);
        assert_eq!(decisions.turned(&beside, 5, false), BTreeSet::from([beside]));
        assert!(!decisions.missed_a_turn(&target("production"), 4));
        assert_eq!(decisions.turned(&beside, 6, true), BTreeSet::from([beside, target("production")]));
        assert!(decisions.missed_a_turn(&target("production"), 5));
    }

    #[test]
    fn a_turn_between_looking_and_deciding_is_not_missed() {
        let mut decisions = Decisions::default();
        assert_eq!(decisions.turned(&target("staging"), 9, false).len(), 1);
        decisions.put(decision("production", None, true), 1);
        assert!(decisions.missed_a_turn(&target("production"), 8));
        assert!(!decisions.missed_a_turn(&target("production"), 9));
        decisions.put(decision("staging", None, false), 2);
        assert!(!decisions.missed_a_turn(&target("staging"), 8), "it waits for nobody");
    }
}
