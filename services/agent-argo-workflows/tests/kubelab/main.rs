//! Argo's own kinds of objects on a real Kubernetes API server, as the service account of our manifest and with the test in the
//! controller's place. `.ci/kubelab` builds the server, `.ci/argo-crds` finds the definitions:
//! `CTRLPLANE_KUBELAB=$(.ci/kubelab) CTRLPLANE_ARGO_CRDS=$(.ci/argo-crds) cargo test -p agent-argo-workflows --features kubelab --test kubelab`.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test has no supervisor, and a panic is its answer"
)]

use agent_argo_workflows::argo::{AllowedHosts, ArgoWorkflows, Parts};
use bus::topology::{Service, needs_of};
use bus::{Bus, ConnectOptions, Provision};
use domain::id::JobId;
use domain::job::{ExternalRef, JobStatus, Snapshot, SnapshotStatus};
use futures::StreamExt as _;
use kubelab::KubeLab;
use platform::budget::Budgets;
use platform::http::HttpOptions;
use platform::{
    CallError, CancelAck, CancelMode, Clock, CorrelationKey, Found, News, Platform as _, Seen,
    TriggerRequest, Triggered,
};
use serde_json::{Map, Value, json};
use servers::{Nats, NatsOptions, test_binaries};
use service::Secrets;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const RBAC: &str = include_str!("../../../../deploy/kubernetes/agent-argo-workflows.yaml");
const WORKFLOWS: &str = "/apis/argoproj.io/v1alpha1/namespaces/ci/workflows";
const SOON: Duration = Duration::from_secs(60);

/// A server that knows Argo's kinds, with our service account and a template.
async fn lab() -> KubeLab {
    let lab = KubeLab::start().await;
    let crds = PathBuf::from(std::env::var_os("CTRLPLANE_ARGO_CRDS").expect("what .ci/argo-crds prints"));
    for kind in ["workflows", "workflowtemplates", "clusterworkflowtemplates"] {
        let file = crds.join(format!("argoproj.io_{kind}.yaml"));
        lab.apply(&std::fs::read_to_string(file).expect("a definition")).await;
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

struct Rig {
    lab: KubeLab,
    argo: ArgoWorkflows,
    config: Map<String, Value>,
    _nats: Nats,
    _dir: tempfile::TempDir,
}

impl Rig {
    async fn start() -> Self {
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

    async fn trigger(&self, job: JobId) -> Result<Triggered, CallError> {
        self.argo.trigger(&TriggerRequest { job, config: &self.config }).await
    }

    async fn run(&self, job: JobId) -> ExternalRef {
        match self.trigger(job).await {
            Ok(Triggered::Run { external, .. }) => external,
            other => panic!("no named run: {other:?}"),
        }
    }

    async fn refused(&self, key: &str, value: Value) -> CallError {
        let mut config = self.config.clone();
        config.insert(key.to_owned(), value);
        self.argo.trigger(&TriggerRequest { job: new_job(), config: &config }).await.unwrap_err()
    }

    async fn status(&self, run: &ExternalRef) -> JobStatus {
        match self.argo.observe(&self.config, run).await {
            Ok(Seen::Snapshot(snapshot)) => status(&snapshot),
            other => panic!("no snapshot: {other:?}"),
        }
    }

    /// What the controller would write.
    async fn write(&self, run: &ExternalRef, patch: &Value) {
        self.lab.must("MERGE", &format!("{WORKFLOWS}/{}", run.id), patch).await;
    }

    async fn phase(&self, run: &ExternalRef, phase: &str, message: &str) {
        let node = json!({ "id": "n", "displayName": "main", "type": "Pod", "phase": phase });
        let status = json!({ "phase": phase, "message": message, "nodes": { "n": node } });
        self.write(run, &json!({ "status": status })).await;
    }
}

fn new_job() -> JobId {
    JobId(Uuid::new_v4())
}

fn status(snapshot: &Snapshot<SnapshotStatus>) -> JobStatus {
    match snapshot.status {
        SnapshotStatus::Active(status) => status.into(),
        SnapshotStatus::Terminal(status) => status.into(),
    }
}

/// One server for all of it: it takes longer to start than this to run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workflows_on_a_real_api_server() {
    let rig = Rig::start().await;
    made_once_found_and_followed(&rig).await;
    ended_by_a_patch(&rig).await;
    refused_in_plain_words(&rig).await;
    heard_of_by_a_watch(&rig).await;
    rig.lab.stop().await;
}

async fn made_once_found_and_followed(rig: &Rig) {
    let job = new_job();
    assert_eq!(
        rig.argo.find(&CorrelationKey { job, config: &rig.config }, bus::clock::now()).await,
        Ok(Found::None)
    );
    let run = rig.run(job).await;
    assert_eq!(rig.run(job).await, run, "what is there is adopted");
    let made = rig.lab.get(&format!("{WORKFLOWS}/{}", run.id)).await;
    assert_eq!(made["spec"]["arguments"]["parameters"], json!([{ "name": "version", "value": "1.2.3" }]));
    assert_eq!(rig.status(&run).await, JobStatus::Queued);
    rig.phase(&run, "Running", "").await;
    assert_eq!(rig.status(&run).await, JobStatus::InProgress);
    rig.phase(&run, "Succeeded", "").await;
    assert_eq!(rig.status(&run).await, JobStatus::Successful);
    rig.write(&run, &json!({ "metadata": { "labels": { "ctrlplane.dev/job-id": null } } })).await;
    let why = rig.trigger(job).await.unwrap_err();
    assert!(matches!(&why, CallError::Invalid(why) if why.contains("not ours")), "{why:?}");
}

async fn ended_by_a_patch(rig: &Rig) {
    let run = rig.run(new_job()).await;
    rig.phase(&run, "Running", "").await;
    for (how, strategy) in [(CancelMode::Graceful, "Stop"), (CancelMode::Force, "Terminate")] {
        assert_eq!(rig.argo.cancel(&rig.config, &run, how).await, Ok(CancelAck::Requested));
        let object = rig.lab.get(&format!("{WORKFLOWS}/{}", run.id)).await;
        assert_eq!(object["spec"]["shutdown"], strategy);
        assert_eq!(object["spec"]["workflowTemplateRef"]["name"], "deploy", "the rest of the spec stays");
        assert_eq!(object["status"]["phase"], "Running", "and so does the controller's status");
    }
    rig.phase(&run, "Failed", "Stopped with strategy 'Terminate'").await;
    assert_eq!(rig.status(&run).await, JobStatus::Cancelled);
    assert_eq!(rig.argo.cancel(&rig.config, &run, CancelMode::Force).await, Ok(CancelAck::AlreadyOver));
    rig.lab.call("DELETE", &format!("{WORKFLOWS}/{}", run.id), None).await.unwrap();
    assert_eq!(rig.argo.observe(&rig.config, &run).await, Ok(Seen::Gone));
    assert_eq!(rig.argo.cancel(&rig.config, &run, CancelMode::Graceful).await, Ok(CancelAck::Gone));
}

async fn refused_in_plain_words(rig: &Rig) {
    for (key, value, expected) in [
        ("template", json!("nowhere"), "no such WorkflowTemplate"),
        ("namespace", json!("elsewhere"), "elsewhere"),
        ("tokenSecret", json!("wrong"), "does not accept"),
        ("tokenSecret", json!("nobody"), "cannot create resource \"workflows\""),
    ] {
        let error = rig.refused(key, value).await;
        let fits = match &error {
            CallError::Invalid(why) => key == "template" && why.contains(expected),
            // A namespace that is not there is one that nobody was given rights in.
            CallError::Unauthorized(why) => key != "template" && why.contains(expected),
            CallError::RateLimited { .. } | CallError::Ambiguous(_) | CallError::Transient(_) => false,
        };
        assert!(fits, "{key}: {error:?}");
        assert!(!format!("{error:?}").contains("pl4nted"), "{error:?}");
    }
}

async fn heard_of_by_a_watch(rig: &Rig) {
    let (job, early) = (new_job(), new_job());
    let (run, deleted_early) = (rig.run(job).await, rig.run(early).await);
    let (mut news, mut told) = News::channel(16);
    let scene = async {
        let mut until = async |of: JobId, is: Option<JobStatus>| {
            loop {
                let signal = told.next().await.expect("the watch goes on");
                if signal.job == Some(of) && signal.snapshot.as_ref().map(status) == is {
                    return;
                }
            }
        };
        until(job, Some(JobStatus::Queued)).await;
        rig.phase(&run, "Running", "").await;
        until(job, Some(JobStatus::InProgress)).await;
        rig.phase(&run, "Failed", "child failed").await;
        until(job, Some(JobStatus::Failure)).await;
        rig.lab.call("DELETE", &format!("{WORKFLOWS}/{}", run.id), None).await.unwrap();
        // The last sight of one that was over tells how it ended; one that was not is to be looked at.
        until(job, Some(JobStatus::Failure)).await;
        rig.lab.call("DELETE", &format!("{WORKFLOWS}/{}", deleted_early.id), None).await.unwrap();
        until(early, None).await;
    };
    tokio::select! {
        ended = rig.argo.watch(&rig.config, &mut news) => panic!("the watch ended: {ended}"),
        played = tokio::time::timeout(SOON, scene) => assert!(played.is_ok(), "not told in time"),
    }
}
