//! Rate limits: waited for in GitHub's own measure, by every call of the credential, and conditional reads.

use crate::rig::{Rig, new_job, status};
use domain::job::JobStatus;
use fake_github::{Limits, Script};
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
async fn a_secondary_limit_holds_every_call_of_the_credential_until_it_is_over() {
    let rig = Rig::of(Script::hold()).await;
    let run = rig.run(new_job()).await;
    rig.fake.inject(fake_github::secondary_limit("POST", "*/dispatches", 7));
    assert_eq!(waits(rig.trigger(new_job()).await), 7);
    let calls = rig.fake.calls().len();
    assert!(waits(rig.github.ready(&rig.config).await) <= 7);
    assert!(waits(rig.observe(&run).await) <= 8);
    assert_eq!(rig.fake.calls().len(), calls, "GitHub is left alone meanwhile");
    rig.hand.pass(Duration::from_secs(8));
    rig.run(new_job()).await;
    assert_eq!(rig.fake.dispatch_count(), 2);
}

#[tokio::test]
async fn a_used_up_hour_is_waited_for() {
    let rig = Rig::of(Script::hold()).await;
    rig.fake.set_limits(Limits { primary_per_hour: Some(1), secondary: None });
    let run = rig.run(new_job()).await;
    let after = waits(rig.observe(&run).await);
    assert!((3_500..=3_610).contains(&after), "{after} s");
}

#[tokio::test]
async fn writes_keep_the_pace_their_config_sets() {
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
    assert_eq!(rig.fake.dispatch_count(), started);
    rig.hand.pass(Duration::from_secs(2));
    rig.run(new_job()).await;
}

#[tokio::test]
async fn an_unchanged_run_costs_nothing_and_is_still_shown() {
    let rig = Rig::of(Script::hold()).await;
    let run = rig.run(new_job()).await;
    let first = rig.snapshot(&run).await;
    let second = rig.snapshot(&run).await;
    assert_eq!(first, second);
    let last = rig.fake.calls().pop().unwrap();
    assert_eq!((last.if_none_match, last.status), (true, Some(304)));
    rig.fake.finish(run.id.parse().unwrap(), fake_github::Conclusion::Success);
    assert_eq!(status(&rig.snapshot(&run).await), JobStatus::Successful);
}
