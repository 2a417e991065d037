//! What the tests share: a server with a catalog to write to, replicas of the evaluator, and bounded waiting.

use bus::clock::{Clock, ClockHand};
use bus::topology::{CATALOG, JOBS, Needs, TARGETS, needs_of};
use bus::{Base, Bus, ConnectOptions, Provision, Recorded, TriggerEvent};
use chrono::{DateTime, TimeDelta, Utc};
use domain::decision::TargetDecision;
use domain::entity::{
    Approval, ApprovalStatus, Deployment, Entity, Environment, Meta, OnNewVersion, Policy, PolicyRule,
    Record, Resource, System, Trigger, Version, VersionStatus, Workspace,
};
use domain::id::{
    ApprovalId, DeploymentId, EnvironmentId, PolicyId, ResourceId, SystemId, TriggerId, VersionId,
    WorkspaceId,
};
use domain::job::{JobEvent, JobFact, JobRef, TerminalStatus};
use domain::subject;
use domain::target::TargetKey;
use domain::token::Slug;
use domain::trigger::TriggerAttributes;
use futures::StreamExt;
use policy_evaluator::{PolicyEvaluator, Settings};
use servers::TestServers;
use service::{Boot, CommonSettings, Plan, Secrets, Service, Started, Supervisor, start};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;

/// No step of a test takes longer. What a dead worker held comes back after 30 s.
pub(crate) const STEP: Duration = Duration::from_secs(90);

/// Asks until there is an answer.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(STEP, asking).await {
        Ok(answer) => answer,
        Err(_elapsed) => panic!("{what}: not within {STEP:?}"),
    }
}

pub(crate) fn workspace() -> Slug {
    "acme".parse().unwrap()
}

pub(crate) fn deployment() -> DeploymentId {
    DeploymentId::of(&workspace(), "web")
}

pub(crate) fn target(environment: &str, n: usize) -> TargetKey {
    TargetKey {
        deployment: deployment(),
        environment: EnvironmentId::of(&workspace(), environment),
        resource: ResourceId::of(&workspace(), &format!("{environment}-{n}")),
    }
}

/// The clocks of the rigs, by the address of their bus: how the service of a test gets its own.
static CLOCKS: Mutex<BTreeMap<String, Clock>> = Mutex::new(BTreeMap::new());

/// The evaluator, by the clock of its rig.
struct Timed;

impl Service for Timed {
    const NAME: &'static str = PolicyEvaluator::NAME;
    const ABOUT: &'static str = PolicyEvaluator::ABOUT;
    type Settings = Settings;

    fn defaults() -> CommonSettings {
        PolicyEvaluator::defaults()
    }

    async fn run(boot: Boot<Settings>) -> anyhow::Result<()> {
        let clock = CLOCKS.lock().unwrap()[&boot.common.nats.url].clone();
        policy_evaluator::run(boot, clock).await
    }
}

/// A replica of the evaluator.
pub(crate) struct Replica {
    started: Started,
}

impl Replica {
    pub(crate) async fn stop(self) {
        self.started.supervisor.finish(STEP).await.unwrap();
    }
}

/// A server with a catalog: deployment `web` in system `shop` of workspace `acme`.
pub(crate) struct Rig {
    pub(crate) bus: Bus,
    pub(crate) servers: TestServers,
    /// Moves the time of its replicas.
    pub(crate) hand: ClockHand,
    process: Supervisor,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        let servers = TestServers::start().await;
        let options = ConnectOptions {
            url: servers.nats.url(),
            name: "test".to_owned(),
            user: None,
            password: None,
            credentials_file: None,
            provision: Provision::Create,
        };
        let bus = Bus::connect(&options).await.unwrap();
        bus.ensure(&Needs { consumers: Vec::new(), ..needs_of(bus::topology::Service::Admin) })
            .await
            .unwrap();
        let (clock, hand) = Clock::movable();
        CLOCKS.lock().unwrap().insert(servers.nats.url(), clock);
        let rig = Self { bus, servers, hand, process: Supervisor::new("test") };
        let ws = workspace();
        rig.put(Entity::Workspace(record("acme", WorkspaceId::of(&ws).0, Workspace::default()))).await;
        rig.put(Entity::System(record("shop", SystemId::of(&ws, "shop").0, System::default()))).await;
        rig.deployment(OnNewVersion::Wait).await;
        rig
    }

    /// Starts a replica and waits until it is ready.
    pub(crate) async fn replica(&self) -> Replica {
        let mut common = CommonSettings::default();
        common.http.bind = None;
        common.nats.url = self.servers.nats.url();
        let secrets = Arc::new(Secrets::new(None, []));
        let plan = Plan { settings: Settings::default(), common, secrets };
        let started = start::<Timed>(&self.process, plan).await.unwrap();
        until("the replica is ready", async || started.readiness.is_ready().then_some(())).await;
        Replica { started }
    }

    pub(crate) async fn put(&self, entity: Entity) -> u64 {
        let value = serde_json::to_vec(&entity).unwrap();
        self.bus.bucket(&CATALOG).put(&entity.key().to_string(), value.into()).await.unwrap()
    }

    pub(crate) async fn deployment(&self, on_new_version: OnNewVersion) {
        self.deployment_of("web", on_new_version).await;
    }

    /// One in the same system.
    pub(crate) async fn deployment_of(&self, name: &str, on_new_version: OnNewVersion) {
        let spec: Deployment = serde_json::from_value(serde_json::json!({
            "slug": name,
            "systems": [SystemId::of(&workspace(), "shop")],
            "onNewVersion": on_new_version,
        }))
        .unwrap();
        let id = DeploymentId::of(&workspace(), name);
        self.put(Entity::Deployment(record(name, id.0, spec))).await;
    }

    pub(crate) async fn environment(&self, name: &str, targets: usize) {
        let spec = Environment {
            systems: vec![SystemId::of(&workspace(), "shop")],
            description: None,
            resource_selector: format!("resource.metadata.env == '{name}'"),
        };
        let id = EnvironmentId::of(&workspace(), name).0;
        self.put(Entity::Environment(record(name, id, spec))).await;
        let puts = futures::stream::iter(0..targets).map(async |n| {
            let identifier = format!("{name}-{n}");
            let spec: Resource =
                serde_json::from_value(serde_json::json!({ "identifier": identifier })).unwrap();
            let mut record = record(&identifier, ResourceId::of(&workspace(), &identifier).0, spec);
            record.meta.metadata.insert("env".into(), name.to_owned());
            self.put(Entity::Resource(record)).await;
        });
        puts.buffer_unordered(64).collect::<Vec<()>>().await;
    }

    /// A policy that came before every version.
    pub(crate) async fn policy(&self, name: &str, environment: &str, rule: serde_json::Value) {
        self.policy_where(name, &format!("environment.name == '{environment}'"), rule).await;
    }

    /// As [`Rig::policy`], by its selector.
    pub(crate) async fn policy_where(&self, name: &str, selector: &str, rule: serde_json::Value) {
        let rule: PolicyRule = serde_json::from_value(rule).unwrap();
        let spec = Policy {
            description: None,
            selector: selector.to_owned(),
            priority: 0,
            enabled: true,
            rules: vec![rule],
        };
        let mut record = record(name, PolicyId::of(&workspace(), name).0, spec);
        record.meta.created_at -= TimeDelta::days(1);
        self.put(Entity::Policy(record)).await;
    }

    pub(crate) async fn version(&self, tag: &str) -> u64 {
        self.version_as(tag, VersionStatus::Ready).await
    }

    pub(crate) async fn version_as(&self, tag: &str, status: VersionStatus) -> u64 {
        let spec = serde_json::json!({ "deployment": deployment(), "tag": tag, "status": status });
        self.version_with(spec).await
    }

    /// A version of a deployment, as the catalog keeps it.
    pub(crate) async fn version_with(&self, spec: serde_json::Value) -> u64 {
        let spec: Version = serde_json::from_value(spec).unwrap();
        let (id, tag) = (VersionId::of(spec.deployment, &spec.tag), spec.tag.clone());
        self.put(Entity::Version(record(&tag, id.0, spec))).await
    }

    /// A rule that makes a version with this (template of a) tag from a push.
    pub(crate) async fn trigger(&self, tag: &str) {
        let spec: Trigger = serde_json::from_value(serde_json::json!({
            "source": "github",
            "event": "push",
            "then": { "createVersion": { "deployment": deployment(), "tag": tag } },
        }))
        .unwrap();
        self.put(Entity::Trigger(record("from-push", TriggerId::of(&workspace(), "from-push").0, spec)))
            .await;
    }

    pub(crate) async fn event(&self, id: &str, after: &str) {
        self.event_of_type(id, "push", after).await;
    }

    pub(crate) async fn event_of_type(&self, id: &str, event_type: &str, after: &str) {
        let attributes = TriggerAttributes {
            specversion: "1.0".into(),
            id: id.to_owned(),
            source: "https://github.com/acme/shop".into(),
            event_type: event_type.to_owned(),
            subject: None,
            time: Utc::now(),
            datacontenttype: Some("application/json".into()),
            dataref: None,
            workspace: workspace(),
            triggersource: "github".parse().unwrap(),
            sourcekind: "github".parse().unwrap(),
            traceparent: None,
        };
        let payload = serde_json::to_vec(&serde_json::json!({ "after": after })).unwrap();
        let (headers, payload) = TriggerEvent::new(attributes, payload.into()).encode();
        let token: Slug = event_type.parse().unwrap();
        let subject = subject::trigger(&workspace(), &"github".parse().unwrap(), &token);
        self.bus.publish(subject, headers, payload, Some(id)).await.unwrap();
    }

    pub(crate) async fn approve(&self, user: &str, tag: &str, environment: &str) {
        let version = VersionId::of(deployment(), tag);
        let environment = EnvironmentId::of(&workspace(), environment);
        let spec = Approval {
            version,
            environment,
            user: user.to_owned(),
            status: ApprovalStatus::Approved,
            reason: None,
            role: None,
            at: Utc::now(),
            of_content: None,
        };
        self.put(Entity::Approval(record(user, ApprovalId::of(version, environment, user).0, spec))).await;
    }

    pub(crate) async fn decision(&self, target: &TargetKey) -> Option<TargetDecision> {
        let key = subject::target_key(&workspace(), target);
        let entry = self.bus.bucket(&TARGETS).get(&key).await.unwrap()?;
        Some(serde_json::from_slice(&entry.value).unwrap())
    }

    /// Waits for a decision that is so.
    pub(crate) async fn decided(
        &self,
        what: &str,
        target: &TargetKey,
        is_so: impl Fn(&TargetDecision) -> bool,
    ) -> TargetDecision {
        until(what, async || self.decision(target).await.filter(&is_so)).await
    }

    /// Every fact of every job, oldest first.
    pub(crate) async fn facts(&self) -> Vec<JobEvent> {
        let stream = self.bus.jetstream().get_stream(JOBS.name).await.unwrap();
        let last = stream.cached_info().state.last_sequence;
        let all = futures::stream::iter(1..=last).map(async |sequence| {
            let message = stream.get_raw_message(sequence).await.ok()?;
            Some(serde_json::from_slice(&message.payload).unwrap())
        });
        all.buffered(64).filter_map(async |fact| fact).collect().await
    }

    /// The facts of the jobs of a version, by target.
    pub(crate) async fn facts_of(&self, tag: &str) -> BTreeMap<TargetKey, Vec<JobEvent>> {
        let mut by_target: BTreeMap<TargetKey, Vec<JobEvent>> = BTreeMap::new();
        for event in self.facts().await.into_iter().filter(|event| event.job.tag == tag) {
            by_target.entry(event.job.target).or_default().push(event);
        }
        by_target
    }

    /// Waits for the job of a version on a target.
    pub(crate) async fn requested(&self, tag: &str, target: &TargetKey) -> JobRef {
        self.request(tag, target).await.job
    }

    /// Waits for the job of a version on a target, and tells its first fact.
    pub(crate) async fn request(&self, tag: &str, target: &TargetKey) -> JobEvent {
        until(&format!("{tag} is requested"), async || {
            let of_target = self.facts_of(tag).await.remove(target)?;
            Some(of_target[0].clone())
        })
        .await
    }

    pub(crate) async fn end(&self, job: &JobRef, status: TerminalStatus) {
        let fact = JobFact::ended(status, None, "the test says so");
        let recorded = self.bus.jobs().record(job, fact, Base::Look, None).await.unwrap();
        assert!(matches!(recorded, Recorded::Appended { .. }), "{recorded:?}");
    }
}

pub(crate) fn record<S>(name: &str, id: Uuid, spec: S) -> Record<S> {
    let now: DateTime<Utc> = Utc::now();
    let meta = Meta {
        id,
        workspace: workspace(),
        name: name.to_owned(),
        metadata: BTreeMap::new(),
        created_at: now,
        updated_at: now,
    };
    Record { meta, spec }
}
