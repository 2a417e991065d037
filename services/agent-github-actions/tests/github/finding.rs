//! When the answer to a dispatch names no run, or never comes: found by name, and never started twice.

use crate::rig::{Nobody, Rig, SOON, new_job, options, status};
use chrono::TimeDelta;
use domain::job::JobStatus;
use fake_github::{Fault, FaultKind, Options, Script, Status};
use platform::{CallError, CorrelationKey, Found, Platform as _, Triggered};
use serde_json::{Value, json};
use std::time::Duration;

fn ghes() -> Options {
    Options { returns_run_details: false, ..options(Script::hold()) }
}

fn is_ambiguous(result: &Result<Triggered, CallError>) -> bool {
    matches!(result, Err(CallError::Ambiguous(_)))
}

#[tokio::test]
async fn a_server_that_names_no_run_is_asked_once_and_remembered() {
    let rig = Rig::start(ghes()).await;
    let base = rig.fake.ghes_base_url();
    let rig = rig.with("baseUrl", json!(base));
    let job = new_job();
    assert_eq!(rig.trigger(job).await, Ok(Triggered::Accepted));
    assert_eq!(rig.trigger(new_job()).await, Ok(Triggered::Accepted));
    let dispatches = rig.fake.calls();
    let answers: Vec<u16> = dispatches.iter().filter_map(|call| call.status).collect();
    assert_eq!(answers, [422, 204, 204]);
    let run = rig.fake.runs().remove(0);
    rig.fake.wait_for_status(run.id, Status::InProgress, SOON).await.unwrap();
    let found = rig.find(job).await;
    let Ok(Found::Run { external, snapshot }) = found else { panic!("{found:?}") };
    assert_eq!((external.id, external.scope.as_str()), (run.id.to_string(), "acme/shop"));
    assert_eq!(status(&snapshot), JobStatus::InProgress);
    assert_eq!(snapshot.external.map(|external| external.host), Some(rig.fake.addr().to_string()));
}

#[tokio::test]
async fn more_inputs_than_the_server_takes_are_refused_by_it() {
    let names: Vec<String> = (0..11).map(|n| format!("input{n}")).collect();
    let mut options = ghes();
    let names_ref: Vec<&str> = names.iter().map(String::as_str).collect();
    options.repos[0].workflows[0] = fake_github::Workflow::new("deploy.yml").inputs(&names_ref);
    let inputs: serde_json::Map<String, Value> = names.into_iter().map(|name| (name, json!(1))).collect();
    let rig = Rig::start(options).await.with("inputs", Value::Object(inputs));
    let error = crate::rig::invalid(rig.trigger(new_job()).await);
    assert!(error.contains("No more than 10"), "{error}");
}

#[tokio::test]
async fn an_answer_lost_after_the_effect_leads_to_the_run() {
    let rig = Rig::of(Script::hold()).await;
    for kind in [FaultKind::DropAfterEffect, FaultKind::HangAfterEffect] {
        let job = new_job();
        rig.fake.inject(Fault::once("POST", "*/dispatches", kind));
        let lost = rig.trigger(job).await;
        assert!(is_ambiguous(&lost), "{lost:?}");
        let found = rig.find(job).await;
        let Ok(Found::Run { external, .. }) = found else { panic!("{found:?}") };
        assert!(rig.fake.runs().iter().any(|run| run.id.to_string() == external.id));
    }
    assert_eq!(rig.fake.dispatch_count(), 2);
}

#[tokio::test]
async fn a_call_lost_before_the_effect_leads_to_none() {
    let rig = Rig::of(Script::hold()).await;
    for fault in [
        Fault::once("POST", "*/dispatches", FaultKind::DropBeforeEffect),
        Fault::answer("POST", "*/dispatches", 502, "Bad Gateway"),
    ] {
        let job = new_job();
        rig.fake.inject(fault);
        let lost = rig.trigger(job).await;
        assert!(is_ambiguous(&lost), "{lost:?}");
        assert_eq!(rig.find(job).await, Ok(Found::None));
    }
    assert_eq!(rig.fake.dispatch_count(), 0);
}

#[tokio::test]
async fn a_call_that_never_left_had_no_effect() {
    let nobody = Nobody::new();
    let rig = Rig::of(Script::hold()).await.with("baseUrl", json!(nobody.url()));
    let refused = rig.trigger(new_job()).await;
    assert!(matches!(refused, Err(CallError::Transient(_))), "{refused:?}");
}

#[tokio::test]
async fn an_unreadable_yes_is_a_yes() {
    let rig = Rig::of(Script::hold()).await;
    let yes =
        FaultKind::Answer { status: 200, headers: Vec::new(), body: "{\"workflow_run_id\":".to_owned() };
    rig.fake.inject(Fault::once("POST", "*/dispatches", yes));
    assert_eq!(rig.trigger(new_job()).await, Ok(Triggered::Accepted));
}

#[tokio::test]
async fn of_several_runs_the_oldest_counts() {
    let rig = Rig::of(Script::hold()).await;
    let job = new_job();
    let first = rig.run(job).await;
    rig.run(job).await;
    rig.run(new_job()).await;
    let found = rig.find(job).await;
    let Ok(Found::Several { external, count, .. }) = found else { panic!("{found:?}") };
    assert_eq!((external.id, count), (first.id, 2));
}

#[tokio::test]
async fn a_run_is_found_behind_many_others() {
    let rig = Rig::of(Script::hold()).await;
    let job = new_job();
    let run = rig.run(job).await;
    for _ in 0..230 {
        rig.run(new_job()).await;
    }
    let found = rig.find(job).await;
    let Ok(Found::Run { external, .. }) = found else { panic!("{found:?}") };
    assert_eq!(external.id, run.id);
    assert_eq!(rig.count("GET", "/workflows/deploy.yml/runs"), 3);
    assert_eq!(rig.find(new_job()).await, Ok(Found::None));
}

#[tokio::test]
async fn all_who_look_at_once_share_a_listing() {
    let rig = Rig::of(Script::hold()).await;
    let jobs: Vec<_> = (0..30).map(|_| new_job()).collect();
    let (started, others) = jobs.split_at(20);
    let mut runs = Vec::new();
    for job in started {
        runs.push(rig.run(*job).await.id);
    }
    let mut found = futures::future::join_all(jobs.iter().map(|job| rig.find(*job))).await;
    assert_eq!(found.split_off(started.len()), vec![Ok(Found::None); others.len()]);
    let found = found.into_iter().map(|found| match found {
        Ok(Found::Run { external, .. }) => external.id,
        other => panic!("{other:?}"),
    });
    assert_eq!(found.collect::<Vec<_>>(), runs);
    // The first began at once; all others share the next.
    assert_eq!(rig.count("GET", "/workflows/deploy.yml/runs"), 2);
}

#[tokio::test]
async fn a_run_is_not_found_before_it_shows() {
    let options = Options { search_visible_after: Duration::from_millis(400), ..options(Script::hold()) };
    let rig = Rig::start(options).await;
    let job = new_job();
    let run = rig.run(job).await;
    assert_eq!(rig.find(job).await, Ok(Found::None));
    let found = async {
        loop {
            if let Ok(Found::Run { external, .. }) = rig.find(job).await {
                return external;
            }
        }
    };
    assert_eq!(tokio::time::timeout(SOON, found).await.unwrap().id, run.id);
}

#[tokio::test]
async fn a_run_in_words_we_do_not_know_is_found_all_the_same() {
    let rig = Rig::of(Script::hold()).await;
    let job = new_job();
    let run = rig.run(job).await;
    rig.fake.set_status(run.id.parse().unwrap(), Status::Other("dreaming".to_owned()));
    let found = rig.find(job).await;
    let Ok(Found::Run { snapshot, .. }) = found else { panic!("{found:?}") };
    assert_eq!(status(&snapshot), JobStatus::Queued);
    assert!(snapshot.message.unwrap().contains("dreaming"));
}

#[tokio::test]
async fn a_search_that_cannot_be_made_says_nothing_of_the_run() {
    let rig = Rig::of(Script::hold()).await;
    rig.fake.inject(Fault::answer("GET", "*/runs", 500, "oops"));
    let failed = rig.find(new_job()).await;
    assert!(matches!(failed, Err(CallError::Transient(_))), "{failed:?}");
}

#[tokio::test]
async fn a_run_is_found_behind_more_runs_than_a_search_shows() {
    let rig = Rig::of(Script::hold()).await;
    let job = new_job();
    let run = rig.run(job).await;
    for _ in 0..21 {
        // A search can be narrowed to the second.
        rig.fake.advance_clock(TimeDelta::seconds(1));
        futures::future::join_all((0..50).map(|_| rig.run(new_job()))).await;
    }
    let found = rig.find(job).await;
    let Ok(Found::Run { external, .. }) = found else { panic!("{found:?}") };
    assert_eq!(external.id, run.id);
    assert!(rig.count("GET", "/workflows/deploy.yml/runs") > 10);
}

#[tokio::test]
async fn a_run_is_found_by_a_clock_far_ahead_of_githubs() {
    let rig = Rig::of(Script::hold()).await;
    rig.hand.pass(Duration::from_secs(3_600));
    let job = new_job();
    rig.fake.inject(Fault::once("POST", "*/dispatches", FaultKind::DropAfterEffect));
    let lost = rig.trigger(job).await;
    assert!(is_ambiguous(&lost), "{lost:?}");
    let key = CorrelationKey { job, config: &rig.config };
    let since = bus::clock::now() + TimeDelta::hours(1);
    let found = rig.github.find(&key, since).await;
    assert!(matches!(found, Ok(Found::Run { .. })), "{found:?}");
}
