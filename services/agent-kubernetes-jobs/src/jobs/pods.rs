//! What pods say of why a Job is as it is. Pure. Source: the kubelet's and scheduler's reasons in v1 `PodStatus`.

use super::wire::{ContainerStatus, Pod};

/// What a pod that merely starts says; no reason for anything.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// Whether a pod runs. A Job counts it as ready only once it is, which not every cluster says.
pub(super) fn any_runs(pods: &[Pod]) -> bool {
    pods.iter().any(|pod| pod.status.phase == "Running" && pod.metadata.deletion_timestamp.is_none())
}

/// Why the youngest pod that says why does not run, or did not end well; in one sentence.
pub(super) fn why(pods: &[Pod]) -> Option<String> {
    let mut pods: Vec<&Pod> = pods.iter().collect();
    pods.sort_by(|a, b| {
        (&b.metadata.creation_timestamp, &b.metadata.name)
            .cmp(&(&a.metadata.creation_timestamp, &a.metadata.name))
    });
    pods.into_iter().find_map(|pod| why_of(pod).map(|why| format!("pod {}: {why}", pod.metadata.name)))
}

/// Why a pod does not run, or did not end well.
pub(super) fn why_of(pod: &Pod) -> Option<String> {
    let status = &pod.status;
    if let Some(scheduled) =
        status.conditions.iter().find(|c| c.kind == "PodScheduled" && c.status == "False")
    {
        return Some(worded(&scheduled.reason, &scheduled.message));
    }
    let containers = || status.init_container_statuses.iter().chain(&status.container_statuses);
    // What the pod as a whole was ended by (Evicted, DeadlineExceeded, …) explains what its containers say.
    if status.phase == "Failed" && !status.reason.is_empty() {
        return Some(worded(&status.reason, &status.message));
    }
    containers().find_map(waits).or_else(|| containers().find_map(ended_badly))
}

/// A container that cannot start; one that is started again and again tells how it ended the last time.
fn waits(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.waiting.as_ref()?;
    if waiting.reason.is_empty() || STARTING.contains(&waiting.reason.as_str()) {
        return None;
    }
    let last = container.last_state.terminated.as_ref().and_then(|_| ended(container, false));
    let waits = format!("container {} waits: {}", container.name, worded(&waiting.reason, &waiting.message));
    Some(match last {
        Some(last) => format!("{waits}; {last}"),
        None => waits,
    })
}

fn ended_badly(container: &ContainerStatus) -> Option<String> {
    ended(container, true).or_else(|| ended(container, false))
}

fn ended(container: &ContainerStatus, now: bool) -> Option<String> {
    let state = if now { &container.state } else { &container.last_state };
    let ended = state.terminated.as_ref().filter(|ended| ended.exit_code != 0)?;
    let how = match ended.reason.as_str() {
        "OOMKilled" => {
            format!("was killed, it had not enough memory (OOMKilled, exit code {})", ended.exit_code)
        }
        "" | "Error" => format!("exited with code {}", ended.exit_code),
        reason => format!("ended: {reason}, exit code {}", ended.exit_code),
    };
    let said = match ended.message.trim() {
        "" => String::new(),
        message => format!(": {message}"),
    };
    Some(format!("container {} {how}{said}", container.name))
}

fn worded(reason: &str, message: &str) -> String {
    match (reason.trim(), message.trim()) {
        ("", message) => message.to_owned(),
        (reason, "") => reason.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "p", "creationTimestamp": "2026-01-01T00:00:00Z" }, "status": status })).unwrap()
    }

    #[track_caller]
    fn check(status: Value, expected: Option<&str>) {
        assert_eq!(why_of(&pod(status)).as_deref(), expected);
    }

    fn waiting(reason: &str, message: &str) -> Value {
        json!({ "phase": "Pending", "containerStatuses": [{ "name": "main", "state": { "waiting": { "reason": reason, "message": message } } }] })
    }

    fn terminated(state: Value) -> Value {
        json!({ "phase": "Failed", "containerStatuses": [{ "name": "main", "state": { "terminated": state } }] })
    }

    #[test]
    fn a_pod_that_cannot_start_says_why() {
        check(
            waiting("ImagePullBackOff", "Back-off pulling image"),
            Some("container main waits: ImagePullBackOff: Back-off pulling image"),
        );
        for reason in [
            "ErrImagePull",
            "InvalidImageName",
            "CreateContainerConfigError",
            "CreateContainerError",
            "RunContainerError",
            "brand_new",
        ] {
            check(waiting(reason, ""), Some(&format!("container main waits: {reason}")));
        }
        for reason in STARTING.into_iter().chain([""]) {
            check(waiting(reason, ""), None);
        }
        let unschedulable = json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available" }] });
        check(unschedulable, Some("Unschedulable: 0/3 nodes are available"));
    }

    #[test]
    fn a_pod_that_ended_badly_says_how() {
        check(
            terminated(json!({ "exitCode": 3, "reason": "Error" })),
            Some("container main exited with code 3"),
        );
        check(
            terminated(json!({ "exitCode": 1, "reason": "Error", "message": "no such table\n" })),
            Some("container main exited with code 1: no such table"),
        );
        check(
            terminated(json!({ "exitCode": 137, "reason": "OOMKilled" })),
            Some("container main was killed, it had not enough memory (OOMKilled, exit code 137)"),
        );
        check(
            terminated(json!({ "exitCode": 128, "reason": "ContainerCannotRun" })),
            Some("container main ended: ContainerCannotRun, exit code 128"),
        );
        check(terminated(json!({ "exitCode": 0, "reason": "Completed" })), None);
        check(
            json!({ "phase": "Failed", "reason": "Evicted", "message": "low on disk" }),
            Some("Evicted: low on disk"),
        );
    }

    #[test]
    fn a_container_that_is_started_again_tells_how_it_ended() {
        let looping = json!({ "phase": "Running", "containerStatuses": [{
            "name": "main", "state": { "waiting": { "reason": "CrashLoopBackOff" } },
            "lastState": { "terminated": { "exitCode": 2, "reason": "Error" } },
        }] });
        check(looping, Some("container main waits: CrashLoopBackOff; container main exited with code 2"));
    }

    #[test]
    fn an_init_container_counts_first() {
        let status = json!({
            "phase": "Pending",
            "initContainerStatuses": [{ "name": "init", "state": { "waiting": { "reason": "ErrImagePull" } } }],
            "containerStatuses": [{ "name": "main", "state": { "waiting": { "reason": "PodInitializing" } } }],
        });
        check(status, Some("container init waits: ErrImagePull"));
    }

    #[test]
    fn the_youngest_pod_with_a_reason_speaks() {
        let at = |name: &str, second: u32, code: i32| -> Pod {
            serde_json::from_value(json!({
                "metadata": { "name": name, "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z") },
                "status": terminated(json!({ "exitCode": code })),
            }))
            .unwrap()
        };
        let pods = [at("old", 1, 5), at("young", 9, 6), at("youngest", 10, 0)];
        assert_eq!(why(&pods).as_deref(), Some("pod young: container main exited with code 6"));
        assert_eq!(why(&[]), None);
    }

    #[test]
    fn a_pod_that_is_being_deleted_does_not_run() {
        let running = pod(json!({ "phase": "Running" }));
        let mut deleted = running.clone();
        deleted.metadata.deletion_timestamp = Some("2026-01-01T00:00:00Z".to_owned());
        assert!(any_runs(std::slice::from_ref(&running)) && !any_runs(&[deleted]));
        assert!(!any_runs(&[pod(json!({ "phase": "Pending" }))]));
    }
}
