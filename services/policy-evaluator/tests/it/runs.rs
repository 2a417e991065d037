//! Runs of workflows: each job is asked for once when it is next, whatever dies in between.

use crate::crash::evaluator;
use crate::rig::{Rig, STEP, record, until, workspace};
use bus::Base;
use bus::topology::CATALOG;
use domain::entity::{BegunBy, Entity, Kind, Record, RunCancel, RunEnd, Trigger, Workflow, WorkflowRun};
use domain::id::{TriggerId, WorkflowId, WorkflowRunId};
use domain::job::{JobFact, JobRef, TerminalStatus};
use domain::workflow::{RUN_KEPT_DAYS, RunStatus, begin, jobs};
use futures::StreamExt as _;
use serde_json::json;
use std::os::unix::process::ExitStatusExt as _;
use uuid::Uuid;

fn ship() -> Record<Workflow> {
    let spec = serde_json::from_value(json!({ "slug": "ship", "inputs": [{ "key": "tag" }], "jobs": [
        { "name": "build", "agent": { "ref": "gh" } },
        { "name": "deploy", "agent": { "ref": "gh" }, "needs": ["build"], "forEach": ["eu", "us"] },
        { "name": "clean", "agent": { "ref": "gh" }, "needs": ["deploy"], "if": "true" },
        { "name": "alarm", "agent": { "ref": "gh" }, "needs": ["deploy"], "if": "needs.deploy.status == 'failure'" },
    ] }))
    .unwrap();
    record("ship", WorkflowId::of(&workspace(), "ship").0, spec)
}

async fn run(rig: &Rig, id: u128) -> Record<WorkflowRun> {
    let inputs = json!({ "tag": "v1" }).as_object().unwrap().clone();
    let id = WorkflowRunId(Uuid::from_u128(id));
    let now = chrono::Utc::now();
    let run = begin(&ship(), id, &inputs, BegunBy::User("ann".into()), now).unwrap();
    rig.put(Entity::WorkflowRun(run.clone())).await;
    run
}

/// The job of that name, once it was asked for.
async fn asked(rig: &Rig, run: &Record<WorkflowRun>, name: &str) -> JobRef {
    let job = reference(run, name);
    until(&format!("{name} is asked for"), async || {
        rig.bus.jobs().load(&workspace(), job.id).await.unwrap().map(|known| known.state.job)
    })
    .await
}

fn reference(run: &Record<WorkflowRun>, name: &str) -> JobRef {
    let all = jobs(run);
    all.iter().find(|job| job.label() == name).unwrap().reference(run)
}

/// What happened to the jobs of a run, as `name fact`.
async fn told(rig: &Rig, run: &Record<WorkflowRun>) -> Vec<String> {
    let mine = WorkflowRunId(run.meta.id);
    let facts = rig.facts().await.into_iter().filter(|event| event.job.purpose.run() == Some(mine));
    let mut told: Vec<String> =
        facts.map(|event| format!("{} {}", event.job.tag, event.fact.name())).collect();
    told.sort();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_of_a_run_is_asked_for_once_when_what_it_needs_is_over() {
    let rig = Rig::start().await;
    let replicas = [rig.replica().await, rig.replica().await];
    let run = run(&rig, 1).await;
    let build = asked(&rig, &run, "build").await;
    assert_eq!(build, reference(&run, "build"));
    rig.end(&build, TerminalStatus::Successful).await;
    for (name, status) in [("deploy[1]", TerminalStatus::Successful), ("deploy[0]", TerminalStatus::Failure)]
    {
        let deploy = asked(&rig, &run, name).await;
        rig.end(&deploy, status).await;
    }
    for name in ["clean", "alarm"] {
        let job = asked(&rig, &run, name).await;
        rig.end(&job, TerminalStatus::Successful).await;
    }
    assert_eq!(
        told(&rig, &run).await,
        [
            "alarm finished",
            "alarm requested",
            "build finished",
            "build requested",
            "clean finished",
            "clean requested",
            "deploy[0] finished",
            "deploy[0] requested",
            "deploy[1] finished",
            "deploy[1] requested",
        ]
    );
    for replica in replicas {
        replica.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_ends_what_is_on_its_way_and_starts_nothing() {
    let rig = Rig::start().await;
    let replica = rig.replica().await;
    let mut run = run(&rig, 1).await;
    let build = asked(&rig, &run, "build").await;
    run.spec.cancel = Some(RunCancel { by: "bob".into(), at: chrono::Utc::now(), reason: None });
    rig.put(Entity::WorkflowRun(run.clone())).await;
    until("the job is to end", async || {
        let told = told(&rig, &run).await;
        told.contains(&"build cancelRequested".to_owned()).then_some(())
    })
    .await;
    rig.end(&build, TerminalStatus::Cancelled).await;
    // Another run goes the whole way meanwhile: by then this one was looked at.
    let other = self::run(&rig, 2).await;
    rig.end(&asked(&rig, &other, "build").await, TerminalStatus::Successful).await;
    asked(&rig, &other, "deploy[0]").await;
    assert_eq!(told(&rig, &run).await, ["build cancelRequested", "build finished", "build requested"]);
    replica.stop().await;
}

/// Lets the first job fail, so that only the clean-up comes after it.
async fn fail(rig: &Rig, run: &Record<WorkflowRun>) {
    rig.end(&asked(rig, run, "build").await, TerminalStatus::Failure).await;
    rig.end(&asked(rig, run, "clean").await, TerminalStatus::Successful).await;
}

async fn kept(rig: &Rig, run: &Record<WorkflowRun>) -> Option<WorkflowRun> {
    let key = Entity::WorkflowRun(run.clone()).key().to_string();
    let known: Option<(Entity, u64)> = rig.bus.bucket(&CATALOG).get_json(&key).await.unwrap();
    known.map(|(known, _)| if let Entity::WorkflowRun(known) = known { known.spec } else { panic!("a run") })
}

/// How the run ended, once that is kept.
async fn ended(rig: &Rig, run: &Record<WorkflowRun>) -> RunEnd {
    until("the end is kept", async || kept(rig, run).await.expect("the run").end).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_run_is_kept_and_taken_back_when_it_runs_again() {
    let rig = Rig::start().await;
    let replicas = [rig.replica().await, rig.replica().await];
    let run = run(&rig, 1).await;
    fail(&rig, &run).await;
    let end = ended(&rig, &run).await;
    let (build, clean) = (reference(&run, "build"), reference(&run, "clean"));
    assert_eq!(end.status, RunStatus::Failure);
    let jobs = [(build.id, TerminalStatus::Failure), (clean.id, TerminalStatus::Successful)];
    assert_eq!(end.jobs, jobs.into_iter().collect());

    let retried = JobFact::RetryRequested { by: "ann".into() };
    let known = rig.bus.jobs().load(&workspace(), build.id).await.unwrap().expect("it has ended");
    rig.bus.jobs().record(&build, retried, Base::Known(Box::new(known)), None).await.unwrap();
    until("it runs again", async || kept(&rig, &run).await?.end.is_none().then_some(())).await;
    rig.end(&build, TerminalStatus::Successful).await;
    for deploy in ["deploy[0]", "deploy[1]"] {
        rig.end(&asked(&rig, &run, deploy).await, TerminalStatus::Successful).await;
    }
    let end = ended(&rig, &run).await;
    assert_eq!((end.status, end.jobs.len()), (RunStatus::Successful, 4));
    for replica in replicas {
        replica.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_forgotten_long_after_its_end_and_not_before() {
    let rig = Rig::start().await;
    let now = chrono::Utc::now();
    let mut runs = Vec::new();
    for (id, days) in [(1, RUN_KEPT_DAYS + 1), (2, RUN_KEPT_DAYS - 1)] {
        let mut run = run(&rig, id).await;
        run.spec.at = now - chrono::TimeDelta::days(days);
        let end = RunEnd { status: RunStatus::Successful, at: run.spec.at, jobs: Default::default() };
        run.spec.end = Some(end);
        rig.put(Entity::WorkflowRun(run.clone())).await;
        runs.push(run);
    }
    let replica = rig.replica().await;
    until("the old one is forgotten", async || kept(&rig, &runs[0]).await.is_none().then_some(())).await;
    // Another goes a step meanwhile: by then the younger one was looked at.
    let other = run(&rig, 3).await;
    asked(&rig, &other, "build").await;
    assert_eq!(kept(&rig, &runs[1]).await, Some(runs[1].spec.clone()));
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_begins_one_run_however_often_it_is_delivered() {
    let rig = Rig::start().await;
    rig.put(Entity::Workflow(ship())).await;
    let spec: Trigger = serde_json::from_value(json!({
        "source": "github", "event": "push",
        "then": { "runWorkflow": { "workflow": WorkflowId::of(&workspace(), "ship"),
            "inputs": { "tag": "{{ event.after }}" } } },
    }))
    .unwrap();
    let id = TriggerId::of(&workspace(), "ship-it");
    rig.put(Entity::Trigger(record("ship-it", id.0, spec))).await;
    let replica = rig.replica().await;
    rig.event("one", "v7").await;
    let begun = WorkflowRunId::of_delivery(&workspace(), "one", id);
    let key = format!("acme.{}.{begun}", Kind::WorkflowRun.token());
    let run = until("the run has begun", async || {
        let entry = rig.bus.bucket(&CATALOG).get(&key).await.unwrap()?;
        let Entity::WorkflowRun(run) = serde_json::from_slice(&entry.value).unwrap() else { panic!("a run") };
        Some(run)
    })
    .await;
    assert_eq!(run.spec.inputs["tag"], "v7");
    assert_eq!(run.spec.begun_by, BegunBy::Trigger { id, name: "ship-it".into(), delivery: "one".into() });
    let build = asked(&rig, &run, "build").await;
    rig.end(&build, TerminalStatus::Failure).await;
    asked(&rig, &run, "clean").await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_anywhere_leaves_one_job_of_each() {
    let points = [
        "run-job.before",
        "run-job.after",
        "run-cancelled.before",
        "run-cancelled.after",
        "run-ended.before",
        "run-ended.after",
    ];
    futures::stream::iter(points).for_each_concurrent(2, survives).await;
}

async fn survives(point: &str) {
    let rig = Rig::start().await;
    let mut run = run(&rig, 1).await;
    let mut dying = evaluator(&rig, Some(&format!("policy-evaluator.{point}")));
    if point.starts_with("run-cancelled") {
        asked(&rig, &run, "build").await;
        run.spec.cancel = Some(RunCancel { by: "bob".into(), at: chrono::Utc::now(), reason: None });
        rig.put(Entity::WorkflowRun(run.clone())).await;
    }
    if point.starts_with("run-ended") {
        fail(&rig, &run).await;
    }
    let died = tokio::time::timeout(STEP, dying.wait()).await;
    let died = died.unwrap_or_else(|_| panic!("{point} is not reached")).unwrap();
    assert_eq!(died.signal(), Some(6), "{point}: it aborted: {died:?}");

    let mut living = evaluator(&rig, None);
    let build = asked(&rig, &run, "build").await;
    let expected: &[&str] = if run.spec.cancel.is_some() {
        until("the job is to end", async || {
            let events = rig.bus.jobs().events(&workspace(), build.id).await.unwrap();
            let wished =
                |event: &domain::job::JobEvent| matches!(event.fact, JobFact::CancelRequested { .. });
            events.iter().any(|(_, event)| wished(event)).then_some(())
        })
        .await;
        rig.end(&build, TerminalStatus::Cancelled).await;
        &["build cancelRequested", "build finished", "build requested"]
    } else {
        if !point.starts_with("run-ended") {
            fail(&rig, &run).await;
        }
        &["build finished", "build requested", "clean finished", "clean requested"]
    };
    let status = if run.spec.cancel.is_some() { RunStatus::Cancelled } else { RunStatus::Failure };
    assert_eq!(ended(&rig, &run).await.status, status, "{point}");
    assert_eq!(told(&rig, &run).await, expected, "{point}");
    living.kill().await.unwrap();
}
