//! The vocabulary of evaluation tests: a story is a text, one step per line; `look` lines say what must be decided.
//!
//! ```text
//! env staging 2                          an environment with targets staging-0 and staging-1
//! policy gate on production: approvals 1 a policy (also: after staging 50% soak 10m age 2h | versions <CEL>)
//! supersede                              a newer version cancels the job in progress
//! version v1 [status]                    a version, or its new status
//! yes ann v1 production | no ann v1 …    a person's word
//! vars staging-0 region=eu               a resource's variable
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
use crate::decision::TargetDecision;
use crate::entity::{
    AnyApproval, Approval, ApprovalStatus, Deployment, Entity, Environment, EnvironmentProgression, Meta,
    OnNewVersion, Policy, PolicyRule, Record, Resource, System, Version, VersionSelector, VersionStatus,
    Workspace,
};
use crate::evaluate::{Facts, Outcome, decide_target, same_decision};
use crate::id::{
    ApprovalId, DeploymentId, EnvironmentId, JobId, PolicyId, ResourceId, SystemId, VersionId, WorkspaceId,
};
use crate::job::{CancelReason, JobEvent, JobFact, JobRef, Links, Snapshot, Source, TerminalStatus};
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
            ["policy", name, "on", environment, ..] => {
                let rule = rule(step.split_once(": ").unwrap().1);
                self.policy(name, environment.trim_end_matches(':'), rule);
            }
            ["supersede"] => self.deployment(OnNewVersion::Supersede),
            ["version", tag] => self.version(tag, VersionStatus::Ready),
            ["version", tag, status] => {
                self.version(tag, serde_json::from_value((*status).into()).unwrap());
            }
            ["yes", user, tag, environment] => self.word(user, tag, environment, ApprovalStatus::Approved),
            ["no", user, tag, environment] => self.word(user, tag, environment, ApprovalStatus::Rejected),
            ["vars", resource, pair] => self.resource(resource, pair.split_once('=')),
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

    pub(super) fn decided(&self) -> BTreeMap<TargetKey, TargetDecision> {
        self.decisions.values().map(|decision| (decision.target, decision.clone())).collect()
    }

    pub(super) fn record(&mut self, job: JobRef, fact: JobFact) {
        self.sequence += 1;
        let event = JobEvent { job, at: self.now, cause: None, traceparent: None, fact };
        self.facts.apply(&event, self.sequence);
    }

    fn look(&mut self, target: &str, survives: bool) -> String {
        let Outcome { decision, request, supersede, verifications } = self.decide(target);
        assert!(!decision.summary.is_empty());
        let tag = |of: Option<&String>| of.map_or_else(|| "-".to_owned(), Clone::clone);
        let state = serde_json::to_value(decision.state).unwrap();
        let mut said = format!(
            "{} want {} run {}",
            state.as_str().unwrap(),
            tag(decision.desired.as_ref().map(|v| &v.tag)),
            tag(decision.current.as_ref().map(|v| &v.tag)),
        );
        for (verb, job) in [("request", &request), ("supersede", &supersede)] {
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
                self.record(job, JobFact::Requested { catalog_revision: self.revision });
            }
            for job in verifications {
                self.record(job, JobFact::Requested { catalog_revision: self.revision });
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
        let spec = Deployment {
            slug: "web".parse().unwrap(),
            systems: vec![SystemId::of(&workspace(), "shop")],
            description: None,
            resource_selector: None,
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

    fn environment(&mut self, name: &str, targets: usize) {
        let spec = Environment {
            systems: vec![SystemId::of(&workspace(), "shop")],
            description: None,
            resource_selector: format!("resource.metadata.env == '{name}'"),
        };
        let meta = self.meta(name, EnvironmentId::of(&workspace(), name).0);
        self.put(Entity::Environment(Record { meta, spec }));
        for n in 0..targets {
            self.resource(&format!("{name}-{n}"), None);
        }
    }

    fn resource(&mut self, name: &str, variable: Option<(&str, &str)>) {
        let spec = Resource {
            identifier: name.to_owned(),
            resource_type: String::new(),
            version: String::new(),
            config: Map::new(),
            variables: variable.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect(),
        };
        let mut meta = self.meta(name, ResourceId::of(&workspace(), name).0);
        meta.metadata.insert("env".into(), name.rsplit_once('-').unwrap().0.to_owned());
        self.put(Entity::Resource(Record { meta, spec }));
    }

    pub(super) fn policy(&mut self, name: &str, environment: &str, rule: PolicyRule) {
        let selector = match environment {
            "*" => "true".to_owned(),
            "broken" => "environment.nothing.here == 1".to_owned(),
            name => format!("environment.name == '{name}'"),
        };
        let spec = Policy { description: None, selector, priority: 0, enabled: true, rules: vec![rule] };
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
        };
        // Two versions of one instant are ordered by their ids, which no reader of a story knows.
        self.now += TimeDelta::seconds(1);
        let mut meta = self.meta(tag, VersionId::of(deployment(), tag).0);
        meta.metadata.insert("createdBy".into(), "maker".into());
        self.put(Entity::Version(Record { meta, spec }));
    }

    fn word(&mut self, user: &str, tag: &str, environment: &str, status: ApprovalStatus) {
        let version = VersionId::of(deployment(), tag);
        let environment = EnvironmentId::of(&workspace(), environment);
        let spec =
            Approval { version, environment, user: user.to_owned(), status, reason: None, at: self.now };
        let meta = self.meta(user, ApprovalId::of(version, environment, user).0);
        self.put(Entity::Approval(Record { meta, spec }));
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

/// `approvals 2 self no expires 10m` | `after staging 50% soak 10m age 2h` | `versions <CEL>`
pub(super) fn rule(text: &str) -> PolicyRule {
    if let Some(selector) = text.strip_prefix("versions ") {
        let selector = selector.to_owned();
        return PolicyRule::VersionSelector(VersionSelector { selector, description: None });
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let option =
        |name: &str| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1)).copied();
    let seconds = |name: &str| option(name).map(|text| u32::try_from(duration(text).num_seconds()).unwrap());
    match words.as_slice() {
        ["approvals", count, ..] => PolicyRule::AnyApproval(AnyApproval {
            min_approvals: count.parse().unwrap(),
            approvers: option("by").map(|user| format!("user == '{user}'")),
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
            require_verification_passed: false,
            success_statuses: vec![TerminalStatus::Successful],
        }),
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
