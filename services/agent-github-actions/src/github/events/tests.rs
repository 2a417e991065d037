use super::*;
use domain::job::{ActiveStatus, SnapshotStatus, TerminalStatus};
use serde_json::{Value, json};

const RUN: &str = include_str!("../../../tests/payloads/workflow_run.completed.json");
const CONTRADICTION: &str = include_str!("../../../tests/payloads/workflow_run.completed_but_queued.json");
const PUSH: &str = include_str!("../../../tests/payloads/workflow_run.of_a_push.json");
const GHES: &str = include_str!("../../../tests/payloads/workflow_run.ghes.json");
const JOB: &str = include_str!("../../../tests/payloads/workflow_job.waiting.json");
const REVIEW: &str = include_str!("../../../tests/payloads/deployment_review.requested.json");
const RULE: &str = include_str!("../../../tests/payloads/deployment_protection_rule.requested.json");

fn try_hear(event_type: &str, data: &str) -> Result<Vec<Signal>, NotReadable> {
    let event = PlatformEvent { event_type, data: data.as_bytes() };
    read(&"github-app".parse().unwrap(), &event)
}

fn hear(event_type: &str, data: &str) -> Vec<Signal> {
    try_hear(event_type, data).unwrap()
}

fn edited(payload: &str, edit: impl FnOnce(&mut Value)) -> String {
    let mut payload = serde_json::from_str(payload).unwrap();
    edit(&mut payload);
    payload.to_string()
}

fn key(host: &str, id: &str) -> RunKey {
    RunKey { host: host.to_owned(), scope: "acme/shop".to_owned(), id: id.to_owned() }
}

#[test]
fn a_run_event_says_all_there_is_to_say() {
    let [signal] = <[Signal; 1]>::try_from(hear("workflow_run", RUN)).unwrap();
    assert_eq!(signal.run, key("api.github.com", "30433642"));
    assert_eq!(signal.job, "0b5c4e52-94c1-5d0a-8d2a-6a1f52c05a0e".parse().ok());
    let snapshot = signal.snapshot.unwrap();
    assert_eq!(snapshot.status, SnapshotStatus::Terminal(TerminalStatus::Successful));
    let order = snapshot.order.unwrap();
    assert_eq!((order.attempt, order.version), (2, 1_795_165_530_000));
    assert_eq!(snapshot.source, Source::Webhook);
    let raw = snapshot.raw.unwrap();
    assert_eq!((raw.status.as_str(), raw.conclusion.as_deref()), ("completed", Some("success")));
    let external = snapshot.external.unwrap();
    assert_eq!((external.scope.as_str(), external.attempt), ("acme/shop", 2));
    assert_eq!(snapshot.links["logs"], "https://github.com/Acme/Shop/actions/runs/30433642/attempts/2");
}

#[test]
fn a_run_of_a_server_of_ones_own_is_keyed_by_its_host() {
    let [signal] = <[Signal; 1]>::try_from(hear("workflow_run", GHES)).unwrap();
    assert_eq!(signal.run, key("github.acme.example", "91"));
    let status = signal.snapshot.map(|snapshot| snapshot.status);
    assert_eq!(status, Some(SnapshotStatus::Active(ActiveStatus::InProgress)));
}

#[test]
fn what_a_payload_cannot_settle_is_only_a_reason_to_look() {
    let with = |status: &str, conclusion: Value| {
        edited(RUN, |payload| {
            payload["workflow_run"]["status"] = json!(status);
            payload["workflow_run"]["conclusion"] = conclusion;
        })
    };
    for (payload, why) in [
        (CONTRADICTION.to_owned(), "completed, but queued"),
        (with("completed", Value::Null), "no conclusion yet"),
        (with("completed", json!("brand_new")), "an unknown conclusion"),
        (with("brand_new", Value::Null), "an unknown status"),
        (with("waiting", Value::Null), "waiting for we know not whom"),
        (with("completed", json!("neutral")), "the config says what neutral means"),
        (edited(RUN, |payload| payload["workflow_run"]["updated_at"] = Value::Null), "no time"),
    ] {
        let [signal] = <[Signal; 1]>::try_from(hear("workflow_run", &payload)).unwrap();
        assert_eq!(signal.snapshot, None, "{why}");
    }
}

#[test]
fn a_run_that_was_not_dispatched_is_none_of_ours() {
    assert_eq!(hear("workflow_run", PUSH), []);
    let push = |payload: &mut Value| payload["workflow_run"]["event"] = json!("push");
    assert_eq!(hear("deployment_review", &edited(REVIEW, push)), []);
    assert_eq!(
        hear("deployment_protection_rule", &edited(RULE, |payload| payload["event"] = json!("push"))),
        []
    );
    assert_eq!(hear("push", "{}"), []);
}

#[test]
fn jobs_reviews_and_rules_are_reasons_to_look() {
    for (event, payload) in
        [("workflow_job", JOB), ("deployment_review", REVIEW), ("deployment_protection_rule", RULE)]
    {
        let run = key("api.github.com", "30433642");
        assert_eq!(hear(event, payload), [Signal { run, job: None, snapshot: None }], "{event}");
    }
    for (status, signals) in [
        ("queued", 0),
        ("pending", 0),
        ("waiting", 1),
        ("in_progress", 1),
        ("completed", 0),
        ("brand_new", 1),
    ] {
        let payload = edited(JOB, |payload| payload["workflow_job"]["status"] = json!(status));
        assert_eq!(hear("workflow_job", &payload).len(), signals, "{status}");
    }
    let without_run = edited(REVIEW, |payload| payload["workflow_run"] = Value::Null);
    assert_eq!(hear("deployment_review", &without_run), []);
}

#[test]
fn what_names_no_run_is_not_readable() {
    let no_url = edited(RUN, |payload| {
        payload["workflow_run"]["url"] = Value::Null;
        payload["repository"] = Value::Null;
    });
    let url = |url: &str| edited(JOB, |payload| payload["workflow_job"]["run_url"] = json!(url));
    for (event, payload) in [
        ("workflow_run", "not json"),
        ("workflow_run", "{}"),
        ("workflow_run", "[]"),
        ("workflow_run", &no_url),
        ("workflow_job", "{}"),
        ("workflow_job", &url("nonsense")),
        ("workflow_job", &url("https://api.github.com/repos/acme/shop/actions/runs/1x")),
        ("workflow_job", &url("https://api.github.com/repos/acme/actions/runs/1")),
        ("deployment_review", "\"\""),
        ("deployment_protection_rule", "{"),
    ] {
        let error = try_hear(event, payload).unwrap_err();
        assert!(!error.reason.is_empty(), "{event} {payload}");
    }
}
