//! When the answer to a start names no pipeline, or never comes: found by name or variable, and never started twice.

use crate::rig::{PROJECT, Rig, SOON, new_job, number, options, project, status};
use domain::job::JobStatus;
use fake_gitlab::{Fault, FaultKind, Options, Project, Script};
use platform::{CallError, Found, Triggered};
use serde_json::{Value, json};
use std::time::Duration;

fn nameless() -> Project {
    Project { named_after: None, ..project(Script::hold()) }
}

#[tokio::test]
async fn an_answer_lost_after_the_effect_leads_to_the_pipeline() {
    for project in [project(Script::hold()), nameless()] {
        let rig = Rig::start(options(project)).await;
        for kind in [FaultKind::DropAfterEffect, FaultKind::HangAfterEffect] {
            let job = new_job();
            rig.fake.inject(Fault::once("POST", "*/pipeline", kind));
            let lost = rig.trigger(job).await;
            assert!(matches!(lost, Err(CallError::Ambiguous(_))), "{lost:?}");
            let found = rig.find(job).await;
            let Ok(Found::Run { external, snapshot }) = found else { panic!("{found:?}") };
            assert_eq!(status(&snapshot), JobStatus::InProgress);
            let carrier = rig.fake.pipeline(number(&external)).unwrap();
            assert_eq!(carrier.variables["JOB_ID"], job.to_string());
        }
        assert_eq!(rig.fake.start_count(), 2);
    }
}

#[tokio::test]
async fn a_call_lost_before_the_effect_leads_to_none() {
    let rig = Rig::of(Script::hold()).await;
    for fault in [
        Fault::once("POST", "*/pipeline", FaultKind::DropBeforeEffect),
        Fault::answer("POST", "*/pipeline", 502, "Bad Gateway"),
    ] {
        let job = new_job();
        rig.fake.inject(fault);
        let lost = rig.trigger(job).await;
        assert!(matches!(lost, Err(CallError::Ambiguous(_))), "{lost:?}");
        assert_eq!(rig.find(job).await, Ok(Found::None));
    }
    assert_eq!(rig.fake.start_count(), 0);
}

#[tokio::test]
async fn an_unreadable_yes_is_a_yes() {
    let rig = Rig::of(Script::hold()).await;
    let yes = FaultKind::Answer { status: 201, headers: Vec::new(), body: "{\"id\":".to_owned() };
    rig.fake.inject(Fault::once("POST", "*/pipeline", yes));
    assert_eq!(rig.trigger(new_job()).await, Ok(Triggered::Accepted));
}

#[tokio::test]
async fn of_several_pipelines_the_oldest_counts() {
    for project in [project(Script::hold()), nameless()] {
        let rig = Rig::start(options(project)).await;
        let job = new_job();
        let first = rig.run(job).await;
        rig.run(job).await;
        rig.run(new_job()).await;
        let found = rig.find(job).await;
        let Ok(Found::Several { external, count, .. }) = found else { panic!("{found:?}") };
        assert_eq!((external.id, count), (first.id, 2));
    }
}

#[tokio::test]
async fn a_name_is_found_behind_many_others_without_reading_their_variables() {
    let rig = Rig::of(Script::hold()).await;
    let job = new_job();
    let run = rig.run(job).await;
    for _ in 0..110 {
        rig.run(new_job()).await;
    }
    let found = rig.find(job).await;
    let Ok(Found::Run { external, .. }) = found else { panic!("{found:?}") };
    assert_eq!(external.id, run.id);
    assert_eq!(rig.find(new_job()).await, Ok(Found::None));
    assert_eq!(rig.count("GET", "/variables"), 0);
}

#[tokio::test]
async fn too_many_nameless_pipelines_are_no_reason_to_say_none() {
    let rig = Rig::start(options(nameless())).await;
    for _ in 0..101 {
        rig.run(new_job()).await;
    }
    let found = rig.find(new_job()).await;
    assert!(matches!(&found, Err(CallError::Transient(why)) if why.contains("too many")), "{found:?}");
}

#[tokio::test]
async fn a_pipeline_is_not_found_before_it_shows_nor_where_nothing_carries_the_id() {
    let options =
        Options { search_visible_after: Duration::from_millis(400), ..options(project(Script::hold())) };
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
    let rig = rig.with("jobIdVariable", Value::Null);
    let unmarked = new_job();
    rig.run(unmarked).await;
    assert_eq!(rig.find(unmarked).await, Ok(Found::None));
}

#[tokio::test]
async fn a_pipeline_in_words_we_do_not_know_is_found_all_the_same() {
    let rig = Rig::of(Script::hold()).await.with("project", json!(PROJECT));
    let job = new_job();
    let run = rig.run(job).await;
    rig.fake.set_status(number(&run), "dreaming");
    let found = rig.find(job).await;
    let Ok(Found::Run { snapshot, .. }) = found else { panic!("{found:?}") };
    assert_eq!(status(&snapshot), JobStatus::Queued);
    assert!(snapshot.message.unwrap().contains("dreaming"));
}

#[tokio::test]
async fn variables_that_are_not_shown_are_no_reason_to_say_none() {
    let rig = Rig::start(options(nameless())).await;
    let (hidden, shown) = (rig.run(new_job()).await, new_job());
    let run = rig.run(shown).await;
    let path = format!("*/pipelines/{}/variables", hidden.id);
    for (job, expected) in [(new_job(), None), (shown, Some(run.id))] {
        rig.fake.inject(Fault::answer("GET", &path, 403, r#"{"message":"403 Forbidden"}"#));
        match rig.find(job).await {
            Ok(Found::Run { external, .. }) => assert_eq!(Some(external.id), expected),
            Err(CallError::Transient(why)) => {
                assert_eq!(expected, None, "{why}");
                assert!(why.contains(&format!("variables of pipeline {}", hidden.id)), "{why}");
            }
            other => panic!("{other:?}"),
        }
        rig.fake.clear_faults();
    }
}

#[tokio::test]
async fn a_search_that_cannot_be_made_says_nothing_of_the_pipeline() {
    let rig = Rig::start(options(nameless())).await;
    rig.run(new_job()).await;
    for path in ["*/pipelines", "*/variables"] {
        rig.fake.inject(Fault::answer("GET", path, 500, "oops"));
        let failed = rig.find(new_job()).await;
        assert!(matches!(failed, Err(CallError::Transient(_))), "{path}: {failed:?}");
    }
}
