//! The table, held against everything batch/v1 publishes.

use super::*;
use domain::job::JobStatus;
use serde_json::{Value, json};

/// The reasons of `Failed` and `FailureTarget` in batch/v1 of Kubernetes 1.36.
const FAILED_REASONS: [&str; 5] = [
    "PodFailurePolicy",
    "BackoffLimitExceeded",
    "DeadlineExceeded",
    "MaxFailedIndexesExceeded",
    "FailedIndexes",
];
/// The reasons of `SuccessCriteriaMet` and `Complete`.
const SUCCESS_REASONS: [&str; 2] = ["SuccessPolicy", "CompletionsReached"];

fn job(value: &Value) -> Job {
    Job::deserialize_from(value)
}

impl Job {
    fn deserialize_from(value: &Value) -> Self {
        serde_json::from_value(value.clone()).expect("a Job")
    }
}

fn condition(kind: &str, status: &str, reason: &str) -> Value {
    json!({ "type": kind, "status": status, "reason": reason, "message": format!("says {reason}") })
}

fn with(conditions: &[Value]) -> Value {
    json!({ "status": { "conditions": conditions } })
}

fn pods(values: &[Value]) -> Vec<Pod> {
    values.iter().map(|value| serde_json::from_value(value.clone()).expect("a pod")).collect()
}

/// `queued`, `failure (timed_out)`, `?unknown`, …
fn told(value: &Value, pods: &[Pod]) -> String {
    match meaning(&job(value), pods) {
        Meaning::Unknown(_) => "?unknown".to_owned(),
        Meaning::Plain(Plain { status, reason, .. }) => {
            let status: JobStatus = match status {
                SnapshotStatus::Active(status) => status.into(),
                SnapshotStatus::Terminal(status) => status.into(),
            };
            match reason {
                None => status.to_string(),
                Some(reason) => format!("{status} ({})", json!(reason).as_str().expect("a word")),
            }
        }
    }
}

fn message(value: &Value, pods: &[Pod]) -> String {
    match meaning(&job(value), pods) {
        Meaning::Plain(plain) => plain.message.unwrap_or_default(),
        Meaning::Unknown(raw) => panic!("{raw:?}"),
    }
}

#[test]
fn every_condition_has_a_meaning_with_every_reason() {
    for reason in SUCCESS_REASONS {
        assert_eq!(told(&with(&[condition("Complete", "True", reason)]), &[]), "successful", "{reason}");
        let alone = with(&[condition("SuccessCriteriaMet", "True", reason)]);
        assert_eq!(told(&alone, &[]), "in_progress", "{reason}");
        let both =
            with(&[condition("SuccessCriteriaMet", "True", reason), condition("Complete", "True", reason)]);
        assert_eq!(told(&both, &[]), "successful", "{reason}");
    }
    for reason in FAILED_REASONS {
        let failed = if reason == "DeadlineExceeded" { "failure (timed_out)" } else { "failure" };
        assert_eq!(told(&with(&[condition("Failed", "True", reason)]), &[]), failed);
        let alone = with(&[condition("FailureTarget", "True", reason)]);
        assert_eq!(told(&alone, &[]), "in_progress", "{reason}: pods are still being stopped");
        let both = with(&[condition("FailureTarget", "True", reason), condition("Failed", "True", reason)]);
        assert_eq!(told(&both, &[]), failed);
    }
    assert_eq!(
        told(&with(&[condition("Failed", "True", "BrandNew")]), &[]),
        "failure",
        "Failed is an end whatever the reason"
    );
    let suspended = json!({ "spec": { "suspend": true }, "status": { "conditions": [condition("Suspended", "True", "JobSuspended")] } });
    assert_eq!(told(&suspended, &[]), "action_required");
}

#[test]
fn a_condition_that_does_not_hold_means_nothing() {
    for kind in CONDITIONS {
        for status in ["False", "Unknown"] {
            let mut value = with(&[condition(kind, status, "Reason")]);
            value["status"]["active"] = json!(1);
            value["status"]["ready"] = json!(1);
            assert_eq!(told(&value, &[]), "in_progress", "{kind}={status}");
        }
    }
}

#[test]
fn no_unknown_word_is_an_end() {
    let mut value = with(&[condition("Levitating", "True", "Because")]);
    value["status"]["active"] = json!(1);
    assert_eq!(told(&value, &[]), "?unknown");
    assert_eq!(told(&with(&[condition("Complete", "Maybe", "")]), &[]), "?unknown");
    assert_eq!(told(&with(&[condition("Levitating", "False", "")]), &[]), "queued", "it does not hold");
    let ended = with(&[condition("Levitating", "True", ""), condition("Complete", "True", "")]);
    assert_eq!(told(&ended, &[]), "successful", "an end is an end");
}

#[test]
fn counts_tell_where_no_condition_holds() {
    for (active, ready, succeeded, failed, expected) in [
        (0, 0, 0, 0, "queued"),
        (1, 0, 0, 0, "queued"),
        (3, 0, 0, 0, "queued"),
        (1, 1, 0, 0, "in_progress"),
        (3, 1, 0, 2, "in_progress"),
        (0, 0, 0, 1, "in_progress"),
        (0, 0, 1, 0, "in_progress"),
        (0, 0, 1, 1, "in_progress"),
        (1, 0, 0, 1, "queued"),
        (1, 0, 1, 0, "queued"),
    ] {
        let value = json!({ "status": { "active": active, "ready": ready, "succeeded": succeeded, "failed": failed } });
        assert_eq!(told(&value, &[]), expected, "{value}");
    }
    assert_eq!(told(&json!({}), &[]), "queued");
}

#[test]
fn a_running_pod_tells_where_nobody_counts_ready_ones() {
    let value = json!({ "status": { "active": 1 } });
    let running = pods(&[json!({ "metadata": { "name": "p" }, "status": { "phase": "Running" } })]);
    assert_eq!(told(&value, &running), "in_progress");
    let pending = pods(&[json!({ "metadata": { "name": "p" }, "status": { "phase": "Pending" } })]);
    assert_eq!(told(&value, &pending), "queued");
}

#[test]
fn suspension_means_what_it_is_for() {
    let suspended = |annotation: bool, kueue: bool, active: u32, stands: &str| {
        let mut value = json!({
            "metadata": { "labels": {}, "annotations": {} }, "spec": { "suspend": true },
            "status": { "active": active, "conditions": [condition("Suspended", stands, "JobSuspended")] },
        });
        if annotation {
            value["metadata"]["annotations"][CANCELLED] = json!("true");
        }
        if kueue {
            value["metadata"]["labels"][KUEUE] = json!("team");
        }
        told(&value, &[])
    };
    assert_eq!(suspended(true, false, 0, "True"), "cancelled");
    assert_eq!(suspended(true, true, 0, "True"), "cancelled");
    assert_eq!(suspended(true, false, 1, "True"), "in_progress", "a pod is still being stopped");
    assert_eq!(suspended(true, false, 0, "False"), "in_progress", "the controller has not acted yet");
    assert_eq!(suspended(false, true, 0, "True"), "queued");
    assert_eq!(suspended(false, false, 0, "True"), "action_required");
}

#[test]
fn what_we_cancel_is_over_when_the_last_pod_is_gone() {
    let stopping = |terminating: Value| {
        json!({
            "metadata": { "annotations": { CANCELLED: "true" } }, "spec": { "suspend": true },
            "status": { "active": 0, "terminating": terminating,
                "conditions": [condition("Suspended", "True", "JobSuspended")] },
        })
    };
    for (terminating, expected) in
        [(json!(1), "in_progress"), (json!(0), "cancelled"), (Value::Null, "cancelled")]
    {
        let value = stopping(terminating);
        assert_eq!(told(&value, &[]), expected, "{value}");
        assert_eq!(is_cancelled(&job(&value)), expected == "cancelled", "{value}");
    }
}

#[test]
fn a_resumed_job_is_no_longer_suspended_whatever_stays_in_the_list() {
    for status in ["True", "False"] {
        let value = json!({
            "spec": { "suspend": false },
            "status": { "active": 1, "ready": 1, "conditions": [condition("Suspended", status, "JobResumed")] },
        });
        assert_eq!(told(&value, &[]), "in_progress", "{status}");
    }
}

#[test]
fn an_end_counts_more_than_our_wish_to_end() {
    for (kind, expected) in [("Complete", "successful"), ("Failed", "failure")] {
        let value = json!({
            "metadata": { "annotations": { CANCELLED: "true" } }, "spec": { "suspend": true },
            "status": { "conditions": [condition(kind, "True", "x"), condition("Suspended", "True", "JobSuspended")] },
        });
        assert_eq!(told(&value, &[]), expected);
    }
}

#[test]
fn messages_say_what_pods_say() {
    let exited =
        pods(&[json!({ "metadata": { "name": "p-1" }, "status": { "phase": "Failed", "containerStatuses": [
        { "name": "main", "state": { "terminated": { "exitCode": 3, "reason": "Error" } } }] } })]);
    let failed = with(&[condition("Failed", "True", "BackoffLimitExceeded")]);
    assert_eq!(
        message(&failed, &exited),
        "says BackoffLimitExceeded; pod p-1: container main exited with code 3"
    );
    let pulling = pods(&[
        json!({ "metadata": { "name": "p-1" }, "status": { "phase": "Pending", "containerStatuses": [
        { "name": "main", "state": { "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } } }] } }),
    ]);
    let queued = json!({ "status": { "active": 1 } });
    assert_eq!(message(&queued, &pulling), "pod p-1: container main waits: ImagePullBackOff: no such image");
}

#[test]
fn what_is_told_without_pods_is_the_same_with_them() {
    let pod = json!({ "metadata": { "name": "p" }, "status": { "phase": "Running" } });
    let all_pods = [pods(&[]), pods(&[pod])];
    let conditions =
        CONDITIONS.into_iter().flat_map(|kind| ["True", "False"].map(|status| condition(kind, status, "x")));
    let mut plain = 0;
    for condition in conditions {
        for (active, ready, suspend) in
            [(0, 0, false), (1, 0, false), (1, 1, false), (0, 0, true), (1, 0, true)]
        {
            let value = json!({ "spec": { "suspend": suspend }, "status": { "active": active, "ready": ready, "conditions": [condition] } });
            if is_plain(&job(&value)) {
                plain += 1;
                assert_eq!(
                    meaning(&job(&value), &all_pods[0]),
                    meaning(&job(&value), &all_pods[1]),
                    "{value}"
                );
            }
        }
    }
    assert!(plain > 5, "{plain}");
}
