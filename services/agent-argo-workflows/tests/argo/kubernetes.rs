//! The same platform through the Kubernetes API, against a stand-in for an API server that keeps workflows and does nothing with
//! them: the test is their controller.

use crate::rig::{LABEL, TOKEN, connect, invalid, name_of, new_job, platform_on, status, unauthorized};
use agent_argo_workflows::argo::ArgoWorkflows;
use bus::Bus;
use domain::id::JobId;
use domain::job::JobStatus;
use fake_kubernetes::{FakeKubernetes, FaultKind, Options, User};
use futures::StreamExt as _;
use platform::conformance::{self, Fault, RunIs, Webhook};
use platform::{
    CallError, CancelAck, CancelMode, Clock, News, Platform as _, Seen, TriggerRequest, Triggered,
};
use serde_json::{Map, Value, json};
use servers::{Nats, NatsOptions, test_binaries};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

pub(crate) struct KubeRig {
    fake: FakeKubernetes,
    platform: Arc<ArgoWorkflows>,
    config: Map<String, Value>,
}

fn config(base: &str) -> Map<String, Value> {
    let config = json!({
        "via": "kubernetes", "$workspace": "acme", "baseUrl": base, "tokenSecret": "kube-token", "namespace": "ci", "template": "deploy",
        "parameters": { "version": "1.2.3" }, "uiUrl": "https://argo.example",
    });
    config.as_object().unwrap().clone()
}

impl KubeRig {
    async fn new(bus: &Bus, clock: Clock) -> Self {
        let users = vec![User::admin(TOKEN)];
        let fake = FakeKubernetes::start(Options { users, ..Options::default() }).await.unwrap();
        let template = json!({ "kind": "WorkflowTemplate", "metadata": { "namespace": "ci", "name": "deploy" }, "spec": {} });
        fake.put("workflowtemplates", template);
        Self { platform: Arc::new(platform_on(bus, clock)), config: config(&fake.base_url()), fake }
    }

    fn workflow(&self, job: JobId) -> Option<Value> {
        self.fake.object("workflows", "ci", &name_of(job))
    }

    /// What the controller would write.
    fn write(&self, job: JobId, write: impl FnOnce(&mut Value)) {
        let mut object = self.workflow(job).unwrap();
        write(&mut object);
        self.fake.put("workflows", object);
    }

    fn phase(&self, job: JobId, phase: &str, message: &str) {
        self.write(job, |object| {
            object["status"]["phase"] = json!(phase);
            object["status"]["message"] = json!(message);
            object["status"]["nodes"]["n"] =
                json!({ "id": "n", "displayName": "main", "type": "Pod", "phase": phase });
        });
    }

    async fn trigger(&self, job: JobId) -> Result<Triggered, CallError> {
        self.platform.trigger(&TriggerRequest { job, config: &self.config }).await
    }
}

#[async_trait::async_trait]
impl conformance::Rig for KubeRig {
    type Platform = ArgoWorkflows;

    fn platform(&self) -> Arc<ArgoWorkflows> {
        Arc::clone(&self.platform)
    }

    fn config(&self) -> Map<String, Value> {
        self.config.clone()
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned(), "Bearer".to_owned()]
    }

    async fn runs(&self, job: JobId) -> usize {
        let label = job.to_string();
        let of = |object: &&Value| object["metadata"]["labels"][LABEL] == label.as_str();
        self.fake.objects("workflows", "ci").iter().filter(of).count()
    }

    async fn fault(&self, fault: Fault) {
        let answer = |code, message: &str, retry_after| FaultKind::Answer {
            code,
            message: message.to_owned(),
            retry_after,
        };
        self.fake.inject(match fault {
            Fault::AnswerLost => {
                fake_kubernetes::Fault::once("POST", "/workflows", FaultKind::DropAfterEffect)
            }
            Fault::RateLimited { after } => fake_kubernetes::Fault::once(
                "POST",
                "/workflows",
                answer(429, "slow down", Some(after.as_secs())),
            ),
            Fault::Unauthorized => fake_kubernetes::Fault::always("", "", answer(401, "Unauthorized", None)),
            Fault::Invalid => {
                fake_kubernetes::Fault::always("POST", "/workflows", answer(422, "spec: Invalid value", None))
            }
        });
    }

    fn says(&self, fault: Fault) -> &'static str {
        match fault {
            Fault::Unauthorized => "Unauthorized",
            Fault::Invalid => "Invalid value",
            Fault::AnswerLost | Fault::RateLimited { .. } => "",
        }
    }

    async fn heal(&self) {
        self.fake.clear_faults();
    }

    async fn set(&self, job: JobId, run: RunIs) {
        match run {
            RunIs::InProgress => self.phase(job, "Running", ""),
            RunIs::Successful => self.phase(job, "Succeeded", ""),
            RunIs::Cancelled => {
                self.write(job, |object| object["spec"]["shutdown"] = json!("Stop"));
                self.phase(job, "Failed", "Stopped with strategy 'Stop'");
            }
            RunIs::Unheard => self.phase(job, "Dreaming", ""),
            RunIs::Deleted => assert!(self.fake.remove("workflows", "ci", &name_of(job))),
        }
    }

    fn runs_again(&self) -> bool {
        false
    }

    async fn webhook(&self, _job: JobId) -> Option<Webhook> {
        None
    }
}

async fn bus() -> (Bus, Nats, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let nats =
        Nats::start(NatsOptions::new(&test_binaries().await.nats, dir.path().join("nats"))).await.unwrap();
    (connect(&nats).await, nats, dir)
}

#[tokio::test]
async fn the_kubernetes_api_conforms() {
    let (bus, _nats, _dir) = bus().await;
    conformance::all(&bus, async |clock| KubeRig::new(&bus, clock).await).await;
}

#[tokio::test]
async fn a_workflow_is_made_once_with_what_it_was_given() {
    let (bus, _nats, _dir) = bus().await;
    let rig = KubeRig::new(&bus, Clock::real()).await;
    let job = new_job();
    let first = rig.trigger(job).await.unwrap();
    assert_eq!(rig.trigger(job).await, Ok(first.clone()), "what is there is adopted");
    let made = rig.workflow(job).unwrap();
    assert_eq!(made["metadata"]["labels"][LABEL], job.to_string());
    assert_eq!(made["spec"]["workflowTemplateRef"], json!({ "name": "deploy" }));
    assert_eq!(made["spec"]["arguments"]["parameters"], json!([{ "name": "version", "value": "1.2.3" }]));
    let Triggered::Run { external, links } = first else { panic!("named") };
    assert_eq!((external.scope.as_str(), external.id), ("ci", name_of(job)));
    assert!(links["run"].starts_with("https://argo.example/workflows/ci/job-"), "{links:?}");
    rig.write(job, |object| object["metadata"]["labels"] = json!({}));
    assert!(invalid(rig.trigger(job).await).contains("not ours"));
}

#[tokio::test]
async fn what_cannot_be_run_is_said() {
    let (bus, _nats, _dir) = bus().await;
    let rig = KubeRig::new(&bus, Clock::real()).await;
    let with = |key: &str, value: Value| {
        let mut config = rig.config.clone();
        config.insert(key.to_owned(), value);
        config
    };
    let missing = with("template", json!("nowhere"));
    let why = invalid(rig.platform.trigger(&TriggerRequest { job: new_job(), config: &missing }).await);
    assert!(why.contains("no such WorkflowTemplate") && why.contains("nowhere"), "{why}");
    let elsewhere = with("namespace", json!("elsewhere"));
    invalid(rig.platform.trigger(&TriggerRequest { job: new_job(), config: &elsewhere }).await);
    let wrong = with("tokenSecret", json!("wrong"));
    let why = unauthorized(rig.platform.trigger(&TriggerRequest { job: new_job(), config: &wrong }).await);
    assert!(!why.contains("pl4nted"), "{why}");
    assert!(rig.fake.objects("workflows", "ci").is_empty());
}

#[tokio::test]
async fn the_end_is_asked_for_by_a_patch_and_nothing_that_is_over_is_written() {
    let (bus, _nats, _dir) = bus().await;
    let rig = KubeRig::new(&bus, Clock::real()).await;
    let job = new_job();
    let Triggered::Run { external, .. } = rig.trigger(job).await.unwrap() else { panic!("named") };
    rig.phase(job, "Running", "");
    for (how, strategy) in [(CancelMode::Graceful, "Stop"), (CancelMode::Force, "Terminate")] {
        assert_eq!(rig.platform.cancel(&rig.config, &external, how).await, Ok(CancelAck::Requested));
        assert_eq!(rig.workflow(job).unwrap()["spec"]["shutdown"], strategy);
        assert_eq!(rig.workflow(job).unwrap()["status"]["phase"], "Running", "the rest stays as it is");
    }
    rig.phase(job, "Failed", "Stopped with strategy 'Terminate'");
    let Ok(Seen::Snapshot(over)) = rig.platform.observe(&rig.config, &external).await else { panic!("seen") };
    assert_eq!(status(&over), JobStatus::Cancelled);
    let before = rig.workflow(job);
    assert_eq!(
        rig.platform.cancel(&rig.config, &external, CancelMode::Force).await,
        Ok(CancelAck::AlreadyOver)
    );
    assert_eq!(rig.workflow(job), before);
    rig.fake.remove("workflows", "ci", &external.id);
    assert_eq!(rig.platform.cancel(&rig.config, &external, CancelMode::Force).await, Ok(CancelAck::Gone));
    assert_eq!(rig.platform.observe(&rig.config, &external).await, Ok(Seen::Gone));
    assert!(invalid(rig.platform.rerun(&rig.config, &external).await).contains("Argo Server only"));
}

#[tokio::test]
async fn changes_are_told_over_watches_that_break_and_forget() {
    let (bus, _nats, _dir) = bus().await;
    let rig = KubeRig::new(&bus, Clock::real()).await;
    let job = new_job();
    rig.trigger(job).await.unwrap();
    let (mut news, mut told) = News::channel(16);
    let scene = async {
        let mut until = async |is: Option<JobStatus>| {
            loop {
                let signal = told.next().await.expect("the watch goes on");
                if signal.job == Some(job) && signal.snapshot.as_ref().map(status) == is {
                    return;
                }
            }
        };
        until(Some(JobStatus::Queued)).await;
        rig.phase(job, "Running", "");
        until(Some(JobStatus::InProgress)).await;
        rig.fake.compact();
        rig.fake.cut_watches();
        rig.phase(job, "Succeeded", "");
        until(Some(JobStatus::Successful)).await;
        rig.phase(job, "Failed", "too often");
        until(Some(JobStatus::Failure)).await;
        rig.fake.remove("workflows", "ci", &name_of(job));
        // What is deleted when it is over still tells how it ended.
        until(Some(JobStatus::Failure)).await;
    };
    tokio::select! {
        ended = rig.platform.watch(&rig.config, &mut news) => panic!("the watch ended: {ended}"),
        played = tokio::time::timeout(Duration::from_secs(30), scene) => assert!(played.is_ok(), "not told in time"),
    }
}

#[tokio::test]
async fn starts_keep_the_pace_of_their_config_and_a_pause_holds_every_call() {
    let (bus, _nats, _dir) = bus().await;
    let (clock, hand) = Clock::movable();
    let mut rig = KubeRig::new(&bus, clock).await;
    rig.config.insert("rateLimit".to_owned(), json!({ "writesPerMinute": 1 }));
    let waits = |result: Result<(), CallError>| match result {
        Err(CallError::RateLimited { after, .. }) => after,
        other => panic!("not limited: {other:?}"),
    };
    let mut reserved = 0;
    let limited = loop {
        match rig.platform.ready(&rig.config).await {
            Ok(()) => reserved += 1,
            limited => break limited,
        }
        assert!(reserved < 50, "there is no pace");
    };
    assert!(waits(limited) <= Duration::from_secs(60));
    assert_eq!(reserved, 10, "what may come at once after a pause");

    let busy = FaultKind::Answer { code: 429, message: "too many requests".to_owned(), retry_after: Some(7) };
    rig.fake.inject(fake_kubernetes::Fault::once("POST", "/workflows", busy));
    let Err(CallError::RateLimited { after, .. }) = rig.trigger(new_job()).await else { panic!("limited") };
    assert_eq!(after, Duration::from_secs(7));
    let calls = rig.fake.calls().len();
    waits(rig.trigger(new_job()).await.map(|_| ()));
    waits(rig.platform.ready(&rig.config).await);
    assert_eq!(rig.fake.calls().len(), calls, "the cluster is left alone meanwhile");
    hand.pass(Duration::from_secs(61));
    rig.platform.ready(&rig.config).await.unwrap();
    rig.trigger(new_job()).await.unwrap();
}
