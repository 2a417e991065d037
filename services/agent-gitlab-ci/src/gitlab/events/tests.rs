use super::*;
use serde_json::{Value, json};

const PIPELINE: &str = include_str!("../../../tests/payloads/pipeline.json");
const JOB: &str = include_str!("../../../tests/payloads/job.json");

fn try_hear(event_type: &str, data: &str) -> Result<Vec<Signal>, NotReadable> {
    read(&PlatformEvent { event_type, data: data.as_bytes() })
}

fn hear(event_type: &str, data: &str) -> Vec<Signal> {
    try_hear(event_type, data).unwrap()
}

fn edited(payload: &str, edit: impl FnOnce(&mut Value)) -> String {
    let mut payload = serde_json::from_str(payload).unwrap();
    edit(&mut payload);
    payload.to_string()
}

fn look_at(host: &str) -> Vec<Signal> {
    let run = RunKey { host: host.to_owned(), scope: "15".to_owned(), id: "31".to_owned() };
    vec![Signal { run, job: None, snapshot: None }]
}

#[test]
fn a_pipeline_event_names_its_pipeline() {
    assert_eq!(hear("Pipeline Hook", PIPELINE), look_at("gitlab.example"));
    let older = edited(PIPELINE, |payload| {
        payload["object_attributes"]["url"] = Value::Null;
        payload["object_attributes"]["source"] = Value::Null;
        payload["project"]["web_url"] = json!("https://git.example:8443/gitlab/acme/shop");
    });
    assert_eq!(hear("Pipeline Hook", &older), look_at("git.example:8443"));
}

#[test]
fn a_pipeline_that_was_not_started_as_ours_is_none_of_ours() {
    for (source, ours) in [
        ("api", true),
        ("trigger", true),
        ("push", false),
        ("web", false),
        ("schedule", false),
        ("merge_request_event", false),
        ("parent_pipeline", false),
        ("pipeline", false),
    ] {
        let payload = edited(PIPELINE, |payload| payload["object_attributes"]["source"] = json!(source));
        assert_eq!(hear("Pipeline Hook", &payload).len(), usize::from(ours), "{source}");
    }
    assert_eq!(hear("Push Hook", "{}"), []);
}

#[test]
fn a_job_event_is_a_reason_to_look_where_no_pipeline_event_tells() {
    assert_eq!(hear("Job Hook", JOB), look_at("gitlab.example"));
    let expected = [
        ("created", 0),
        ("waiting_for_resource", 0),
        ("preparing", 0),
        ("waiting_for_callback", 0),
        ("pending", 0),
        ("running", 0),
        ("success", 0),
        ("failed", 1),
        ("canceling", 0),
        ("canceled", 0),
        ("skipped", 0),
        ("manual", 1),
        ("scheduled", 0),
    ];
    let signals = Status::PUBLISHED.iter().map(|word| {
        let payload = edited(JOB, |payload| payload["build_status"] = json!(word));
        (*word, hear("Job Hook", &payload).len())
    });
    assert_eq!(signals.collect::<Vec<_>>(), expected);
    let unheard = edited(JOB, |payload| payload["build_status"] = json!("dreaming"));
    assert_eq!(hear("Job Hook", &unheard).len(), 1);
    let retried = edited(JOB, |payload| {
        payload["build_status"] = json!("running");
        payload["retries_count"] = json!(1);
    });
    assert_eq!(hear("Job Hook", &retried).len(), 1);
}

#[test]
fn what_names_no_pipeline_is_not_readable() {
    let without = |payload: &str, pointers: &[&str]| {
        edited(payload, |payload| {
            for pointer in pointers {
                *payload.pointer_mut(pointer).unwrap() = Value::Null;
            }
        })
    };
    let nowhere = edited(PIPELINE, |payload| payload["object_attributes"]["url"] = json!("nonsense"));
    for (event, payload) in [
        ("Pipeline Hook", "not json"),
        ("Pipeline Hook", "{}"),
        ("Pipeline Hook", "[]"),
        ("Pipeline Hook", &without(PIPELINE, &["/object_attributes/id"])),
        ("Pipeline Hook", &without(PIPELINE, &["/project/id"])),
        ("Pipeline Hook", &without(PIPELINE, &["/object_attributes/url", "/project/web_url"])),
        ("Pipeline Hook", &nowhere),
        ("Job Hook", "{}"),
        ("Job Hook", &without(JOB, &["/pipeline_id"])),
        ("Job Hook", &without(JOB, &["/repository"])),
    ] {
        let error = try_hear(event, payload).unwrap_err();
        assert!(!error.reason.is_empty(), "{event} {payload}");
    }
}
