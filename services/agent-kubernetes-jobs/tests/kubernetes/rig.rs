//! A stand-in for a cluster, and the platform under test on it.

pub(crate) use crate::support::{Secrets, Ways, invalid, new_job, platform, run_of, status, unauthorized};
use agent_kubernetes_jobs::jobs::KubernetesJobs;
use domain::id::JobId;
use domain::job::{ExternalRef, Snapshot, SnapshotStatus};
use fake_kubernetes::{FakeKubernetes, Options, User};
use platform::budget::Budgets;
use platform::{
    CallError, CancelAck, CancelMode, CorrelationKey, Found, Platform as _, Seen, TriggerRequest, Triggered,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const NAMESPACE: &str = "ci";
pub(crate) const TOKEN: &str = "planted-token-0123456789";
/// Longer than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) struct Rig {
    pub(crate) fake: FakeKubernetes,
    pub(crate) jobs: Arc<KubernetesJobs>,
    pub(crate) config: Map<String, Value>,
    pub(crate) secrets: Secrets,
}

pub(crate) fn options() -> Options {
    Options { users: vec![User::admin(TOKEN)], ..Options::default() }
}

/// What a job agent for it says, by token.
pub(crate) fn config(base: &str) -> Map<String, Value> {
    let config = json!({
        "$workspace": "acme", "baseUrl": base, "tokenSecret": "token", "namespace": NAMESPACE,
        "manifest": { "spec": { "template": { "spec": { "containers": [{ "name": "main", "image": "shop:1.2.3" }] } } } },
    });
    config.as_object().unwrap().clone()
}

impl Rig {
    pub(crate) async fn start(options: Options) -> Self {
        Self::of(options, Ways::default()).await
    }

    /// With calls that are counted.
    pub(crate) async fn counted(options: Options, budgets: Arc<Budgets>) -> Self {
        Self::of(options, Ways { budgets: Some(budgets), ..Ways::default() }).await
    }

    async fn of(options: Options, ways: Ways) -> Self {
        let fake = FakeKubernetes::start(options).await.unwrap();
        let secrets = Secrets::default();
        secrets.set("token", TOKEN);
        let config = config(&fake.base_url());
        Self { fake, jobs: platform(&secrets, ways), config, secrets }
    }

    /// Another replica of the platform, with the same secrets and a memory of its own.
    pub(crate) fn replica(&self, budgets: Arc<Budgets>) -> Arc<KubernetesJobs> {
        platform(&self.secrets, Ways { budgets: Some(budgets), ..Ways::default() })
    }

    pub(crate) async fn new() -> Self {
        Self::start(options()).await
    }

    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.config.insert(key.to_owned(), value);
        self
    }

    pub(crate) async fn trigger(&self, job: JobId) -> Result<Triggered, CallError> {
        self.jobs.ready(&self.config).await?;
        self.jobs.trigger(&TriggerRequest { job, config: &self.config }).await
    }

    pub(crate) async fn run(&self, job: JobId) -> ExternalRef {
        run_of(self.trigger(job).await)
    }

    pub(crate) async fn find(&self, job: JobId) -> Result<Found, CallError> {
        self.jobs.find(&CorrelationKey { job, config: &self.config }, bus::clock::now()).await
    }

    pub(crate) async fn observe(&self, run: &ExternalRef) -> Result<Seen, CallError> {
        self.jobs.observe(&self.config, run).await
    }

    pub(crate) async fn snapshot(&self, run: &ExternalRef) -> Snapshot<SnapshotStatus> {
        match self.observe(run).await {
            Ok(Seen::Snapshot(snapshot)) => *snapshot,
            other => panic!("no snapshot: {other:?}"),
        }
    }

    pub(crate) async fn cancel(&self, run: &ExternalRef, how: CancelMode) -> Result<CancelAck, CallError> {
        self.jobs.cancel(&self.config, run, how).await
    }

    pub(crate) fn object(&self, name: &str) -> Value {
        self.fake.job(NAMESPACE, name).unwrap_or(Value::Null)
    }
}
