//! Each call of the trait: what is sent, what comes of it, and what is refused.

use crate::rig::{LABEL, Rig, invalid, name_of, new_job, options, status};
use domain::job::{JobStatus, OrderKey, Reason};
use fake_argo::{Ending, Fault, FaultKind, Options, Plan};
use platform::{CallError, CancelAck, CancelMode, Found, Platform as _, Seen, TriggerRequest, Triggered};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn a_workflow_carries_its_job_and_what_it_was_given() {
    let rig = Rig::of(Plan::hold())
        .await
        .with("serviceAccount", json!("runner"))
        .with("entrypoint", json!("main"))
        .with("labels", json!({ "team": "shop" }))
        .with("parameters", json!({ "version": "a=b,c", "list": [1] }));
    let job = new_job();
    let run = rig.run(job).await;
    assert_eq!((run.scope.as_str(), run.id, run.attempt), ("ci", name_of(job), 1));
    let made = rig.fake.workflow("ci", &name_of(job)).unwrap();
    assert_eq!(made.parameter("version"), Some("a=b,c"));
    assert_eq!(made.parameter("list"), Some("[1]"));
    assert_eq!((made.label(LABEL), made.label("team")), (Some(job.to_string().as_str()), Some("shop")));
    assert_eq!(made.object["spec"]["serviceAccountName"], "runner");
    assert_eq!(made.object["spec"]["entrypoint"], "main");
    assert_eq!(made.object["spec"]["workflowTemplateRef"], json!({ "name": "deploy" }));
}

#[tokio::test]
async fn a_template_of_the_cluster_is_run_in_the_namespace() {
    let rig =
        Rig::of(Plan::hold()).await.with("template", Value::Null).with("clusterTemplate", json!("shared"));
    let job = new_job();
    rig.run(job).await;
    let made = rig.fake.workflow("ci", &name_of(job)).unwrap();
    assert_eq!(made.object["spec"]["workflowTemplateRef"], json!({ "name": "shared", "clusterScope": true }));
}

#[tokio::test]
async fn a_job_that_is_started_twice_has_one_workflow() {
    let rig = Rig::of(Plan::hold()).await;
    let job = new_job();
    let first = rig.run(job).await;
    assert_eq!(rig.run(job).await, first);
    assert_eq!(rig.fake.submitted(), 1);
}

#[tokio::test]
async fn a_workflow_of_the_same_name_that_is_not_ours_is_left_alone() {
    let rig = Rig::of(Plan::hold()).await;
    let job = new_job();
    rig.run(job).await;
    for labels in [json!({}), json!({ LABEL: new_job().to_string() }), Value::Null] {
        rig.fake.write("ci", &name_of(job), "/metadata/labels", &labels);
        let why = invalid(rig.trigger(job).await);
        assert!(why.contains(LABEL) && why.contains("not ours"), "{why}");
        assert_eq!(rig.find(job).await, Ok(Found::None));
    }
    assert_eq!(rig.fake.submitted(), 1);
}

#[tokio::test]
async fn what_cannot_be_run_is_said_in_argos_words() {
    let rig = Rig::of(Plan::hold()).await;
    for (key, value, expected) in [
        ("template", json!("nowhere"), "workflowtemplates.argoproj.io \"nowhere\" not found"),
        ("namespace", json!("elsewhere"), "not found"),
        ("parameters", json!({}), "spec.arguments.version.value"),
    ] {
        let mut config = rig.config.clone();
        config.insert(key.to_owned(), value);
        let request = TriggerRequest { job: new_job(), config: &config };
        let why = invalid(rig.argo.trigger(&request).await);
        assert!(why.contains(expected), "{key}: {why}");
    }
    assert_eq!(rig.fake.submitted(), 0);
}

#[tokio::test]
async fn an_answer_that_is_an_error_after_the_effect_leaves_it_open() {
    let rig = Rig::of(Plan::hold()).await;
    for kind in [
        FaultKind::DropAfterEffect,
        FaultKind::HangAfterEffect,
        FaultKind::ErrorAfterEffect { status: 504, body: "{}".to_owned() },
    ] {
        let job = new_job();
        rig.fake.inject(Fault::once("POST", "/submit", kind.clone()));
        let answer = rig.trigger(job).await;
        assert!(matches!(answer, Err(CallError::Ambiguous(_))), "{kind:?}: {answer:?}");
        let Ok(Found::Run { external, snapshot }) = rig.find(job).await else { panic!("{kind:?}") };
        assert_eq!((external.id, status(&snapshot)), (name_of(job), JobStatus::Queued));
    }
    assert_eq!(rig.find(new_job()).await, Ok(Found::None));
    rig.fake.inject(Fault::once("POST", "/submit", FaultKind::DropBeforeEffect));
    let answer = rig.trigger(new_job()).await;
    assert!(matches!(answer, Err(CallError::Ambiguous(_) | CallError::Transient(_))), "{answer:?}");
}

#[tokio::test]
async fn a_pause_that_kubernetes_asks_for_holds_every_call_of_the_token() {
    let rig = Rig::of(Plan::hold()).await;
    let run = rig.run(new_job()).await;
    rig.fake.inject(Fault::too_many("POST", "/submit", 7));
    let limited = rig.trigger(new_job()).await;
    assert!(matches!(limited, Err(CallError::RateLimited { after, .. }) if after == Duration::from_secs(7)));
    let calls = rig.fake.calls().len();
    assert!(matches!(rig.argo.ready(&rig.config).await, Err(CallError::RateLimited { .. })));
    assert!(matches!(rig.observe(&run).await, Err(CallError::RateLimited { .. })));
    assert_eq!(rig.fake.calls().len(), calls, "Argo is left alone meanwhile");
    rig.hand.pass(Duration::from_secs(8));
    rig.run(new_job()).await;
}

#[tokio::test]
async fn a_workflow_is_followed_from_step_to_step() {
    let rig = Rig::of(Plan::hold()).await;
    let job = new_job();
    let (run, name) = (rig.run(job).await, name_of(job));
    let queued = rig.snapshot(&run).await;
    assert_eq!(status(&queued), JobStatus::Queued);
    assert!(rig.fake.begin("ci", &name));
    let running = rig.snapshot(&run).await;
    assert_eq!((status(&running), running.message.as_deref()), (JobStatus::InProgress, Some("0/1 done")));
    assert!(running.order > queued.order, "later looks are newer");
    assert!(rig.fake.suspend("ci", &name));
    let waits = rig.snapshot(&run).await;
    assert_eq!(status(&waits), JobStatus::ActionRequired);
    assert_eq!(waits.message.as_deref(), Some("waits for somebody to resume approve"));
    assert!(waits.links["step"].ends_with(&format!("&nodeId={name}-2")), "{:?}", waits.links);
    assert!(rig.fake.finish("ci", &name, "Failed", "child 'main' failed", "exit code 3"));
    let failed = rig.snapshot(&run).await;
    assert_eq!((status(&failed), failed.reason), (JobStatus::Failure, None));
    assert!(failed.message.unwrap().contains("exit code 3"));
    assert_eq!(failed.links["run"], run.url.unwrap());
}

#[tokio::test]
async fn a_workflow_that_waits_for_a_person_goes_on_when_it_is_resumed() {
    let rig = Rig::of(Plan::at_once(Ending::Suspends)).await;
    let run = rig.run(new_job()).await;
    rig.until(&run, JobStatus::ActionRequired).await;
    let url = format!("{}/api/v1/workflows/ci/{}/resume", rig.fake.base_url(), run.id);
    let resumed = reqwest::Client::new().put(url).bearer_auth(crate::rig::TOKEN).body("{}").send().await;
    assert!(resumed.unwrap().status().is_success());
    assert_eq!(status(&rig.snapshot(&run).await), JobStatus::Successful);
}

#[tokio::test]
async fn an_error_before_anything_ran_is_the_configs() {
    let rig = Rig::of(Plan::at_once(Ending::Errors("template deploy has no entrypoint".to_owned()))).await;
    let run = rig.run(new_job()).await;
    let over = rig.until(&run, JobStatus::InvalidJobAgent).await;
    assert_eq!(over.message.as_deref(), Some("template deploy has no entrypoint"));
}

#[tokio::test]
async fn a_workflow_is_stopped_and_by_force_terminated() {
    let rig = Rig::of(Plan::at_once(Ending::Runs)).await;
    for (how, verb) in [(CancelMode::Graceful, "/stop"), (CancelMode::Force, "/terminate")] {
        let run = rig.run(new_job()).await;
        rig.until(&run, JobStatus::InProgress).await;
        assert_eq!(rig.cancel(&run, how).await, Ok(CancelAck::Requested));
        assert_eq!(rig.count("PUT", verb), 1);
        let over = rig.until(&run, JobStatus::Cancelled).await;
        assert_eq!(over.reason, Some(Reason::CancelledOnPlatform));
        assert_eq!(rig.cancel(&run, how).await, Ok(CancelAck::AlreadyOver));
    }
    let run = rig.run(new_job()).await;
    rig.fake.delete("ci", &run.id);
    assert_eq!(rig.cancel(&run, CancelMode::Graceful).await, Ok(CancelAck::Gone));
}

/// Argo's controller marks such a workflow as succeeded. Nothing was deployed.
#[tokio::test]
async fn a_workflow_that_is_terminated_while_it_waits_for_a_lock_did_not_succeed() {
    let rig = Rig::of(Plan::hold()).await;
    let run = rig.run(new_job()).await;
    rig.fake.write("ci", &run.id, "/status/phase", &json!("Pending"));
    rig.fake.write("ci", &run.id, "/status/message", &json!("Waiting for ci/ConfigMap/locks/eu lock"));
    let waits = rig.snapshot(&run).await;
    assert_eq!(waits.message.as_deref(), Some("Waiting for ci/ConfigMap/locks/eu lock"));
    assert_eq!(rig.cancel(&run, CancelMode::Force).await, Ok(CancelAck::Requested));
    let over = rig.until(&run, JobStatus::Cancelled).await;
    assert_eq!(over.raw.unwrap().status, "Succeeded");
}

#[tokio::test]
async fn a_deleted_workflow_is_read_from_the_archive() {
    for reads_archive in [true, false] {
        let rig =
            Rig::start(Options { reads_archive, ..options(Plan::at_once(Ending::Fails("no".to_owned()))) })
                .await;
        let run = rig.run(new_job()).await;
        let before = rig.until(&run, JobStatus::Failure).await;
        rig.fake.delete("ci", &run.id);
        let archived = rig.snapshot(&run).await;
        assert_eq!(archived, before, "its steps are still told");
        assert_eq!(rig.cancel(&run, CancelMode::Graceful).await, Ok(CancelAck::Gone));
        rig.fake.clear_archive();
        assert_eq!(rig.observe(&run).await, Ok(Seen::Gone));
    }
}

#[tokio::test]
async fn a_retry_is_the_next_attempt_of_the_same_workflow_and_keeps_what_it_was_given() {
    let rig = Rig::of(Plan::at_once(Ending::Fails("no".to_owned()))).await;
    let run = rig.run(new_job()).await;
    rig.until(&run, JobStatus::Failure).await;
    let again = rig.rerun(&run).await.unwrap();
    assert_eq!((&again.id, again.attempt), (&run.id, 2));
    let over = rig.until(&again, JobStatus::Failure).await;
    assert_eq!(over.order.map(|order| order.attempt), Some(2));
    let kept = rig.fake.workflow("ci", &run.id).unwrap();
    assert_eq!((kept.parameter("version"), kept.parameter("region")), (Some("1.2.3"), Some("eu")));
    // The answer to a retry was lost: the attempt tells that it was made.
    assert_eq!(rig.rerun(&run).await.unwrap().attempt, 2);
    assert_eq!(rig.count("PUT", "/retry"), 1);
    assert_eq!(rig.rerun(&again).await.unwrap().attempt, 3);
    assert_eq!(rig.fake.submitted(), 1);
}

#[tokio::test]
async fn what_went_well_runs_again_as_a_whole() {
    let rig = Rig::of(Plan::at_once(Ending::Succeeds)).await;
    let run = rig.run(new_job()).await;
    rig.until(&run, JobStatus::Successful).await;
    let again = rig.rerun(&run).await.unwrap();
    let over = rig.until(&again, JobStatus::Successful).await;
    assert!(matches!(over.order, Some(OrderKey { attempt: 2, .. })), "{over:?}");
}

#[tokio::test]
async fn a_workflow_that_is_not_over_is_not_run_again() {
    let rig = Rig::of(Plan::at_once(Ending::Runs)).await;
    let run = rig.run(new_job()).await;
    rig.until(&run, JobStatus::InProgress).await;
    let refused = rig.rerun(&run).await;
    assert!(matches!(&refused, Err(CallError::Transient(why)) if why.contains("not over")), "{refused:?}");
}

#[tokio::test]
async fn a_deleted_workflow_is_brought_back_from_the_archive_to_run_again() {
    let rig = Rig::of(Plan::at_once(Ending::Fails("no".to_owned()))).await;
    let run = rig.run(new_job()).await;
    rig.until(&run, JobStatus::Failure).await;
    rig.fake.delete("ci", &run.id);
    let again = rig.rerun(&run).await.unwrap();
    assert_eq!((&again.id, again.attempt), (&run.id, 2));
    assert!(rig.fake.workflow("ci", &run.id).is_some());
    rig.until(&again, JobStatus::Failure).await;
    rig.fake.delete("ci", &run.id);
    rig.fake.clear_archive();
    assert!(invalid(rig.rerun(&again).await).contains("any more"));
}

#[tokio::test]
async fn words_nobody_knows_are_kept() {
    let rig = Rig::of(Plan::hold()).await;
    let run = rig.run(new_job()).await;
    rig.fake.write("ci", &run.id, "/status/phase", &json!("Dreaming"));
    let Ok(Seen::UnknownWords { raw }) = rig.observe(&run).await else { panic!("known") };
    assert_eq!(raw.status, "Dreaming");
    let Triggered::Run { external, .. } = rig.trigger(new_job()).await.unwrap() else { panic!("named") };
    assert_ne!(external.id, run.id);
}
