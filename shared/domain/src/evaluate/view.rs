//! A deployment as rules see it at one instant: its versions, its targets, and what people and machines said of them.
//!
//! What does not depend on the single target is asked once and remembered while the view lives.

use super::any_approval::{self, Question};
use super::ask::{Asker, Parts};
use super::environment_progression::{self, Dependency, Success};
use super::facts::Facts;
use super::review::rank_of;
use super::ruling::Ruling;
use super::version_selector;
use crate::Timestamp;
use crate::catalog::WorkspaceCatalog;
use crate::entity::{
    AnyApproval, Deployment, Environment, EnvironmentProgression, Kind, Policy, Record, Resource, Version,
    VersionSelector,
};
use crate::id::{DeploymentId, EnvironmentId, PolicyId, ReleaseId, VersionId};
use crate::target::{TargetKey, release_id};
use crate::token::Slug;
use crate::variables;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// The maker of a version, among its metadata.
const CREATED_BY: &str = "createdBy";

/// A deployment at one instant.
pub struct DeploymentView<'a> {
    ws: &'a WorkspaceCatalog,
    pub(super) facts: &'a Facts,
    pub(super) now: Timestamp,
    /// What decisions say they saw.
    pub(super) catalog_revision: u64,
    deployment: Option<&'a Record<Deployment>>,
    versions: Vec<&'a Record<Version>>,
    targets: BTreeMap<EnvironmentId, BTreeSet<TargetKey>>,
    asker: Asker,
    remembered: RefCell<HashMap<Asked, Ruling>>,
}

/// A rule of a policy, asked of a version in an environment.
type Asked = (PolicyId, usize, VersionId, EnvironmentId);

/// One target with what it consists of.
pub(super) struct Place<'a> {
    pub(super) key: TargetKey,
    pub(super) deployment: &'a Record<Deployment>,
    environment: &'a Record<Environment>,
    resource: &'a Record<Resource>,
    /// The enabled policies that govern it, and those of which that cannot be told, with the reason.
    policies: Vec<(&'a Record<Policy>, Option<String>)>,
}

impl<'a> DeploymentView<'a> {
    /// The deployment as it is `now`.
    pub fn of(ws: &'a WorkspaceCatalog, facts: &'a Facts, deployment: DeploymentId, now: Timestamp) -> Self {
        let mut targets: BTreeMap<EnvironmentId, BTreeSet<TargetKey>> = BTreeMap::new();
        for target in ws.targets_of(deployment) {
            targets.entry(target.environment).or_default().insert(target);
        }
        Self {
            ws,
            facts,
            now,
            catalog_revision: 0,
            deployment: ws.deployment(deployment),
            versions: ws.versions_of(deployment).collect(),
            targets,
            asker: Asker::default(),
            remembered: RefCell::default(),
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
        self.versions.iter().copied().find(|version| version.meta.id == id.0)
    }

    /// The release a version makes on the target.
    pub(super) fn release_of(&self, key: &TargetKey, version: VersionId) -> Result<ReleaseId, String> {
        let variables = variables::resolve(self.ws, key).map_err(|error| error.to_string())?;
        Ok(release_id(key, version, &variables))
    }

    /// Why it cannot be told what is selected where the target is (or was), if so.
    pub(super) fn selection_problem(&self, key: &TargetKey) -> Option<String> {
        let mut problems = self.ws.selection_problems(key.deployment).into_iter();
        let here = [key.deployment.0, key.environment.0];
        problems.find(|problem| here.contains(&problem.of)).map(|problem| problem.why)
    }

    /// Policies that cannot be read, and why: whom they govern cannot be told, so they block all.
    pub(super) fn broken_policies(&self) -> impl Iterator<Item = (Uuid, &'a str)> + '_ {
        self.ws.broken(Kind::Policy)
    }

    /// The target with what it consists of; `None` when it is not selected (any more).
    pub(super) fn place(&self, key: &TargetKey) -> Option<Place<'a>> {
        if !self.targets.get(&key.environment)?.contains(key) {
            return None;
        }
        let deployment = self.deployment?;
        let environment = self.ws.environment(key.environment)?;
        let resource = self.ws.resource(key.resource)?;
        let parts = Parts { deployment, environment, resource };
        let mut policies: Vec<_> = self
            .ws
            .policies()
            .filter(|policy| policy.spec.enabled)
            .filter_map(|policy| match self.asker.of_place(&policy.spec.selector, parts) {
                Ok(false) => None,
                Ok(true) => Some((policy, None)),
                Err(error) => Some((policy, Some(error))),
            })
            .collect();
        policies.sort_by_cached_key(|(policy, _)| rank_of(policy));
        Some(Place { key: *key, deployment, environment, resource, policies })
    }

    pub(super) fn any_approval(
        &self,
        policy: &Record<Policy>,
        index: usize,
        rule: &AnyApproval,
        place: &Place<'a>,
        version: &Record<Version>,
    ) -> Ruling {
        self.once(policy, index, place, version, || {
            let approvers = rule.approvers.as_deref();
            if let Some(Err(error)) = approvers.map(|text| self.asker.can_ask_of_users(text)) {
                return Ruling::deny(format!("`approvers` cannot be evaluated: {error}"));
            }
            if let Some((id, error)) = self.ws.broken(Kind::Approval).next() {
                // It may be a veto.
                return Ruling::deny(format!("the approval {id} cannot be read: {error}"));
            }
            let words = self.ws.approvals(VersionId(version.meta.id), place.key.environment);
            let question = Question {
                ruled_since: policy.meta.created_at,
                version_since: version.meta.created_at,
                created_by: version.meta.metadata.get(CREATED_BY).map(String::as_str),
                environment: &place.environment.meta.name,
                words: words.map(|word| &word.spec).collect(),
                now: self.now,
            };
            any_approval::judge(rule, &question, |user| match approvers {
                None => Ok(true),
                Some(text) => self.asker.of_user(text, user),
            })
        })
    }

    pub(super) fn environment_progression(
        &self,
        policy: &Record<Policy>,
        index: usize,
        rule: &EnvironmentProgression,
        place: &Place<'a>,
        version: &Record<Version>,
    ) -> Ruling {
        self.once(policy, index, place, version, || {
            let selector = &rule.depends_on_environment_selector;
            let mut dependencies = Vec::new();
            for environment in self.environments_beside(place) {
                match self.asker.of_environment(selector, environment) {
                    Ok(true) => dependencies.push(self.dependency(environment, version)),
                    Ok(false) => {}
                    Err(error) => {
                        return Ruling::deny(format!("`{selector}` cannot be evaluated: {error}"));
                    }
                }
            }
            dependencies.sort_unstable_by_key(|dependency| dependency.name);
            environment_progression::judge(rule, version.meta.created_at, &dependencies, self.now)
        })
    }

    pub(super) fn version_selector(
        &self,
        rule: &VersionSelector,
        place: &Place<'a>,
        version: &Record<Version>,
    ) -> Ruling {
        let matches = self.asker.of_version(&rule.selector, place.parts(), version);
        version_selector::judge(rule, matches)
    }

    /// The environments the deployment can go to as well: those that share a system with it. Without that, an
    /// environment of strangers, which never has targets of this deployment, would let everything pass.
    fn environments_beside(&self, place: &Place<'a>) -> impl Iterator<Item = &'a Record<Environment>> + '_ {
        let systems = &place.deployment.spec.systems;
        let here = place.key.environment.0;
        self.ws
            .environments()
            .filter(move |environment| environment.meta.id != here)
            .filter(|environment| environment.spec.systems.iter().any(|system| systems.contains(system)))
    }

    fn dependency(&self, environment: &'a Record<Environment>, version: &Record<Version>) -> Dependency<'a> {
        let none = BTreeSet::new();
        let targets = self.targets.get(&EnvironmentId(environment.meta.id)).unwrap_or(&none);
        let mut successes: BTreeMap<TargetKey, Success> = BTreeMap::new();
        for job in self.facts.successes_of(VersionId(version.meta.id)) {
            if targets.contains(&job.job.target) {
                let success =
                    successes.entry(job.job.target).or_insert(Success { first: job.at, last: job.at });
                success.first = success.first.min(job.at);
                success.last = success.last.max(job.at);
            }
        }
        Dependency {
            name: &environment.meta.name,
            targets: targets.len(),
            successes: successes.into_values().collect(),
        }
    }

    /// Asks a rule whose answer is the same for every target of the environment once.
    fn once(
        &self,
        policy: &Record<Policy>,
        index: usize,
        place: &Place<'a>,
        version: &Record<Version>,
        ask: impl FnOnce() -> Ruling,
    ) -> Ruling {
        let asked: Asked =
            (PolicyId(policy.meta.id), index, VersionId(version.meta.id), place.key.environment);
        if let Some(ruling) = self.remembered.borrow().get(&asked) {
            return ruling.clone();
        }
        let ruling = ask();
        self.remembered.borrow_mut().insert(asked, ruling.clone());
        ruling
    }
}

impl<'a> Place<'a> {
    pub(super) fn policies(&self) -> &[(&'a Record<Policy>, Option<String>)] {
        &self.policies
    }

    fn parts(&self) -> Parts<'a> {
        Parts { deployment: self.deployment, environment: self.environment, resource: self.resource }
    }

    /// The environment's token in status subjects.
    pub(super) fn environment_slug(&self) -> Slug {
        Slug::of_name(&self.environment.meta.name)
    }
}
