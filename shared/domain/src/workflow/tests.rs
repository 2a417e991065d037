//! What is next in a run, what a run is given, and with what its jobs are dispatched.

use super::*;
use crate::catalog::Catalog;
use crate::dispatch::dispatch;
use crate::entity::{BegunBy, Entity, Record, RunCancel, RunEnd, Workflow, WorkflowRun};
use crate::freeze;
use crate::id::{JobId, WorkflowId, WorkflowRunId};
use crate::job::{JobEvent, TerminalStatus};
use crate::token::Slug;
use crate::{TimeDelta, Timestamp};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

fn at() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

fn acme() -> Slug {
    "acme".parse().unwrap()
}

fn workflow(inputs: Value, jobs: Value) -> Record<Workflow> {
    let meta = json!({ "id": WorkflowId::of(&acme(), "ship"), "workspace": "acme", "name": "ship",
        "createdAt": at(), "updatedAt": at() });
    serde_json::from_value(
        json!({ "meta": meta, "spec": { "slug": "ship", "inputs": inputs, "jobs": jobs } }),
    )
    .unwrap()
}

fn run_of(inputs: Value, jobs: Value, given: Value) -> Record<WorkflowRun> {
    let given = given.as_object().unwrap().clone();
    let by = BegunBy::User("ann".to_owned());
    begin(&workflow(inputs, jobs), WorkflowRunId(Uuid::from_u128(7)), &given, by, at()).unwrap()
}

fn job(name: &str, needs: &[&str], more: Value) -> Value {
    let mut job = json!({ "name": name, "agent": { "ref": "gh" }, "needs": needs });
    for (key, value) in more.as_object().unwrap() {
        job[key] = value.clone();
    }
    job
}

fn diamond() -> Record<WorkflowRun> {
    let jobs = json!([
        job("last", &["left", "right"], json!({})),
        job("left", &["first"], json!({})),
        job("right", &["first"], json!({})),
        job("first", &[], json!({})),
        job("clean", &["last"], json!({ "if": "true" })),
        job(
            "alarm",
            &["left", "right"],
            json!({ "if": "needs.left.status == 'failure' || needs['right'].status == 'failure'" })
        ),
    ]);
    run_of(json!([]), jobs, json!({}))
}

type Facts = BTreeMap<JobId, Seen>;

fn told(run: &Record<WorkflowRun>, facts: &Facts) -> (Vec<String>, &'static str) {
    let plan = plan(run, |job| facts.get(&job).copied(), at());
    let word = |step: &Step| match step {
        Step::Waits => "waits".to_owned(),
        Step::Due => "due".to_owned(),
        Step::Active { .. } => "active".to_owned(),
        Step::Over(status) => crate::job::JobStatus::from(*status).to_string(),
        Step::Skipped { why } => format!("skipped: {why}"),
        Step::Untold { why } => format!("untold: {why}"),
    };
    let all = plan.jobs.iter().map(|job| format!("{} {}", job.job.label(), word(&job.step)));
    (all.collect(), plan.status.as_str())
}

/// Runs what is due until nothing is, each job ending as `ends` says; `order` picks which of those on their way ends next.
fn play(
    run: &Record<WorkflowRun>,
    ends: impl Fn(&str) -> TerminalStatus,
    order: &mut impl FnMut(usize) -> usize,
) -> (Vec<String>, &'static str) {
    let mut facts = Facts::new();
    let mut active: Vec<(JobId, String)> = Vec::new();
    loop {
        let due: Vec<(JobId, String)> =
            plan(run, |job| facts.get(&job).copied(), at()).due().map(|job| (job.id, job.label())).collect();
        for (id, label) in due {
            assert!(
                facts.insert(id, Seen::Active { cancelling: false }).is_none(),
                "{label} is asked for once"
            );
            active.push((id, label));
        }
        if active.is_empty() {
            return told(run, &facts);
        }
        let (id, label) = active.swap_remove(order(active.len()));
        facts.insert(id, Seen::Over(ends(&label)));
    }
}

#[test]
fn every_order_of_ends_leads_to_the_same() {
    let run = diamond();
    for (failing, expected) in [
        (
            "",
            (
                vec![
                    "last successful".to_owned(),
                    "left successful".into(),
                    "right successful".into(),
                    "first successful".into(),
                    "clean successful".into(),
                    "alarm skipped: its condition `needs.left.status == 'failure' || needs['right'].status == 'failure'` does not hold".into(),
                ],
                "successful",
            ),
        ),
        (
            "right",
            (
                vec![
                    "last skipped: right is failure".to_owned(),
                    "left successful".into(),
                    "right failure".into(),
                    "first successful".into(),
                    "clean successful".into(),
                    "alarm successful".into(),
                ],
                "failure",
            ),
        ),
        (
            "first",
            (
                vec![
                    "last skipped: left is skipped".to_owned(),
                    "left skipped: first is failure".into(),
                    "right skipped: first is failure".into(),
                    "first failure".into(),
                    "clean successful".into(),
                    "alarm skipped: its condition `needs.left.status == 'failure' || needs['right'].status == 'failure'` does not hold".into(),
                ],
                "failure",
            ),
        ),
    ] {
        let ends = |label: &str| {
            if label == failing { TerminalStatus::Failure } else { TerminalStatus::Successful }
        };
        for seed in 0..64_usize {
            let mut state = seed;
            let mut order = |of: usize| {
                let pick = state % of;
                state = state / of + seed;
                pick
            };
            assert_eq!(play(&run, ends, &mut order), expected, "{failing} in order {seed}");
        }
    }
}

#[test]
fn a_job_waits_for_all_it_needs_and_only_that() {
    let run = diamond();
    let of = |name: &str| jobs(&run).into_iter().find(|job| job.label() == name).unwrap().id;
    let mut facts = Facts::new();
    assert_eq!(told(&run, &facts).0[3], "first due");
    assert_eq!(told(&run, &facts).1, "pending");
    facts.insert(of("first"), Seen::Over(TerminalStatus::Successful));
    facts.insert(of("left"), Seen::Over(TerminalStatus::Failure));
    let (steps, status) = told(&run, &facts);
    assert_eq!((steps[0].as_str(), steps[2].as_str(), status), ("last waits", "right due", "inProgress"));
    // What ran again and did well lets the others go on.
    facts.insert(of("right"), Seen::Over(TerminalStatus::Successful));
    assert!(told(&run, &facts).0[0].starts_with("last skipped"));
    facts.insert(of("left"), Seen::Over(TerminalStatus::Successful));
    assert_eq!(told(&run, &facts).0[0], "last due");
}

#[test]
fn a_job_fans_out_over_items_and_the_next_needs_all_of_them() {
    let inputs = json!([{ "key": "regions", "type": "array" }]);
    let jobs_of = json!([
        job("deploy", &[], json!({ "forEach": "regions", "if": "item != 'us'" })),
        job(
            "note",
            &["deploy"],
            json!({ "forEach": ["chat", "mail"], "if": "needs.deploy.status != 'failure'" })
        ),
    ]);
    let run = run_of(inputs.clone(), jobs_of.clone(), json!({ "regions": ["eu", "us", "ap"] }));
    let mut facts = Facts::new();
    let (steps, _) = told(&run, &facts);
    assert_eq!(steps[0], "deploy[0] due");
    assert!(steps[1].starts_with("deploy[1] skipped"), "{steps:?}");
    assert_eq!(steps[2..], ["deploy[2] due", "note[0] waits", "note[1] waits"]);
    let ids: Vec<JobId> = jobs(&run).iter().map(|job| job.id).collect();
    facts.insert(ids[0], Seen::Over(TerminalStatus::Successful));
    assert_eq!(told(&run, &facts).0[3], "note[0] waits");
    facts.insert(ids[2], Seen::Over(TerminalStatus::Successful));
    assert_eq!(told(&run, &facts).0[3..], ["note[0] due", "note[1] due"]);
    let unique: std::collections::BTreeSet<&JobId> = ids.iter().collect();
    assert_eq!(unique.len(), 5);

    let over_nothing = run_of(inputs, jobs_of, json!({ "regions": [] }));
    assert_eq!(told(&over_nothing, &Facts::new()).0, ["note[0] due", "note[1] due"]);
}

#[test]
fn a_cancelled_run_starts_nothing_and_ends_when_its_jobs_do() {
    let mut run = diamond();
    let first = jobs(&run)[3].id;
    let mut facts = Facts::from([(first, Seen::Active { cancelling: false })]);
    run.spec.cancel = Some(RunCancel { by: "ann".into(), at: at(), reason: None });
    let (steps, status) = told(&run, &facts);
    assert_eq!(
        (steps[0].as_str(), steps[3].as_str()),
        ("last skipped: the run was cancelled", "first active")
    );
    assert_eq!((steps[4].as_str(), status), ("clean skipped: the run was cancelled", "cancelling"));
    facts.insert(first, Seen::Over(TerminalStatus::Cancelled));
    assert_eq!(told(&run, &facts).1, "cancelled");
}

#[test]
fn a_run_is_told_by_its_end_when_the_facts_of_its_jobs_are_forgotten() {
    let jobs = json!([
        job("a", &[], json!({})),
        job("b", &["a"], json!({})),
        job("c", &["a"], json!({ "if": "true" }))
    ]);
    let mut run = run_of(json!([]), jobs, json!({}));
    let seen: BTreeMap<JobId, TerminalStatus> = super::jobs(&run)
        .iter()
        .zip([Some(TerminalStatus::Failure), None, Some(TerminalStatus::Successful)])
        .filter_map(|(job, end)| Some((job.id, end?)))
        .collect();
    let late = at() + TimeDelta::days(RUN_DAYS_MAX + 30);
    let fresh = plan(&run, |job| seen.get(&job).copied().map(Seen::Over), at());
    assert_eq!(fresh.status, RunStatus::Failure);
    let fresh: Vec<Step> = fresh.jobs.into_iter().map(|job| job.step).collect();
    run.spec.end = Some(RunEnd { status: RunStatus::Failure, at: at(), jobs: seen });
    let later = plan(&run, |_| None, late);
    assert_eq!(later.status, RunStatus::Failure);
    assert_eq!(later.jobs.into_iter().map(|job| job.step).collect::<Vec<_>>(), fresh);

    let again = plan(&run, |_| Some(Seen::Active { cancelling: false }), late);
    assert_eq!(again.status, RunStatus::InProgress, "what is seen counts more");
}

#[test]
fn an_old_run_starts_nothing() {
    let run = diamond();
    let late = at() + TimeDelta::days(RUN_DAYS_MAX) + TimeDelta::seconds(1);
    let plan = plan(&run, |_| None, late);
    assert_eq!((plan.due().count(), plan.status), (0, RunStatus::Failure), "it did not do what it was for");
    assert!(matches!(&plan.jobs[3].step, Step::Untold { why } if why.contains("days ago")));
}

#[test]
fn a_condition_that_cannot_be_told_starts_nothing_and_fails_the_run() {
    let run = run_of(
        json!([{ "key": "size", "type": "object" }]),
        json!([job("a", &[], json!({ "if": "inputs.size.n > 3" })), job("b", &["a"], json!({}))]),
        json!({ "size": {} }),
    );
    let (steps, status) = told(&run, &Facts::new());
    assert!(steps[0].starts_with("a untold: its condition cannot be told"), "{steps:?}");
    assert_eq!((steps[1].as_str(), status), ("b skipped: a is failure", "failure"));
}

#[test]
fn inputs_have_their_type_their_default_and_their_options() {
    let declared = workflow(
        json!([
            { "key": "tag", "required": true },
            { "key": "count", "type": "number", "default": 2 },
            { "key": "where", "default": "eu", "options": ["eu", "us"] },
            { "key": "extra", "type": "object" },
        ]),
        json!([job("a", &[], json!({}))]),
    )
    .spec
    .inputs;
    let given = |value: Value| resolve(&declared, value.as_object().unwrap());
    let whole = given(json!({ "tag": "v1", "count": null })).unwrap();
    assert_eq!(Value::Object(whole), json!({ "tag": "v1", "count": 2, "where": "eu", "extra": null }));
    let wrong = given(json!({ "tga": "v1", "count": "3", "where": "ap", "extra": [] })).unwrap_err();
    let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    assert_eq!(
        wrong,
        [
            "inputs.tga: there is no such input; did you mean `tag`?",
            "inputs.tag: is missing",
            "inputs.count: is a string, but must be a number",
            "inputs.where: must be one of \"eu\", \"us\"",
            "inputs.extra: is an array, but must be an object",
        ]
    );
    let long = given(json!({ "tag": "x".repeat(INPUTS_BYTES_MAX) })).unwrap_err();
    assert_eq!(long[0].field, "inputs");
}

#[test]
fn a_run_has_no_more_jobs_than_it_may() {
    let declared =
        workflow(json!([{ "key": "n", "type": "array" }]), json!([job("a", &[], json!({ "forEach": "n" }))]));
    let many = Map::from_iter([("n".to_owned(), Value::Array(vec![json!(1); RUN_JOBS_MAX + 1]))]);
    let by = BegunBy::User("ann".into());
    let refused = begin(&declared, WorkflowRunId(Uuid::nil()), &many, by, at()).unwrap_err();
    assert!(refused[0].message.contains("257 jobs"), "{refused:?}");
}

fn catalog(run: &Record<WorkflowRun>, more: &[(&str, Value)]) -> Catalog {
    let mut catalog = Catalog::default();
    let agents = [
        (
            "job-agent",
            json!({ "kind": "JobAgent", "name": "gh", "spec": { "type": "github-app",
            "config": { "workflow": "build.yml", "appId": 1, "from": "{{ jobAgent.name }}" } } }),
        ),
        ("job-agent", json!({ "kind": "JobAgent", "name": "gl", "spec": { "type": "gitlab" } })),
    ];
    for (token, entity) in agents.iter().chain(more) {
        let id = crate::id::derive(&[token, entity["name"].as_str().unwrap()]);
        let whole = json!({ "kind": entity["kind"], "spec": entity["spec"], "meta": { "id": id, "workspace": "acme",
            "name": entity["name"], "createdAt": at(), "updatedAt": at() } });
        let applied = catalog.apply(&format!("acme.{token}.{id}"), Some(whole.to_string().as_bytes()), 1);
        assert_eq!(applied.broken, None, "{token}");
    }
    let run = Entity::WorkflowRun(run.clone());
    let written = serde_json::to_vec(&run).unwrap();
    assert_eq!(catalog.apply(&run.key().to_string(), Some(&written), 2).broken, None);
    catalog
}

#[test]
fn a_job_is_dispatched_with_what_its_run_was_given() {
    let config = json!({ "ref": "{{ inputs.tag }}", "where": "{{ item.region }}", "run": "{{ run.id }}",
        "of": "{{ workflow.slug }}", "as": "{{ job.name }}", "appId": "{{ inputs.tag }}" });
    let run = run_of(
        json!([{ "key": "tag" }]),
        json!([
            job("go", &[], json!({ "config": config, "forEach": [{ "region": "eu" }, { "region": "us" }] })),
            job("other", &[], json!({ "agent": { "selector": "jobAgent.type == 'gitlab'" } })),
            job("by-id", &[], json!({ "agent": { "ref": crate::id::derive(&["job-agent", "gl"]) } })),
            job("none", &[], json!({ "agent": { "selector": "jobAgent.type == 'argo'" } })),
            job("bad", &[], json!({ "config": { "a": "{{ inputs.nothing }}" } })),
        ]),
        json!({ "tag": "v1" }),
    );
    let catalog = catalog(&run, &[]);
    let acme = catalog.workspace(&acme()).unwrap();
    let of = |label: &str| {
        let all = jobs(&run);
        dispatch(acme, &all.iter().find(|job| job.label() == label).unwrap().reference(&run))
    };
    let go = of("go[1]").unwrap();
    assert_eq!(
        Value::Object(go.config),
        json!({ "workflow": "build.yml", "appId": 1, "from": "gh", "ref": "v1", "where": "us", "run": run.meta.id,
            "of": "ship", "as": "go[1]" })
    );
    assert_eq!((go.agent_name.as_str(), go.platform.as_str()), ("gh", "github-app"));
    assert_eq!(go.context["inputs"], json!({ "tag": "v1" }));
    assert_eq!(of("other").unwrap().agent_name, "gl");
    assert_eq!(of("by-id").unwrap().agent_name, "gl");
    assert!(of("none").unwrap_err().message.contains("no job agent matches"));
    assert!(of("bad").unwrap_err().message.contains("config: a: "));

    let mut cancelled = run.clone();
    cancelled.spec.cancel = Some(RunCancel { by: "bob".into(), at: at(), reason: None });
    let catalog = super::tests::catalog(&cancelled, &[]);
    let job = jobs(&cancelled)[0].reference(&cancelled);
    let refused = dispatch(catalog.workspace(&super::tests::acme()).unwrap(), &job).unwrap_err();
    assert_eq!(refused.status, TerminalStatus::Cancelled);
}

#[test]
fn only_a_freeze_of_everything_holds_a_job_without_a_target() {
    let run = diamond();
    let job = jobs(&run)[3].reference(&run);
    let held = |selector: &str| {
        let spec = json!({ "selector": selector, "reason": "holidays", "owner": "ann" });
        let catalog = catalog(&run, &[("freeze", json!({ "kind": "Freeze", "name": "f", "spec": spec }))]);
        freeze::of_job(catalog.workspace(&acme()).unwrap(), &job, at())
    };
    assert_eq!(held("true").unwrap().unwrap().name, "f");
    assert_eq!(held("false").unwrap(), None);
    assert_eq!(held("environment.name == 'production'").unwrap(), None);
    assert_eq!(held("environment.name == 'production' || true").unwrap(), None);
    assert!(held("1 + 1").is_err(), "what cannot be told holds");
    assert!(held("nothing == 1").is_err(), "what cannot be told holds");
}

#[test]
fn the_facts_of_a_workflows_job_name_no_release_and_read_back() {
    let run = diamond();
    let job = jobs(&run)[0].reference(&run);
    let event = JobEvent {
        job: job.clone(),
        at: at(),
        cause: None,
        traceparent: None,
        fact: crate::job::JobFact::Requested { catalog_revision: 3, grounds: None },
    };
    let written = serde_json::to_value(&event).unwrap();
    assert_eq!(
        written["job"],
        json!({ "workspace": "acme", "id": job.id, "tag": "last", "attempt": 1, "purpose": { "is": "workflow",
            "workflow": run.spec.workflow, "run": run.meta.id } })
    );
    assert_eq!(serde_json::from_value::<JobEvent>(written).unwrap(), event);
    assert!("~workflow".parse::<Slug>().is_err(), "no name is that token");
}
