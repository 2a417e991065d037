//! Asks each gate of a version on a target: gathers what the rule must know, and remembers what is the same for all
//! targets of an environment.

use super::any_approval::{self, Question};
use super::environment_progression::{self, Dependency, Success};
use super::facts::{JobStanding, Standing};
use super::history::History;
use super::retry;
use super::ruling::{Named, Ruling};
use super::verification::Verified;
use super::view::{DeploymentView, Place};
use super::{dependency, deployment_window, freeze, version_selector};
use crate::Timestamp;
use crate::decision::{EndedBadly, Running};
use crate::entity::{
    AnyApproval, DeploymentDependency, DeploymentWindow, Environment, EnvironmentProgression, Kind, Policy,
    Record, Version, VersionDependency, VersionSelector,
};
use crate::id::{DeploymentId, EnvironmentId, PolicyId, VersionId};
use crate::job::TerminalStatus;
use crate::target::TargetKey;
use rustc_hash::FxHashSet;
use std::collections::{BTreeMap, BTreeSet};

/// A rule of a policy, asked of a version in an environment.
pub(super) type Asked = (PolicyId, usize, VersionId, EnvironmentId);

impl<'a> DeploymentView<'a> {
    pub(super) fn any_approval(
        &self,
        policy: &'a Record<Policy>,
        index: usize,
        rule: &'a AnyApproval,
        place: &Place<'a>,
        version: &Record<Version>,
    ) -> Ruling {
        self.once(policy, index, place, version, || {
            let approvers = rule.approvers.as_deref();
            if let Some(Err(error)) = approvers.map(|text| self.asker.can_ask_of_users(text)) {
                return Ruling::error(format!("`approvers` cannot be evaluated: {error}"));
            }
            if let Some((id, error)) = self.ws.broken(Kind::Approval).next() {
                // It may be a veto.
                return Ruling::error(format!("the approval {id} cannot be read: {error}"));
            }
            let words = self.ws.approvals(VersionId(version.meta.id), place.key.environment);
            let question = Question {
                ruled_since: policy.meta.created_at,
                content_since: version.content_since(),
                content: self.content_of(version),
                created_by: version.created_by(),
                edited_by: &version.spec.edited_by,
                environment: &place.environment.meta.name,
                words: words.map(|word| &word.spec).collect(),
                now: self.now,
            };
            any_approval::judge(rule, &question, |word| match approvers {
                None => Ok(true),
                Some(text) => self.asker.of_user(text, word),
            })
        })
    }

    pub(super) fn environment_progression(
        &self,
        policy: &'a Record<Policy>,
        index: usize,
        rule: &'a EnvironmentProgression,
        place: &Place<'a>,
        version: &Record<Version>,
    ) -> Ruling {
        self.once(policy, index, place, version, || {
            if let Some(why) = self.targets_untold() {
                return Ruling::error(why);
            }
            let selector = &rule.depends_on_environment_selector;
            let mut dependencies = Vec::new();
            for environment in self.environments_beside(place) {
                match self.asker.of_environment(selector, environment) {
                    Ok(true) => {
                        if let Some(why) = self.selects_badly(environment) {
                            let name = &environment.meta.name;
                            return Ruling::error(format!("which targets {name} has cannot be told: {why}"));
                        }
                        dependencies.push(self.progress(environment, rule, version));
                    }
                    Ok(false) => {}
                    Err(error) => {
                        return Ruling::error(format!("`{selector}` cannot be evaluated: {error}"));
                    }
                }
            }
            dependencies.sort_unstable_by_key(|dependency| dependency.name);
            environment_progression::judge(rule, version.known_since(), &dependencies, self.now)
        })
    }

    pub(super) fn version_selector(
        &self,
        policy: &'a Record<Policy>,
        index: usize,
        rule: &'a VersionSelector,
        place: &Place<'a>,
        version: &Record<Version>,
    ) -> Ruling {
        let ask =
            || version_selector::judge(rule, self.asker.of_version(&rule.selector, place.parts(), version));
        if self.asker.of_version_is_about_environment(&rule.selector) {
            self.once(policy, index, place, version, ask)
        } else {
            ask()
        }
    }

    pub(super) fn deployment_window(
        &self,
        policy: &'a Record<Policy>,
        index: usize,
        rule: &'a DeploymentWindow,
        has_run: bool,
    ) -> Ruling {
        let asked = (PolicyId(policy.meta.id), index, has_run);
        self.windows.get(asked, || match self.ws.compiled().calendar(rule, policy.meta.created_at) {
            Ok(calendar) => deployment_window::judge(rule, &calendar.at(self.now), has_run),
            Err(error) => Ruling::error(format!("the window cannot be evaluated: {error}")),
        })
    }

    pub(super) fn deployment_dependency(&self, rule: &'a DeploymentDependency, place: &Place<'a>) -> Ruling {
        let what = format!("another deployment must run here for which `{}`", rule.depends_on);
        self.dependency_on(&rule.depends_on, &what, place, |_| true)
    }

    pub(super) fn version_dependency(&self, needs: &'a VersionDependency, place: &Place<'a>) -> Ruling {
        let other =
            self.ws.deployment(needs.deployment).map_or("a deployment that is gone", |d| &d.meta.name);
        let what = format!("{other} must run here in a version for which `{}`", needs.version_selector);
        self.dependency_on(&needs.version_selector, &what, place, |id| id == needs.deployment)
    }

    /// What runs on the target's resource of other deployments, and what the expression says of it.
    fn dependency_on(
        &self,
        expression: &'a str,
        what: &str,
        place: &Place<'a>,
        is_meant: impl Fn(DeploymentId) -> bool,
    ) -> Ruling {
        let known = self.facts.targets_on(place.key.resource).copied();
        let mut others: Vec<TargetKey> = known.chain(self.decided.on_resource(place.key.resource)).collect();
        others.sort_unstable();
        others.dedup();
        others.retain(|other| {
            other.deployment != place.key.deployment
                && is_meant(other.deployment)
                && self.ws.has_target(other)
        });
        let found = others.iter().filter_map(|other| {
            let deployment = self.ws.deployment(other.deployment)?;
            let current = History::of(self.facts, other, self.decided.decision(other)).current;
            let answer = match current.as_ref().and_then(|current| self.ws.version(current.version)) {
                None => Ok(false),
                Some(version) => self.asker.of_dependency(expression, deployment, version),
            };
            let (matches, error) = match answer {
                Ok(matches) => (matches, None),
                Err(error) => (false, Some(error)),
            };
            let (name, since) = (deployment.meta.name.clone(), current.as_ref().map(|current| current.since));
            let running = Running {
                deployment: other.deployment,
                name,
                tag: current.map(|current| current.tag),
                matches,
            };
            Some(dependency::Found { running, since, error })
        });
        dependency::judge(expression, what, found.collect())
    }

    pub(super) fn freeze(&self, place: &Place<'a>) -> Option<Ruling> {
        if let Some((id, error)) = self.ws.broken(Kind::Freeze).next() {
            return Some(Ruling::error(format!("the freeze {id} cannot be read: {error}")));
        }
        let mut concern = Vec::new();
        for freeze in &self.freezes {
            match self.asker.of_place(&freeze.spec.selector, place.parts()) {
                Ok(true) => concern.push(*freeze),
                Ok(false) => {}
                Err(error) => {
                    let name = &freeze.meta.name;
                    return Some(Ruling::error(format!(
                        "whom the freeze {name} concerns cannot be told: {error}"
                    )));
                }
            }
        }
        (!concern.is_empty()).then(|| freeze::judge(&concern, self.now))
    }

    /// Every retry rule's word on a release that ended badly; all must allow another try.
    pub(super) fn retries(&self, place: &Place<'a>, tried: &EndedBadly) -> Vec<Named<'a>> {
        let rules = place.rules().filter_map(|(policy, index, rule)| {
            let ruling = retry::judge(rule.retry()?, tried, self.now);
            Some(Named::of(policy, index, rule.name(), ruling))
        });
        let mut said: Vec<Named<'a>> = rules.collect();
        if said.is_empty() {
            said.push(Named::built_in("retry", retry::without_rule(tried)));
        }
        said
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

    fn progress(
        &self,
        environment: &'a Record<Environment>,
        rule: &EnvironmentProgression,
        version: &Record<Version>,
    ) -> Dependency<'a> {
        let targets = self.targets_in(EnvironmentId(environment.meta.id));
        let mut successes: BTreeMap<TargetKey, Success> = BTreeMap::new();
        let mut unverified: BTreeSet<TargetKey> = BTreeSet::new();
        let mut known: FxHashSet<TargetKey> = FxHashSet::default();
        let version = VersionId(version.meta.id);
        for job in self.facts.jobs_of_version(version) {
            known.insert(job.job.target);
            if targets.binary_search(&job.job.target).is_err() || !counts(rule, job) {
                continue;
            }
            let Some(at) = self.counted_at(rule, job) else {
                if self.is_verified_by_nobody(job) {
                    unverified.insert(job.job.target);
                }
                continue;
            };
            let success = successes.entry(job.job.target).or_insert(Success { first: at, last: at });
            success.first = success.first.min(at);
            success.last = success.last.max(at);
        }
        // Where the facts have forgotten, the decisions remember; how it was verified then, nobody does.
        if rule.success_statuses.contains(&TerminalStatus::Successful) && !rule.require_verification_passed {
            for target in targets.iter().filter(|target| !known.contains(target)) {
                if let Some(at) = self.decided.decision(target).and_then(|before| before.ran_since(version)) {
                    successes.insert(*target, Success { first: at, last: at });
                }
            }
        }
        Dependency {
            name: &environment.meta.name,
            targets: targets.len(),
            unverified: unverified.iter().filter(|target| !successes.contains_key(target)).count(),
            successes: successes.into_values().collect(),
        }
    }

    /// Whether a success is one that no policy has measured, so that it will never count as verified.
    fn is_verified_by_nobody(&self, job: &JobStanding) -> bool {
        self.place(&job.job.target).is_some_and(|place| self.verified(&place, job) == Verified::default())
    }

    /// Why it cannot be told which targets there are, if so: what cannot be read is missing among them.
    pub(super) fn targets_untold(&self) -> Option<String> {
        let unreadable = |kind: Kind, name: &str| {
            let (id, error) = self.ws.broken(kind).next()?;
            Some(format!("which targets there are cannot be told: the {name} {id} cannot be read: {error}"))
        };
        unreadable(Kind::Environment, "environment").or_else(|| unreadable(Kind::Resource, "resource"))
    }

    /// Why it cannot be told which targets of the deployment are in the environment, if so.
    fn selects_badly(&self, environment: &Record<Environment>) -> Option<String> {
        let here = EnvironmentId(environment.meta.id);
        self.selection_problems.iter().find(|it| it.environment == here).map(|it| it.why.clone())
    }

    /// From when on a job that ended as the rule wants counts for it.
    fn counted_at(&self, rule: &EnvironmentProgression, job: &JobStanding) -> Option<Timestamp> {
        if !rule.require_verification_passed {
            return Some(job.at);
        }
        self.verified(&self.place(&job.job.target)?, job).passed_at()
    }

    /// Asks a rule whose answer is the same for every target of the environment once.
    fn once(
        &self,
        policy: &'a Record<Policy>,
        index: usize,
        place: &Place<'a>,
        version: &Record<Version>,
        ask: impl FnOnce() -> Ruling,
    ) -> Ruling {
        let asked: Asked =
            (PolicyId(policy.meta.id), index, VersionId(version.meta.id), place.key.environment);
        self.remembered.get(asked, ask)
    }
}

/// Whether a job ended as the rule wants.
fn counts(rule: &EnvironmentProgression, job: &JobStanding) -> bool {
    match job.standing {
        Standing::Over { status, .. } => rule.success_statuses.contains(&status),
        Standing::Active { .. } => false,
    }
}
