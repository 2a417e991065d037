//! A deployment as rules see it at one instant: its versions, its targets, and what was said and decided of them.
//!
//! What does not depend on the single target is asked once and remembered while the view lives.

use super::ask::{Asker, Parts};
use super::decided::Decided;
use super::facts::Facts;
use super::gates::Asked;
use super::once::Once;
use super::pin;
use super::review::rank_of;
use super::rollouts::Rollouts;
use super::ruling::Ruling;
use super::verification::Verified;
use crate::Timestamp;
use crate::catalog::{SelectionProblem, WorkspaceCatalog};
use crate::entity::{
    Deployment, Environment, Freeze, Kind, Pin, Policy, PolicyRule, Record, Redeploy, Resource, Version,
};
use crate::freeze::is_forgotten;
use crate::id::{DeploymentId, EnvironmentId, PolicyId, RedeployId, ReleaseId, VersionId};
use crate::target::{TargetKey, release_id};
use crate::token::Slug;
use crate::variables::Resolver;
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A deployment at one instant.
pub struct DeploymentView<'a> {
    pub(super) ws: &'a WorkspaceCatalog,
    pub(super) facts: &'a Facts,
    pub(super) decided: &'a dyn Decided,
    pub(super) now: Timestamp,
    /// What decisions say they saw.
    pub(super) catalog_revision: u64,
    deployment: Option<&'a Record<Deployment>>,
    versions: Vec<&'a Record<Version>>,
    /// Its targets by environment, in order.
    targets: BTreeMap<EnvironmentId, Vec<TargetKey>>,
    pub(super) asker: Asker<'a>,
    pub(super) remembered: Once<Asked, Ruling>,
    /// What windows say, to targets on which something has run and to others.
    pub(super) windows: Once<(PolicyId, usize, bool), Ruling>,
    pub(super) rollouts: Rollouts<'a>,
    policies: Vec<&'a Record<Policy>>,
    /// Why it cannot be told what is selected.
    pub(super) selection_problems: Vec<SelectionProblem>,
    variables: Resolver<'a>,
    /// The last release that was asked for: several rules ask for it, one after the other.
    release: RefCell<Option<KnownRelease>>,
    /// What versions are made of, by name: of those that a job was asked for or may come back.
    contents: RefCell<FxHashMap<VersionId, Uuid>>,
    pub(super) freezes: Vec<&'a Record<Freeze>>,
    /// Most workspaces have none: then no target's key need be made.
    has_redeploys: bool,
}

/// The release a version makes on a target, or why it makes none.
type KnownRelease = (TargetKey, VersionId, Result<ReleaseId, String>);

/// One target with what it consists of.
pub(super) struct Place<'a> {
    pub(super) key: TargetKey,
    pub(super) deployment: &'a Record<Deployment>,
    pub(super) environment: &'a Record<Environment>,
    resource: &'a Record<Resource>,
    /// The enabled policies that govern it, and those of which that cannot be told, with the reason.
    policies: Vec<(&'a Record<Policy>, Option<String>)>,
}

impl<'a> DeploymentView<'a> {
    /// The deployment as it is `now`, after what was decided before.
    pub fn of(
        ws: &'a WorkspaceCatalog,
        facts: &'a Facts,
        decided: &'a dyn Decided,
        deployment: DeploymentId,
        now: Timestamp,
    ) -> Self {
        let mut targets: BTreeMap<EnvironmentId, Vec<TargetKey>> = BTreeMap::new();
        for target in ws.targets_of(deployment) {
            targets.entry(target.environment).or_default().push(target);
        }
        let mut policies: Vec<_> = ws.policies().filter(|policy| policy.spec.enabled).collect();
        policies.sort_by_cached_key(|policy| rank_of(policy));
        Self {
            ws,
            facts,
            decided,
            now,
            catalog_revision: 0,
            deployment: ws.deployment(deployment),
            versions: ws.versions_of(deployment).collect(),
            targets,
            asker: Asker::of(ws),
            remembered: Once::default(),
            windows: Once::default(),
            rollouts: Rollouts::default(),
            policies,
            selection_problems: ws.selection_problems(deployment),
            variables: Resolver::of(ws, deployment),
            release: RefCell::default(),
            contents: RefCell::default(),
            has_redeploys: ws.redeploys().next().is_some(),
            freezes: ws.freezes().filter(|freeze| !is_forgotten(freeze, now)).collect(),
        }
    }

    /// Tells which revision of the catalog this is, for decisions to say so; without it they say 0.
    pub fn at_revision(self, catalog_revision: u64) -> Self {
        Self { catalog_revision, ..self }
    }

    pub(super) fn workspace(&self) -> &Slug {
        self.ws.slug()
    }

    /// The versions, newest first.
    pub(super) fn versions(&self) -> impl Iterator<Item = &'a Record<Version>> + '_ {
        self.versions.iter().copied()
    }

    pub(super) fn version(&self, id: VersionId) -> Option<&'a Record<Version>> {
        let deployment = self.deployment?.meta.id;
        self.ws.version(id).filter(|version| version.spec.deployment.0 == deployment)
    }

    /// The targets in an environment, in order.
    pub(super) fn targets_in(&self, environment: EnvironmentId) -> &[TargetKey] {
        self.targets.get(&environment).map_or(&[], Vec::as_slice)
    }

    /// Names the content of a version.
    pub(super) fn content_of(&self, version: &Record<Version>) -> Uuid {
        let id = VersionId(version.meta.id);
        *self.contents.borrow_mut().entry(id).or_insert_with(|| version.content())
    }

    /// The release a version makes on the target.
    pub(super) fn release_of(&self, key: &TargetKey, version: VersionId) -> Result<ReleaseId, String> {
        if let Some((target, of, release)) = &*self.release.borrow()
            && (target, *of) == (key, version)
        {
            return release.clone();
        }
        let release = self.variables.with(key, |variables| match variables {
            Ok(variables) => Ok(release_id(key, version, variables)),
            Err(why) => Err(why.to_string()),
        });
        *self.release.borrow_mut() = Some((*key, version, release.clone()));
        release
    }

    /// Why it cannot be told what is selected where the target is (or was), if so.
    pub(super) fn selection_problem(&self, key: &TargetKey) -> Option<String> {
        let problem = self.selection_problems.iter().find(|problem| problem.environment == key.environment);
        problem.map(|problem| problem.why.clone())
    }

    /// Policies that cannot be read, and why: whom they govern cannot be told, so they block all.
    pub(super) fn broken_policies(&self) -> impl Iterator<Item = (Uuid, &'a str)> + '_ {
        self.ws.broken(Kind::Policy)
    }

    /// Whether something is stored there that cannot be read.
    pub(super) fn is_broken(&self, kind: Kind, id: Uuid) -> bool {
        self.ws.broken(kind).any(|(broken, _)| broken == id)
    }

    /// The target with what it consists of; `None` when it is not selected (any more).
    pub(super) fn place(&self, key: &TargetKey) -> Option<Place<'a>> {
        self.targets_in(key.environment).binary_search(key).ok()?;
        let deployment = self.deployment?;
        let environment = self.ws.environment(key.environment)?;
        let resource = self.ws.resource(key.resource)?;
        let parts = Parts { deployment, environment, resource };
        let policies = self.policies.iter().filter_map(|policy| match self.selects(policy, parts) {
            Ok(false) => None,
            Ok(true) => Some((*policy, None)),
            Err(error) => Some((*policy, Some(error))),
        });
        Some(Place { key: *key, deployment, environment, resource, policies: policies.collect() })
    }

    /// Whether the policy governs the target.
    pub(super) fn selects(&self, policy: &'a Record<Policy>, parts: Parts<'_>) -> Result<bool, String> {
        self.asker.of_place(&policy.spec.selector, parts)
    }

    /// The pin that concerns the target.
    pub(super) fn pin(&self, target: &TargetKey) -> Option<&'a Record<Pin>> {
        pin::narrowest(self.ws.pins_of(target.deployment), target)
    }

    /// The wish to bring something to the target once more.
    pub(super) fn redeploy(&self, target: &TargetKey) -> Option<&'a Record<Redeploy>> {
        if !self.has_redeploys {
            return None;
        }
        self.ws.redeploy(RedeployId::of(target))
    }

    /// What became of a success on a target with those who measure it.
    pub(super) fn verified(&self, place: &Place<'a>, success: &super::facts::JobStanding) -> Verified {
        let policies =
            place.policies.iter().filter(|(_, broken)| broken.is_none()).map(|(policy, _)| *policy);
        Verified::of(self.facts, success, policies)
    }
}

impl<'a> Place<'a> {
    pub(super) fn policies(&self) -> &[(&'a Record<Policy>, Option<String>)] {
        &self.policies
    }

    /// The rules of the policies that govern the target, with their places in their policies.
    pub(super) fn rules(&self) -> impl Iterator<Item = (&'a Record<Policy>, usize, &'a PolicyRule)> + '_ {
        let governing = self.policies.iter().filter(|(_, broken)| broken.is_none());
        governing.flat_map(|(policy, _)| {
            policy.spec.rules.iter().enumerate().map(move |(index, rule)| (*policy, index, rule))
        })
    }

    pub(super) fn parts(&self) -> Parts<'a> {
        Parts { deployment: self.deployment, environment: self.environment, resource: self.resource }
    }

    /// The environment's token in status subjects.
    pub(super) fn environment_slug(&self) -> Slug {
        Slug::of_name(&self.environment.meta.name)
    }
}
