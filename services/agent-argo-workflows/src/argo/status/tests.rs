//! Every phase with everything that changes its meaning, and the words of Argo's own sources.

use super::*;
use domain::job::JobStatus;
use serde_json::{Value, json};

/// A workflow of that phase; the rest of its status and spec as given.
fn workflow(phase: &str, spec: Value, status: Value) -> Workflow {
    let mut status = status;
    status["phase"] = json!(phase);
    serde_json::from_value(json!({ "metadata": {}, "spec": spec, "status": status })).unwrap()
}

fn plain(workflow: &Workflow) -> Option<Plain> {
    match meaning(workflow) {
        Meaning::Plain(plain) => Some(plain),
        Meaning::Unknown => None,
    }
}

/// `queued`, `failure (timed_out)`, `?unknown`, …
fn status(workflow: &Workflow) -> String {
    let Some(Plain { status, reason, .. }) = plain(workflow) else { return "?unknown".to_owned() };
    let status: JobStatus = match status {
        SnapshotStatus::Active(status) => status.into(),
        SnapshotStatus::Terminal(status) => status.into(),
    };
    match reason {
        None => status.as_str().to_owned(),
        Some(reason) => format!("{} ({})", status.as_str(), json!(reason).as_str().unwrap()),
    }
}

fn node(name: &str, kind: &str, phase: &str, message: &str) -> Value {
    json!({ "id": name, "displayName": name, "type": kind, "phase": phase, "message": message })
}

fn nodes(nodes: &[Value]) -> Value {
    let named = nodes.iter().map(|node| (node["id"].as_str().unwrap().to_owned(), node.clone()));
    json!({ "nodes": named.collect::<serde_json::Map<_, _>>() })
}

fn ran() -> Value {
    nodes(&[node("build", "Pod", "Succeeded", "")])
}

#[test]
fn every_published_phase_has_a_meaning() {
    let expected = [
        ("", "queued"),
        ("Pending", "queued"),
        ("Running", "in_progress"),
        ("Succeeded", "successful"),
        ("Failed", "failure"),
        ("Error", "failure"),
    ];
    let told = Phase::PUBLISHED.iter().map(|phase| (*phase, status(&workflow(phase, json!({}), ran()))));
    assert_eq!(told.collect::<Vec<_>>(), expected.map(|(phase, told)| (phase, told.to_owned())));
}

#[test]
fn no_unknown_word_is_an_end() {
    for phase in ["Dreaming", "succeeded", "FAILED", "Succeeded "] {
        for shutdown in ["", "Stop"] {
            assert_eq!(
                status(&workflow(phase, json!({ "shutdown": shutdown }), ran())),
                "?unknown",
                "{phase}"
            );
        }
    }
}

/// Whatever phases and types nodes have: only a phase of the workflow ends a job, and only a step that waits for a
/// person changes what is active.
#[test]
fn no_node_ends_a_workflow() {
    for kind in NodeType::PUBLISHED.iter().chain(&["New"]) {
        for phase in NodePhase::PUBLISHED.iter().chain(&["New"]) {
            let seen = |of: &str| status(&workflow(of, json!({}), nodes(&[node("n", kind, phase, "words")])));
            let waits = (*kind, *phase) == ("Suspend", "Running");
            assert_eq!(
                seen("Running"),
                if waits { "action_required" } else { "in_progress" },
                "{kind} {phase}"
            );
            assert_eq!(seen("Succeeded"), "successful", "{kind} {phase}");
            assert_eq!(seen("Failed"), "failure", "{kind} {phase}");
            assert_eq!((seen(""), seen("Pending")), ("queued".to_owned(), "queued".to_owned()));
            let error = seen("Error");
            assert!(matches!(error.as_str(), "failure" | "invalid_job_agent"), "{kind} {phase}: {error}");
        }
    }
}

#[test]
fn a_suspended_workflow_waits_for_a_person_while_it_runs() {
    for phase in Phase::PUBLISHED {
        let told = status(&workflow(phase, json!({ "suspend": true }), ran()));
        assert_eq!(told == "action_required", *phase == "Running", "{phase}: {told}");
    }
    let ending = workflow("Running", json!({ "suspend": true, "shutdown": "Stop" }), ran());
    assert_eq!(status(&ending), "in_progress");
    assert_eq!(plain(&ending).unwrap().message.as_deref(), Some("ending: Stop"));
}

#[test]
fn what_was_shut_down_is_cancelled_and_only_that() {
    let by = |phase: &str, shutdown: &str, message: &str, step: &str| {
        let mut status_of = nodes(&[node("build", "Pod", "Failed", step)]);
        status_of["message"] = json!(message);
        status(&workflow(phase, json!({ "shutdown": shutdown }), status_of))
    };
    for strategy in ["Stop", "Terminate"] {
        let stopped = format!("Stopped with strategy '{strategy}'");
        assert_eq!(by("Failed", strategy, &stopped, ""), "cancelled (cancelled_on_platform)");
        assert_eq!(by("Error", strategy, &stopped, ""), "cancelled (cancelled_on_platform)");
        let pod = format!("workflow shutdown with strategy:  {strategy}");
        assert_eq!(by("Failed", strategy, "child 'x' failed", &pod), "cancelled (cancelled_on_platform)");
        // Asked for, and failed of its own accord before.
        assert_eq!(by("Failed", strategy, "child 'x' failed", "exit code 1"), "failure");
        assert_eq!(by("Succeeded", strategy, "", ""), "successful");
    }
    assert_eq!(by("Failed", "", "child 'x' failed", "workflow shutdown with strategy:  Stop"), "failure");
}

/// The controller marks what is terminated while it waits for a lock as succeeded.
#[test]
fn what_was_ended_before_anything_ran_did_not_succeed() {
    for (spec, of, expected) in [
        (json!({ "shutdown": "Terminate" }), json!({}), "cancelled (cancelled_on_platform)"),
        (
            json!({ "shutdown": "Terminate" }),
            nodes(&[node("a", "Pod", "Pending", "")]),
            "cancelled (cancelled_on_platform)",
        ),
        (json!({ "shutdown": "Terminate" }), ran(), "successful"),
        (json!({ "shutdown": "Terminate" }), json!({ "compressedNodes": "H4s" }), "successful"),
        (json!({}), json!({}), "successful"),
    ] {
        assert_eq!(status(&workflow("Succeeded", spec, of.clone())), expected, "{of}");
    }
}

#[test]
fn deadlines_are_told_apart_from_failures() {
    let late = [
        "Step exceeded its deadline",
        "Max duration limit exceeded",
        "retry exceeded workflow deadline 2026-11-27 12:00:00 +0000 UTC",
        "deploy exceeded its deadline",
        "Pod was active on the node longer than the specified deadline",
    ];
    for words in late {
        let mut of_workflow = ran();
        of_workflow["message"] = json!(words);
        assert_eq!(status(&workflow("Failed", json!({}), of_workflow)), "failure (timed_out)", "{words}");
        let of_steps = nodes(&[node("a", "Pod", "Failed", words), node("b", "Pod", "Succeeded", "")]);
        assert_eq!(status(&workflow("Failed", json!({}), of_steps)), "failure (timed_out)", "{words}");
        let one_of_two =
            nodes(&[node("a", "Pod", "Failed", words), node("b", "Pod", "Failed", "exit code 1")]);
        assert_eq!(status(&workflow("Failed", json!({}), one_of_two)), "failure", "{words}");
    }
}

#[test]
fn what_fails_before_anything_ran_is_invalid() {
    let of = |phase: &str, message: &str, of: Value| {
        let mut of = of;
        of["message"] = json!(message);
        status(&workflow(phase, json!({}), of))
    };
    let begun = nodes(&[node("main", "Steps", "Error", ""), node("x", "Pod", "Omitted", "")]);
    assert_eq!(of("Error", "template x not found", json!({})), "invalid_job_agent");
    assert_eq!(of("Error", "template x not found", begun), "invalid_job_agent");
    assert_eq!(of("Failed", "invalid spec: templates.main not found", json!({})), "invalid_job_agent");
    assert_eq!(of("Failed", "child failed", json!({})), "failure");
    assert_eq!(of("Error", "pod deleted", nodes(&[node("x", "Pod", "Error", "")])), "failure");
    assert_eq!(of("Error", "too many nodes", json!({ "compressedNodes": "H4s" })), "failure");
    assert_eq!(of("Error", "too many nodes", json!({ "offloadNodeStatusVersion": "fnv:1" })), "failure");
}

#[test]
fn a_failure_names_the_steps_that_failed() {
    let many: Vec<Value> =
        (0..5).map(|n| node(&format!("s{n}"), "Pod", "Failed", "exit code 1\nhow")).collect();
    let mut of = nodes(&many);
    of["message"] = json!("child 's0' failed");
    of["nodes"]["group"] = node("group", "StepGroup", "Failed", "child 's0' failed");
    let told = plain(&workflow("Failed", json!({}), of)).unwrap();
    let expected =
        "child 's0' failed; s0: exit code 1 how; s1: exit code 1 how; s2: exit code 1 how; and 2 more steps";
    assert_eq!(told.message.as_deref(), Some(expected));
    assert_eq!(told.node.as_deref(), Some("s0"));
    let long =
        plain(&workflow("Failed", json!({}), nodes(&[node("s", "Pod", "Failed", &"x".repeat(5_000))])))
            .unwrap();
    assert!(long.message.unwrap().chars().count() <= STEP_CHARS_MAX + 10);
    let silent = plain(&workflow("Failed", json!({}), json!({}))).unwrap();
    assert_eq!(silent.message.as_deref(), Some("Argo does not say why"));
}

#[test]
fn a_try_that_went_well_later_is_no_failing_step() {
    let tried = |name: &str, kind: &str, phase: &str| json!({ "id": name, "name": name, "type": kind, "phase": phase });
    let of = |last: &str| {
        let all =
            [tried("w.a", "Retry", last), tried("w.a(0)", "Pod", "Failed"), tried("w.b", "Pod", "Failed")];
        plain(&workflow("Failed", json!({}), nodes(&all))).unwrap().message.unwrap()
    };
    assert_eq!(of("Succeeded"), "w.b");
    assert_eq!(of("Failed"), "w.a(0); w.b");
}

#[test]
fn progress_is_told_and_not_too_often() {
    let told =
        |words: &str| plain(&workflow("Running", json!({}), json!({ "progress": words }))).unwrap().message;
    for (words, expected) in [
        ("2/7", Some("2/7 done")),
        ("0/7", Some("0/7 done")),
        ("100/1000", Some("100/1000 done")),
        ("149/1000", Some("more than 100/1000 done")),
        ("0/0", None),
        ("", None),
        ("x/y", None),
        ("3", None),
    ] {
        assert_eq!(told(words).as_deref(), expected, "{words:?}");
    }
    let messages: std::collections::BTreeSet<_> = (0..=1_000).map(|n| told(&format!("{n}/1000"))).collect();
    assert!(messages.len() <= 2 * usize::try_from(TOLD_TIMES).unwrap() + 1, "{}", messages.len());
}

#[test]
fn what_a_queued_workflow_waits_for_is_told() {
    let waits =
        workflow("Pending", json!({}), json!({ "message": "Waiting for argo/ConfigMap/locks/eu lock" }));
    assert_eq!(plain(&waits).unwrap().message.as_deref(), Some("Waiting for argo/ConfigMap/locks/eu lock"));
}
