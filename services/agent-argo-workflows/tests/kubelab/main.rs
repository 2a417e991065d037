//! Argo's own kinds of objects on a real Kubernetes API server, as the service account of our manifest and with the test in the
//! controller's place. `.ci/kubelab` builds the server, `.ci/argo-crds` finds the definitions:
//! `CTRLPLANE_KUBELAB=$(.ci/kubelab) CTRLPLANE_ARGO_CRDS=$(.ci/argo-crds) cargo test -p agent-argo-workflows --features kubelab --test kubelab`.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test has no supervisor, and a panic is its answer"
)]

mod rig;

use crate::rig::{Rig, SOON, WORKFLOWS, new_job, status};
use domain::id::JobId;
use domain::job::JobStatus;
use futures::StreamExt as _;
use platform::{CallError, CancelAck, CancelMode, CorrelationKey, Found, News, Platform as _, Seen};
use serde_json::json;

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
