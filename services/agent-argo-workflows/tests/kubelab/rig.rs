//! A real API server that knows Argo's kinds, with our service account and a template, and the platform on it.
#![allow(dead_code, reason = "each of the two test programs uses its part")]

use agent_argo_workflows::argo::{AllowedHosts, ArgoWorkflows, Parts};
use bus::topology::{Service, needs_of};
use bus::{Bus, ConnectOptions, Provision};
use domain::id::JobId;
use domain::job::{ExternalRef, JobStatus, Snapshot, SnapshotStatus};
use kubelab::KubeLab;
use platform::budget::Budgets;
use platform::http::HttpOptions;
use platform::{CallError, Clock, Platform as _, Seen, TriggerRequest, Triggered};
use serde_json::{Map, Value, json};
use servers::{Nats, NatsOptions, test_binaries};
use service::Secrets;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const RBAC: &str = include_str!("../../../../deploy/kubernetes/agent-argo-workflows.yaml");
pub(crate) const WORKFLOWS: &str = "/apis/argoproj.io/v1alpha1/namespaces/ci/workflows";
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A server that knows Argo's kinds, with our service account and a template.
async fn lab() -> KubeLab {
    let lab = KubeLab::start().await;
    let crds = PathBuf::from(std::env::var_os("CTRLPLANE_ARGO_CRDS").expect("what .ci/argo-crds prints"));
    for file in std::fs::read_dir(crds).expect("a directory of definitions") {
        let file = file.expect("an entry").path();
        if file.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with("argoproj.io_")) {
            lab.apply(&std::fs::read_to_string(file).expect("a definition")).await;
        }
    }
    lab.namespace("ci").await;
    lab.apply(RBAC).await;
    let template = json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "WorkflowTemplate",
        "metadata": { "name": "deploy", "namespace": "ci" },
        "spec": { "entrypoint": "main", "templates": [{ "name": "main", "suspend": {} }] } });
    let known = async {
        // A kind is served a moment after it is defined.
        while lab
            .call("POST", &WORKFLOWS.replace("workflows", "workflowtemplates"), Some(&template))
            .await
            .unwrap()
            .0
            >= 300
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        while lab.call("GET", WORKFLOWS, None).await.unwrap().0 != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(SOON, known).await.expect("Argo's kinds are served");
    lab
}

pub(crate) struct Rig {
    pub(crate) lab: KubeLab,
    pub(crate) argo: ArgoWorkflows,
    pub(crate) config: Map<String, Value>,
    _nats: Nats,
    _dir: tempfile::TempDir,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        let lab = lab().await;
        let dir = tempfile::tempdir().unwrap();
        let binaries = test_binaries().await;
        let nats = Nats::start(NatsOptions::new(&binaries.nats, dir.path().join("nats"))).await.unwrap();
        let bus = Bus::connect(&ConnectOptions {
            url: nats.url().to_owned(),
            name: "agent-argo-workflows".to_owned(),
            user: None,
            password: None,
            credentials_file: None,
            provision: Provision::Create,
        })
        .await
        .unwrap();
        bus.ensure(&needs_of(Service::AgentArgoWorkflows)).await.unwrap();
        let token = lab.account("ci", "ctrlplane-argo").await.token;
        let nobody = lab.account("ci", "default").await.token;
        let secrets = [
            ("CTRLPLANE_SECRET_TOKEN", token),
            ("CTRLPLANE_SECRET_NOBODY", nobody),
            ("CTRLPLANE_SECRET_WRONG", "pl4nted-wrong".to_owned()),
            ("CTRLPLANE_SECRET_CA", lab.ca()),
        ];
        let secrets = secrets.map(|(name, value)| (name.to_owned(), value));
        let argo = ArgoWorkflows::new(Parts {
            secrets: Arc::new(Secrets::new(None, secrets).shared_with(["*"])),
            budgets: Budgets::new(&bus, Clock::real(), 10),
            clock: Clock::real(),
            hosts: AllowedHosts::default(),
            http: HttpOptions::default(),
            kubeconfig: None,
        })
        .unwrap();
        let config = json!({
            "$workspace": "acme", "via": "kubernetes", "baseUrl": lab.url(), "tokenSecret": "token", "caSecret": "ca", "namespace": "ci",
            "template": "deploy", "parameters": { "version": "1.2.3" },
        });
        Self { lab, argo, config: config.as_object().unwrap().clone(), _nats: nats, _dir: dir }
    }

    pub(crate) async fn trigger(&self, job: JobId) -> Result<Triggered, CallError> {
        self.argo.trigger(&TriggerRequest { job, config: &self.config }).await
    }

    pub(crate) async fn run(&self, job: JobId) -> ExternalRef {
        match self.trigger(job).await {
            Ok(Triggered::Run { external, .. }) => external,
            other => panic!("no named run: {other:?}"),
        }
    }

    pub(crate) async fn refused(&self, key: &str, value: Value) -> CallError {
        let mut config = self.config.clone();
        config.insert(key.to_owned(), value);
        self.argo.trigger(&TriggerRequest { job: new_job(), config: &config }).await.unwrap_err()
    }

    pub(crate) async fn status(&self, run: &ExternalRef) -> JobStatus {
        match self.argo.observe(&self.config, run).await {
            Ok(Seen::Snapshot(snapshot)) => status(&snapshot),
            other => panic!("no snapshot: {other:?}"),
        }
    }

    /// What the controller would write.
    pub(crate) async fn write(&self, run: &ExternalRef, patch: &Value) {
        self.lab.must("MERGE", &format!("{WORKFLOWS}/{}", run.id), patch).await;
    }

    pub(crate) async fn phase(&self, run: &ExternalRef, phase: &str, message: &str) {
        let node = json!({ "id": "n", "displayName": "main", "type": "Pod", "phase": phase });
        let status = json!({ "phase": phase, "message": message, "nodes": { "n": node } });
        self.write(run, &json!({ "status": status })).await;
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
