//! A stand-in for GitLab, a bus for the shared budget, and the platform under test between them.

use agent_gitlab_ci::Settings;
use agent_gitlab_ci::gitlab::{GitlabCi, Parts};
use bus::topology::{Service, needs_of};
use bus::{Bus, ConnectOptions, Provision};
use domain::id::JobId;
use domain::job::{ExternalRef, JobStatus, Snapshot, SnapshotStatus};
use fake_gitlab::{FakeGitlab, Options, Project, Script, Token};
use platform::budget::Budgets;
use platform::config::AllowedHosts;
use platform::http::HttpOptions;
use platform::{
    CallError, CancelAck, CancelMode, Clock, ClockHand, CorrelationKey, Found, Platform as _, Seen,
    TriggerRequest, Triggered,
};
use serde_json::{Map, Value, json};
use servers::{Nats, NatsOptions, test_binaries};
use service::Secrets;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use uuid::Uuid;

/// Longer than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// How long the platform waits for an answer: enough for a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(4);
pub(crate) const TOKEN: &str = "glpat-planted0access0token01";
/// May read and no more.
pub(crate) const READER: &str = "glpat-planted0reading0token";
/// Sees another project only.
pub(crate) const STRANGER: &str = "glpat-planted0strange0token";
pub(crate) const TRIGGER_TOKEN: &str = "glptt-planted0trigger0token";
/// Nowhere to be seen outside the file or variable that holds it.
pub(crate) const PLANTED: [&str; 4] = [TOKEN, READER, STRANGER, TRIGGER_TOKEN];
/// One project's path in the stand-in.
pub(crate) const PROJECT: &str = "acme/shop";

pub(crate) struct Rig {
    pub(crate) fake: FakeGitlab,
    pub(crate) gitlab: GitlabCi,
    pub(crate) hand: ClockHand,
    pub(crate) config: Map<String, Value>,
    _nats: Nats,
    _dir: TempDir,
}

/// The project, with an input and a trigger token.
pub(crate) fn project(script: Script) -> Project {
    Project {
        inputs: vec!["version".to_owned(), "dry_run".to_owned(), "job_id".to_owned()],
        trigger_tokens: vec![TRIGGER_TOKEN.to_owned()],
        ..Project::new(PROJECT).script(script)
    }
}

/// With that project and every token.
pub(crate) fn options(project: Project) -> Options {
    let reader = Token { may_write: false, is_maintainer: false, ..Token::new(READER) };
    let stranger = Token { projects: Some(vec!["acme/other".to_owned()]), ..Token::new(STRANGER) };
    Options {
        tokens: vec![Token::new(TOKEN), reader, stranger],
        projects: vec![project],
        ..Options::default()
    }
}

/// What a job agent for it says.
pub(crate) fn config(base: &str) -> Map<String, Value> {
    let config = json!({ "$workspace": "acme", "baseUrl": base, "project": PROJECT, "tokenSecret": "token" });
    config.as_object().unwrap().clone()
}

impl Rig {
    pub(crate) async fn start(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let binaries = test_binaries().await;
        let nats = Nats::start(NatsOptions::new(&binaries.nats, dir.path().join("nats"))).await.unwrap();
        let bus = connect(&nats).await;
        let fake = FakeGitlab::start(options).await.unwrap();
        let (clock, hand) = Clock::movable();
        let gitlab = platform_on(&bus, clock);
        let config = config(&fake.base_url());
        Self { fake, gitlab, hand, config, _nats: nats, _dir: dir }
    }

    pub(crate) async fn of(script: Script) -> Self {
        Self::start(options(project(script))).await
    }

    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.config.insert(key.to_owned(), value);
        self
    }

    pub(crate) async fn trigger(&self, job: JobId) -> Result<Triggered, CallError> {
        self.gitlab.ready(&self.config).await?;
        self.gitlab.trigger(&TriggerRequest { job, config: &self.config }).await
    }

    /// Starts a pipeline that GitLab names.
    pub(crate) async fn run(&self, job: JobId) -> ExternalRef {
        match self.trigger(job).await {
            Ok(Triggered::Run { external, .. }) => external,
            other => panic!("no named pipeline: {other:?}"),
        }
    }

    pub(crate) async fn find(&self, job: JobId) -> Result<Found, CallError> {
        self.gitlab.find(&CorrelationKey { job, config: &self.config }, bus::clock::now()).await
    }

    pub(crate) async fn observe(&self, run: &ExternalRef) -> Result<Seen, CallError> {
        self.gitlab.observe(&self.config, run).await
    }

    pub(crate) async fn snapshot(&self, run: &ExternalRef) -> Snapshot<SnapshotStatus> {
        match self.observe(run).await {
            Ok(Seen::Snapshot(snapshot)) => *snapshot,
            other => panic!("no snapshot: {other:?}"),
        }
    }

    pub(crate) async fn cancel(&self, run: &ExternalRef, how: CancelMode) -> Result<CancelAck, CallError> {
        self.gitlab.cancel(&self.config, run, how).await
    }

    pub(crate) async fn rerun(&self, run: &ExternalRef) -> Result<Triggered, CallError> {
        self.gitlab.rerun(&self.config, run).await
    }

    /// How often a call was made, as `POST …/retry`.
    pub(crate) fn count(&self, method: &str, path_end: &str) -> usize {
        self.fake.calls().iter().filter(|call| call.method == method && call.path.ends_with(path_end)).count()
    }
}

pub(crate) async fn nats() -> (Nats, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let binaries = test_binaries().await;
    let nats = Nats::start(NatsOptions::new(&binaries.nats, dir.path().join("nats"))).await.unwrap();
    (nats, dir)
}

pub(crate) async fn connect(nats: &Nats) -> Bus {
    let options = ConnectOptions {
        url: nats.url().to_owned(),
        name: "agent-gitlab-ci".to_owned(),
        user: None,
        password: None,
        credentials_file: None,
        provision: Provision::Create,
    };
    let bus = Bus::connect(&options).await.unwrap();
    bus.ensure(&needs_of(Service::AgentGitlabCi)).await.unwrap();
    bus
}

pub(crate) fn secrets() -> Secrets {
    let secrets = [
        ("CTRLPLANE_SECRET_TOKEN", TOKEN),
        ("CTRLPLANE_SECRET_READER", READER),
        ("CTRLPLANE_SECRET_STRANGER", STRANGER),
        ("CTRLPLANE_SECRET_TRIGGER", TRIGGER_TOKEN),
        ("CTRLPLANE_SECRET_WRONG", "hunter2-hunter2"),
    ];
    Secrets::new(None, secrets.map(|(name, value)| (name.to_owned(), value.to_owned()))).shared_with(["*"])
}

pub(crate) fn platform_on(bus: &Bus, clock: Clock) -> GitlabCi {
    GitlabCi::new(Parts {
        secrets: Arc::new(secrets()),
        budgets: Budgets::new(bus, clock.clone(), 10),
        clock,
        hosts: AllowedHosts::default(),
        http: HttpOptions { deadline: DEADLINE, ..HttpOptions::default() },
        search_lag: Duration::from_secs(Settings::default().search_lag_seconds),
        writes_per_minute: 25,
    })
    .unwrap()
}

pub(crate) fn new_job() -> JobId {
    JobId(Uuid::new_v4())
}

/// The pipeline's number at the stand-in.
pub(crate) fn number(run: &ExternalRef) -> u64 {
    run.id.parse().unwrap()
}

pub(crate) fn status(snapshot: &Snapshot<SnapshotStatus>) -> JobStatus {
    match snapshot.status {
        SnapshotStatus::Active(status) => status.into(),
        SnapshotStatus::Terminal(status) => status.into(),
    }
}

pub(crate) fn invalid<T: std::fmt::Debug>(result: Result<T, CallError>) -> String {
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
