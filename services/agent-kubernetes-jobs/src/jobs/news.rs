//! What a watch of Jobs and their pods says as signals. A Job that tells by itself how it stands is handed on so; everything
//! else only says that something changed, and is looked at. Pure.

use super::names::{CANCELLED, owner, run_id};
use super::status::{self, Meaning, Plain};
use super::wire::{Job, Pod};
use super::{names, pods};
use ::platform::{RunKey, Signal};
use cluster::{Change, Seen};
use domain::job::{Links, OrderKey, RawStatus, Snapshot, SnapshotStatus, Source, TerminalStatus};
use serde::Deserialize as _;
use std::collections::HashMap;

/// What a change of a Job says; nothing where it is not one of ours.
pub(super) fn of_job(host: &str, change: &Change) -> Option<Signal> {
    let job = Job::deserialize(&change.object).ok()?;
    let (id, attempt) = owner(&job.metadata)?;
    // An object that is only labelled as ours, under another name, is not what we made.
    if job.metadata.name != names::object_name(&run_id(id), attempt) {
        return None;
    }
    let run = RunKey { host: host.to_owned(), scope: job.metadata.namespace.clone(), id: run_id(id) };
    let order = job.metadata.version().map(|version| OrderKey { attempt, version });
    let told = |job: &Job| match status::meaning(job, &[]) {
        Meaning::Plain(plain) => Some(plain),
        Meaning::Unknown(_) => None,
    };
    let plain = match (change.seen, order) {
        (Seen::There, Some(_)) if status::is_plain(&job) => told(&job),
        // The last sight of an object that was over tells how it ended; nobody can look any more.
        (Seen::Deleted, Some(_)) if is_over(&job) => told(&job),
        // We annotate before we delete: the last sight of the object tells why it went.
        (Seen::Deleted, Some(_)) if job.metadata.annotations.contains_key(CANCELLED) => Some(deleted()),
        (Seen::There | Seen::Deleted, _) => None,
    };
    let snapshot = plain.map(|plain| snapshot(plain, order, Links::new(), Source::Webhook));
    Some(Signal { run, job: Some(id), snapshot })
}

fn is_over(job: &Job) -> bool {
    job.holds("Complete").is_some() || job.holds("Failed").is_some()
}

/// A look at a Job, with what it means.
pub(super) fn snapshot(
    plain: Plain,
    order: Option<OrderKey>,
    links: Links,
    source: Source,
) -> Snapshot<SnapshotStatus> {
    let Plain { status, raw, reason, message } = plain;
    Snapshot { status, order, raw: Some(raw), reason, message, links, source, external: None }
}

fn deleted() -> Plain {
    Plain {
        status: SnapshotStatus::Terminal(TerminalStatus::Cancelled),
        raw: RawStatus { status: "Deleted".to_owned(), conclusion: None },
        reason: None,
        message: Some("cancelled: the Job was deleted".to_owned()),
    }
}

/// What was last said of each pod. A pod changes more often than what it says of its Job.
#[derive(Debug, Default)]
pub(super) struct PodNews(HashMap<String, (String, Option<String>)>);

impl PodNews {
    /// What a change of a pod says of its Job; nothing where it is nothing new.
    pub(super) fn of_pod(&mut self, host: &str, change: &Change) -> Option<Signal> {
        let pod = Pod::deserialize(&change.object).ok()?;
        let (id, _) = owner(&pod.metadata)?;
        match change.seen {
            Seen::Deleted => {
                self.0.remove(&pod.metadata.name);
                return None;
            }
            Seen::There => {
                let says = (pod.status.phase.clone(), pods::why_of(&pod));
                let said = self.0.insert(pod.metadata.name.clone(), says.clone());
                // Pods begin as pending without a reason: the Job says as much.
                let begun = said.unwrap_or_else(|| ("Pending".to_owned(), None));
                if begun == says {
                    return None;
                }
            }
        }
        let run = RunKey { host: host.to_owned(), scope: pod.metadata.namespace.clone(), id: run_id(id) };
        Some(Signal { run, job: Some(id), snapshot: None })
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::{ATTEMPT, JOB_ID};
    use super::*;
    use serde_json::{Value, json};

    const ID: &str = "00000000-0000-0000-0000-000000000007";

    fn object(name: &str, attempt: &str, rest: Value) -> Value {
        let mut object = json!({
            "metadata": { "name": name, "namespace": "ci", "resourceVersion": "42", "annotations": {}, "labels": { JOB_ID: ID, ATTEMPT: attempt } },
        });
        object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        object
    }

    fn there(object: Value) -> Change {
        Change { object, seen: Seen::There }
    }

    fn complete() -> Value {
        json!({ "status": { "conditions": [{ "type": "Complete", "status": "True" }] } })
    }

    #[test]
    fn a_job_that_tells_by_itself_is_told_with_its_order() {
        let signal =
            of_job("k8s.test", &there(object(&format!("job-{ID}-a2"), "2", complete()))).expect("ours");
        assert_eq!(
            signal.run,
            RunKey { host: "k8s.test".to_owned(), scope: "ci".to_owned(), id: format!("job-{ID}") }
        );
        let snapshot = signal.snapshot.expect("it tells");
        assert_eq!(snapshot.order, Some(OrderKey { attempt: 2, version: 42 }));
        assert_eq!(snapshot.status, SnapshotStatus::Terminal(TerminalStatus::Successful));
    }

    #[test]
    fn a_job_whose_pods_must_be_asked_only_says_that_something_changed() {
        let failed = json!({ "status": { "conditions": [{ "type": "Failed", "status": "True" }] } });
        for rest in [failed, json!({ "status": { "active": 1 } }), json!({})] {
            let signal = of_job("k8s.test", &there(object(&format!("job-{ID}"), "1", rest))).expect("ours");
            assert_eq!(signal.snapshot, None);
        }
        let mut unordered = object(&format!("job-{ID}"), "1", complete());
        unordered["metadata"]["resourceVersion"] = json!("opaque");
        assert_eq!(
            of_job("k8s.test", &there(unordered)).expect("ours").snapshot,
            None,
            "it cannot be ordered"
        );
    }

    #[test]
    fn what_is_not_ours_says_nothing() {
        assert_eq!(of_job("k8s.test", &there(object("other", "1", complete()))), None, "labelled by hand");
        assert_eq!(of_job("k8s.test", &there(object(&format!("job-{ID}"), "2", complete()))), None);
        assert_eq!(of_job("k8s.test", &there(json!({ "metadata": { "name": format!("job-{ID}") } }))), None);
        assert_eq!(of_job("k8s.test", &there(json!("nonsense"))), None);
    }

    #[test]
    fn a_deleted_job_was_cancelled_if_we_asked_for_it() {
        let told = |object: Value| {
            of_job("k8s.test", &Change { object, seen: Seen::Deleted }).expect("ours").snapshot
        };
        let bare = object(&format!("job-{ID}"), "1", json!({}));
        assert_eq!(told(bare.clone()), None, "somebody deleted it: that is looked at");
        let mut ours = bare;
        ours["metadata"]["annotations"][CANCELLED] = json!("true");
        assert_eq!(
            told(ours.clone()).map(|snapshot| snapshot.status),
            Some(SnapshotStatus::Terminal(TerminalStatus::Cancelled))
        );
        ours["status"] = complete()["status"].clone();
        assert_eq!(
            told(ours).map(|snapshot| snapshot.status),
            Some(SnapshotStatus::Terminal(TerminalStatus::Successful)),
            "it was over before"
        );
    }

    #[test]
    fn a_job_that_was_deleted_when_it_was_over_tells_how_it_ended() {
        let failed = json!({ "status": { "conditions": [{ "type": "Failed", "status": "True", "message": "too often" }] } });
        for (rest, status) in [(complete(), TerminalStatus::Successful), (failed, TerminalStatus::Failure)] {
            let change = Change { object: object(&format!("job-{ID}"), "1", rest), seen: Seen::Deleted };
            let snapshot = of_job("k8s.test", &change).expect("ours").snapshot.expect("it tells");
            assert_eq!(snapshot.status, SnapshotStatus::Terminal(status));
            assert_eq!(snapshot.order, Some(OrderKey { attempt: 1, version: 42 }));
        }
    }

    #[test]
    fn a_pod_speaks_when_it_says_something_new() {
        let mut news = PodNews::default();
        let mut say = |status: Value| {
            news.of_pod("k8s.test", &there(object("p", "1", json!({ "status": status })))).is_some()
        };
        let waiting = json!({ "phase": "Pending", "containerStatuses": [{ "name": "a", "state": { "waiting": { "reason": "ErrImagePull" } } }] });
        let said = [
            json!({ "phase": "Pending" }),
            waiting.clone(),
            waiting,
            json!({ "phase": "Running" }),
            json!({ "phase": "Running" }),
        ];
        assert_eq!(said.map(&mut say), [false, true, false, true, false]);
        let gone = Change { object: object("p", "1", json!({})), seen: Seen::Deleted };
        assert_eq!(news.of_pod("k8s.test", &gone), None);
        assert!(news.0.is_empty(), "what is gone is forgotten");
    }
}
