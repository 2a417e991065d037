//! A bus with a catalog, replicas of the service, jobs as the dispatcher leaves them, and pullers.

use agent_http_pull::{AgentHttpPull, Settings};
use bus::topology::{CATALOG, PULLS, Service as BusUser, needs_of};
use bus::{Base, Bus, ConnectOptions, Freezes, Known, Provision, Recorded};
use domain::command::{AgentCommand, Verb};
use domain::entity::{CatalogKey, Deadlines, Entity, Kind};
use domain::id::{
    DeploymentId, EnvironmentId, FreezeId, JobAgentId, JobId, ReleaseId, ResourceId, SystemId, VersionId,
    WorkspaceId,
};
use domain::job::{CancelReason, Dispatch, JobEvent, JobFact, JobRef};
use domain::subject;
use domain::target::TargetKey;
use domain::token::Slug;
use serde_json::{Value, json};
use servers::{Nats, NatsOptions, test_binaries};
use service::{CommonSettings, Plan, Secrets, Started, Supervisor};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use uuid::Uuid;

/// Longer than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// The key of the pullers of agent `runner` in workspace acme, and its SHA-256.
pub(crate) const KEY: &str = "key-of-acme-runner-000000000000";
pub(crate) const KEY_SHA256: &str = "6c5793e09a59fde96eb24bbf4e7c8655f64165e2fb008d485bb81c566a87c1a4";
/// The key of the pullers of agent `runner` in workspace globex.
pub(crate) const OTHER_KEY: &str = "key-of-globex-runner-0000000000";
pub(crate) const OTHER_KEY_SHA256: &str = "8d3da8faa711e5e841a711614842eb3eb75869080358ef7d2b8853a962999a96";
/// The value of the secret `db` of workspace acme.
pub(crate) const SECRET: &str = "hunter2-hunter2";

pub(crate) struct Rig {
    pub(crate) bus: Bus,
    pub(crate) nats: Nats,
    pub(crate) freezes: Freezes,
    supervisor: Supervisor,
    pub(crate) dir: TempDir,
}

/// A puller's way in.
#[derive(Clone)]
pub(crate) struct Puller {
    pub(crate) base: String,
    pub(crate) key: String,
    pub(crate) client: reqwest::Client,
}

/// What the service is given beside its settings.
pub(crate) fn environment() -> Vec<(String, String)> {
    [("RUNNER_KEY", KEY_SHA256), ("DB", SECRET)]
        .map(|(name, value)| (format!("CTRLPLANE_SECRET_VAR_ACME_{name}"), value.to_owned()))
        .into_iter()
        .chain([("CTRLPLANE_SECRET_VAR_GLOBEX_RUNNER_KEY".to_owned(), OTHER_KEY_SHA256.to_owned())])
        .collect()
}

pub(crate) fn acme() -> Slug {
    "acme".parse().unwrap()
}

pub(crate) fn runner() -> JobAgentId {
    JobAgentId::of(&acme(), "runner")
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// With more of nats-server's configuration; then the admin's password is `admin`.
    pub(crate) async fn with(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = NatsOptions::new(&test_binaries().await.nats, dir.path().join("nats"));
        config.clone_into(&mut options.extra_config);
        let nats = Nats::start(options).await.unwrap();
        let login = (!config.is_empty()).then_some("admin");
        let bus = Bus::connect(&ConnectOptions {
            url: nats.url(),
            name: login.unwrap_or("test").to_owned(),
            user: login.map(str::to_owned),
            password: login.map(str::to_owned),
            credentials_file: None,
            provision: Provision::Create,
        })
        .await
        .unwrap();
        bus.set_ack_wait(Duration::from_secs(1));
        bus.ensure(&needs_of(BusUser::Admin)).await.unwrap();
        let freezes = Freezes::new(&bus);
        let rig = Self { bus, nats, freezes, supervisor: Supervisor::new("test"), dir };
        for slug in ["acme", "globex"] {
            rig.shop(slug).await;
        }
        rig
    }

    /// A workspace with a target and an agent.
    async fn shop(&self, slug: &str) {
        let ws: Slug = slug.parse().unwrap();
        let shop = SystemId::of(&ws, "shop").0;
        self.put(&ws, Kind::Workspace, slug, WorkspaceId::of(&ws).0, json!({})).await;
        self.put(&ws, Kind::System, "shop", shop, json!({})).await;
        let spec = json!({ "systems": [shop], "resourceSelector": "true" });
        self.put(&ws, Kind::Environment, "production", EnvironmentId::of(&ws, "production").0, spec).await;
        let spec = json!({ "identifier": "eu-1" });
        self.put(&ws, Kind::Resource, "eu-1", ResourceId::of(&ws, "eu-1").0, spec).await;
        let spec = json!({ "type": "http-pull", "config": { "keySecret": "runner-key" } });
        self.put(&ws, Kind::JobAgent, "runner", JobAgentId::of(&ws, "runner").0, spec).await;
        let spec = json!({ "slug": "web", "systems": [shop], "jobAgents": [{ "ref": "runner" }] });
        self.put(&ws, Kind::Deployment, "web", DeploymentId::of(&ws, "web").0, spec).await;
    }

    /// Changes where the agent `runner` of acme finds the hashes of its keys.
    pub(crate) async fn key_secret(&self, name: &str) {
        let spec = json!({ "type": "http-pull", "config": { "keySecret": name } });
        self.put(&acme(), Kind::JobAgent, "runner", runner().0, spec).await;
    }

    async fn put(&self, ws: &Slug, kind: Kind, name: &str, id: Uuid, spec: Value) -> u64 {
        let now = bus::clock::now();
        let meta = json!({ "id": id, "workspace": ws, "name": name, "createdAt": now, "updatedAt": now });
        let entity: Entity =
            serde_json::from_value(json!({ "kind": kind.name(), "meta": meta, "spec": spec })).unwrap();
        let key = CatalogKey { workspace: ws.clone(), kind, id }.to_string();
        self.bus.bucket(&CATALOG).put_json(&key, &entity).await.unwrap()
    }

    /// Declares a freeze of everything in acme, as the api does.
    pub(crate) async fn freeze(&self, name: &str) -> u64 {
        let spec = json!({ "selector": "true", "reason": "incident", "owner": "ann" });
        let revision = self.put(&acme(), Kind::Freeze, name, FreezeId::of(&acme(), name).0, spec).await;
        self.freezes.note(&acme(), revision).await.unwrap();
        revision
    }

    /// Lifts it, as the api does.
    pub(crate) async fn thaw(&self, name: &str) -> u64 {
        let id = FreezeId::of(&acme(), name).0;
        let key = CatalogKey { workspace: acme(), kind: Kind::Freeze, id }.to_string();
        let revision = self.bus.bucket(&CATALOG).delete(&key).await.unwrap();
        self.freezes.note(&acme(), revision).await.unwrap();
        revision
    }

    /// One more replica of the service, in this process.
    pub(crate) async fn replica(&self, settings: Settings) -> (Started, Puller) {
        let mut common = CommonSettings::default();
        self.nats.url().clone_into(&mut common.nats.url);
        common.nats.ack_wait_seconds = 1;
        common.http.bind = Some("127.0.0.1:0".parse().unwrap());
        self.started(settings, common).await
    }

    pub(crate) async fn started(&self, settings: Settings, common: CommonSettings) -> (Started, Puller) {
        let plan = Plan { settings, common, secrets: Arc::new(Secrets::new(None, environment())) };
        let started = service::start::<AgentHttpPull>(&self.supervisor, plan).await.unwrap();
        self.until("the service is ready", async || started.readiness.is_ready().then_some(())).await;
        let puller = Puller::new(&format!("http://{}", started.address.unwrap()));
        (started, puller)
    }

    /// A job of acme in production as the dispatcher leaves it, its command on the bus.
    pub(crate) async fn dispatch(&self) -> JobRef {
        self.dispatch_with(json!({ "image": "web:v1" }), BTreeMap::new(), Deadlines::default()).await
    }

    pub(crate) async fn dispatch_with(
        &self,
        config: Value,
        secrets: BTreeMap<String, String>,
        deadlines: Deadlines,
    ) -> JobRef {
        let ws = acme();
        let job = JobRef {
            workspace: ws.clone(),
            id: JobId(Uuid::new_v4()),
            target: TargetKey {
                deployment: DeploymentId::of(&ws, "web"),
                environment: EnvironmentId::of(&ws, "production"),
                resource: ResourceId::of(&ws, "eu-1"),
            },
            version: VersionId(Uuid::new_v4()),
            tag: "v1".to_owned(),
            release: ReleaseId(Uuid::new_v4()),
            attempt: 1,
            deployment: Slug::of_name("web"),
            environment: Slug::of_name("production"),
            purpose: Default::default(),
            content: None,
        };
        self.record(&job, JobFact::Requested { catalog_revision: 1, grounds: None }).await;
        self.send(&job, config, secrets, deadlines).await;
        job
    }

    /// Records a dispatch and sends its command, twice, as a dispatcher that died in between would.
    pub(crate) async fn send(
        &self,
        job: &JobRef,
        config: Value,
        secrets: BTreeMap<String, String>,
        deadlines: Deadlines,
    ) {
        let platform = Slug::of_name("http-pull");
        let Value::Object(config) = config else { panic!("a config is a map") };
        let freezes_seen = self.freezes.changed_at(&job.workspace).await.unwrap();
        let dispatched = JobFact::Dispatched(Dispatch {
            agent: runner(),
            agent_name: "runner".to_owned(),
            platform: platform.clone(),
            config: config.clone(),
            secrets: secrets.clone(),
            context: json!({ "deployment": { "slug": "web" } }),
            deadlines,
        });
        let after = self.record(job, dispatched).await;
        self.command(AgentCommand {
            verb: Verb::Trigger,
            job: job.clone(),
            agent: runner(),
            platform,
            config,
            secrets,
            freezes_seen,
            freeze_begins_at: None,
            after,
            rerun_of: None,
            force: false,
        })
        .await;
    }

    pub(crate) async fn command(&self, command: AgentCommand) {
        let subject = subject::command(&command.platform, command.agent, command.verb, command.job.id);
        for _ in 0..2 {
            self.bus.publish_json(subject.clone(), &command, None).await.unwrap();
        }
    }

    /// A person wishes the job to end; the dispatcher passes it on.
    pub(crate) async fn cancel(&self, job: &JobRef, reason: CancelReason) {
        let after = self.record(job, JobFact::CancelRequested { by: "ada".to_owned(), reason }).await;
        self.cancel_command(job, after, false).await;
    }

    /// The command to end it.
    pub(crate) async fn cancel_command(&self, job: &JobRef, after: u64, force: bool) {
        let dispatch = self.known(job).await.state.assigned.unwrap().dispatch;
        self.command(AgentCommand {
            verb: Verb::Cancel,
            job: job.clone(),
            agent: dispatch.agent,
            platform: dispatch.platform,
            config: dispatch.config,
            secrets: BTreeMap::new(),
            freezes_seen: 0,
            freeze_begins_at: None,
            after,
            rerun_of: None,
            force,
        })
        .await;
    }

    pub(crate) async fn record(&self, job: &JobRef, fact: JobFact) -> u64 {
        match self.bus.jobs().record(job, fact, Base::Look, None).await {
            Ok(Recorded::Appended { sequence }) => sequence,
            other => panic!("not recorded: {other:?}"),
        }
    }

    pub(crate) async fn known(&self, job: &JobRef) -> Known {
        self.bus.jobs().load(&job.workspace, job.id).await.unwrap().expect("it was requested")
    }

    pub(crate) async fn facts(&self, job: &JobRef) -> Vec<JobEvent> {
        let events = self.bus.jobs().events(&job.workspace, job.id).await.unwrap();
        events.into_iter().map(|(_, event)| event).collect()
    }

    pub(crate) async fn names(&self, job: &JobRef) -> Vec<&'static str> {
        self.facts(job).await.iter().map(|event| event.fact.name()).collect()
    }

    /// The job's record as it is.
    pub(crate) async fn stored(&self, job: &JobRef) -> Option<Value> {
        let key = format!("{}.{}.{}", job.workspace, runner(), job.id);
        self.bus.bucket(&PULLS).get_json::<Value>(&key).await.unwrap().map(|(record, _)| record)
    }

    /// Waits until the job can be claimed, under that fence.
    pub(crate) async fn waiting(&self, job: &JobRef, fence: u32) -> Value {
        self.until(&format!("the job waits under fence {fence}"), async || {
            let record = self.stored(job).await?;
            (record["stage"]["stage"] == "waiting" && record["fence"] == fence).then_some(record)
        })
        .await
    }

    /// Waits until the job is over.
    pub(crate) async fn over(&self, job: &JobRef) -> Known {
        self.until("the job is over", async || {
            let known = self.known(job).await;
            known.state.is_finished().then_some(known)
        })
        .await
    }

    /// Waits for something, which is looked at again and again.
    pub(crate) async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let waited = tokio::time::timeout(SOON, async {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            loop {
                ticks.tick().await;
                if let Some(there) = look().await {
                    return there;
                }
            }
        });
        waited.await.unwrap_or_else(|_| panic!("not in time: {what}"))
    }
}

impl Puller {
    pub(crate) fn new(base: &str) -> Self {
        Self { base: base.to_owned(), key: KEY.to_owned(), client: reqwest::Client::new() }
    }

    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/api/v1/workspaces/acme/job-agents/runner{path}", self.base)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.send(self.client.get(self.url(path))).await.expect("the service answers")
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(self.client.post(self.url(path)).json(&body)).await.expect("the service answers")
    }

    /// As `post`; an error when nobody answers.
    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> Result<(u16, Value), reqwest::Error> {
        self.send(self.client.post(self.url(path)).json(body)).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<(u16, Value), reqwest::Error> {
        let request = match self.key.is_empty() {
            true => request,
            false => request.bearer_auth(&self.key),
        };
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        Ok((status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }))
    }

    pub(crate) async fn claim(&self, job: &JobRef, body: Value) -> (u16, Value) {
        self.post(&format!("/jobs/{}/claim", job.id), body).await
    }

    /// Claims, and it is given.
    pub(crate) async fn claimed(&self, job: &JobRef, body: Value) -> Value {
        let (status, claim) = self.claim(job, body).await;
        assert_eq!(status, 200, "{claim}");
        claim
    }

    pub(crate) async fn report(&self, job: &JobRef, body: Value) -> (u16, Value) {
        self.post(&format!("/jobs/{}/status", job.id), body).await
    }

    pub(crate) async fn heartbeat(&self, job: &JobRef, body: Value) -> (u16, Value) {
        self.post(&format!("/jobs/{}/heartbeat", job.id), body).await
    }
}
