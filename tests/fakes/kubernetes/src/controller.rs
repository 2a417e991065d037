//! The Job controller and the kubelet in one: makes pods, counts them, stops them, and lets Jobs end as told.

use crate::store::{Store, now, text};
use serde_json::{Value, json};
use std::time::Duration;

/// How Jobs go by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Script {
    /// Not at all: whoever holds the fake decides.
    Held,
    /// They run after a while, and end after another.
    Plays {
        /// Until the pod runs.
        starts_after: Duration,
        /// Until it ends.
        runs_for: Duration,
        /// How.
        ending: Ending,
    },
}

/// How a Job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// `Complete`.
    Well,
    /// `Failed`, with the exit code of its container.
    Exit(i32),
}

/// What a Job gets when it is stored for the first time or was changed: defaults, pods, conditions.
pub(crate) fn reconcile(store: &mut Store, namespace: &str, name: &str) {
    let Some(job) = store.get("jobs", namespace, name).cloned() else { return };
    if is_over(&job) {
        return;
    }
    let suspended = job["spec"]["suspend"] == json!(true);
    let stands = condition(&job, "Suspended");
    if suspended && stands.as_deref() != Some("True") {
        stop(store, &job);
        change(store, namespace, name, |status| {
            counts(status, 0, 0);
            set_condition(status, "Suspended", "True", "JobSuspended", "Job suspended");
        });
    } else if !suspended {
        if stands.as_deref() == Some("True") {
            let resumed =
                |status: &mut Value| set_condition(status, "Suspended", "False", "JobResumed", "Job resumed");
            change(store, namespace, name, resumed);
        }
        if job["status"]["active"].as_u64().unwrap_or(0) == 0 && pods(store, &job).is_empty() {
            begin(store, &job);
        }
    }
}

fn begin(store: &mut Store, job: &Value) {
    let (namespace, name, uid) =
        (text(job, "/metadata/namespace"), text(job, "/metadata/name"), text(job, "/metadata/uid"));
    let mut labels = job.pointer("/spec/template/metadata/labels").cloned().unwrap_or_else(|| json!({}));
    labels["batch.kubernetes.io/controller-uid"] = uid.into();
    labels["batch.kubernetes.io/job-name"] = name.clone().into();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": namespace, "name": format!("{name}-{}", store.version), "labels": labels },
        "spec": job["spec"]["template"]["spec"], "status": { "phase": "Pending" },
    });
    store.put("pods", pod);
    change(store, &namespace, &name, |status| {
        status["startTime"] = now().into();
        counts(status, 1, 0);
    });
}

/// The pod runs and is ready.
pub(crate) fn run(store: &mut Store, namespace: &str, name: &str) -> bool {
    let Some(job) = store.get("jobs", namespace, name).filter(|job| !is_over(job)).cloned() else {
        return false;
    };
    each_pod(store, &job, |status| *status = json!({ "phase": "Running" }));
    change(store, namespace, name, |status| counts(status, 1, 1));
    true
}

/// The Job ends.
pub(crate) fn end(store: &mut Store, namespace: &str, name: &str, ending: Ending) -> bool {
    let Some(job) = store.get("jobs", namespace, name).filter(|job| !is_over(job)).cloned() else {
        return false;
    };
    match ending {
        Ending::Well => {
            each_pod(store, &job, |status| *status = json!({ "phase": "Succeeded" }));
            change(store, namespace, name, |status| {
                counts(status, 0, 0);
                status["succeeded"] = json!(1);
                status["completionTime"] = now().into();
                set_condition(
                    status,
                    "SuccessCriteriaMet",
                    "True",
                    "CompletionsReached",
                    "Reached expected number of succeeded pods",
                );
                set_condition(
                    status,
                    "Complete",
                    "True",
                    "CompletionsReached",
                    "Reached expected number of succeeded pods",
                );
            });
        }
        Ending::Exit(code) => {
            each_pod(store, &job, |status| {
                let terminated =
                    json!({ "exitCode": code, "reason": if code == 137 { "OOMKilled" } else { "Error" } });
                *status = json!({ "phase": "Failed", "containerStatuses": [{ "name": "main", "state": { "terminated": terminated } }] });
            });
            change(store, namespace, name, |status| {
                counts(status, 0, 0);
                status["failed"] = json!(1);
                let message = "Job has reached the specified backoff limit";
                set_condition(status, "FailureTarget", "True", "BackoffLimitExceeded", message);
                set_condition(status, "Failed", "True", "BackoffLimitExceeded", message);
            });
        }
    }
    true
}

/// Deletes a Job and its pods.
pub(crate) fn delete(store: &mut Store, namespace: &str, name: &str) -> Option<Value> {
    let job = store.get("jobs", namespace, name).cloned()?;
    for pod in pods(store, &job) {
        store.remove("pods", namespace, &text(&pod, "/metadata/name"));
    }
    store.remove("jobs", namespace, name)
}

/// Changes the status of a Job.
pub(crate) fn change(
    store: &mut Store,
    namespace: &str,
    name: &str,
    change: impl FnOnce(&mut Value),
) -> bool {
    let Some(mut job) = store.get("jobs", namespace, name).cloned() else { return false };
    if !job["status"].is_object() {
        job["status"] = json!({});
    }
    change(&mut job["status"]);
    store.put("jobs", job);
    true
}

/// Changes the status of each pod of a Job.
pub(crate) fn each_pod(store: &mut Store, job: &Value, change: impl Fn(&mut Value)) {
    for mut pod in pods(store, job) {
        change(&mut pod["status"]);
        store.put("pods", pod);
    }
}

fn stop(store: &mut Store, job: &Value) {
    for pod in pods(store, job) {
        store.remove("pods", &text(&pod, "/metadata/namespace"), &text(&pod, "/metadata/name"));
    }
}

fn pods(store: &Store, job: &Value) -> Vec<Value> {
    let (namespace, uid) = (text(job, "/metadata/namespace"), text(job, "/metadata/uid"));
    let of = |pod: &&Value| pod["metadata"]["labels"]["batch.kubernetes.io/controller-uid"] == json!(uid);
    store.all("pods", &namespace).filter(of).cloned().collect()
}

fn counts(status: &mut Value, active: u32, ready: u32) {
    status["active"] = json!(active);
    status["ready"] = json!(ready);
}

/// Sets a condition, in its place where it is there.
pub(crate) fn set_condition(status: &mut Value, kind: &str, holds: &str, reason: &str, message: &str) {
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let condition = json!({ "type": kind, "status": holds, "reason": reason, "message": message, "lastTransitionTime": now() });
    let Some(conditions) = status["conditions"].as_array_mut() else { return };
    match conditions.iter_mut().find(|known| known["type"] == json!(kind)) {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

fn condition(job: &Value, kind: &str) -> Option<String> {
    let conditions = job["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == json!(kind))
        .map(|condition| text(condition, "/status"))
}

/// Whether the Job ended.
pub(crate) fn is_over(job: &Value) -> bool {
    ["Complete", "Failed"].iter().any(|kind| condition(job, kind).as_deref() == Some("True"))
}
