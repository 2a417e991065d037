//! A stand-in for Argo Server, a bus for the shared budget, and the platform under test between them.

use ::service::Secrets;
use agent_argo_workflows::argo::{AllowedHosts, ArgoWorkflows, Parts};
use bus::topology::{Service, needs_of};
use bus::{Bus, ConnectOptions, Provision};
use domain::id::JobId;
use domain::job::{ExternalRef, JobStatus, Snapshot, SnapshotStatus};
use fake_argo::{FakeArgo, Options, Plan, Template};
use platform::budget::Budgets;
use platform::http::HttpOptions;
use platform::{
    CallError, CancelAck, CancelMode, Clock, ClockHand, CorrelationKey, Found, Platform as _, Seen,
    TriggerRequest, Triggered,
};
use serde_json::{Map, Value, json};
use servers::{Nats, NatsOptions, test_binaries};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use uuid::Uuid;

/// Longer than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// How long the platform waits for an answer: enough for a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(4);
pub(crate) const TOKEN: &str = "pl4nted-argo-token";
pub(crate) const READER: &str = "pl4nted-reader-token";
pub(crate) const LABEL: &str = "ctrlplane.dev/job-id";

pub(crate) struct Rig {
    pub(crate) fake: FakeArgo,
    pub(crate) argo: ArgoWorkflows,
    pub(crate) hand: ClockHand,
    pub(crate) config: Map<String, Value>,
    _nats: Nats,
    _dir: TempDir,
}

/// A template whose workflows go by the plan, and one of the cluster.
pub(crate) fn options(plan: Plan) -> Options {
    let template = Template::new("ci", "deploy").parameter("version", None).parameter("region", Some("eu"));
    Options {
        tokens: vec![TOKEN.to_owned()],
        readers: vec![READER.to_owned()],
        templates: vec![template.plan(plan.clone()), Template::of_cluster("shared").plan(plan)],
        ..Options::default()
    }
}

/// What a job agent for it says.
pub(crate) fn config(base: &str) -> Map<String, Value> {
    let config = json!({
        "$workspace": "acme", "baseUrl": base, "tokenSecret": "argo-token", "namespace": "ci", "template": "deploy",
        "parameters": { "version": "1.2.3" },
    });
    config.as_object().unwrap().clone()
}

pub(crate) fn name_of(job: JobId) -> String {
    format!("job-{job}")
}

impl Rig {
    pub(crate) async fn start(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let binaries = test_binaries().await;
        let nats = Nats::start(NatsOptions::new(&binaries.nats, dir.path().join("nats"))).await.unwrap();
        let bus = connect(&nats).await;
        let fake = FakeArgo::start(options).await.unwrap();
        let (clock, hand) = Clock::movable();
        let argo = platform_on(&bus, clock);
        let config = config(&fake.base_url());
        Self { fake, argo, hand, config, _nats: nats, _dir: dir }
    }

    pub(crate) async fn of(plan: Plan) -> Self {
        Self::start(options(plan)).await
    }

    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.config.insert(key.to_owned(), value);
        self
    }

    pub(crate) async fn trigger(&self, job: JobId) -> Result<Triggered, CallError> {
        self.argo.ready(&self.config).await?;
        self.argo.trigger(&TriggerRequest { job, config: &self.config }).await
    }

    pub(crate) async fn run(&self, job: JobId) -> ExternalRef {
        match self.trigger(job).await {
            Ok(Triggered::Run { external, .. }) => external,
            other => panic!("no named run: {other:?}"),
        }
    }

    pub(crate) async fn rerun(&self, run: &ExternalRef) -> Result<ExternalRef, CallError> {
        match self.argo.rerun(&self.config, run).await? {
            Triggered::Run { external, .. } => Ok(external),
            Triggered::Accepted => panic!("a retry names its run"),
        }
    }

    pub(crate) async fn find(&self, job: JobId) -> Result<Found, CallError> {
        self.argo.find(&CorrelationKey { job, config: &self.config }, bus::clock::now()).await
    }

    pub(crate) async fn observe(&self, run: &ExternalRef) -> Result<Seen, CallError> {
        self.argo.observe(&self.config, run).await
    }

    pub(crate) async fn snapshot(&self, run: &ExternalRef) -> Snapshot<SnapshotStatus> {
        match self.observe(run).await {
            Ok(Seen::Snapshot(snapshot)) => *snapshot,
            other => panic!("no snapshot: {other:?}"),
        }
    }

    /// Looks until it is so.
    pub(crate) async fn until(&self, run: &ExternalRef, is: JobStatus) -> Snapshot<SnapshotStatus> {
        let looks = async {
            loop {
                let snapshot = self.snapshot(run).await;
                if status(&snapshot) == is {
                    return snapshot;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(SOON, looks).await.unwrap_or_else(|_| panic!("{} never is {is:?}", run.id))
    }

    pub(crate) async fn cancel(&self, run: &ExternalRef, how: CancelMode) -> Result<CancelAck, CallError> {
        self.argo.cancel(&self.config, run, how).await
    }

    /// How often a call was made, as `POST …/submit`.
    pub(crate) fn count(&self, method: &str, path_end: &str) -> usize {
        let calls = self.fake.calls();
        calls.iter().filter(|call| call.method == method && call.path.ends_with(path_end)).count()
    }
}

pub(crate) async fn connect(nats: &Nats) -> Bus {
    let options = ConnectOptions {
        url: nats.url().to_owned(),
        name: "agent-argo-workflows".to_owned(),
        user: None,
        password: None,
        credentials_file: None,
        provision: Provision::Create,
    };
    let bus = Bus::connect(&options).await.unwrap();
    bus.ensure(&needs_of(Service::AgentArgoWorkflows)).await.unwrap();
    bus
}

pub(crate) fn platform_on(bus: &Bus, clock: Clock) -> ArgoWorkflows {
    let secrets = [
        ("CTRLPLANE_SECRET_ARGO_TOKEN", format!("Bearer {TOKEN}")),
        ("CTRLPLANE_SECRET_READER", READER.to_owned()),
        ("CTRLPLANE_SECRET_WRONG", "pl4nted-wrong-token".to_owned()),
        ("CTRLPLANE_SECRET_BROKEN", "pl4nted\nbroken".to_owned()),
        ("CTRLPLANE_SECRET_KUBE_TOKEN", TOKEN.to_owned()),
    ];
    let secrets = secrets.map(|(name, value)| (name.to_owned(), value));
    ArgoWorkflows::new(Parts {
        secrets: Arc::new(Secrets::new(None, secrets).shared_with(["*"])),
        budgets: Budgets::new(bus, clock.clone(), 10),
        clock,
        hosts: AllowedHosts::default(),
        http: HttpOptions { deadline: DEADLINE, ..HttpOptions::default() },
        kubeconfig: None,
    })
    .unwrap()
}

pub(crate) fn new_job() -> JobId {
    JobId(Uuid::new_v4())
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
