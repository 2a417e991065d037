//! What both test programs need: the platform, ways into a cluster, dispatched jobs on a bus.
#![allow(dead_code, reason = "each of the two test programs uses its part")]

use agent_kubernetes_jobs::jobs::{KubernetesJobs, Parts};
use bus::topology::{KUBERNETES_JOBS, Service, needs_of};
use bus::{Base, Bus, ConnectOptions, Provision, Recorded};
use cluster::{AllowedHosts, Clusters, Counted, Options as ClusterOptions};
use domain::command::{AgentCommand, Verb};
use domain::id::{DeploymentId, EnvironmentId, JobAgentId, JobId, ReleaseId, ResourceId, VersionId};
use domain::job::{Dispatch, ExternalRef, JobFact, JobRef, JobStatus, Snapshot, SnapshotStatus};
use domain::subject;
use domain::target::TargetKey;
use domain::token::Slug;
use platform::budget::Budgets;
use platform::config::SecretName;
use platform::{CallError, Triggered};
use secrecy::SecretString;
use serde_json::{Map, Value};
use servers::Nats;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;

/// How long the platform waits for an answer: enough for a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(4);

/// The agent's own secrets, which may change.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Arc<Mutex<BTreeMap<String, String>>>);

impl Secrets {
    pub(crate) fn set(&self, name: &str, value: &str) {
        self.0.lock().unwrap().insert(name.to_owned(), value.to_owned());
    }

    fn get(&self, name: &str) -> Result<SecretString, String> {
        let known = self.0.lock().unwrap();
        known
            .get(name)
            .map(|value| SecretString::from(value.as_str()))
            .ok_or_else(|| format!("there is no secret {name}"))
    }
}

/// What a cluster is reached with, beside secrets.
#[derive(Default)]
pub(crate) struct Ways {
    pub(crate) kubeconfig: Option<PathBuf>,
    pub(crate) server: String,
    pub(crate) service_account_dir: PathBuf,
    /// Of a request; absent: [`DEADLINE`].
    pub(crate) deadline: Option<Duration>,
    /// What counts calls; absent: nobody.
    pub(crate) budgets: Option<Arc<Budgets>>,
}

pub(crate) fn platform(secrets: &Secrets, ways: Ways) -> Arc<KubernetesJobs> {
    let secrets = secrets.clone();
    let clusters = Clusters::new(ClusterOptions {
        secrets: Arc::new(move |named: &SecretName| secrets.get(&named.name)),
        kubeconfig: ways.kubeconfig,
        in_cluster_server: ways.server,
        service_account_dir: ways.service_account_dir,
        deadline: ways.deadline.unwrap_or(DEADLINE),
        counted: ways.budgets.map(|budgets| Counted { budgets, platform: Slug::of_name(KUBERNETES_JOBS) }),
    });
    let parts = Parts {
        clusters,
        hosts: AllowedHosts::default(),
        search_lag: Duration::from_secs(5),
        pods_again: Duration::from_millis(100),
    };
    Arc::new(KubernetesJobs::new(parts))
}

pub(crate) fn run_of(triggered: Result<Triggered, CallError>) -> ExternalRef {
    match triggered {
        Ok(Triggered::Run { external, .. }) => external,
        other => panic!("no run: {other:?}"),
    }
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

pub(crate) async fn connect(nats: &Nats) -> Bus {
    let options = ConnectOptions {
        url: nats.url(),
        name: "agent-kubernetes-jobs".to_owned(),
        user: None,
        password: None,
        credentials_file: None,
        provision: Provision::Create,
    };
    let bus = Bus::connect(&options).await.unwrap();
    bus.ensure(&needs_of(Service::Admin)).await.unwrap();
    bus
}

/// Publishes a command.
pub(crate) async fn send(bus: &Bus, command: &AgentCommand) {
    let subject = subject::command(&command.platform, command.agent, command.verb, command.job.id);
    bus.publish_json(subject, command, None).await.expect("published");
}

/// A job that was dispatched with that config, and its trigger command.
pub(crate) async fn dispatched(bus: &Bus, config: &Map<String, Value>) -> AgentCommand {
    let job = JobRef {
        workspace: "acme".parse().unwrap(),
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
        deployment: Slug::of_name("web"),
        environment: Slug::of_name("production"),
        purpose: Default::default(),
        content: None,
    };
    let (agent, platform) = (JobAgentId(Uuid::new_v4()), Slug::of_name(KUBERNETES_JOBS));
    let jobs = bus.jobs();
    let requested =
        jobs.record(&job, JobFact::Requested { catalog_revision: 1, grounds: None }, Base::New, None).await;
    let Ok(Recorded::Appended { sequence }) = requested else { panic!("{requested:?}") };
    let dispatch = Dispatch {
        agent,
        agent_name: "kubernetes".to_owned(),
        platform: platform.clone(),
        config: config.clone(),
        context: Value::Null,
        deadlines: Default::default(),
        secrets: Default::default(),
    };
    let dispatched = jobs.record(&job, JobFact::Dispatched(dispatch), Base::After(sequence), None).await;
    let Ok(Recorded::Appended { sequence }) = dispatched else { panic!("{dispatched:?}") };
    AgentCommand {
        verb: Verb::Trigger,
        job,
        agent,
        platform,
        config: config.clone(),
        after: sequence,
        rerun_of: None,
        force: false,
        freezes_seen: Default::default(),
        freeze_begins_at: None,
        secrets: Default::default(),
    }
}
