//! Argo's own controller on a real API server: what it makes of our workflows is what we read of them. Pods are told how they go by the
//! test, in the kubelet's place. `.ci/argo-controller` builds it:
//! `CTRLPLANE_ARGO_CONTROLLER=$(.ci/argo-controller)`, and what the test beside this one needs, with `--test controller`.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test has no supervisor, and a panic is its answer"
)]

mod rig;

use crate::rig::{Rig, SOON, WORKFLOWS, new_job, status};
use domain::job::{ExternalRef, JobStatus, Snapshot, SnapshotStatus};
use platform::{CancelAck, CancelMode, Platform as _, Seen, TriggerRequest, Triggered};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

const PODS: &str = "/api/v1/namespaces/ci/pods";
const TEMPLATES: &str = "/apis/argoproj.io/v1alpha1/namespaces/ci/workflowtemplates";
const RESULTS: &str = "/apis/argoproj.io/v1alpha1/namespaces/ci/workflowtaskresults";
/// Where the controller itself lives.
const HOME: &str = "argo";

/// One server and one controller for all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workflows_by_argo_s_own_controller() {
    let mut rig = Rig::start().await;
    begin(&mut rig).await;
    a_step_that_waits_is_resumed_by_a_person(&rig).await;
    what_is_cancelled_ends_as_cancelled(&rig).await;
    what_cannot_be_run_says_why(&rig).await;
    a_pod_that_fails_fails_the_job_and_one_that_succeeds_does_not(&rig).await;
    rig.lab.stop().await;
}

async fn begin(rig: &mut Rig) {
    let controller = std::env::var_os("CTRLPLANE_ARGO_CONTROLLER").map(PathBuf::from);
    let controller = controller.expect("CTRLPLANE_ARGO_CONTROLLER: what .ci/argo-controller prints");
    rig.lab.namespace(HOME).await;
    let config = json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": { "metricsConfig": "enabled: false\n" },
        "metadata": { "name": "workflow-controller-configmap", "namespace": HOME } });
    rig.lab.must("POST", &format!("/api/v1/namespaces/{HOME}/configmaps"), &config).await;
    let arguments = [
        format!("--kubeconfig={}", rig.lab.kubeconfig_file().display()),
        format!("--namespace={HOME}"),
        "--executor-image=argoexec:none".to_owned(),
    ];
    let alone = [("LEADER_ELECTION_DISABLE", "true")];
    rig.lab.beside("workflow-controller", &controller, &alone, arguments.into()).await;
    let shell = json!({ "name": "main", "inputs": { "parameters": [{ "name": "version" }] },
        "container": { "image": "shop:{{inputs.parameters.version}}", "command": ["deploy"] } });
    for (name, template) in [
        ("shell", shell),
        ("nonsense", json!({ "name": "main", "steps": [[{ "name": "a", "template": "nowhere" }]] })),
    ] {
        let arguments = json!({ "parameters": [{ "name": "version", "value": "none" }] });
        let object = json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "WorkflowTemplate",
            "metadata": { "name": name, "namespace": "ci" },
            "spec": { "entrypoint": "main", "arguments": arguments, "templates": [template] } });
        rig.lab.must("POST", TEMPLATES, &object).await;
    }
}

/// How a run stands, once it is so.
async fn until(rig: &Rig, run: &ExternalRef, wanted: JobStatus) -> Snapshot<SnapshotStatus> {
    let give_up = tokio::time::Instant::now() + SOON;
    loop {
        let seen = rig.argo.observe(&rig.config, run).await.expect("the API server answers");
        if let Seen::Snapshot(snapshot) = &seen
            && status(snapshot) == wanted
        {
            return *snapshot.clone();
        }
        assert!(
            tokio::time::Instant::now() < give_up,
            "never {wanted:?}: {seen:?}\n{}",
            rig.lab.log("workflow-controller")
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn started(rig: &Rig, template: &str) -> ExternalRef {
    let mut config = rig.config.clone();
    config.insert("template".to_owned(), json!(template));
    match rig.argo.trigger(&TriggerRequest { job: new_job(), config: &config }).await {
        Ok(Triggered::Run { external, .. }) => external,
        other => panic!("no named run: {other:?}"),
    }
}

/// The pod of a workflow's only step, once it is there.
async fn pod_of(rig: &Rig, run: &ExternalRef) -> Value {
    let path = format!("{PODS}?labelSelector=workflows.argoproj.io/workflow={}", run.id);
    let give_up = tokio::time::Instant::now() + SOON;
    loop {
        if let Some(pod) = rig.lab.get(&path).await["items"].as_array().and_then(|pods| pods.first()) {
            return pod.clone();
        }
        assert!(tokio::time::Instant::now() < give_up, "no pod\n{}", rig.lab.log("workflow-controller"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What a kubelet says of a pod whose containers are over.
async fn exits(rig: &Rig, pod: &Value, code: i32) {
    let ended = |name: &str, code: i32| {
        let terminated = json!({ "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" } });
        json!({ "name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": { "terminated": terminated } })
    };
    let status = json!({ "phase": if code == 0 { "Succeeded" } else { "Failed" },
        "initContainerStatuses": [ended("init", 0)], "containerStatuses": [ended("wait", 0), ended("main", code)] });
    rig.lab.pod_says("ci", pod["metadata"]["name"].as_str().unwrap(), &status).await;
}

async fn a_step_that_waits_is_resumed_by_a_person(rig: &Rig) {
    let run = rig.run(new_job()).await;
    let waits = until(rig, &run, JobStatus::ActionRequired).await;
    assert!(waits.message.is_some_and(|message| message.contains("main") || message.contains(&run.id)));
    let object = rig.lab.get(&format!("{WORKFLOWS}/{}", run.id)).await;
    let nodes = object["status"]["nodes"].as_object().unwrap();
    let (id, _) = nodes.iter().find(|(_, node)| node["type"] == "Suspend").expect("a step that waits");
    // As `argo resume` does.
    rig.write(&run, &json!({ "status": { "nodes": { id: { "phase": "Succeeded" } } } })).await;
    until(rig, &run, JobStatus::Successful).await;
    assert_eq!(rig.argo.cancel(&rig.config, &run, CancelMode::Graceful).await, Ok(CancelAck::AlreadyOver));
}

async fn what_is_cancelled_ends_as_cancelled(rig: &Rig) {
    for how in [CancelMode::Graceful, CancelMode::Force] {
        let run = rig.run(new_job()).await;
        until(rig, &run, JobStatus::ActionRequired).await;
        assert_eq!(rig.argo.cancel(&rig.config, &run, how).await, Ok(CancelAck::Requested));
        until(rig, &run, JobStatus::Cancelled).await;
    }
}

async fn what_cannot_be_run_says_why(rig: &Rig) {
    let run = started(rig, "nonsense").await;
    let over = until(rig, &run, JobStatus::InvalidJobAgent).await;
    assert!(over.message.as_ref().is_some_and(|message| message.contains("nowhere")), "{over:?}");
}

async fn a_pod_that_fails_fails_the_job_and_one_that_succeeds_does_not(rig: &Rig) {
    let run = started(rig, "shell").await;
    let pod = pod_of(rig, &run).await;
    let containers = pod["spec"]["containers"].as_array().unwrap();
    let main = containers.iter().find(|container| container["name"] == "main").unwrap();
    assert_eq!(main["image"], "shop:1.2.3", "the job's parameter arrived");
    exits(rig, &pod, 3).await;
    let over = until(rig, &run, JobStatus::Failure).await;
    assert!(over.message.as_ref().is_some_and(|message| message.contains("exit code 3")), "{over:?}");

    let run = started(rig, "shell").await;
    let pod = pod_of(rig, &run).await;
    let name = pod["metadata"]["name"].as_str().unwrap();
    rig.lab.pod_says("ci", name, &json!({ "phase": "Running" })).await;
    until(rig, &run, JobStatus::InProgress).await;
    // What the container beside the step reports when the step is over.
    let node = pod["metadata"]["annotations"]["workflows.argoproj.io/node-id"].as_str().unwrap();
    let labels = json!({ "workflows.argoproj.io/workflow": run.id,
        "workflows.argoproj.io/report-outputs-completed": "true" });
    let result = json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "WorkflowTaskResult",
        "metadata": { "name": node, "namespace": "ci", "labels": labels }, "outputs": { "exitCode": "0" } });
    rig.lab.must("POST", RESULTS, &result).await;
    exits(rig, &pod, 0).await;
    let over = until(rig, &run, JobStatus::Successful).await;
    assert!(over.order.is_some(), "{over:?}");
}
