//! Rate limits: waited for in GitLab's own measure, by every call of the token.

use crate::rig::{Rig, new_job, options, project};
use fake_gitlab::{Fault, FaultKind, Limits, Options, Script};
use platform::{CallError, Platform as _};
use serde_json::json;
use std::time::Duration;

fn waits<T: std::fmt::Debug>(result: Result<T, CallError>) -> u64 {
    match result {
        Err(CallError::RateLimited { after, .. }) => after.as_secs(),
        other => panic!("not limited: {other:?}"),
    }
}

#[tokio::test]
async fn a_limit_holds_every_call_of_the_token_until_it_is_over() {
    let rig = Rig::of(Script::hold()).await;
    let run = rig.run(new_job()).await;
    rig.fake.inject(fake_gitlab::limited("POST", "*/pipeline", 7));
    assert_eq!(waits(rig.trigger(new_job()).await), 7);
    let calls = rig.fake.calls().len();
    assert!(waits(rig.gitlab.ready(&rig.config).await) <= 7);
    assert!(waits(rig.observe(&run).await) <= 8);
    assert_eq!(rig.fake.calls().len(), calls, "GitLab is left alone meanwhile");
    rig.hand.pass(Duration::from_secs(8));
    rig.run(new_job()).await;
    assert_eq!(rig.fake.start_count(), 2);
}

#[tokio::test]
async fn what_is_left_is_read_from_the_headers_and_a_used_up_minute_is_waited_for() {
    let limits = Limits { per_minute: Some(4) };
    let rig = Rig::start(Options { limits, ..options(project(Script::hold())) }).await;
    let run = rig.run(new_job()).await;
    rig.snapshot(&run).await;
    let calls = rig.fake.calls().len();
    assert_eq!(calls, 4);
    let after = waits(rig.observe(&run).await);
    assert!((50..=62).contains(&after), "{after} s");
    assert_eq!(rig.fake.calls().len(), calls, "the headers told that nothing is left");
}

#[tokio::test]
async fn a_resource_lock_has_had_no_effect_and_may_be_tried_again() {
    let rig = Rig::of(Script::hold()).await;
    rig.fake.inject(Fault::answer("POST", "*/pipeline", 409, "409 Conflict: Resource lock"));
    let locked = rig.trigger(new_job()).await;
    assert!(matches!(&locked, Err(CallError::Transient(why)) if why.contains("Resource lock")), "{locked:?}");
    rig.run(new_job()).await;
    assert_eq!(rig.fake.start_count(), 1);
}

#[tokio::test]
async fn starts_keep_the_pace_their_config_sets() {
    let rig = Rig::of(Script::hold()).await.with("rateLimit", json!({ "writesPerMinute": 60 }));
    let mut started = 0;
    let limited = loop {
        match rig.trigger(new_job()).await {
            Ok(_) => started += 1,
            limited => break limited,
        }
        assert!(started < 50, "there is no pace");
    };
    assert!(waits(limited) <= 1);
    assert_eq!(rig.fake.start_count(), started);
    rig.hand.pass(Duration::from_secs(2));
    rig.run(new_job()).await;
}

#[tokio::test]
async fn server_errors_are_ambiguous_for_a_start_and_nothing_for_a_look() {
    let rig = Rig::of(Script::hold()).await;
    let run = rig.run(new_job()).await;
    for status in [500, 502, 503, 504] {
        rig.fake.inject(Fault::answer("POST", "*/pipeline", status, "oops"));
        assert!(matches!(rig.trigger(new_job()).await, Err(CallError::Ambiguous(_))), "{status}");
        rig.fake.inject(Fault::answer("GET", "*/pipelines/*", status, "oops"));
        assert!(matches!(rig.observe(&run).await, Err(CallError::Transient(_))), "{status}");
        rig.fake.clear_faults();
    }
    let moved = FaultKind::Answer {
        status: 301,
        headers: vec![("location".to_owned(), "http://127.0.0.1:1/elsewhere".to_owned())],
        body: String::new(),
    };
    rig.fake.inject(Fault::once("POST", "*/pipeline", moved));
    let error = crate::rig::invalid(rig.trigger(new_job()).await);
    assert!(error.contains("moved"), "a credential follows nobody elsewhere: {error}");
}
