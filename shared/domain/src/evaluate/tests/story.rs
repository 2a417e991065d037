//! The vocabulary of evaluation tests: a story is a text, one step per line; `look` lines say what must be decided.
//!
//! ```text
//! break staging                          which resources it selects cannot be told any more
//! env staging 2                          an environment with targets staging-0 and staging-1
//! policy gate on production: approvals 1 a policy; its rules are separated by ` ; ` (see `rule`)
//! disabled gate on production: approvals 1
//! skip anyApproval of gate for v1 [index 0] [in production] [on production-0] [until 10m]
//! freeze production [for 10m] | thaw
//! pin v1 in production | unpin
//! redeploy staging-0 [v2]
//! pause v1 in staging | resume v1 in staging
//! measured staging-0 passed | failed | inconclusive   the verification of what runs there ends
//! v1 requires d2                         the version needs that version of `db` on the resource
//! db v1 on staging-0 [failure]           another deployment's version is deployed on that resource
//! at 2026-03-28T10:00:00Z                sets the clock
//! choosy                                 whether the deployment selects what is in staging cannot be told
//! supersede                              a newer version cancels the job in progress
//! version v1 [status]                    a version, or its new status
//! yes ann v1 production | no ann v1 …    a person's word
//! vars staging-0 region=eu               a resource's variable
//! lost staging-0 region                  a resource's variable refers to nothing
//! unreadable version v1 | readable version v1   what is stored of it cannot be read; it can again
//! +10m                                   time passes (s, m, h)
//! look staging-0 = …                     decides, stores the decision and records what it asks for
//! crash staging-0 = …                    decides and stores, but dies before recording what it asks for
//! end staging-0 successful [reason]      the active job ends
//! again staging-0                        the last job runs again
//! forget                                 the stream forgets the jobs that are over
//! delete version v1 | delete resource staging-0 | delete policy gate
//! ```

use crate::Timestamp;
use crate::catalog::Catalog;
use crate::decision::{ConsideredVersion, TargetDecision};
use crate::entity::{
    AnyApproval, Approval, ApprovalStatus, BackoffStrategy, Deployment, DeploymentDependency,
    DeploymentWindow, Entity, Environment, EnvironmentProgression, Freeze, GradualRollout, Kind, Meta,
    OnNewVersion, Pin, Policy, PolicyRule, Record, Redeploy, Resource, Retry, Rollback, RolloutAction,
    RolloutControl, RolloutType, Skip, System, Version, VersionCooldown, VersionDependency, VersionSelector,
    VersionStatus, Workspace,
};
use crate::evaluate::{DeploymentView, Facts, Outcome, decide_target, same_decision};
use crate::id::{
    ApprovalId, DeploymentId, EnvironmentId, FreezeId, JobId, PinId, PolicyId, RedeployId, ResourceId,
    RolloutControlId, SkipId, SystemId, VersionId, WorkspaceId,
};
use crate::job::{CancelReason, JobEvent, JobFact, JobRef, Links, Reason, Snapshot, Source, TerminalStatus};
use crate::target::TargetKey;
use crate::token::Slug;
use chrono::TimeDelta;
use serde_json::Map;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A world in which a story is told.
pub(super) struct World {
    pub(super) catalog: Catalog,
    pub(super) facts: Facts,
    pub(super) decisions: BTreeMap<String, TargetDecision>,
    pub(super) now: Timestamp,
    pub(super) entities: BTreeMap<String, Entity>,
    revision: u64,
    sequence: u64,
}

/// Tells the story and checks every `look`.
#[track_caller]
pub(super) fn check(story: &str) -> World {
    let mut world = World::new();
    for (number, line) in story.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let (step, expected) = match line.split_once(" = ") {
            Some((step, expected)) => (step, Some(expected.trim())),
            None => (line, None),
        };
        let got = world.step(step);
        assert_eq!(got.as_deref(), expected, "line {}: {line}", number + 1);
    }
    world
}

pub(super) fn workspace() -> Slug {
    "acme".parse().unwrap()
}

pub(super) fn deployment() -> DeploymentId {
    DeploymentId::of(&workspace(), "web")
}

impl World {
    pub(super) fn new() -> Self {
        let mut world = Self {
            catalog: Catalog::default(),
            facts: Facts::default(),
            decisions: BTreeMap::new(),
            now: Timestamp::UNIX_EPOCH + TimeDelta::days(20_000),
            entities: BTreeMap::new(),
            revision: 0,
            sequence: 0,
        };
        let ws = workspace();
        let system = SystemId::of(&ws, "shop");
        let meta = world.meta("acme", WorkspaceId::of(&ws).0);
        world.put(Entity::Workspace(Record { meta, spec: Workspace::default() }));
        let meta = world.meta("shop", system.0);
        world.put(Entity::System(Record { meta, spec: System::default() }));
        world.deployment(OnNewVersion::Wait);
        world
    }

    pub(super) fn step(&mut self, step: &str) -> Option<String> {
        let words: Vec<&str> = step.split_whitespace().collect();
        match words.as_slice() {
            ["env", name, count] => self.environment(name, count.parse().unwrap()),
            ["break", environment] => self.environment_with(environment, "resource.nothing.here == 1"),
            ["policy", name, "on", environment, ..] => {
                let rules = step.split_once(": ").unwrap().1.split(" ; ").map(rule).collect();
                self.rules(name, environment.trim_end_matches(':'), rules, true);
            }
            ["disabled", name, "on", environment, ..] => {
                let rules = step.split_once(": ").unwrap().1.split(" ; ").map(rule).collect();
                self.rules(name, environment.trim_end_matches(':'), rules, false);
            }
            ["skip", rule, "of", policy, "for", tag, ..] => self.skip(rule, policy, tag, &words),
            ["freeze", environment] => self.freeze(environment, None),
            ["freeze", environment, "for", time] => self.freeze(environment, Some(self.now + duration(time))),
            ["thaw"] => self.thaw(),
            ["pin", tag, "in", environment] => self.pin(tag, environment),
            ["unpin"] => self.delete("pin"),
            ["redeploy", target] => self.redeploy(target, None),
            ["redeploy", target, tag] => self.redeploy(target, Some(tag)),
            ["pause", tag, "in", environment] => self.control(tag, environment, RolloutAction::Pause),
            ["resume", tag, "in", environment] => self.control(tag, environment, RolloutAction::Resume),
            ["measured", target, result] => self.measured(target, result),
            ["db", tag, "on", resource] => self.elsewhere(tag, resource, TerminalStatus::Successful),
            ["db", tag, "on", resource, "failure"] => self.elsewhere(tag, resource, TerminalStatus::Failure),
            [tag, "requires", other] => self.requires(tag, other),
            ["at", time] => self.now = time.parse().unwrap(),
            ["supersede"] => self.deployment(OnNewVersion::Supersede),
            ["choosy"] => {
                let selector = "environment.name == 'production' || resource.nothing.here == 1";
                self.deployment_with(OnNewVersion::Wait, Some(selector));
            }
            ["version", tag] => self.version(tag, VersionStatus::Ready),
            ["version", tag, status] => {
                self.version(tag, serde_json::from_value((*status).into()).unwrap());
            }
            ["yes", user, tag, environment] => self.word(user, tag, environment, ApprovalStatus::Approved),
            ["no", user, tag, environment] => self.word(user, tag, environment, ApprovalStatus::Rejected),
            ["vars", resource, pair] => {
                let (key, value) = pair.split_once('=').unwrap();
                self.resource(resource, Some((key, value.into())));
            }
            ["lost", resource, key] => {
                let nothing = serde_json::json!({ "reference": "nothing", "path": "config.region" });
                self.resource(resource, Some((key, nothing)));
            }
            ["unreadable", _kind, name] => self.unreadable(name),
            ["readable", _kind, name] => {
                let entity = self.entities.values().find(|entity| entity.meta().name == *name);
                self.put(entity.unwrap().clone());
            }
            ["delete", _kind, name] => self.delete(name),
            ["look", target] => return Some(self.look(target, true)),
            ["crash", target] => return Some(self.look(target, false)),
            ["end", target, status] => self.end(target, status, None),
            ["end", target, status, reason] => self.end(target, status, Some(reason)),
            ["again", target] => self.again(target),
            ["forget"] => self.facts.forget_over_before(self.now + TimeDelta::seconds(1)),
            [time] if time.starts_with('+') => self.now += duration(&time[1..]),
            other => panic!("not a step: {other:?}"),
        }
        None
    }

    pub(super) fn target(&self, name: &str) -> TargetKey {
        let environment = name.rsplit_once('-').unwrap().0;
        TargetKey {
            deployment: deployment(),
            environment: EnvironmentId::of(&workspace(), environment),
            resource: ResourceId::of(&workspace(), name),
        }
    }

    pub(super) fn decide(&self, target: &str) -> Outcome {
        let ws = self.catalog.workspace(&workspace()).unwrap();
        let decided = self.decided();
        decide_target(ws, &self.facts, &decided, &self.target(target), self.now, Some("test".into()))
    }

    /// Every candidate that is asked, not only those that the decision shows.
    pub(super) fn considered(&self, target: &str) -> Vec<ConsideredVersion> {
        self.considered_of(target, usize::MAX).0
    }

    /// As many candidates, and how many more there are.
    pub(super) fn considered_of(&self, target: &str, most: usize) -> (Vec<ConsideredVersion>, usize) {
        let ws = self.catalog.workspace(&workspace()).unwrap();
        let decided = self.decided();
        let view = DeploymentView::of(ws, &self.facts, &decided, deployment(), self.now);
        view.considered(&self.target(target), most)
    }

    pub(super) fn decided(&self) -> BTreeMap<TargetKey, TargetDecision> {
        self.decisions.values().map(|decision| (decision.target, decision.clone())).collect()
    }

    pub(super) fn record(&mut self, job: JobRef, fact: JobFact) {
        self.sequence += 1;
        let event = JobEvent { job, at: self.now, cause: None, traceparent: None, fact };
        self.facts.apply(&event, self.sequence);
    }

    fn look(&mut self, target: &str, survives: bool) -> String {
        let Outcome { decision, request, withdraw, supersede, verifications } = self.decide(target);
        assert!(!decision.summary.is_empty());
        let tag = |of: Option<&String>| of.map_or_else(|| "-".to_owned(), Clone::clone);
        let state = serde_json::to_value(decision.state).unwrap();
        let mut said = format!(
            "{} want {} run {}",
            state.as_str().unwrap(),
            tag(decision.desired.as_ref().map(|v| &v.tag)),
            tag(decision.current.as_ref().map(|v| &v.tag)),
        );
        for (verb, job) in [("request", &request), ("withdraw", &withdraw), ("supersede", &supersede)] {
            if let Some(job) = job {
                assert_eq!(job.id, JobId::of(job.release, job.attempt));
                said.push_str(&format!(" {verb} {}#{}", job.tag, job.attempt));
            }
        }
        if let Some(look) = decision.next_look {
            said.push_str(&format!(" next +{}s", (look - self.now).num_seconds()));
        }
        if !self.decisions.get(target).is_some_and(|before| same_decision(before, &decision)) {
            self.decisions.insert(target.to_owned(), decision);
        }
        if survives {
            if let Some(job) = request {
                self.record(job, JobFact::Requested { catalog_revision: self.revision, grounds: None });
            }
            if let Some(job) = withdraw {
                self.record(job, JobFact::withdrawn());
            }
            for job in verifications {
                self.record(job, JobFact::Requested { catalog_revision: self.revision, grounds: None });
            }
            if let Some(job) = supersede {
                let by = "policy-evaluator".to_owned();
                self.record(job, JobFact::CancelRequested { by, reason: CancelReason::Superseded });
            }
        }
        said
    }

    fn end(&mut self, target: &str, status: &str, reason: Option<&str>) {
        let active = self.facts.jobs_of(&self.target(target)).find(|job| !job.is_over());
        let job = active.unwrap_or_else(|| panic!("{target} has no active job")).job.clone();
        let status: TerminalStatus = serde_json::from_value(status.into()).unwrap();
        let snapshot = Snapshot {
            status,
            order: None,
            raw: None,
            reason: reason.map(|reason| serde_json::from_value(reason.into()).unwrap()),
            message: None,
            links: Links::new(),
            source: Source::Webhook,
            external: None,
        };
        self.record(job, JobFact::Finished(snapshot));
    }

    fn again(&mut self, target: &str) {
        let last = self.facts.jobs_of(&self.target(target)).max_by_key(|job| job.sequence);
        let job = last.unwrap().job.clone();
        self.record(job, JobFact::RetryRequested { by: "ann".into() });
    }

    fn deployment(&mut self, on_new_version: OnNewVersion) {
        self.deployment_with(on_new_version, None);
    }

    fn deployment_with(&mut self, on_new_version: OnNewVersion, selector: Option<&str>) {
        let spec = Deployment {
            slug: "web".parse().unwrap(),
            systems: vec![SystemId::of(&workspace(), "shop")],
            description: None,
            resource_selector: selector.map(str::to_owned),
            job_agent_selector: None,
            job_agents: Vec::new(),
            job_agent_config: Map::new(),
            on_new_version,
            deadlines: Default::default(),
            variables: Default::default(),
        };
        let meta = self.meta("web", deployment().0);
        self.put(Entity::Deployment(Record { meta, spec }));
    }

    fn environment_with(&mut self, name: &str, resource_selector: &str) {
        let spec = Environment {
            systems: vec![SystemId::of(&workspace(), "shop")],
            description: None,
            resource_selector: resource_selector.to_owned(),
        };
        let meta = self.meta(name, EnvironmentId::of(&workspace(), name).0);
        self.put(Entity::Environment(Record { meta, spec }));
    }

    fn environment(&mut self, name: &str, targets: usize) {
        self.environment_with(name, &format!("resource.metadata.env == '{name}'"));
        for n in 0..targets {
            self.resource(&format!("{name}-{n}"), None);
        }
    }

    fn resource(&mut self, name: &str, variable: Option<(&str, serde_json::Value)>) {
        let spec = Resource {
            identifier: name.to_owned(),
            resource_type: String::new(),
            version: String::new(),
            config: Map::new(),
            variables: variable.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            provider: None,
        };
        let mut meta = self.meta(name, ResourceId::of(&workspace(), name).0);
        meta.metadata.insert("env".into(), name.rsplit_once('-').unwrap().0.to_owned());
        self.put(Entity::Resource(Record { meta, spec }));
    }

    pub(super) fn policy(&mut self, name: &str, environment: &str, rule: PolicyRule) {
        self.rules(name, environment, vec![rule], true);
    }

    fn rules(&mut self, name: &str, environment: &str, rules: Vec<PolicyRule>, enabled: bool) {
        let selector = match environment {
            "*" => "true".to_owned(),
            "broken" => "environment.nothing.here == 1".to_owned(),
            name => format!("environment.name == '{name}'"),
        };
        let spec = Policy { description: None, selector, priority: 0, enabled, rules };
        let meta = self.meta(name, PolicyId::of(&workspace(), name).0);
        self.put(Entity::Policy(Record { meta, spec }));
    }

    fn version(&mut self, tag: &str, status: VersionStatus) {
        let spec = Version {
            deployment: deployment(),
            tag: tag.to_owned(),
            status,
            config: Map::new(),
            job_agent_config: Map::new(),
            dependencies: Default::default(),
            known_since: None,
            content_since: None,
            edited_by: Default::default(),
        };
        // Two versions of one instant are ordered by their ids, which no reader of a story knows.
        self.now += TimeDelta::seconds(1);
        let mut meta = self.meta(tag, VersionId::of(deployment(), tag).0);
        meta.metadata.insert("createdBy".into(), "maker".into());
        self.put(Entity::Version(Record { meta, spec }));
    }

    fn requires(&mut self, tag: &str, other: &str) {
        let id = VersionId::of(deployment(), tag).0;
        let known = self.entities.values().find(|entity| entity.meta().id == id).cloned();
        let Some(Entity::Version(mut record)) = known else { panic!("there is no version {tag}") };
        let version_selector = format!("version.tag == '{other}'");
        let deployment = DeploymentId::of(&workspace(), "db");
        record.spec.dependencies = vec![VersionDependency { deployment, version_selector }];
        self.put(Entity::Version(record));
    }

    fn word(&mut self, user: &str, tag: &str, environment: &str, status: ApprovalStatus) {
        let version = VersionId::of(deployment(), tag);
        let environment = EnvironmentId::of(&workspace(), environment);
        let spec = Approval {
            version,
            environment,
            user: user.to_owned(),
            status,
            reason: None,
            role: None,
            at: self.now,
            of_content: None,
        };
        let meta = self.meta(user, ApprovalId::of(version, environment, user).0);
        self.put(Entity::Approval(Record { meta, spec }));
    }

    fn skip(&mut self, rule: &str, policy: &str, tag: &str, words: &[&str]) {
        let option = |name: &str| words.iter().position(|word| *word == name).map(|at| words[at + 1]);
        let spec = Skip {
            policy: PolicyId::of(&workspace(), policy),
            rule: rule.to_owned(),
            rule_index: option("index").map(|index| index.parse().unwrap()),
            version: VersionId::of(deployment(), tag),
            environment: option("in").map(|name| EnvironmentId::of(&workspace(), name)),
            resource: option("on").map(|name| ResourceId::of(&workspace(), name)),
            expires_at: option("until").map(|time| self.now + duration(time)),
            reason: "a fire".into(),
            created_by: "ann".into(),
        };
        let meta = self.meta("skip", SkipId::of(&spec).0);
        self.put(Entity::Skip(Record { meta, spec }));
    }

    fn thaw(&mut self) {
        let known = self.entities.values().find(|entity| entity.kind() == Kind::Freeze);
        let Some(Entity::Freeze(freeze)) = known else { panic!("nothing is frozen") };
        let thawed = crate::freeze::thawed(freeze, "ann", self.now).expect("it is on");
        self.put(Entity::Freeze(thawed));
    }

    fn freeze(&mut self, environment: &str, until: Option<Timestamp>) {
        let selector = format!("environment.name == '{environment}'");
        let (reason, owner) = ("the sale".to_owned(), "ann".to_owned());
        let meta = self.meta("freeze", FreezeId::of(&workspace(), "freeze").0);
        self.put(Entity::Freeze(Record {
            meta,
            spec: Freeze { selector, reason, owner, from: None, until, thawed_by: None },
        }));
    }

    fn pin(&mut self, tag: &str, environment: &str) {
        let environment = Some(EnvironmentId::of(&workspace(), environment));
        let version = VersionId::of(deployment(), tag);
        let (reason, created_by) = ("it works".to_owned(), "ann".to_owned());
        let spec = Pin { deployment: deployment(), environment, resource: None, version, reason, created_by };
        let meta = self.meta("pin", PinId::of(deployment(), environment, None).0);
        self.put(Entity::Pin(Record { meta, spec }));
    }

    fn redeploy(&mut self, target: &str, tag: Option<&str>) {
        let target = self.target(target);
        let version = tag.map(|tag| VersionId::of(deployment(), tag));
        self.now += TimeDelta::seconds(1);
        let spec = Redeploy { target, version, at: self.now, reason: None, by: "ann".into() };
        let meta = self.meta("redeploy", RedeployId::of(&target).0);
        self.put(Entity::Redeploy(Record { meta, spec }));
    }

    fn control(&mut self, tag: &str, environment: &str, action: RolloutAction) {
        let version = VersionId::of(deployment(), tag);
        let environment = EnvironmentId::of(&workspace(), environment);
        let (at, by, pauses) = (self.now, "ann".to_owned(), Vec::new());
        let spec = RolloutControl { version, environment, action, at, reason: None, by, pauses };
        let id = RolloutControlId::of(version, environment);
        let before = self.catalog.workspace(&workspace()).and_then(|ws| ws.rollout_control(id));
        let spec = spec.following(before.map(|before| &before.spec));
        let meta = self.meta("control", id.0);
        self.put(Entity::RolloutControl(Record { meta, spec }));
    }

    fn measured(&mut self, target: &str, result: &str) {
        let key = self.target(target);
        let success = self.facts.jobs_of(&key).filter(|job| job.succeeded()).max_by_key(|job| job.sequence);
        let measuring = self.facts.verifications_of(success.unwrap().job.id).find(|job| !job.is_over());
        let job = measuring.unwrap_or_else(|| panic!("nothing measures {target}")).job.clone();
        let (status, reason) = match result {
            "passed" => (TerminalStatus::Successful, None),
            "failed" => (TerminalStatus::Failure, None),
            "inconclusive" => (TerminalStatus::Failure, Some(Reason::Inconclusive)),
            other => panic!("not a result: {other}"),
        };
        self.record(job, JobFact::ended(status, reason, "measured"));
    }

    /// The deployment `db` is in the same system; its version goes to the resource without being asked for.
    fn elsewhere(&mut self, tag: &str, resource: &str, status: TerminalStatus) {
        let db = DeploymentId::of(&workspace(), "db");
        let web = self.entities.values().find(|entity| entity.meta().id == deployment().0).cloned();
        if let Some(Entity::Deployment(mut record)) = web {
            record.meta = self.meta("db", db.0);
            record.spec.slug = "db".parse().unwrap();
            self.put(Entity::Deployment(record));
        }
        let version = VersionId::of(db, tag);
        let spec: Version =
            serde_json::from_value(serde_json::json!({ "deployment": db, "tag": tag })).unwrap();
        let meta = self.meta(tag, version.0);
        self.put(Entity::Version(Record { meta, spec }));
        let target = TargetKey { deployment: db, ..self.target(resource) };
        let release = crate::target::release_id(&target, version, &Default::default());
        let job = JobRef {
            workspace: workspace(),
            id: JobId::of(release, 1),
            target,
            version,
            tag: tag.to_owned(),
            release,
            attempt: 1,
            deployment: "db".parse().unwrap(),
            environment: "staging".parse().unwrap(),
            purpose: Default::default(),
            content: None,
        };
        self.record(job, JobFact::ended(status, None, "done"));
    }

    fn unreadable(&mut self, name: &str) {
        let matches = |entity: &&Entity| entity.meta().name == name;
        let key = self.entities.values().find(matches).unwrap().key().to_string();
        self.revision += 1;
        self.catalog.apply(&key, Some(b"{}"), self.revision);
    }

    fn delete(&mut self, name: &str) {
        let matches = |entity: &&Entity| entity.meta().name == name;
        let key = self.entities.values().find(matches).unwrap().key().to_string();
        self.entities.remove(&key);
        self.revision += 1;
        self.catalog.apply(&key, None, self.revision);
    }

    fn meta(&self, name: &str, id: Uuid) -> Meta {
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

    pub(super) fn put(&mut self, entity: Entity) {
        let key = entity.key().to_string();
        self.revision += 1;
        let value = serde_json::to_vec(&entity).unwrap();
        self.catalog.apply(&key, Some(&value), self.revision);
        self.entities.insert(key, entity);
    }
}

/// `approvals 2 by ann self no expires 10m` | `after staging 50% soak 10m age 2h verified counting successful,skipped` |
/// `versions <CEL>` | `needs <CEL>` | `rollout 60s [normalized] [max 1] [regardless]` |
/// `window <RRULE> for 60m [in Europe/Berlin]` | `quiet <RRULE> for 60m` | `cooldown 10m` |
/// `retry 3 pause 10s [doubling] [cap 60s] [on failure,skipped]` | `rollback [on failure,skipped] [unmeasured]` |
/// `verified by sleep`
pub(super) fn rule(text: &str) -> PolicyRule {
    if let Some(selector) = text.strip_prefix("versions ") {
        let selector = selector.to_owned();
        return PolicyRule::VersionSelector(VersionSelector { selector, description: None });
    }
    if let Some(depends_on) = text.strip_prefix("needs ") {
        return PolicyRule::DeploymentDependency(DeploymentDependency { depends_on: depends_on.to_owned() });
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let option =
        |name: &str| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1)).copied();
    let statuses = |name: &str, default: TerminalStatus| match option(name) {
        None => vec![default],
        Some(list) => list.split(',').map(|word| serde_json::from_value(word.into()).unwrap()).collect(),
    };
    let seconds = |name: &str| option(name).map(|text| u32::try_from(duration(text).num_seconds()).unwrap());
    match words.as_slice() {
        ["approvals", count, ..] => PolicyRule::AnyApproval(AnyApproval {
            min_approvals: count.parse().unwrap(),
            approvers: option("by").map(|user| format!("user.name == '{user}'")),
            allow_self_approval: option("self") != Some("no"),
            expires_after_seconds: seconds("expires"),
        }),
        ["after", environment, ..] => PolicyRule::EnvironmentProgression(EnvironmentProgression {
            depends_on_environment_selector: match *environment {
                "broken" => "environment.nothing.here == 1".to_owned(),
                name => format!("environment.name.startsWith('{name}')"),
            },
            minimum_success_percentage: words
                .iter()
                .find_map(|word| word.strip_suffix('%'))
                .map_or(100.0, |share| share.parse().unwrap()),
            minimum_soak_time_minutes: seconds("soak").unwrap_or(0) / 60,
            maximum_age_hours: seconds("age").map(|seconds| seconds / 3600),
            require_verification_passed: words.contains(&"verified"),
            success_statuses: statuses("counting", TerminalStatus::Successful),
        }),
        ["rollout", interval, ..] => PolicyRule::GradualRollout(GradualRollout {
            rollout_type: match words.contains(&"normalized") {
                true => RolloutType::LinearNormalized,
                false => RolloutType::Linear,
            },
            time_scale_interval: u32::try_from(duration(interval).num_seconds()).unwrap(),
            max_failures: option("max").map_or(0, |n| n.parse().unwrap()),
            pause_on_failure: !words.contains(&"regardless"),
        }),
        [kind @ ("window" | "quiet"), rrule, ..] => PolicyRule::DeploymentWindow(DeploymentWindow {
            rrule: (*rrule).to_owned(),
            duration_minutes: seconds("for").unwrap() / 60,
            timezone: option("in").unwrap_or("UTC").to_owned(),
            allow_window: *kind == "window",
        }),
        ["cooldown", _] => {
            PolicyRule::VersionCooldown(VersionCooldown { interval_seconds: seconds("cooldown").unwrap() })
        }
        ["retry", count, ..] => PolicyRule::Retry(Retry {
            max_retries: count.parse().unwrap(),
            backoff_seconds: seconds("pause").unwrap_or(0),
            backoff_strategy: match words.contains(&"doubling") {
                true => BackoffStrategy::Exponential,
                false => BackoffStrategy::Linear,
            },
            max_backoff_seconds: seconds("cap"),
            retry_on_statuses: statuses("on", TerminalStatus::Failure),
        }),
        ["rollback", ..] => PolicyRule::Rollback(Rollback {
            on_job_statuses: statuses("on", TerminalStatus::Failure),
            on_verification_failure: !words.contains(&"unmeasured"),
        }),
        ["verified", ..] => {
            let sleep = serde_json::json!({ "metrics": [
                { "name": "rest", "provider": { "type": "sleep", "durationSeconds": 60 } }] });
            PolicyRule::Verification(serde_json::from_value(sleep).unwrap())
        }
        other => panic!("not a rule: {other:?}"),
    }
}

fn duration(text: &str) -> TimeDelta {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: i64 = number.parse().unwrap();
    match unit {
        "s" => TimeDelta::seconds(number),
        "m" => TimeDelta::minutes(number),
        "h" => TimeDelta::hours(number),
        other => panic!("not a unit: {other}"),
    }
}
