//! The calls that succeed: start, find, look, cancel, run again.

use crate::rig::{NAMESPACE, Rig, new_job, run_of, status};
use agent_kubernetes_jobs::jobs::{ATTEMPT, CANCELLED, JOB_ID};
use domain::job::{JobStatus, Reason, SnapshotStatus, TerminalStatus};
use fake_kubernetes::Ending;
use platform::{CallError, CancelAck, CancelMode, Found, Platform as _, Seen};
use serde_json::{Value, json};

#[tokio::test]
async fn a_start_makes_one_labelled_job_with_an_end_to_everything() {
    let rig = Rig::new().await.with("dashboardUrl", json!("https://dash.example/ci"));
    let job = new_job();
    let run = rig.run(job).await;
    assert_eq!(rig.run(job).await, run, "the same once more");
    assert_eq!((run.id.clone(), run.attempt, run.scope.as_str()), (format!("job-{job}"), 1, NAMESPACE));
    assert_eq!(run.url.as_deref(), Some("https://dash.example/ci"));
    assert_eq!(rig.fake.jobs(NAMESPACE).len(), 1);
    let object = rig.object(&run.id);
    let labels = [&object["metadata"]["labels"], &object["spec"]["template"]["metadata"]["labels"]];
    assert!(labels.iter().all(|labels| labels[JOB_ID] == json!(job.to_string()) && labels[ATTEMPT] == "1"));
    let spec = &object["spec"];
    assert_eq!(
        (&spec["activeDeadlineSeconds"], &spec["backoffLimit"], &spec["ttlSecondsAfterFinished"]),
        (&json!(86_400), &json!(0), &json!(172_800))
    );
}

#[tokio::test]
async fn a_manifest_may_be_yaml_text() {
    let text = "\
apiVersion: batch/v1
kind: Job
spec:
  backoffLimit: 2
  template:
    spec:
      containers:
        - name: main
          image: shop:1.2.3
          command: [\"deploy\", \"1.2.3\"]
";
    let rig = Rig::new().await.with("manifest", json!(text));
    let run = rig.run(new_job()).await;
    let spec = &rig.object(&run.id)["spec"];
    assert_eq!(
        (&spec["backoffLimit"], &spec["template"]["spec"]["restartPolicy"]),
        (&json!(2), &json!("Never"))
    );
    assert_eq!(spec["template"]["spec"]["containers"][0]["command"], json!(["deploy", "1.2.3"]));
}

#[tokio::test]
async fn a_run_is_found_by_its_name_and_by_nothing_else() {
    let rig = Rig::new().await;
    let job = new_job();
    assert_eq!(rig.find(job).await, Ok(Found::None));
    let run = rig.run(job).await;
    let Ok(Found::Run { external, snapshot }) = rig.find(job).await else { panic!("it is there") };
    assert_eq!((external, status(&snapshot)), (run, JobStatus::Queued));
    let other = new_job();
    let name = format!("job-{other}");
    rig.fake.put("jobs", json!({ "metadata": { "name": name, "namespace": NAMESPACE, "labels": {} } }));
    assert_eq!(rig.find(other).await, Ok(Found::None), "somebody else's");
}

#[tokio::test]
async fn a_run_is_seen_from_beginning_to_end() {
    let rig = Rig::new().await;
    let run = rig.run(new_job()).await;
    let queued = rig.snapshot(&run).await;
    assert!(rig.fake.run(NAMESPACE, &run.id));
    let running = rig.snapshot(&run).await;
    assert!(rig.fake.end(NAMESPACE, &run.id, Ending::Well));
    let over = rig.snapshot(&run).await;
    let seen = [&queued, &running, &over].map(status);
    assert_eq!(seen, [JobStatus::Queued, JobStatus::InProgress, JobStatus::Successful]);
    assert!(queued.order < running.order && running.order < over.order, "each look is newer");
}

#[tokio::test]
async fn a_failure_says_how_its_container_ended() {
    let rig = Rig::new().await;
    for (code, words) in [(3, "exited with code 3"), (137, "OOMKilled")] {
        let run = rig.run(new_job()).await;
        rig.fake.run(NAMESPACE, &run.id);
        rig.fake.end(NAMESPACE, &run.id, Ending::Exit(code));
        let seen = rig.snapshot(&run).await;
        let message = seen.message.as_deref().unwrap_or_default();
        assert_eq!(status(&seen), JobStatus::Failure);
        assert!(message.contains("backoff limit") && message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn a_deadline_that_passed_is_a_time_out() {
    let rig = Rig::new().await;
    let run = rig.run(new_job()).await;
    rig.fake.condition(NAMESPACE, &run.id, "Failed", "True", "DeadlineExceeded");
    let seen = rig.snapshot(&run).await;
    assert_eq!((status(&seen), seen.reason), (JobStatus::Failure, Some(Reason::TimedOut)));
}

#[tokio::test]
async fn what_a_pod_waits_for_is_said() {
    let rig = Rig::new().await;
    let run = rig.run(new_job()).await;
    let waits = json!({ "phase": "Pending", "containerStatuses": [
        { "name": "main", "state": { "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } } }] });
    rig.fake.pods_say(NAMESPACE, &run.id, &waits);
    let seen = rig.snapshot(&run).await;
    let message = seen.message.as_deref().unwrap_or_default();
    assert_eq!(status(&seen), JobStatus::Queued);
    assert!(message.contains("ImagePullBackOff: no such image"), "{message}");
}

#[tokio::test]
async fn a_cancelled_run_stops_and_its_record_stays() {
    let rig = Rig::new().await;
    let run = rig.run(new_job()).await;
    rig.fake.run(NAMESPACE, &run.id);
    assert_eq!(rig.cancel(&run, CancelMode::Graceful).await, Ok(CancelAck::Requested));
    assert_eq!(rig.snapshot(&run).await.status, SnapshotStatus::Terminal(TerminalStatus::Cancelled));
    let object = rig.object(&run.id);
    assert_eq!(
        (&object["spec"]["suspend"], &object["metadata"]["annotations"][CANCELLED]),
        (&json!(true), &json!("true"))
    );
    assert_eq!(
        rig.cancel(&run, CancelMode::Graceful).await,
        Ok(CancelAck::Requested),
        "asking twice does no harm"
    );
}

#[tokio::test]
async fn by_force_it_is_deleted() {
    let rig = Rig::new().await;
    let run = rig.run(new_job()).await;
    assert_eq!(rig.cancel(&run, CancelMode::Force).await, Ok(CancelAck::Requested));
    assert_eq!(rig.object(&run.id), Value::Null);
    assert_eq!(rig.observe(&run).await, Ok(Seen::Gone));
    assert_eq!(rig.cancel(&run, CancelMode::Force).await, Ok(CancelAck::Gone));
}

#[tokio::test]
async fn what_is_over_is_not_cancelled() {
    let rig = Rig::new().await;
    let run = rig.run(new_job()).await;
    rig.fake.end(NAMESPACE, &run.id, Ending::Well);
    for how in [CancelMode::Graceful, CancelMode::Force] {
        assert_eq!(rig.cancel(&run, how).await, Ok(CancelAck::AlreadyOver));
    }
    assert_eq!(status(&rig.snapshot(&run).await), JobStatus::Successful);
}

#[tokio::test]
async fn a_job_runs_again_as_another_object_of_the_same_run() {
    let rig = Rig::new().await;
    let first = rig.run(new_job()).await;
    let early = rig.jobs.rerun(&rig.config, &first).await;
    assert!(matches!(early, Err(CallError::Transient(_))), "it is not over: {early:?}");
    rig.fake.end(NAMESPACE, &first.id, Ending::Exit(1));
    let second = run_of(rig.jobs.rerun(&rig.config, &first).await);
    assert_eq!(run_of(rig.jobs.rerun(&rig.config, &first).await), second, "the same once more");
    assert_eq!((&second.id, second.attempt), (&first.id, 2));
    assert_ne!(rig.object(&format!("{}-a2", first.id)), Value::Null);
    let (old, new) = (rig.snapshot(&first).await, rig.snapshot(&second).await);
    assert_eq!(old.order.unwrap().attempt, 2, "who asks for the run sees its last attempt");
    assert_eq!((status(&old), status(&new)), (JobStatus::Queued, JobStatus::Queued));
    rig.cancel(&second, CancelMode::Graceful).await.unwrap();
    let third = run_of(rig.jobs.rerun(&rig.config, &second).await);
    assert_eq!(third.attempt, 3, "what we cancelled is over too");
}

#[tokio::test]
async fn an_attempt_runs_again_also_when_its_object_is_gone() {
    let rig = Rig::new().await;
    let first = rig.run(new_job()).await;
    rig.fake.delete(NAMESPACE, &first.id);
    assert_eq!(rig.observe(&first).await, Ok(Seen::Gone));
    let second = run_of(rig.jobs.rerun(&rig.config, &first).await);
    rig.fake.run(NAMESPACE, &format!("{}-a2", first.id));
    assert_eq!(status(&rig.snapshot(&second).await), JobStatus::InProgress);
    assert_eq!(rig.snapshot(&first).await.order.unwrap().attempt, 2);
}

#[tokio::test]
async fn suspended_jobs_wait_for_a_person_or_for_kueue() {
    let rig = Rig::new().await;
    let pod = json!({ "spec": { "containers": [{ "name": "main", "image": "a" }] } });
    let held = json!({ "spec": { "suspend": true, "template": pod } });
    let rig = rig.with("manifest", held.clone());
    let run = rig.run(new_job()).await;
    assert_eq!(status(&rig.snapshot(&run).await), JobStatus::ActionRequired);
    let mut queued = held;
    queued["metadata"] = json!({ "labels": { "kueue.x-k8s.io/queue-name": "team" } });
    let rig = rig.with("manifest", queued);
    let run = rig.run(new_job()).await;
    assert_eq!(status(&rig.snapshot(&run).await), JobStatus::Queued);
}
