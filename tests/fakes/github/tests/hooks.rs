//! Deliveries: signed, in order, listed, redelivered on demand, and going wrong as told.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod support;

use std::time::Duration;

use fake_github::{Conclusion, FakeGithub, HookChaos, HookFault, HookFaultKind, Options, Script};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use support::{Caller, PAT, Receiver, SECRET, SOON, app_jwt, options};

const WHOLE_STORY: [&str; 6] = [
    "workflow_run.requested",
    "workflow_job.queued",
    "workflow_run.in_progress",
    "workflow_job.in_progress",
    "workflow_job.completed",
    "workflow_run.completed",
];

async fn started(script: Script) -> (FakeGithub, Receiver, Caller) {
    let receiver = Receiver::start().await;
    let options = Options { webhook: Some(receiver.webhook()), ..options(script) };
    let fake = FakeGithub::start(options).await.unwrap();
    let caller = Caller::of(&fake, PAT);
    (fake, receiver, caller)
}

async fn completed(fake: &FakeGithub) {
    let last =
        |d: &fake_github::Delivery| d.event == "workflow_run" && d.action.as_deref() == Some("completed");
    fake.wait_for_delivery(SOON, last).await.unwrap();
}

#[tokio::test]
async fn a_run_is_told_in_order_and_signed() {
    let (fake, receiver, caller) = started(Script::success()).await;
    let id = caller.dispatch("j1").await;
    completed(&fake).await;
    assert_eq!(receiver.story(), WHOLE_STORY);
    let mut guids = Vec::new();
    for (headers, body) in receiver.got() {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(&body);
        let expected = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        assert_eq!(headers["x-hub-signature-256"], expected);
        assert!(headers["user-agent"].to_str().unwrap().starts_with("GitHub-Hookshot/"));
        guids.push(headers["x-github-delivery"].clone());
        let payload: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(payload["repository"]["full_name"], "acme/shop");
        assert_eq!(payload["installation"]["id"], 52_000_001);
    }
    guids.dedup();
    assert_eq!(guids.len(), 6, "each its own GUID");
    let (_, last) = receiver.got().pop().unwrap();
    let run = &serde_json::from_slice::<Value>(&last).unwrap()["workflow_run"];
    assert_eq!((run["id"].as_u64(), run["conclusion"].as_str()), (Some(id), Some("success")));
    assert_eq!((run["display_title"].as_str(), run["run_attempt"].as_u64()), (Some("deploy j1"), Some(1)));
}

#[tokio::test]
async fn a_push_moves_the_branch() {
    let (fake, receiver, caller) = started(Script::hold()).await;
    let sha = "0123456789abcdef0123456789abcdef01234567";
    let (guid, status) = fake.push("acme/shop", "main", sha, "Fix the till").await.unwrap();
    assert_eq!(status, 202);
    let (headers, body) = receiver.got().pop().unwrap();
    assert_eq!(
        (&headers["x-github-event"], headers["x-github-delivery"].to_str().unwrap()),
        (&"push".parse().unwrap(), guid.as_str())
    );
    let payload: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((payload["ref"].as_str(), payload["after"].as_str()), (Some("refs/heads/main"), Some(sha)));
    assert_eq!(payload["head_commit"]["message"], "Fix the till");
    let id = caller.dispatch("j1").await;
    assert_eq!(fake.run(id).unwrap().head_sha, sha);
    fake.push("acme/none", "main", sha, "x").await.unwrap_err();
    assert_eq!(fake.redeliver(&guid).await.unwrap(), 202);
    let again =
        receiver.got().into_iter().filter(|(h, b)| h["x-github-delivery"] == *guid && *b == body).count();
    assert_eq!(again, 2, "the same bytes under the same GUID");
}

#[tokio::test]
async fn a_lost_delivery_is_listed_and_comes_when_asked_for() {
    let (fake, receiver, caller) = started(Script::success()).await;
    fake.inject_hook(HookFault::once("workflow_run", "completed", HookFaultKind::Drop));
    caller.dispatch("j1").await;
    completed(&fake).await;
    assert_eq!(receiver.story(), WHOLE_STORY[..5], "never by itself");
    let app = Caller::of(&fake, &app_jwt("4711", 540));
    let (_, list) = app.json(app.get("/app/hook/deliveries?status=failure&per_page=10")).await;
    assert_eq!((list.as_array().unwrap().len(), list[0]["action"].as_str()), (1, Some("completed")));
    let path = format!("/app/hook/deliveries/{}/attempts", list[0]["id"]);
    assert_eq!(app.json(app.post(&path, &json!({}))).await.0, 202);
    let delivery = fake.wait_for_delivery(SOON, |d| d.redelivery).await.unwrap();
    assert_eq!((delivery.status_code, Some(delivery.guid.as_str())), (202, list[0]["guid"].as_str()));
    assert_eq!(receiver.story(), WHOLE_STORY);
}

#[tokio::test]
async fn the_delivery_list_pages_newest_first() {
    let (fake, _receiver, _) = started(Script::success()).await;
    for n in 0..3 {
        fake.send_event("ping", &json!({ "zen": n })).await.unwrap();
    }
    let app = Caller::of(&fake, &app_jwt("4711", 540));
    let first = app.get("/app/hook/deliveries?per_page=2").send().await.unwrap();
    let link = first.headers()["link"].to_str().unwrap().to_owned();
    let next = link.split(['<', '>']).nth(1).unwrap().strip_prefix(&fake.base_url()).unwrap().to_owned();
    let (_, second) = app.json(app.get(&next)).await;
    let oldest = fake.deliveries()[0].id;
    assert_eq!((second.as_array().unwrap().len(), second[0]["id"].as_u64()), (1, Some(oldest)));
}

#[tokio::test]
async fn deliveries_repeat_swap_and_linger_as_told() {
    let (fake, receiver, caller) = started(Script::hold()).await;
    fake.inject_hook(HookFault::once("workflow_run", "requested", HookFaultKind::Repeat(1)));
    fake.inject_hook(HookFault::once("workflow_run", "in_progress", HookFaultKind::Reorder));
    let linger = HookFaultKind::Delay(Duration::from_millis(50));
    fake.inject_hook(HookFault::once("workflow_job", "completed", linger));
    let id = caller.dispatch("j1").await;
    fake.wait_for_status(id, fake_github::Status::InProgress, SOON).await.unwrap();
    fake.finish(id, Conclusion::TimedOut);
    let late =
        |d: &fake_github::Delivery| d.event == "workflow_job" && d.action.as_deref() == Some("completed");
    fake.wait_for_delivery(SOON, late).await.unwrap();
    let expected = [
        "workflow_run.requested",
        "workflow_run.requested",
        "workflow_job.queued",
        "workflow_job.in_progress",
        "workflow_run.in_progress",
        "workflow_run.completed",
        "workflow_job.completed",
    ];
    assert_eq!(receiver.story(), expected);
}

#[tokio::test]
async fn a_swapped_delivery_that_nobody_overtakes_still_goes_out() {
    let (fake, receiver, caller) = started(Script::success()).await;
    fake.inject_hook(HookFault::once("workflow_run", "completed", HookFaultKind::Reorder));
    caller.dispatch("j1").await;
    completed(&fake).await;
    assert_eq!(receiver.story(), WHOLE_STORY);
}

#[tokio::test]
async fn chaos_loses_no_delivery_silently() {
    let (fake, _receiver, caller) = started(Script::success()).await;
    let delay_max = Duration::from_millis(30);
    fake.set_hook_chaos(HookChaos { drop: 0.2, repeat: 0.2, reorder: 0.2, delay: 0.2, delay_max });
    for n in 0..20 {
        caller.dispatch(&format!("j{n}")).await;
    }
    // The story of each run has six events; whatever happens to them, each is in the list.
    let seen = std::cell::RefCell::new(std::collections::HashSet::new());
    let all = |d: &fake_github::Delivery| {
        seen.borrow_mut().insert(d.guid.clone());
        seen.borrow().len() == 120
    };
    fake.wait_for_delivery(SOON, all).await.unwrap();
    let failed = fake.deliveries().iter().filter(|d| d.failed()).count();
    assert!((5..60).contains(&failed), "{failed} of about 120 at 20 %");
}

#[tokio::test]
async fn nobody_is_told_when_nobody_listens() {
    let (fake, receiver, caller) = started(Script::success()).await;
    fake.set_webhook(None);
    let id = caller.dispatch("j1").await;
    fake.wait_for_status(id, fake_github::Status::Completed, SOON).await.unwrap();
    fake.push("acme/shop", "main", "x", "y").await.unwrap_err();
    fake.set_webhook(Some(receiver.webhook()));
    fake.send_event("ping", &json!({ "zen": "Speak like a human." })).await.unwrap();
    assert_eq!(receiver.story(), ["ping.-"]);
}

/// A burst is told in full and per run in order, fast enough never to be what a benchmark measures.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_told_completely() {
    use futures::StreamExt as _;
    const RUNS: usize = 500;
    let (fake, receiver, caller) = started(Script::success()).await;
    let names: Vec<String> = (0..RUNS).map(|n| format!("j{n}")).collect();
    let begun = std::time::Instant::now();
    futures::stream::iter(&names)
        .map(|name| caller.dispatch(name))
        .buffer_unordered(32)
        .collect::<Vec<_>>()
        .await;
    for run in fake.runs() {
        let last = |d: &fake_github::Delivery| {
            d.run_id == Some(run.id) && d.event == "workflow_run" && d.action.as_deref() == Some("completed")
        };
        fake.wait_for_delivery(SOON, last).await.unwrap();
    }
    println!("{} deliveries in {:?}", RUNS * 6, begun.elapsed());
    assert_eq!(receiver.got().len(), RUNS * 6);
    let mut by_run = std::collections::HashMap::<u64, Vec<String>>::new();
    for delivery in fake.deliveries() {
        let line = format!("{}.{}", delivery.event, delivery.action.unwrap());
        by_run.entry(delivery.run_id.unwrap()).or_default().push(line);
    }
    assert!(by_run.values().all(|story| *story == WHOLE_STORY));
}
