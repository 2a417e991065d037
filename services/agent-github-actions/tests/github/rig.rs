//! A stand-in for GitHub, a bus for the shared budget, and the platform under test between them.

use agent_github_actions::Settings;
use agent_github_actions::github::{AllowedHosts, GithubActions, Parts};
use bus::topology::{Service, needs_of};
use bus::{Bus, ConnectOptions, Provision};
use domain::id::JobId;
use domain::job::{ExternalRef, JobStatus, Snapshot, SnapshotStatus};
use fake_github::{App, FakeGithub, Options, Repo, SAMPLE_APP_PRIVATE_KEY_PEM, Script, Workflow};
use platform::budget::Budgets;
use platform::http::HttpOptions;
use platform::{
    CallError, CancelAck, CancelMode, Clock, ClockHand, CorrelationKey, Found, Platform as _, Seen,
    TriggerRequest, Triggered,
};
use serde_json::{Map, Value, json};
use servers::{Nats, NatsOptions, test_binaries};
use service::Secrets;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpSocket;
use uuid::Uuid;

/// Longer than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// How long the platform waits for an answer: enough for a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(4);
pub(crate) const APP: &str = "12345";
pub(crate) const PAT: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";

pub(crate) struct Rig {
    pub(crate) fake: FakeGithub,
    pub(crate) github: GithubActions,
    pub(crate) hand: ClockHand,
    pub(crate) config: Map<String, Value>,
    _nats: Nats,
    _dir: TempDir,
}

/// One workflow whose runs go by the script.
pub(crate) fn options(script: Script) -> Options {
    let workflow = Workflow::new("deploy.yml").inputs(&["version"]).script(script);
    let repo = Repo::new("Acme", "Shop").workflow(workflow);
    Options {
        app: Some(App::sample(APP, "Acme")),
        pats: vec![PAT.to_owned()],
        repos: vec![repo],
        ..Options::default()
    }
}

/// What a job agent for it says, by personal token.
pub(crate) fn config(base: &str) -> Map<String, Value> {
    let config = json!({
        "$workspace": "acme", "baseUrl": base, "owner": "Acme", "repo": "Shop", "workflow": "deploy.yml",
        "tokenSecret": "pat", "inputs": { "version": "1.2.3" },
    });
    config.as_object().unwrap().clone()
}

impl Rig {
    /// By personal token; [`Rig::by_app`] makes it an App.
    pub(crate) async fn start(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let binaries = test_binaries().await;
        let nats = Nats::start(NatsOptions::new(&binaries.nats, dir.path().join("nats"))).await.unwrap();
        let bus = connect(&nats).await;
        let fake = FakeGithub::start(options).await.unwrap();
        let (clock, hand) = Clock::movable();
        let github = platform_on(&bus, clock);
        let config = config(&fake.base_url());
        Self { fake, github, hand, config, _nats: nats, _dir: dir }
    }

    pub(crate) async fn of(script: Script) -> Self {
        Self::start(options(script)).await
    }

    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.config.insert(key.to_owned(), value);
        self
    }

    pub(crate) fn by_app(self) -> Self {
        self.with("tokenSecret", Value::Null)
            .with("appId", json!(APP))
            .with("privateKeySecret", json!("app-key"))
    }

    pub(crate) async fn trigger(&self, job: JobId) -> Result<Triggered, CallError> {
        self.github.ready(&self.config).await?;
        self.github.trigger(&TriggerRequest { job, config: &self.config }).await
    }

    /// Starts a run that GitHub names.
    pub(crate) async fn run(&self, job: JobId) -> ExternalRef {
        match self.trigger(job).await {
            Ok(Triggered::Run { external, .. }) => external,
            other => panic!("no named run: {other:?}"),
        }
    }

    pub(crate) async fn find(&self, job: JobId) -> Result<Found, CallError> {
        self.github.find(&CorrelationKey { job, config: &self.config }, bus::clock::now()).await
    }

    pub(crate) async fn observe(&self, run: &ExternalRef) -> Result<Seen, CallError> {
        self.github.observe(&self.config, run).await
    }

    pub(crate) async fn snapshot(&self, run: &ExternalRef) -> Snapshot<SnapshotStatus> {
        match self.observe(run).await {
            Ok(Seen::Snapshot(snapshot)) => *snapshot,
            other => panic!("no snapshot: {other:?}"),
        }
    }

    pub(crate) async fn cancel(&self, run: &ExternalRef, how: CancelMode) -> Result<CancelAck, CallError> {
        self.github.cancel(&self.config, run, how).await
    }

    /// How often a call was made, as `POST …/dispatches`.
    pub(crate) fn count(&self, method: &str, path_end: &str) -> usize {
        self.fake.calls().iter().filter(|call| call.method == method && call.path.ends_with(path_end)).count()
    }
}

pub(crate) async fn connect(nats: &Nats) -> Bus {
    let options = ConnectOptions {
        url: nats.url().to_owned(),
        name: "agent-github-actions".to_owned(),
        user: None,
        password: None,
        credentials_file: None,
        provision: Provision::Create,
    };
    let bus = Bus::connect(&options).await.unwrap();
    bus.ensure(&needs_of(Service::AgentGithubActions)).await.unwrap();
    bus
}

pub(crate) fn platform_on(bus: &Bus, clock: Clock) -> GithubActions {
    let secrets = [
        ("CTRLPLANE_SECRET_PAT", PAT),
        ("CTRLPLANE_SECRET_APP_KEY", SAMPLE_APP_PRIVATE_KEY_PEM),
        ("CTRLPLANE_SECRET_NO_KEY", "hunter2"),
    ];
    let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned()));
    GithubActions::new(Parts {
        secrets: Arc::new(Secrets::new(None, secrets).shared_with(["*"])),
        budgets: Budgets::new(bus, clock.clone(), 10),
        clock,
        hosts: AllowedHosts::default(),
        http: HttpOptions { deadline: DEADLINE, ..HttpOptions::default() },
        search_lag: Duration::from_secs(Settings::default().search_lag_seconds),
        writes_per_minute: 80,
    })
    .unwrap()
}

/// An address where nobody listens, and nobody else can, as long as it is held.
pub(crate) struct Nobody(TcpSocket);

impl Nobody {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Self(socket)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }
}

pub(crate) fn new_job() -> JobId {
    JobId(Uuid::new_v4())
}

/// The run's number at the stand-in.
pub(crate) fn number(run: &ExternalRef) -> u64 {
    run.id.parse().unwrap()
}

pub(crate) fn status(snapshot: &Snapshot<SnapshotStatus>) -> JobStatus {
    match snapshot.status {
        SnapshotStatus::Active(status) => status.into(),
        SnapshotStatus::Terminal(status) => status.into(),
    }
}

pub(crate) fn invalid(result: Result<Triggered, CallError>) -> String {
    match result {
        Err(CallError::Invalid(why)) => why,
        other => panic!("not invalid: {other:?}"),
    }
}

pub(crate) fn unauthorized<T: std::fmt::Debug>(result: Result<T, CallError>) -> String {
    match result {
        Err(CallError::Unauthorized(why)) => why,
        other => panic!("not unauthorized: {other:?}"),
    }
}
