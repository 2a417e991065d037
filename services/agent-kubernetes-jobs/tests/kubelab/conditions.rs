//! Every condition that a Job controller sets and pods can be made to lead to.

use crate::rig::{Rig, exited, message, run_of, running, status, waiting};
use agent_kubernetes_jobs::jobs::CANCELLED;
use domain::job::{JobStatus, Reason};
use platform::{CancelAck, CancelMode, Platform as _, Seen};
use serde_json::{Value, json};
use std::time::Duration;

fn conclusion(snapshot: &domain::job::Snapshot<domain::job::SnapshotStatus>) -> Option<&str> {
    snapshot.raw.as_ref()?.conclusion.as_deref()
}

pub(crate) async fn a_job_is_followed_from_its_start_to_complete(rig: Rig) {
    let run = rig.run().await;
    let queued = rig.status(&run, JobStatus::Queued).await;
    let pod = rig.pod(&run).await;
    rig.says(&pod, &running()).await;
    let started = rig.status(&run, JobStatus::InProgress).await;
    rig.says(&pod, &exited(0, "Completed")).await;
    let over = rig.status(&run, JobStatus::Successful).await;
    // A pod may run before the controller counts it: the Job is then of the same version as before.
    assert!(queued.order <= started.order && started.order < over.order, "{:?}", (queued, started, over));
    assert_eq!(conclusion(&over), Some("CompletionsReached"));
}

pub(crate) async fn what_pods_wait_for_is_told(rig: Rig) {
    let run = rig.run().await;
    let pod = rig.pod(&run).await;
    let unschedulable = json!({ "conditions": [
        { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available" }] });
    rig.says(&pod, &unschedulable).await;
    let seen = rig.until(&run, |seen| message(seen).contains("Unschedulable")).await;
    assert!(
        message(&seen).contains("0/3 nodes are available") && status(&seen) == JobStatus::Queued,
        "{seen:?}"
    );
    let mut pulling = waiting("ImagePullBackOff", "Back-off pulling image");
    pulling["conditions"] = json!([{ "type": "PodScheduled", "status": "True" }]);
    rig.says(&pod, &pulling).await;
    let seen = rig.until(&run, |seen| message(seen).contains("ImagePullBackOff")).await;
    assert_eq!(status(&seen), JobStatus::Queued);
}

pub(crate) async fn a_failure_tells_its_exit_code(rig: Rig) {
    for (code, reason, words) in
        [(3, "Error", "exited with code 3"), (137, "OOMKilled", "OOMKilled, exit code 137")]
    {
        let run = rig.run().await;
        let pod = rig.pod(&run).await;
        rig.says(&pod, &exited(code, reason)).await;
        let seen = rig.status(&run, JobStatus::Failure).await;
        assert_eq!((conclusion(&seen), seen.reason), (Some("BackoffLimitExceeded"), None));
        assert!(message(&seen).contains(words) && message(&seen).contains(&pod), "{seen:?}");
    }
}

pub(crate) async fn a_pod_that_failed_is_replaced_and_the_job_goes_on(rig: Rig) {
    let rig = rig.spec(json!({ "backoffLimit": 1 }));
    let run = rig.run().await;
    let first = rig.pod(&run).await;
    rig.says(&first, &exited(1, "Error")).await;
    let paused = rig.until(&run, |seen| message(seen).contains("next pod")).await;
    assert!(matches!(status(&paused), JobStatus::InProgress | JobStatus::Queued), "{paused:?}");
    let second = rig.pod(&run).await;
    assert_ne!(first, second);
    rig.says(&second, &running()).await;
    rig.status(&run, JobStatus::InProgress).await;
    rig.says(&second, &exited(0, "Completed")).await;
    rig.status(&run, JobStatus::Successful).await;
}

pub(crate) async fn a_pod_failure_policy_fails_the_job(rig: Rig) {
    let on_42 = json!({ "containerName": "main", "operator": "In", "values": [42] });
    let rules = json!([{ "action": "FailJob", "onExitCodes": on_42 }]);
    let rig = rig.spec(json!({ "backoffLimit": 6, "podFailurePolicy": { "rules": rules } }));
    let run = rig.run().await;
    let pod = rig.pod(&run).await;
    rig.says(&pod, &exited(42, "Error")).await;
    let seen = rig.status(&run, JobStatus::Failure).await;
    assert_eq!(conclusion(&seen), Some("PodFailurePolicy"));
    assert!(message(&seen).contains("42"), "{seen:?}");
}

pub(crate) async fn failed_indexes_fail_the_job(rig: Rig) {
    for (limit, reason) in [(Some(0), "MaxFailedIndexesExceeded"), (None, "FailedIndexes")] {
        let mut spec = json!({ "completionMode": "Indexed", "completions": 2, "parallelism": 2, "backoffLimitPerIndex": 0, "backoffLimit": 100 });
        if let Some(limit) = limit {
            spec["maxFailedIndexes"] = json!(limit);
        }
        let namespace = rig.namespace.clone();
        let mut config = rig.config.clone();
        let pod =
            json!({ "spec": { "restartPolicy": "Never", "containers": [{ "name": "main", "image": "a" }] } });
        spec["template"] = pod;
        config.insert("manifest".to_owned(), json!({ "spec": spec }));
        let request = platform::TriggerRequest { job: crate::rig::new_job(), config: &config };
        let run = run_of(rig.jobs.trigger(&request).await);
        let pods = rig.lab.pods(&namespace, &run.id, 2).await;
        rig.says(&pods[0], &exited(1, "Error")).await;
        if limit.is_none() {
            // Else the first failure is one too many, and the other pod is being stopped.
            rig.says(&pods[1], &exited(0, "Completed")).await;
        }
        let seen = rig.status(&run, JobStatus::Failure).await;
        assert_eq!(conclusion(&seen), Some(reason));
    }
}

pub(crate) async fn a_success_policy_completes_the_job(rig: Rig) {
    let policy = json!({ "rules": [{ "succeededCount": 1 }] });
    let rig = rig.spec(
        json!({ "completionMode": "Indexed", "completions": 2, "parallelism": 2, "successPolicy": policy }),
    );
    let run = rig.run().await;
    let pods = rig.lab.pods(&rig.namespace, &run.id, 2).await;
    rig.says(&pods[0], &exited(0, "Completed")).await;
    let seen = rig.status(&run, JobStatus::Successful).await;
    assert_eq!(conclusion(&seen), Some("SuccessPolicy"));
}

pub(crate) async fn a_deadline_is_a_time_out(rig: Rig) {
    let rig = rig.spec(json!({ "activeDeadlineSeconds": 1 }));
    let run = rig.run().await;
    let seen = rig.status(&run, JobStatus::Failure).await;
    assert_eq!((conclusion(&seen), seen.reason), (Some("DeadlineExceeded"), Some(Reason::TimedOut)));
}

pub(crate) async fn a_suspended_job_waits_for_a_person(rig: Rig) {
    let rig = rig.spec(json!({ "suspend": true }));
    let run = rig.run().await;
    rig.until(&run, |seen| {
        conclusion(seen) == Some("JobSuspended") && status(seen) == JobStatus::ActionRequired
    })
    .await;
    let path = format!("/apis/batch/v1/namespaces/{}/jobs/{}", rig.namespace, run.id);
    rig.lab.must("MERGE", &path, &json!({ "spec": { "suspend": false } })).await;
    let pod = rig.pod(&run).await;
    rig.says(&pod, &running()).await;
    rig.status(&run, JobStatus::InProgress).await;
    // The condition stays, and no longer holds. The controller writes it in its own time, before or after a pod runs.
    let resumed = |job: &Value| {
        let conditions = job["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|is| is["type"] == "Suspended" && is["status"] == "False")
    };
    rig.object_until(&run.id, resumed).await;
    rig.status(&run, JobStatus::InProgress).await;
}

pub(crate) async fn a_cancelled_job_is_suspended_and_its_record_stays(rig: Rig) {
    let run = rig.run().await;
    let pod = rig.pod(&run).await;
    rig.says(&pod, &running()).await;
    rig.status(&run, JobStatus::InProgress).await;
    assert_eq!(rig.jobs.cancel(&rig.config, &run, CancelMode::Graceful).await, Ok(CancelAck::Requested));
    rig.lab.pods_go(&rig.namespace, &run.id).await;
    rig.status(&run, JobStatus::Cancelled).await;
    let object = rig.object(&run.id).await;
    assert_eq!(
        (&object["spec"]["suspend"], &object["metadata"]["annotations"][CANCELLED]),
        (&json!(true), &json!("true"))
    );
    // A start that is repeated late takes nothing of this back.
    let job = run.id.trim_start_matches("job-").parse().unwrap();
    assert_eq!(run_of(rig.trigger(job).await), run);
    rig.status(&run, JobStatus::Cancelled).await;
}

pub(crate) async fn a_forced_cancellation_deletes(rig: Rig) {
    let run = rig.run().await;
    rig.pod(&run).await;
    assert_eq!(rig.jobs.cancel(&rig.config, &run, CancelMode::Force).await, Ok(CancelAck::Requested));
    let give_up = tokio::time::Instant::now() + Duration::from_secs(60);
    while rig.see(&run).await != Seen::Gone {
        rig.lab.pods_go(&rig.namespace, &run.id).await;
        assert!(tokio::time::Instant::now() < give_up, "it is still there");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(rig.jobs.cancel(&rig.config, &run, CancelMode::Force).await, Ok(CancelAck::Gone));
}

pub(crate) async fn a_job_runs_again_as_another_object(rig: Rig) {
    let first = rig.run().await;
    let pod = rig.pod(&first).await;
    rig.says(&pod, &exited(1, "Error")).await;
    rig.status(&first, JobStatus::Failure).await;
    let second = run_of(rig.jobs.rerun(&rig.config, &first).await);
    assert_eq!((&second.id, second.attempt), (&first.id, 2));
    let name = format!("{}-a2", first.id);
    let pod = rig.lab.pods(&rig.namespace, &name, 1).await.remove(0);
    rig.says(&pod, &exited(0, "Completed")).await;
    let seen = rig.status(&second, JobStatus::Successful).await;
    assert_eq!(seen.order.map(|order| order.attempt), Some(2));
    let object = rig.object(&name).await;
    assert_eq!(
        rig.object(&first.id).await["metadata"]["labels"]["ctrlplane.dev/job-id"],
        object["metadata"]["labels"]["ctrlplane.dev/job-id"]
    );
}
