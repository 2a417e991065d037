//! One scenario's namespace, and the platform as the service account of our RBAC manifest.

pub(crate) use crate::support::{Secrets, Ways, invalid, new_job, platform, run_of, status, unauthorized};
use agent_kubernetes_jobs::jobs::KubernetesJobs;
use domain::id::JobId;
use domain::job::{ExternalRef, JobStatus, Snapshot, SnapshotStatus};
use kubelab::KubeLab;
use platform::{CallError, CorrelationKey, Platform as _, Seen, TriggerRequest, Triggered};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Exactly what people are told to apply.
pub(crate) const RBAC: &str = include_str!("../../../../deploy/kubernetes/agent-rbac.yaml");
/// The namespace and the account in it.
pub(crate) const RBAC_NAMESPACE: &str = "ctrlplane-jobs";
pub(crate) const ACCOUNT: &str = "ctrlplane-agent";
/// Longer than any controller takes.
const SOON: Duration = Duration::from_secs(60);

pub(crate) struct Rig {
    pub(crate) lab: Arc<KubeLab>,
    pub(crate) namespace: String,
    pub(crate) token: String,
    pub(crate) jobs: Arc<KubernetesJobs>,
    pub(crate) config: Map<String, Value>,
}

impl Rig {
    pub(crate) async fn new(lab: Arc<KubeLab>, namespace: &str) -> Self {
        lab.namespace(namespace).await;
        lab.apply(&RBAC.replace(RBAC_NAMESPACE, namespace)).await;
        let token = lab.account(namespace, ACCOUNT).await.token;
        let secrets = Secrets::default();
        secrets.set("token", &token);
        secrets.set("ca", &lab.ca());
        let config = config(&lab, namespace);
        // A real server on a busy machine takes its time.
        let jobs = platform(&secrets, Ways { deadline: Some(SOON), ..Ways::default() });
        let rig = Self { jobs, namespace: namespace.to_owned(), token, config, lab };
        rig.let_in().await;
        rig
    }

    /// The server's own view of roles follows in a moment.
    async fn let_in(&self) {
        let give_up = tokio::time::Instant::now() + SOON;
        let key = CorrelationKey { job: new_job(), config: &self.config };
        loop {
            match self.jobs.find(&key, bus::clock::now()).await {
                Ok(_) => return,
                Err(error) => assert!(tokio::time::Instant::now() < give_up, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The same with a Job of this spec, whose pod has one container.
    pub(crate) fn spec(mut self, spec: Value) -> Self {
        self.config.insert("manifest".to_owned(), json!({ "spec": with_pod(spec) }));
        self
    }

    pub(crate) async fn trigger(&self, job: JobId) -> Result<Triggered, CallError> {
        self.jobs.trigger(&TriggerRequest { job, config: &self.config }).await
    }

    pub(crate) async fn run(&self) -> ExternalRef {
        run_of(self.trigger(new_job()).await)
    }

    pub(crate) async fn see(&self, run: &ExternalRef) -> Seen {
        self.jobs.observe(&self.config, run).await.expect("the API server answers")
    }

    /// How a run stands, once it fits.
    pub(crate) async fn until(
        &self,
        run: &ExternalRef,
        fits: impl Fn(&Snapshot<SnapshotStatus>) -> bool,
    ) -> Snapshot<SnapshotStatus> {
        let give_up = tokio::time::Instant::now() + SOON;
        loop {
            let seen = self.see(run).await;
            if let Seen::Snapshot(snapshot) = &seen
                && fits(snapshot)
            {
                return *snapshot.clone();
            }
            let controllers = self.lab.log("kube-controller-manager");
            assert!(tokio::time::Instant::now() < give_up, "not in time: {seen:?}\n{controllers}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) async fn status(&self, run: &ExternalRef, wanted: JobStatus) -> Snapshot<SnapshotStatus> {
        self.until(run, |snapshot| status(snapshot) == wanted).await
    }

    /// The one pod of a Job, once it is there.
    pub(crate) async fn pod(&self, run: &ExternalRef) -> String {
        self.lab.pods(&self.namespace, &run.id, 1).await.remove(0)
    }

    pub(crate) async fn says(&self, pod: &str, status: &Value) {
        self.lab.pod_says(&self.namespace, pod, status).await;
    }

    pub(crate) async fn object(&self, name: &str) -> Value {
        self.lab.get(&format!("/apis/batch/v1/namespaces/{}/jobs/{name}", self.namespace)).await
    }

    /// A Job as the server has it, once it fits.
    pub(crate) async fn object_until(&self, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let give_up = tokio::time::Instant::now() + SOON;
        loop {
            let object = self.object(name).await;
            if fits(&object) {
                return object;
            }
            assert!(tokio::time::Instant::now() < give_up, "not in time: {object}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// By token; the secrets are `token` and `ca`.
pub(crate) fn config(lab: &KubeLab, namespace: &str) -> Map<String, Value> {
    let config = json!({
        "$workspace": "acme", "baseUrl": lab.url(), "tokenSecret": "token", "caSecret": "ca", "namespace": namespace,
        "manifest": { "spec": with_pod(json!({})) },
    });
    config.as_object().unwrap().clone()
}

fn with_pod(mut spec: Value) -> Value {
    let containers = json!([{ "name": "main", "image": "shop:1.2.3" }]);
    spec["template"] = json!({ "spec": { "containers": containers, "restartPolicy": "Never" } });
    spec
}

pub(crate) fn running() -> Value {
    json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] })
}

pub(crate) fn exited(code: i32, reason: &str) -> Value {
    let terminated = json!({ "exitCode": code, "reason": reason });
    let phase = if code == 0 { "Succeeded" } else { "Failed" };
    json!({ "phase": phase, "containerStatuses": [container(&json!({ "terminated": terminated }))] })
}

pub(crate) fn waiting(reason: &str, message: &str) -> Value {
    let waiting = json!({ "waiting": { "reason": reason, "message": message } });
    json!({ "phase": "Pending", "containerStatuses": [container(&waiting)] })
}

fn container(state: &Value) -> Value {
    json!({ "name": "main", "image": "shop:1.2.3", "imageID": "", "ready": false, "restartCount": 0, "state": state })
}

pub(crate) fn message(snapshot: &Snapshot<SnapshotStatus>) -> &str {
    snapshot.message.as_deref().unwrap_or_default()
}
