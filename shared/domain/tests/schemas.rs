//! `schemas/` says what the types say: stale files are rewritten, and then the test fails so that somebody looks.
//! Its examples must decode for ever: they are what older versions wrote.
#![allow(clippy::wildcard_enum_match_arm, reason = "tests read foreign JSON")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod jobs;

use domain::audit::AuditEvent;
use domain::command::{AgentCommand, Verb};
use domain::decision::TargetDecision;
use domain::entity::{Entity, Kind};
use domain::hint::Hint;
use domain::job::{ActiveStatus, JobEvent, JobFact, JobState, JobView, TerminalStatus};
use domain::schema::{asyncapi, messages};
use domain::trigger::TriggerAttributes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas")
}

/// Rewrites the file if it says something else. Answers whether it did.
fn hold(path: &Path, value: &impl Serialize) -> bool {
    let text = serde_json::to_string_pretty(value).unwrap() + "\n";
    if std::fs::read_to_string(path).is_ok_and(|current| current == text) {
        return false;
    }
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    true
}

#[test]
fn the_files_are_what_the_types_say() {
    let mut stale = Vec::new();
    for message in messages() {
        let path = home().join(format!("{}.json", message.name));
        if hold(&path, &message.schema) {
            stale.push(path);
        }
    }
    let path = home().join("asyncapi.json");
    if hold(&path, &asyncapi()) {
        stale.push(path);
    }
    assert!(stale.is_empty(), "rewritten, look at the difference and commit it: {stale:?}");
}

#[test]
fn there_is_no_schema_of_a_message_that_is_gone() {
    let known: BTreeSet<String> =
        messages().iter().map(|m| format!("{}.json", m.name)).chain(["asyncapi.json".to_owned()]).collect();
    for entry in std::fs::read_dir(home()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "examples" || known.contains(&name), "{name} belongs to nothing");
    }
}

/// Decodes as the type, encodes again, and finds everything that was written in what comes out.
fn decodes<T: DeserializeOwned + Serialize>(text: &str) -> Result<(), String> {
    let written: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let read: T = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let again = serde_json::to_value(read).map_err(|e| e.to_string())?;
    lost(&written, &again, "").map_or(Ok(()), |path| Err(format!("{path} was lost")))
}

fn lost(written: &Value, read: &Value, path: &str) -> Option<String> {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => written.iter().find_map(|(key, value)| {
            let path = format!("{path}/{key}");
            read.get(key).map_or(Some(path.clone()), |found| lost(value, found, &path))
        }),
        (Value::Array(written), Value::Array(read)) => {
            if written.len() != read.len() {
                return Some(path.to_owned());
            }
            written.iter().zip(read).enumerate().find_map(|(n, (w, r))| lost(w, r, &format!("{path}/{n}")))
        }
        (written, read) => (written != read).then(|| path.to_owned()),
    }
}

#[test]
fn examples_decode_for_ever_and_fit_their_schema() {
    for message in messages() {
        let schema = serde_json::to_value(&message.schema).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let folder = home().join("examples").join(message.name);
        let files: Vec<PathBuf> = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("no examples in {}: {error}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(!files.is_empty(), "no example of {}", message.name);
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let outcome = match message.name {
                "entity" => decodes::<Entity>(&text),
                "target-decision" => decodes::<TargetDecision>(&text),
                "trigger-attributes" => decodes::<TriggerAttributes>(&text),
                "hint" => decodes::<Hint>(&text),
                "job-event" => decodes::<JobEvent>(&text),
                "agent-command" => decodes::<AgentCommand>(&text),
                "job-status" => decodes::<JobView>(&text),
                "audit-event" => decodes::<AuditEvent>(&text),
                other => panic!("how is {other} decoded?"),
            };
            outcome.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let value: Value = serde_json::from_str(&text).unwrap();
            if let Err(error) = validator.validate(&value) {
                panic!("{} does not fit its schema: {error}", file.display());
            }
        }
    }
}

/// An example of every fact exists; a new kind of fact gets its example written here, once, and never rewritten.
#[test]
fn every_kind_of_job_message_has_an_example() {
    let facts: Vec<JobFact> = vec![
        JobFact::Requested { catalog_revision: 17, grounds: None },
        jobs::held(),
        jobs::dispatch(),
        JobFact::TriggerStarted { fence: 1 },
        JobFact::Triggered { external: jobs::external("77", 1), links: Default::default() },
        JobFact::TriggerUnknown { fence: 1, message: "no answer within 10 s".into() },
        jobs::active(ActiveStatus::InProgress, 1, 50),
        JobFact::CancelRequested { by: "ann".into(), reason: domain::job::CancelReason::User },
        JobFact::CancelSent { force: false },
        JobFact::RetryRequested { by: "ann".into() },
        jobs::over(TerminalStatus::Successful, 1, 60),
    ];
    let folder = home().join("examples/job-event");
    let mut events = Vec::new();
    for (n, fact) in facts.into_iter().enumerate() {
        let event = jobs::event(n as i64, fact);
        write_once(&folder.join(format!("{}.json", event.fact.name())), &event);
        events.push(event);
    }
    let state: JobState = domain::job::fold(&events[..5]).unwrap();
    write_once(&home().join("examples/job-status/running.json"), &JobView::of(&state, 5));
    let command = AgentCommand {
        verb: Verb::Trigger,
        job: jobs::job(),
        agent: domain::id::JobAgentId(uuid::Uuid::from_u128(7)),
        platform: "github-app".parse().unwrap(),
        config: Default::default(),
        after: 2,
        rerun_of: None,
        force: false,
        freezes_seen: Default::default(),
        freeze_begins_at: None,
        secrets: Default::default(),
    };
    write_once(&home().join("examples/agent-command/trigger.json"), &command);
    // Beside one of each fact: a job that a freeze holds, before and after its dispatch, and a job of a workflow.
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 11 + 3);
}

#[test]
fn every_kind_of_entity_has_an_example() {
    for kind in Kind::ALL {
        let path = home().join(format!("examples/entity/{}.json", kind.name()));
        assert!(path.exists(), "no example of a {}: {}", kind.name(), path.display());
    }
}

fn write_once(path: &Path, value: &impl Serialize) {
    if !path.exists() {
        hold(path, value);
    }
}
