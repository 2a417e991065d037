//! What the tests share: a server with a shop to deploy, replicas of the dispatcher, and bounded waiting. The test plays the
//! evaluator, the agent and the people.

use bus::clock::{Clock, ClockHand};
use bus::topology::{CATALOG, COMMANDS, Needs, needs_of};
use bus::{Base, Bus, ConnectOptions, Freezes, Provision, Recorded};
use chrono::Utc;
use dispatcher::{Dispatcher, Settings};
use domain::Timestamp;
use domain::command::{AgentCommand, Verb};
use domain::entity::{CatalogKey, Entity, Kind};
use domain::id::{
    DeploymentId, EnvironmentId, FreezeId, JobAgentId, JobId, ReleaseId, ResourceId, SystemId, VersionId,
    WorkspaceId, derive,
};
use domain::job::{HeldWhy, JobEvent, JobFact, JobRef, JobState, Phase};
use domain::target::TargetKey;
use domain::token::Slug;
use serde_json::{Value, json};
use servers::TestServers;
use service::{Boot, CommonSettings, Plan, Secrets, Service, Started, Supervisor, start};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;

/// No step of a test takes longer.
pub(crate) const STEP: Duration = Duration::from_secs(30);

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

pub(crate) fn acme() -> Slug {
    "acme".parse().unwrap()
}

fn web() -> DeploymentId {
    DeploymentId::of(&acme(), "web")
}

/// The clocks of the rigs, by the address of their bus: how the service of a test gets its own.
static CLOCKS: Mutex<BTreeMap<String, Clock>> = Mutex::new(BTreeMap::new());

/// The dispatcher, by the clock of its rig.
struct Timed;

impl Service for Timed {
    const NAME: &'static str = Dispatcher::NAME;
    const ABOUT: &'static str = Dispatcher::ABOUT;
    type Settings = Settings;

    fn defaults() -> CommonSettings {
        Dispatcher::defaults()
    }

    async fn run(boot: Boot<Settings>) -> anyhow::Result<()> {
        let clock = CLOCKS.lock().unwrap()[&boot.common.nats.url].clone();
        dispatcher::run(boot, clock).await
    }
}

/// A replica of the dispatcher.
pub(crate) struct Replica {
    started: Started,
}

impl Replica {
    pub(crate) async fn stop(self) {
        self.started.supervisor.finish(STEP).await.unwrap();
    }
}

/// A server with a shop: deployment `web` in `staging` and `production`, and an agent.
pub(crate) struct Rig {
    pub(crate) bus: Bus,
    pub(crate) freezes: Freezes,
    /// Moves the time of its replicas.
    pub(crate) hand: ClockHand,
    clock: Clock,
    servers: TestServers,
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
        let needs = needs_of(bus::topology::Service::Admin);
        bus.ensure(&Needs { consumers: Vec::new(), ..needs }).await.unwrap();
        let (clock, hand) = Clock::movable();
        CLOCKS.lock().unwrap().insert(servers.nats.url(), clock.clone());
        let process = Supervisor::new("test");
        let rig = Self { freezes: Freezes::new(&bus), bus, hand, clock, servers, process };
        let ws = acme();
        let shop = SystemId::of(&ws, "shop").0;
        rig.put(Kind::Workspace, "acme", WorkspaceId::of(&ws).0, json!({})).await;
        rig.put(Kind::System, "shop", shop, json!({})).await;
        for name in ["staging", "production"] {
            let spec = json!({ "systems": [shop], "resourceSelector": "true" });
            rig.put(Kind::Environment, name, EnvironmentId::of(&ws, name).0, spec).await;
        }
        let eu = ResourceId::of(&ws, "eu-1").0;
        rig.put(Kind::Resource, "eu-1", eu, json!({ "identifier": "eu-1" })).await;
        rig.agent(None).await;
        let spec = json!({ "slug": "web", "systems": [shop], "jobAgents": [{ "ref": "github" }] });
        rig.put(Kind::Deployment, "web", web().0, spec).await;
        let version = json!({ "deployment": web(), "tag": "v1" });
        rig.put(Kind::Version, "v1", VersionId::of(web(), "v1").0, version).await;
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

    pub(crate) async fn put(&self, kind: Kind, name: &str, id: Uuid, spec: Value) -> u64 {
        let now = Utc::now();
        let meta = json!({ "id": id, "workspace": "acme", "name": name, "createdAt": now, "updatedAt": now });
        let entity: Entity =
            serde_json::from_value(json!({ "kind": kind.name(), "meta": meta, "spec": spec })).unwrap();
        self.bus
            .bucket(&CATALOG)
            .put(&key(kind, id), serde_json::to_vec(&entity).unwrap().into())
            .await
            .unwrap()
    }

    /// The instant so long after now.
    pub(crate) fn after(&self, time: Duration) -> Timestamp {
        self.clock.now() + time
    }

    /// The agent, with so many slots.
    pub(crate) async fn agent(&self, slots: Option<u32>) {
        let spec = json!({ "type": "github-app", "maxConcurrent": slots, "config": {} });
        self.put(Kind::JobAgent, "github", JobAgentId::of(&acme(), "github").0, spec).await;
    }

    /// Declares a freeze as the api does: it is noted before anybody is told.
    pub(crate) async fn freeze(&self, name: &str, spec: Value) -> u64 {
        let revision = self.declare(name, spec).await;
        self.freezes.note(&acme(), revision).await.unwrap();
        revision
    }

    /// Declares a freeze, and has not noted it yet.
    pub(crate) async fn declare(&self, name: &str, mut spec: Value) -> u64 {
        spec["reason"] = json!(format!("{name} it is"));
        spec["owner"] = json!("ann");
        self.put(Kind::Freeze, name, FreezeId::of(&acme(), name).0, spec).await
    }

    /// Deletes a freeze as the api does.
    pub(crate) async fn thaw(&self, name: &str) -> u64 {
        let key = key(Kind::Freeze, FreezeId::of(&acme(), name).0);
        let revision = self.bus.bucket(&CATALOG).delete(&key).await.unwrap();
        self.freezes.note(&acme(), revision).await.unwrap();
        revision
    }

    /// Requests a job.
    pub(crate) async fn request(&self, number: u32, environment: &str) -> JobRef {
        let job = job(number, environment);
        self.record(&job, JobFact::Requested { catalog_revision: 1, grounds: None }).await;
        job
    }

    /// Appends a fact as another service would.
    pub(crate) async fn record(&self, job: &JobRef, fact: JobFact) -> u64 {
        let name = fact.name();
        match self.bus.jobs().record(job, fact, Base::Look, None).await {
            Ok(Recorded::Appended { sequence }) => sequence,
            other => panic!("{name} is not admitted: {other:?}"),
        }
    }

    pub(crate) async fn state(&self, job: &JobRef) -> JobState {
        self.bus.jobs().load(&job.workspace, job.id).await.unwrap().unwrap().state
    }

    pub(crate) async fn events(&self, job: &JobRef) -> Vec<JobEvent> {
        let events = self.bus.jobs().events(&job.workspace, job.id).await.unwrap();
        events.into_iter().map(|(_, event)| event).collect()
    }

    pub(crate) async fn facts(&self, job: &JobRef) -> Vec<&'static str> {
        self.events(job).await.iter().map(|event| event.fact.name()).collect()
    }

    /// Waits until the job is held by that freeze.
    pub(crate) async fn frozen(&self, job: &JobRef, name: &str) -> JobState {
        let by = FreezeId::of(&acme(), name);
        until(&format!("job {} is frozen by {name}", job.attempt), async || {
            let state = self.state(job).await;
            let held = matches!(&state.phase,
                Phase::Held { why: HeldWhy::Freeze { freeze: Some(freeze), .. } } if *freeze == by);
            held.then_some(state)
        })
        .await
    }

    /// Waits until the job is dispatched, with its last command.
    pub(crate) async fn dispatched(&self, job: &JobRef) -> AgentCommand {
        until(&format!("job {} is dispatched", job.attempt), async || {
            let known = self.bus.jobs().load(&job.workspace, job.id).await.unwrap().unwrap();
            if known.state.phase != Phase::Dispatched {
                return None;
            }
            let commands = self.commands(job).await;
            commands.into_iter().find(|command| command.after == known.sequence)
        })
        .await
    }

    /// Every command to start the job, oldest first.
    pub(crate) async fn commands(&self, job: &JobRef) -> Vec<AgentCommand> {
        let stream = self.bus.jetstream().get_stream(COMMANDS.name).await.unwrap();
        let last = stream.cached_info().state.last_sequence;
        let mut commands = Vec::new();
        for sequence in 1..=last {
            let message = stream.get_raw_message(sequence).await.unwrap();
            let command: AgentCommand = serde_json::from_slice(&message.payload).unwrap();
            if command.job.id == job.id && command.verb == Verb::Trigger {
                commands.push(command);
            }
        }
        commands
    }
}

fn key(kind: Kind, id: Uuid) -> String {
    CatalogKey { workspace: acme(), kind, id }.to_string()
}

/// The n-th job of a release of `v1`.
pub(crate) fn job(number: u32, environment: &str) -> JobRef {
    let release = ReleaseId(derive(&["release", environment]));
    JobRef {
        workspace: acme(),
        id: JobId::of(release, number),
        target: TargetKey {
            deployment: web(),
            environment: EnvironmentId::of(&acme(), environment),
            resource: ResourceId::of(&acme(), "eu-1"),
        },
        version: VersionId::of(web(), "v1"),
        tag: "v1".to_owned(),
        release,
        attempt: number,
        deployment: "web".parse().unwrap(),
        environment: environment.parse().unwrap(),
        purpose: Default::default(),
        content: None,
    }
}
