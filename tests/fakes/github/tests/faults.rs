//! Rate limits, conditional requests, and calls that go wrong.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod support;

use std::time::{Duration, Instant};

use fake_github::{FakeGithub, Fault, FaultKind, Limits, Options, Script, Secondary};
use serde_json::json;
use support::{Caller, DISPATCH, PAT, SOON, options};

const REPO: &str = "/repos/acme/shop";

#[tokio::test]
async fn a_304_is_free_and_everything_shows_the_budget() {
    let limits = Limits { primary_per_hour: Some(3), secondary: None };
    let fake = FakeGithub::start(Options { limits, ..options(Script::hold()) }).await.unwrap();
    let caller = Caller::of(&fake, PAT);
    let id = caller.dispatch("j1").await;
    let path = format!("{REPO}/actions/runs/{id}");
    fake.wait_for_status(id, fake_github::Status::InProgress, SOON).await.unwrap();
    let first = caller.get(&path).send().await.unwrap();
    let etag = first.headers()["etag"].clone();
    assert_eq!(first.headers()["x-ratelimit-remaining"], "1");
    for _ in 0..5 {
        let again = caller.get(&path).header("if-none-match", &etag).send().await.unwrap();
        assert_eq!(
            (again.status().as_u16(), &again.headers()["x-ratelimit-remaining"]),
            (304, &"1".parse().unwrap())
        );
        assert!(again.bytes().await.unwrap().is_empty());
    }
    assert!(fake.calls().last().unwrap().if_none_match);
    fake.finish(id, fake_github::Conclusion::Success);
    let changed = caller.get(&path).header("if-none-match", &etag).send().await.unwrap();
    assert_eq!(changed.status(), 200, "the run changed");

    let refused = caller.get(&path).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.headers()["x-ratelimit-remaining"], "0");
    assert!(refused.headers()["x-ratelimit-reset"].to_str().unwrap().parse::<i64>().is_ok());
    let (status, report) = caller.json(caller.get("/rate_limit")).await;
    assert_eq!((status, report["rate"]["remaining"].as_u64()), (200, Some(0)), "asking is free");
    fake.advance_clock(chrono::TimeDelta::minutes(61));
    assert_eq!(caller.get(&path).send().await.unwrap().status(), 200, "a new window");
}

#[tokio::test]
async fn the_secondary_limit_stops_bursts_of_creations() {
    let secondary = Secondary { creations_per_minute: 2, ..Secondary::github() };
    let limits = Limits { primary_per_hour: None, secondary: Some(secondary) };
    let fake = FakeGithub::start(Options { limits, ..options(Script::hold()) }).await.unwrap();
    let caller = Caller::of(&fake, PAT);
    caller.dispatch("j1").await;
    caller.dispatch("j2").await;
    let body = json!({ "ref": "main", "inputs": { "job_id": "j3" } });
    let refused = caller.post(DISPATCH, &body).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (403, &"60".parse().unwrap()));
    assert!(refused.text().await.unwrap().contains("secondary rate limit"));
    assert_eq!(fake.dispatch_count(), 2);
    assert_eq!(caller.get(REPO).send().await.unwrap().status(), 200, "reads go on");
    fake.advance_clock(chrono::TimeDelta::seconds(61));
    caller.dispatch("j3").await;
}

#[tokio::test]
async fn an_answer_lost_after_the_effect_leaves_a_run_behind() {
    let fake = FakeGithub::start(options(Script::hold())).await.unwrap();
    let caller = Caller::of(&fake, PAT);
    let body = json!({ "ref": "main", "inputs": { "job_id": "j1" } });
    fake.inject(Fault::once("POST", "*/dispatches", FaultKind::DropAfterEffect));
    let lost = caller.post(DISPATCH, &body).send().await.unwrap_err();
    assert!(!lost.is_timeout() && !lost.is_connect(), "{lost:?}");
    assert_eq!(fake.dispatch_count(), 1);

    fake.inject(Fault::once("POST", "*/dispatches", FaultKind::HangAfterEffect));
    let hung = caller.post(DISPATCH, &body).timeout(Duration::from_millis(200)).send().await.unwrap_err();
    assert!(hung.is_timeout(), "{hung:?}");
    assert_eq!(fake.dispatch_count(), 2);
    assert_eq!(fake.calls().iter().filter(|c| c.status.is_none()).count(), 2);

    fake.inject(Fault::once("POST", "*/dispatches", FaultKind::DropBeforeEffect));
    caller.post(DISPATCH, &body).send().await.unwrap_err();
    assert_eq!(fake.dispatch_count(), 2, "nothing happened");
    caller.dispatch("j4").await;
}

#[tokio::test]
async fn scripted_answers_come_as_often_as_told() {
    let fake = FakeGithub::start(options(Script::hold())).await.unwrap();
    let caller = Caller::of(&fake, PAT);
    fake.inject(Fault::answer("POST", "*/dispatches", 502, "Server Error").times(2));
    fake.inject(fake_github::secondary_limit("POST", "*/dispatches", 7));
    let body = json!({ "ref": "main" });
    for expected in [502, 502, 403, 204] {
        let response = caller.post(DISPATCH, &body).send().await.unwrap();
        assert_eq!(response.status().as_u16(), expected);
        if expected == 403 {
            assert_eq!(response.headers()["retry-after"], "7");
        }
    }
    assert_eq!(fake.dispatch_count(), 1);
    let begun = Instant::now();
    fake.inject(Fault::once("GET", REPO, FaultKind::Delay(Duration::from_millis(60))));
    assert_eq!(caller.get(REPO).send().await.unwrap().status(), 200);
    assert!(begun.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn shutdown_ends_open_calls_and_frees_the_port() {
    let fake = FakeGithub::start(options(Script::hold())).await.unwrap();
    let caller = Caller::of(&fake, PAT);
    fake.inject(Fault::once("GET", REPO, FaultKind::HangAfterEffect));
    let open = caller.get(REPO).send();
    let stop = async {
        fake.wait_for_call(SOON, |c| c.path == REPO).await.unwrap();
        fake.shutdown().await;
    };
    let (answer, ()) = tokio::join!(open, stop);
    answer.unwrap_err();
    fake.shutdown().await;
    assert!(caller.get(REPO).send().await.unwrap_err().is_connect(), "nobody listens any more");
}

/// The fake must never be what a benchmark measures; even unoptimised it is far from it.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_two_thousand_dispatches_passes_quickly() {
    use futures::{StreamExt as _, TryStreamExt as _};
    let script = Script::success().taking(Duration::from_millis(5), Duration::from_millis(5));
    let fake = FakeGithub::start(options(script)).await.unwrap();
    let caller = Caller::of(&fake, PAT);
    let begun = Instant::now();
    let one = |n: u32| {
        let body =
            json!({ "ref": "main", "inputs": { "job_id": format!("j{n}") }, "return_run_details": true });
        caller.post(DISPATCH, &body).send()
    };
    let answers: Vec<_> =
        futures::stream::iter(0..2_000).map(one).buffer_unordered(50).try_collect().await.unwrap();
    assert!(answers.iter().all(|a| a.status() == 200));
    let took = begun.elapsed();
    println!("2,000 dispatches in {took:?}");
    assert!(took < Duration::from_secs(10), "less than 200/s: {took:?}");
    let last = fake.runs().last().unwrap().id;
    fake.wait_for_status(last, fake_github::Status::Completed, SOON).await.unwrap();
    let mut titles: Vec<String> = fake.runs().into_iter().map(|r| r.display_title).collect();
    titles.sort_unstable();
    titles.dedup();
    assert_eq!((titles.len(), fake.dispatch_count()), (2_000, 2_000));
}
