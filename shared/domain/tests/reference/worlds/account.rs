//! A world: the catalog and the facts as the evaluator gets them, and the same as the model's plain lists.

use super::plan::{DEPLOYMENTS, ENVIRONMENTS, Plan, PolicyPlan, ROLES, USERS};
use super::step::{Nth, Step};
use crate::model::means;
use crate::model::scene::{End, Job, Placed, Remembered, Scene};
use crate::subject::{self, Decided};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::catalog::{Catalog, WorkspaceCatalog};
use domain::decision::{RolloutPlace, RuleInputs, TargetDecision};
use domain::entity::*;
use domain::evaluate::{Facts, Outcome, same_decision};
use domain::id::*;
use domain::job::{CancelReason, JobEvent, JobFact, JobRef, Links, Reason, Snapshot, Source, TerminalStatus};
use domain::target::TargetKey;
use domain::token::Slug;
use serde_json::{Map, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Everything there is, twice.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) catalog: Catalog,
    pub(crate) facts: Facts,
    pub(crate) decided: Decided,
    pub(crate) entities: BTreeMap<String, Entity>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) remembered: BTreeMap<TargetKey, Remembered>,
    pub(crate) now: Timestamp,
    pub(crate) versions: [Vec<String>; 2],
    policies: Vec<PolicyPlan>,
    resources: usize,
    revision: u64,
    sequence: u64,
    /// The last event of each job, and its sequence.
    pub(crate) events: BTreeMap<JobId, (JobEvent, u64)>,
    /// What happened, a line each.
    pub(crate) story: Vec<String>,
}

pub(crate) fn workspace() -> Slug {
    "acme".parse().unwrap()
}

pub(crate) fn deployment(nth: Nth) -> DeploymentId {
    DeploymentId::of(&workspace(), DEPLOYMENTS[nth % 2])
}

pub(crate) fn environment(nth: Nth) -> EnvironmentId {
    EnvironmentId::of(&workspace(), ENVIRONMENTS[nth % 3])
}

pub(crate) fn resource(nth: Nth) -> ResourceId {
    ResourceId::of(&workspace(), &format!("r{nth}"))
}

pub(crate) fn policy(nth: Nth) -> PolicyId {
    PolicyId::of(&workspace(), &format!("p{nth}"))
}

impl World {
    /// A world at its beginning, before its steps.
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut world = Self {
            catalog: Catalog::default(),
            facts: Facts::default(),
            decided: BTreeMap::new(),
            entities: BTreeMap::new(),
            jobs: Vec::new(),
            remembered: BTreeMap::new(),
            now: plan.begins_at,
            versions: Default::default(),
            policies: plan.policies.clone(),
            resources: plan.resources.len(),
            revision: 0,
            sequence: 0,
            events: BTreeMap::new(),
            story: Vec::new(),
        };
        let ws = workspace();
        let meta = world.meta("acme", WorkspaceId::of(&ws).0);
        world.put(Entity::Workspace(Record { meta, spec: Workspace::default() }));
        for name in ["shop", "back"] {
            let meta = world.meta(name, SystemId::of(&ws, name).0);
            world.put(Entity::System(Record { meta, spec: System::default() }));
        }
        for name in ENVIRONMENTS {
            let systems: &[&str] = if name == "production" { &["shop", "back"] } else { &["shop"] };
            let spec = Environment {
                systems: systems.iter().map(|system| SystemId::of(&ws, system)).collect(),
                description: None,
                resource_selector: format!("resource.metadata.{name} == 'yes'"),
            };
            let meta = world.meta(name, EnvironmentId::of(&ws, name).0);
            world.put(Entity::Environment(Record { meta, spec }));
        }
        for (nth, name) in DEPLOYMENTS.into_iter().enumerate() {
            let system = if nth == 1 && plan.api_apart { "back" } else { "shop" };
            let supersede = plan.supersede[nth];
            let spec = Deployment {
                slug: name.parse().unwrap(),
                systems: vec![SystemId::of(&ws, system)],
                description: None,
                resource_selector: None,
                job_agent_selector: None,
                job_agents: Vec::new(),
                job_agent_config: Map::new(),
                on_new_version: if supersede { OnNewVersion::Supersede } else { OnNewVersion::Wait },
                deadlines: Default::default(),
                variables: Default::default(),
            };
            let meta = world.meta(name, deployment(nth).0);
            world.put(Entity::Deployment(Record { meta, spec }));
        }
        for (nth, within) in plan.resources.iter().enumerate() {
            world.put_resource(nth, *within, None);
        }
        for (nth, policy) in plan.policies.iter().enumerate() {
            if policy.early {
                world.put_policy(nth, policy.enabled);
            }
        }
        world
    }

    pub(crate) fn ws(&self) -> &WorkspaceCatalog {
        self.catalog.workspace(&workspace()).unwrap()
    }

    /// Every target there is, in order.
    pub(crate) fn targets(&self) -> Vec<TargetKey> {
        let nowhere = |_: &TargetKey, _, _, _| None;
        self.with_scene(&nowhere, |scene| {
            (0..2).flat_map(|nth| means::targets(scene, deployment(nth))).collect()
        })
    }

    /// What the model sees, with places by hash from there.
    pub(crate) fn with_scene<T>(
        &self,
        position: &dyn Fn(&TargetKey, VersionId, PolicyId, u32) -> Option<u32>,
        ask: impl FnOnce(&Scene<'_>) -> T,
    ) -> T {
        ask(&Scene {
            entities: &self.entities,
            jobs: &self.jobs,
            remembered: &self.remembered,
            position,
            now: self.now,
        })
    }

    /// The place by hash of a target, as the evaluator tells it of one that it never decided on.
    pub(crate) fn position(
        &self,
        target: &TargetKey,
        version: VersionId,
        policy: PolicyId,
        rule_index: u32,
    ) -> Option<u32> {
        // It is told also before the rollout has started.
        let found = |outcome: &Outcome| {
            let of_version = outcome.decision.considered.iter().filter(|told| told.version == version);
            of_version.flat_map(|told| &told.rules).find_map(|rule| match rule.inputs {
                Some(RuleInputs::Rollout { position, .. })
                    if (rule.policy, rule.rule_index) == (Some(policy), rule_index) =>
                {
                    Some(position)
                }
                _ => None,
            })
        };
        let mut fresh = self.decided.clone();
        fresh.remove(target);
        let outcome = subject::decide(self.ws(), &self.facts, &fresh, target, self.now);
        found(&outcome).or_else(|| {
            // The version is not looked at any more: as if it were the only one, and nothing had happened.
            let mut alone = Catalog::default();
            for (key, entity) in &self.entities {
                let other = matches!(entity, Entity::Version(other) if other.meta.id != version.0);
                if !other {
                    alone.apply(key, Some(&serde_json::to_vec(entity).unwrap()), self.revision);
                }
            }
            let (ws, nothing) = (alone.workspace(&workspace()).unwrap(), Decided::new());
            found(&subject::decide(ws, &Facts::default(), &nothing, target, self.now))
        })
    }

    /// Decides on a target.
    pub(crate) fn decide(&self, target: &TargetKey) -> Outcome {
        subject::decide(self.ws(), &self.facts, &self.decided, target, self.now)
    }

    /// Keeps a decision and records what it asks for, as the evaluator's service does.
    pub(crate) fn keep(&mut self, target: &TargetKey, outcome: Outcome, answer_held: Remembered) {
        let Outcome { decision, request, withdraw, supersede, verifications } = outcome;
        assert_eq!(withdraw, None, "what is decided is asked for at once here");
        let placed = rollouts(&decision).collect();
        self.remembered.insert(*target, Remembered { placed, ..answer_held });
        if !self.decided.get(target).is_some_and(|before| same_decision(before, &decision)) {
            self.decided.insert(*target, decision);
        }
        self.ask_for(request.into_iter().chain(verifications).collect(), supersede.map(|job| job.id));
    }

    fn ask_for(&mut self, jobs: Vec<JobRef>, supersede: Option<JobId>) {
        for job in jobs {
            let again = self.jobs.iter().any(|known| known.job.id == job.id);
            assert!(!again, "a job is asked for twice: {job:?}");
            let requested_at = self.now;
            self.jobs.push(Job { job: job.clone(), requested_at, end: None, cancelling: false });
            self.record(job, JobFact::Requested { catalog_revision: self.revision, grounds: None });
        }
        if let Some(id) = supersede {
            let known = self.jobs.iter_mut().find(|job| job.job.id == id).unwrap();
            known.cancelling = true;
            let job = known.job.clone();
            let by = "policy-evaluator".to_owned();
            self.record(job, JobFact::CancelRequested { by, reason: CancelReason::Superseded });
        }
    }

    fn record(&mut self, job: JobRef, fact: JobFact) {
        self.sequence += 1;
        let event = JobEvent { job, at: self.now, cause: None, traceparent: None, fact };
        self.facts.apply(&event, self.sequence);
        self.events.insert(event.job.id, (event, self.sequence));
    }

    /// Makes it happen. Looks are not made here.
    pub(crate) fn step(&mut self, step: &Step) {
        self.now += TimeDelta::seconds(1);
        let said = self.happen(step);
        if let Some(said) = said {
            self.story.push(format!("{} {said}", self.now.format("%m-%d %H:%M:%S")));
        }
    }

    /// A line that says what happened; none if nothing did.
    fn happen(&mut self, step: &Step) -> Option<String> {
        match step.clone() {
            Step::Version { deployment, depends, maker, backdated } => {
                Some(self.new_version(deployment, depends, maker, backdated))
            }
            Step::Edit { user, deployment, version } => self.edit(user, deployment, version),
            Step::Status { deployment, version, status } => self.status(deployment, version, status),
            Step::Word { user, deployment, version, environment, yes } => {
                self.word(user, deployment, version, environment, yes)
            }
            Step::Skip { policy, rule, indexed, version, environment, resource, expires } => {
                self.skip(policy, rule, indexed, version, (environment, resource), expires)
            }
            Step::Freeze { slot, selector, from, lasts } => {
                let from = from.map(|seconds| self.now + TimeDelta::seconds(i64::from(seconds)));
                let until = lasts.map(|s| from.unwrap_or(self.now) + TimeDelta::seconds(i64::from(s)));
                let name = format!("f{}", slot % 2);
                let said = format!("freeze {name} on {selector} from {from:?} until {until:?}");
                let reason = "because".to_owned();
                let spec = Freeze { selector, reason, owner: "ann".to_owned(), from, until, thawed_by: None };
                let meta = self.meta(&name, FreezeId::of(&workspace(), &name).0);
                self.put(Entity::Freeze(Record { meta, spec }));
                Some(said)
            }
            Step::Thaw { slot } => {
                let name = format!("f{}", slot % 2);
                self.thaw(FreezeId::of(&workspace(), &name)).then(|| format!("thaw {name}"))
            }
            Step::Pin { deployment, version, environment, resource } => {
                self.pin(deployment, version, environment, resource)
            }
            Step::Unpin { nth } => {
                let pins = self.entities.values().filter(|entity| entity.kind() == Kind::Pin);
                let ids: Vec<_> = pins.map(|pin| (pin.meta().id, pin.meta().name.clone())).collect();
                let (id, name) = ids.get(nth % ids.len().max(1))?.clone();
                self.delete(id).then(|| format!("unpin {name}"))
            }
            Step::Redeploy { target, version } => self.redeploy(target, version),
            Step::Control { deployment: of, version, environment: at, action } => {
                let (version, tag) = self.nth_version(of, version)?;
                let (environment, by) = (environment(at), "ann".to_owned());
                let pauses = Vec::new();
                let spec =
                    RolloutControl { version, environment, action, at: self.now, reason: None, by, pauses };
                let id = RolloutControlId::of(version, environment);
                let spec = spec.following(self.ws().rollout_control(id).map(|before| &before.spec));
                let meta = self.meta("control", id.0);
                self.put(Entity::RolloutControl(Record { meta, spec }));
                Some(format!("{action:?} {tag} in {}", ENVIRONMENTS[at % 3]))
            }
            Step::Policy { nth, enabled } => {
                let nth = nth % self.policies.len().max(1);
                self.policies.get(nth)?;
                self.put_policy(nth, enabled);
                Some(format!("write policy p{nth} enabled {enabled}"))
            }
            Step::Vars { resource: nth, value } => {
                let nth = nth % self.resources;
                let within = self.within(nth)?;
                self.put_resource(nth, within, Some(value));
                Some(format!("r{nth} has x={value}"))
            }
            Step::Resource { nth, within } => {
                let nth = nth % (self.resources + 1);
                if self.within(nth).is_some() {
                    self.delete(resource(nth).0);
                    return Some(format!("r{nth} goes"));
                }
                self.resources = self.resources.max(nth + 1);
                self.put_resource(nth, within, None);
                Some(format!("r{nth} comes in {within:?}"))
            }
            Step::Pass { seconds } => {
                self.now += TimeDelta::seconds(i64::from(seconds));
                Some(format!("{seconds}s later"))
            }
            Step::Wake => {
                let next = self.decided.values().filter_map(|decision| decision.next_look).min();
                self.now = next.filter(|next| *next > self.now)?;
                Some("woken".to_owned())
            }
            Step::Look { .. } | Step::LookAll => None,
            Step::End { job, status, reason } => {
                let active = self.active();
                let id = *active.get(job % active.len().max(1))?;
                Some(self.end(id, status, reason))
            }
            Step::EndAll => {
                let said: Vec<_> = self
                    .active()
                    .into_iter()
                    .map(|id| self.end(id, TerminalStatus::Successful, None))
                    .collect();
                (!said.is_empty()).then(|| said.join("; "))
            }
            Step::Again { job } => self.again(job),
        }
    }

    fn active(&self) -> Vec<JobId> {
        self.jobs.iter().filter(|job| job.end.is_none()).map(|job| job.job.id).collect()
    }

    fn end(&mut self, id: JobId, status: TerminalStatus, reason: Option<Reason>) -> String {
        let now = self.now;
        let job = self.jobs.iter_mut().find(|job| job.job.id == id).unwrap();
        let (status, reason) = match (job.cancelling, job.job.purpose.is_deploy(), status) {
            (true, _, TerminalStatus::Failure) => (TerminalStatus::Cancelled, Some(Reason::Superseded)),
            // A measurement ends well, badly, or does not tell.
            (_, false, TerminalStatus::Successful | TerminalStatus::Cancelled) => (status, reason),
            (_, false, TerminalStatus::Failure) => (status, None),
            (_, false, _) => (TerminalStatus::Failure, Some(Reason::Inconclusive)),
            _ => (status, reason),
        };
        job.end = Some(End { at: now, status, reason });
        job.cancelling = false;
        let what = if job.job.purpose.is_deploy() { "" } else { "verification of " };
        let job = job.job.clone();
        let said = format!(
            "{what}{} {}#{} ends {status:?} {reason:?}",
            self.name(&job.target),
            job.tag,
            job.attempt
        );
        self.record(
            job,
            JobFact::Finished(Snapshot {
                status,
                order: None,
                raw: None,
                reason,
                message: None,
                links: Links::new(),
                source: Source::Webhook,
                external: None,
            }),
        );
        said
    }

    fn again(&mut self, nth: Nth) -> Option<String> {
        let nowhere = |_: &TargetKey, _, _, _| None;
        let ids: Vec<JobId> = self.with_scene(&nowhere, |scene| {
            let last = self.targets().into_iter().filter(|target| scene.active(target).is_none());
            last.filter_map(|target| scene.last(&target))
                .filter(|(_, end)| end.status != TerminalStatus::Successful)
                .map(|(job, _)| job.job.id)
                .collect()
        });
        let id = *ids.get(nth % ids.len().max(1))?;
        let job = self.jobs.iter_mut().find(|job| job.job.id == id).unwrap();
        job.end = None;
        job.cancelling = false;
        let job = job.job.clone();
        let said = format!("{} {}#{} runs again", self.name(&job.target), job.tag, job.attempt);
        self.record(job, JobFact::RetryRequested { by: "ann".to_owned() });
        Some(said)
    }

    fn new_version(&mut self, of: Nth, depends: bool, maker: bool, backdated: Option<u32>) -> String {
        let nth = of % 2;
        let tag = format!("v{}", self.versions[nth].len() + 1);
        self.versions[nth].push(tag.clone());
        let dependencies = if depends {
            let version_selector = "version.tag != 'v1'".to_owned();
            vec![VersionDependency { deployment: deployment(nth + 1), version_selector }]
        } else {
            Vec::new()
        };
        let spec = Version {
            deployment: deployment(nth),
            tag: tag.clone(),
            status: VersionStatus::Ready,
            config: Map::new(),
            job_agent_config: Map::new(),
            dependencies,
            known_since: backdated.map(|_| self.now),
            content_since: None,
            edited_by: Default::default(),
        };
        let mut meta = self.meta(&tag, VersionId::of(spec.deployment, &tag).0);
        meta.created_at -= TimeDelta::seconds(i64::from(backdated.unwrap_or(0)));
        if maker {
            meta.metadata.insert("createdBy".into(), "maker".into());
        }
        self.put(Entity::Version(Record { meta, spec }));
        let depends = if depends { " that depends on the other's not being v1" } else { "" };
        let by = if maker { "" } else { ", whose is not known" };
        let long_ago = backdated.map(|s| format!(", said to be {s}s old")).unwrap_or_default();
        format!("version {} {tag}{depends}{by}{long_ago}", DEPLOYMENTS[nth])
    }

    /// Writes a version of which something is other than it was.
    /// A freeze that is on ends now and stays, one that is not goes.
    fn thaw(&mut self, id: FreezeId) -> bool {
        let known = self.entities.values().find(|entity| entity.meta().id == id.0);
        let Some(Entity::Freeze(freeze)) = known else { return false };
        if freeze.spec.thawed_by.is_some() {
            return false;
        }
        let begun = freeze.spec.from.is_none_or(|from| from <= self.now);
        if !begun || freeze.spec.until.is_some_and(|until| until <= self.now) {
            return self.delete(id.0);
        }
        let mut freeze = freeze.clone();
        (freeze.spec.until, freeze.spec.thawed_by) = (Some(self.now), Some("bob".to_owned()));
        self.put(Entity::Freeze(freeze));
        true
    }

    fn put_version(&mut self, mut version: Record<Version>) {
        version.meta.updated_at = self.now;
        self.put(Entity::Version(version));
    }

    fn known_version(&self, id: VersionId) -> Option<Record<Version>> {
        let known = self.entities.values().find(|entity| entity.meta().id == id.0)?;
        if let Entity::Version(version) = known { Some(version.clone()) } else { None }
    }

    fn edit(&mut self, user: Nth, of: Nth, nth: Nth) -> Option<String> {
        let (id, said) = self.nth_version(of, nth)?;
        let mut version = self.known_version(id)?;
        let by = USERS[user % 3].to_owned();
        version.spec.config.insert("edited".into(), json!(self.revision));
        version.spec.content_since = Some(self.now);
        version.spec.edited_by.insert(by.clone());
        self.put_version(version);
        Some(format!("{by} edits version {said}"))
    }

    pub(crate) fn nth_version(&self, of: Nth, nth: Nth) -> Option<(VersionId, String)> {
        let tags = &self.versions[of % 2];
        let tag = tags.get(nth % tags.len().max(1))?;
        Some((VersionId::of(deployment(of), tag), format!("{} {tag}", DEPLOYMENTS[of % 2])))
    }

    fn status(&mut self, of: Nth, nth: Nth, status: VersionStatus) -> Option<String> {
        let (id, said) = self.nth_version(of, nth)?;
        let mut version = self.known_version(id)?;
        version.spec.status = status;
        self.put_version(version);
        Some(format!("version {said} is {status:?}"))
    }

    fn word(&mut self, user: Nth, of: Nth, version: Nth, at: Nth, yes: bool) -> Option<String> {
        let (version, tag) = self.nth_version(of, version)?;
        let (user_nth, user, environment) = (user, USERS[user % 3].to_owned(), environment(at));
        let status = if yes { ApprovalStatus::Approved } else { ApprovalStatus::Rejected };
        let said = format!("{user} says {status:?} to {tag} in {}", ENVIRONMENTS[at % 3]);
        let meta = self.meta(&user, ApprovalId::of(version, environment, &user).0);
        let role = Some(ROLES[user_nth % 3]);
        let of_content = self.known_version(version).map(|version| version.content());
        let spec =
            Approval { version, environment, user, status, reason: None, role, at: self.now, of_content };
        self.put(Entity::Approval(Record { meta, spec }));
        Some(said)
    }

    fn skip(
        &mut self,
        nth: Nth,
        rule: Nth,
        indexed: bool,
        version: Nth,
        (at, on): (Option<Nth>, Option<Nth>),
        expires: Option<u32>,
    ) -> Option<String> {
        let nth = nth % self.policies.len().max(1);
        let rules = &self.policies.get(nth)?.rules;
        let index = rule % rules.len().max(1);
        let name = rules.get(index)?.name();
        // Versions of web have even numbers, those of api odd ones.
        let (version, tag) = self.nth_version(version % 2, version / 2)?;
        let spec = Skip {
            policy: policy(nth),
            rule: name.to_owned(),
            rule_index: indexed.then_some(index as u32),
            version,
            environment: at.map(environment),
            resource: on.map(|nth| resource(nth % self.resources)),
            expires_at: expires.map(|seconds| self.now + TimeDelta::seconds(i64::from(seconds))),
            reason: "because".to_owned(),
            created_by: "ann".to_owned(),
        };
        let said = format!(
            "skip {name} {:?} of p{nth} for {tag} in {:?} on {:?} until {:?}",
            spec.rule_index,
            at.map(|at| ENVIRONMENTS[at % 3]),
            on.map(|nth| nth % self.resources),
            spec.expires_at
        );
        let mut meta = self.meta("skip", SkipId::of(&spec).0);
        // "said again it begins anew"
        if self
            .entities
            .values()
            .any(|of| of.meta().id == spec.policy.0 && of.meta().updated_at > meta.created_at)
        {
            meta.created_at = self.now;
        }
        self.put(Entity::Skip(Record { meta, spec }));
        Some(said)
    }

    fn pin(&mut self, of: Nth, version: Nth, at: Option<Nth>, on: Option<Nth>) -> Option<String> {
        let (version, tag) = self.nth_version(of, version)?;
        let spec = Pin {
            deployment: deployment(of),
            environment: at.map(environment),
            resource: on.map(|nth| resource(nth % self.resources)),
            version,
            reason: "because".to_owned(),
            created_by: "ann".to_owned(),
        };
        let place =
            format!("{:?} {:?}", at.map(|at| ENVIRONMENTS[at % 3]), on.map(|nth| nth % self.resources));
        let meta = self.meta(&place, PinId::of(spec.deployment, spec.environment, spec.resource).0);
        self.put(Entity::Pin(Record { meta, spec }));
        Some(format!("pin {tag} at {place}"))
    }

    fn redeploy(&mut self, nth: Nth, version: Option<Nth>) -> Option<String> {
        let targets = self.targets();
        let target = *targets.get(nth % targets.len().max(1))?;
        let of = usize::from(target.deployment == deployment(1));
        let version = version.and_then(|nth| self.nth_version(of, nth));
        let said = format!("redeploy {:?} on {}", version.as_ref().map(|(_, tag)| tag), self.name(&target));
        let version = version.map(|(id, _)| id);
        let spec = Redeploy { target, version, at: self.now, reason: None, by: "ann".to_owned() };
        let meta = self.meta("redeploy", RedeployId::of(&target).0);
        self.put(Entity::Redeploy(Record { meta, spec }));
        Some(said)
    }

    pub(crate) fn put_policy(&mut self, nth: Nth, enabled: bool) {
        let plan = &self.policies[nth];
        let spec = Policy {
            description: None,
            selector: plan.selector.clone(),
            priority: 0,
            enabled,
            rules: plan.rules.clone(),
        };
        let meta = self.meta(&format!("p{nth}"), policy(nth).0);
        self.put(Entity::Policy(Record { meta, spec }));
    }

    fn within(&self, nth: Nth) -> Option<[bool; 3]> {
        let entity = self.entities.values().find(|entity| entity.meta().id == resource(nth).0)?;
        Some(ENVIRONMENTS.map(|name| entity.meta().metadata[name] == "yes"))
    }

    fn put_resource(&mut self, nth: Nth, within: [bool; 3], x: Option<u8>) {
        let name = format!("r{nth}");
        let spec = Resource {
            identifier: name.clone(),
            resource_type: String::new(),
            version: String::new(),
            config: Map::new(),
            variables: x.into_iter().map(|x| ("x".to_owned(), json!(x))).collect(),
            provider: None,
        };
        let mut meta = self.meta(&name, resource(nth).0);
        for (name, is) in ENVIRONMENTS.iter().zip(within) {
            meta.metadata.insert((*name).to_owned(), if is { "yes" } else { "no" }.to_owned());
        }
        self.put(Entity::Resource(Record { meta, spec }));
    }

    /// `web production r1`
    pub(crate) fn name(&self, target: &TargetKey) -> String {
        let name = |id: Uuid| {
            let known = self.entities.values().find(|entity| entity.meta().id == id);
            known.map_or_else(|| "(gone)".to_owned(), |entity| entity.meta().name.clone())
        };
        [target.deployment.0, target.environment.0, target.resource.0].map(name).join(" ")
    }

    pub(crate) fn meta(&self, name: &str, id: Uuid) -> Meta {
        let before = self.entities.values().find(|entity| entity.meta().id == id);
        Meta {
            id,
            workspace: workspace(),
            name: name.to_owned(),
            metadata: BTreeMap::new(),
            created_at: before.map_or(self.now, |before| before.meta().created_at),
            updated_at: self.now,
        }
    }

    pub(crate) fn put(&mut self, entity: Entity) {
        let key = entity.key().to_string();
        self.revision += 1;
        let value = serde_json::to_vec(&entity).unwrap();
        self.catalog.apply(&key, Some(&value), self.revision);
        self.entities.insert(key, entity);
    }

    pub(crate) fn delete(&mut self, id: Uuid) -> bool {
        let Some(entity) = self.entities.values().find(|entity| entity.meta().id == id) else {
            return false;
        };
        let key = entity.key().to_string();
        self.entities.remove(&key);
        self.revision += 1;
        self.catalog.apply(&key, None, self.revision);
        true
    }
}

/// What a decision remembers of rollouts.
pub(crate) fn rollouts(decision: &TargetDecision) -> impl Iterator<Item = Placed> {
    decision.rollout_places().map(|place| {
        let RolloutPlace { version, policy, policy_updated_at, rule_index, position, offset_seconds, .. } =
            place;
        Placed { version, policy, rule_index, policy_updated_at, offset_seconds, position }
    })
}
