//! A bus, a server to be measured, replicas of the service, and verification jobs as the dispatcher leaves them.

use agent_verification::{AgentVerification, Settings};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use bus::topology::{Service as BusUser, VERIFICATIONS, needs_of};
use bus::{Base, Bus, ConnectOptions, Known, Provision, Recorded};
use domain::command::{AgentCommand, Verb};
use domain::id::{
    DeploymentId, EnvironmentId, JobAgentId, JobId, PolicyId, ReleaseId, ResourceId, VersionId,
};
use domain::job::{CancelReason, Dispatch, JobEvent, JobFact, JobRef, Purpose};
use domain::subject;
use domain::target::TargetKey;
use domain::token::Slug;
use domain::verification::PLATFORM;
use serde_json::{Value, json};
use servers::{Nats, NatsOptions, test_binaries};
use service::{CommonSettings, Plan, Secrets, Started, Supervisor};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Longer than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// The value of the secret `token` of workspace acme.
pub(crate) const SECRET: &str = "hunter2-hunter2";

pub(crate) struct Rig {
    pub(crate) bus: Bus,
    pub(crate) nats: Nats,
    pub(crate) measured: Measured,
    pub(crate) supervisor: Supervisor,
    dir: TempDir,
}

/// A server that counts its requests and answers as it is told.
pub(crate) struct Measured {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct State {
    asked: AtomicUsize,
    status: AtomicU16,
}

impl Measured {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { asked: AtomicUsize::new(0), status: AtomicU16::new(200) });
        let answers = Arc::clone(&state);
        let answer = move |headers: axum::http::HeaderMap| async move {
            answers.asked.fetch_add(1, Ordering::SeqCst);
            // An answer may hold whatever it was sent.
            let status = StatusCode::from_u16(answers.status.load(Ordering::SeqCst)).unwrap();
            (status, format!("{headers:?}"))
        };
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            axum::serve(listener, Router::new().route("/", get(answer))).await.unwrap();
        });
        Self { address, state, _serving: serving }
    }

    pub(crate) fn answers(&self, status: u16) {
        self.state.status.store(status, Ordering::SeqCst);
    }

    pub(crate) fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }
}

impl Rig {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let nats = Nats::start(NatsOptions::new(&test_binaries().await.nats, dir.path().join("nats")))
            .await
            .unwrap();
        let bus = connect(&nats).await;
        let measured = Measured::start().await;
        Self { bus, nats, measured, supervisor: Supervisor::new("test"), dir }
    }

    /// Where processes of their own log.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.path().join("agent.log")
    }

    /// One more replica of the service, in this process.
    pub(crate) async fn replica(&self) -> Started {
        let mut common = CommonSettings::default();
        self.nats.url().clone_into(&mut common.nats.url);
        let secrets = [("CTRLPLANE_SECRET_VAR_ACME_TOKEN".to_owned(), SECRET.to_owned())];
        let settings = Settings { networks: vec!["127.0.0.0/8".to_owned()], ..Settings::default() };
        let plan = Plan { settings, common, secrets: Arc::new(Secrets::new(None, secrets)) };
        service::start::<AgentVerification>(&self.supervisor, plan).await.unwrap()
    }

    /// A metric over the measured server, every second.
    pub(crate) fn metric(&self, name: &str, count: u32) -> Value {
        json!({ "name": name, "intervalSeconds": 1, "count": count, "successCondition": "result.statusCode == 200",
            "provider": { "type": "http", "url": format!("http://{}/", self.measured.address),
                "secretHeaders": { "authorization": "token" }, "timeoutSeconds": 1 } })
    }

    /// A verification job of acme as the dispatcher leaves it, its command on the bus.
    pub(crate) async fn dispatch(&self, metrics: Value) -> JobRef {
        let verify =
            Purpose::Verify { of: JobId(Uuid::new_v4()), policy: PolicyId(Uuid::new_v4()), rule_index: 0 };
        self.dispatch_in("acme", verify, json!({ "workspace": "acme", "metrics": metrics })).await
    }

    pub(crate) async fn dispatch_in(&self, workspace: &str, purpose: Purpose, config: Value) -> JobRef {
        let job = JobRef {
            workspace: Slug::of_name(workspace),
            id: JobId(Uuid::new_v4()),
            target: TargetKey {
                deployment: DeploymentId(Uuid::new_v4()),
                environment: EnvironmentId(Uuid::new_v4()),
                resource: ResourceId(Uuid::new_v4()),
            },
            version: VersionId(Uuid::new_v4()),
            tag: "v1".to_owned(),
            release: ReleaseId(Uuid::new_v4()),
            attempt: 1,
            deployment: Slug::of_name("shop"),
            environment: Slug::of_name("production"),
            purpose,
            content: None,
        };
        self.record(&job, JobFact::Requested { catalog_revision: 1, grounds: None }).await;
        self.send(&job, &config).await;
        job
    }

    /// Records the dispatch and sends the command, twice, as a dispatcher that died in between would.
    pub(crate) async fn send(&self, job: &JobRef, config: &Value) {
        let (agent, platform) = (JobAgentId::of(&job.workspace, "verification"), Slug::of_name(PLATFORM));
        let config = config.as_object().unwrap().clone();
        let rerun_of = self
            .bus
            .jobs()
            .load(&job.workspace, job.id)
            .await
            .unwrap()
            .and_then(|known| known.state.external);
        let dispatched = JobFact::Dispatched(Dispatch {
            agent,
            agent_name: "verification".to_owned(),
            platform: platform.clone(),
            config: config.clone(),
            secrets: Default::default(),
            context: Value::Null,
            deadlines: Default::default(),
        });
        let after = self.record(job, dispatched).await;
        self.command(AgentCommand {
            verb: Verb::Trigger,
            job: job.clone(),
            agent,
            platform,
            config,
            secrets: Default::default(),
            freezes_seen: 0,
            after,
            rerun_of,
            force: false,
            freeze_begins_at: Default::default(),
        })
        .await;
    }

    async fn command(&self, command: AgentCommand) {
        let subject = subject::command(&command.platform, command.agent, command.verb, command.job.id);
        for _ in 0..2 {
            self.bus.publish_json(subject.clone(), &command, None).await.unwrap();
        }
    }

    /// A person wishes the job to end.
    pub(crate) async fn cancel(&self, job: &JobRef) {
        let wish = JobFact::CancelRequested { by: "ada".to_owned(), reason: CancelReason::User };
        let after = self.record(job, wish).await;
        let known = self.known(job).await;
        let dispatch = known.state.assigned.unwrap().dispatch;
        self.command(AgentCommand {
            verb: Verb::Cancel,
            job: job.clone(),
            agent: dispatch.agent,
            platform: dispatch.platform,
            config: dispatch.config,
            secrets: Default::default(),
            freezes_seen: 0,
            after,
            rerun_of: None,
            force: false,
            freeze_begins_at: Default::default(),
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

    /// The job's record as it is.
    pub(crate) async fn stored(&self, job: &JobRef) -> Option<Value> {
        let stored = self.bus.bucket(&VERIFICATIONS).get_json::<Value>(&job.id.to_string()).await.unwrap();
        stored.map(|(record, _)| record)
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

    pub(crate) async fn drain(self) {
        self.supervisor.drain();
        self.supervisor.finish(Duration::from_secs(10)).await.unwrap();
    }
}

pub(crate) async fn connect(nats: &Nats) -> Bus {
    let options = ConnectOptions {
        url: nats.url(),
        name: "test".to_owned(),
        user: None,
        password: None,
        credentials_file: None,
        provision: Provision::Create,
    };
    let bus = Bus::connect(&options).await.unwrap();
    bus.ensure(&needs_of(BusUser::Admin)).await.unwrap();
    bus
}
