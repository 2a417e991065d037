//! A freeze that was confirmed stops whatever has not started, and nothing else; what it held goes on when it thaws.

use crate::rig::{Rig, acme, job, until};
use bus::topology::{CATALOG, SLOTS};
use domain::entity::Kind;
use domain::id::{JobId, PolicyId};
use domain::job::{
    CancelReason, ExternalRef, HeldWhy, JobFact, Links, Phase, Purpose, Reason, TerminalStatus,
};
use domain::subject;
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

const HOUR: Duration = Duration::from_secs(3600);

fn production() -> serde_json::Value {
    json!({ "selector": "environment.name == 'production'" })
}

fn sent_back() -> JobFact {
    let reason = "a freeze was declared or lifted since the dispatch".to_owned();
    JobFact::Held { why: HeldWhy::Freeze { freeze: None, reason, until: None } }
}

fn run() -> JobFact {
    let external = ExternalRef {
        platform: "github-app".parse().unwrap(),
        host: "github.test".into(),
        scope: "acme/shop".into(),
        id: "1".into(),
        attempt: 1,
        url: None,
    };
    JobFact::Triggered { external, links: Links::new() }
}

fn over() -> JobFact {
    JobFact::ended(TerminalStatus::Failure, None, "the test says so")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_stops_what_it_selects_until_it_is_deleted() {
    let rig = Rig::start().await;
    let replica = rig.replica().await;
    let declared = rig.freeze("sale", production()).await;
    let (held, free) = (rig.request(1, "production").await, rig.request(1, "staging").await);
    assert_eq!(rig.dispatched(&free).await.freezes_seen, declared);
    let state = rig.frozen(&held, "sale").await;
    assert_eq!(
        (state.reason, state.message.as_deref()),
        (Some(Reason::Frozen), Some("frozen: sale it is (sale)"))
    );
    assert!(rig.commands(&held).await.is_empty());

    let lifted = rig.thaw("sale").await;
    assert_eq!(rig.dispatched(&held).await.freezes_seen, lifted);
    assert_eq!(rig.facts(&held).await, ["requested", "held", "dispatched"]);
    assert_eq!(rig.commands(&held).await.len(), 1);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_thaws_by_itself_at_its_end_and_not_before() {
    let rig = Rig::start().await;
    let replica = rig.replica().await;
    let ends = rig.after(8 * HOUR);
    rig.freeze("night", json!({ "until": ends })).await;
    let held = rig.request(1, "production").await;
    let state = rig.frozen(&held, "night").await;
    assert!(matches!(state.phase, Phase::Held { why: HeldWhy::Freeze { until, .. } } if until == Some(ends)));
    rig.hand.pass(7 * HOUR);
    // Who asks only now is held as well, so the clock was looked at.
    let late = rig.request(2, "production").await;
    rig.frozen(&late, "night").await;
    assert_eq!(rig.facts(&held).await, ["requested", "held"]);
    rig.hand.pass(HOUR);
    for job in [&held, &late] {
        rig.dispatched(job).await;
        assert_eq!(rig.facts(job).await, ["requested", "held", "dispatched"]);
    }
    replica.stop().await;
}

/// The freeze is confirmed, and no replica has folded it yet: the dispatch waits for that instead of slipping through.
#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_whose_catalog_lags_waits() {
    let rig = Rig::start().await;
    let replica = rig.replica().await;
    let next = rig.bus.bucket(&CATALOG).put("acme.freeze.not-an-id", "{}".into()).await.unwrap() + 1;
    rig.freezes.note(&acme(), next).await.unwrap();
    let held = rig.request(1, "production").await;
    let other = rig.request(2, "staging").await;
    tokio::time::timeout(Duration::from_millis(300), rig.dispatched(&other)).await.unwrap_err();
    assert_eq!(rig.facts(&held).await, ["requested"]);
    assert_eq!(rig.declare("sale", production()).await, next);
    rig.frozen(&held, "sale").await;
    rig.dispatched(&other).await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_sends_back_is_held_or_dispatched_anew() {
    let rig = Rig::start().await;
    let replica = rig.replica().await;
    let (hit, missed) = (rig.request(1, "production").await, rig.request(1, "staging").await);
    for job in [&hit, &missed] {
        assert_eq!(rig.dispatched(job).await.freezes_seen, 0);
    }
    let declared = rig.freeze("sale", production()).await;
    for job in [&hit, &missed] {
        rig.record(job, sent_back()).await;
    }
    rig.frozen(&hit, "sale").await;
    let anew = rig.dispatched(&missed).await;
    assert_eq!((anew.freezes_seen, rig.commands(&missed).await.len()), (declared, 2));
    rig.thaw("sale").await;
    rig.dispatched(&hit).await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_to_come_is_told_to_the_agent_and_holds_when_it_has_begun() {
    let rig = Rig::start().await;
    let replica = rig.replica().await;
    let (begins, ends) = (rig.after(HOUR), rig.after(3 * HOUR));
    rig.freeze("night", json!({ "from": begins, "until": ends })).await;
    let job = rig.request(1, "production").await;
    assert_eq!(rig.dispatched(&job).await.freeze_begins_at, Some(begins));
    rig.hand.pass(HOUR);
    rig.record(&job, sent_back()).await;
    rig.frozen(&job, "night").await;
    rig.hand.pass(2 * HOUR);
    let anew = rig.dispatched(&job).await;
    assert_eq!(anew.freeze_begins_at, None);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_started_is_not_touched() {
    let rig = Rig::start().await;
    let replica = rig.replica().await;
    let started = rig.request(1, "production").await;
    rig.dispatched(&started).await;
    rig.record(&started, JobFact::TriggerStarted { fence: 1 }).await;
    rig.freeze("sale", production()).await;
    let held = rig.request(2, "production").await;
    rig.frozen(&held, "sale").await;
    rig.record(&started, run()).await;
    rig.thaw("sale").await;
    rig.dispatched(&held).await;
    assert_eq!(rig.facts(&started).await, ["requested", "dispatched", "triggerStarted", "triggered"]);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_job_holds_no_slot_and_asks_again_when_it_thaws() {
    let rig = Rig::start().await;
    rig.agent(Some(1)).await;
    let replica = rig.replica().await;
    let first = rig.request(1, "production").await;
    rig.dispatched(&first).await;
    let waiting: Vec<_> = [rig.request(2, "production").await, rig.request(3, "production").await].into();
    for job in &waiting {
        until("it waits for the slot", async || {
            matches!(rig.state(job).await.phase, Phase::Held { why: HeldWhy::Concurrency { .. } })
                .then_some(())
        })
        .await;
    }
    rig.freeze("sale", production()).await;
    // Its slot goes from one frozen job to the next, and then is free for somebody else.
    rig.record(&first, over()).await;
    for job in &waiting {
        rig.frozen(job, "sale").await;
    }
    let other = rig.request(1, "staging").await;
    rig.dispatched(&other).await;
    rig.thaw("sale").await;
    for job in &waiting {
        until("it waits for the slot again", async || {
            matches!(rig.state(job).await.phase, Phase::Held { why: HeldWhy::Concurrency { .. } })
                .then_some(())
        })
        .await;
    }
    rig.record(&other, over()).await;
    // They ask again at once, so either may be the first.
    let next = until("one of them has the slot", async || {
        for (n, job) in waiting.iter().enumerate() {
            if rig.state(job).await.phase == Phase::Dispatched {
                return Some(n);
            }
        }
        None
    })
    .await;
    rig.record(&waiting[next], over()).await;
    rig.dispatched(&waiting[1 - next]).await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_thaw_each_job_once() {
    let rig = Rig::start().await;
    let replicas = [rig.replica().await, rig.replica().await];
    rig.freeze("sale", production()).await;
    let mut jobs = Vec::new();
    for number in 1..=20 {
        jobs.push(rig.request(number, "production").await);
    }
    for job in &jobs {
        rig.frozen(job, "sale").await;
    }
    rig.thaw("sale").await;
    for job in &jobs {
        rig.dispatched(job).await;
    }
    for job in &jobs {
        assert_eq!(rig.facts(job).await, ["requested", "held", "dispatched"]);
        assert_eq!(rig.commands(job).await.len(), 1);
    }
    for replica in replicas {
        replica.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_thawed_while_nobody_ran_goes_on_at_the_start() {
    let rig = Rig::start().await;
    let replica = rig.replica().await;
    rig.freeze("sale", production()).await;
    let held = rig.request(1, "production").await;
    rig.frozen(&held, "sale").await;
    replica.stop().await;
    rig.thaw("sale").await;
    let replica = rig.replica().await;
    rig.dispatched(&held).await;
    // Once it has started it is no concern of freezes any more, and leaves the list at the next look.
    rig.record(&held, JobFact::TriggerStarted { fence: 1 }).await;
    rig.freeze("sale", production()).await;
    until("the list is empty", async || {
        rig.bus.bucket(&SLOTS).list("acme.frozen.*").await.unwrap().is_empty().then_some(())
    })
    .await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_run_again_under_a_freeze_and_its_run_is_when_it_thaws() {
    let rig = Rig::start().await;
    let replica = rig.replica().await;
    let job = rig.request(1, "production").await;
    rig.dispatched(&job).await;
    for fact in [JobFact::TriggerStarted { fence: 1 }, run(), over()] {
        rig.record(&job, fact).await;
    }
    rig.freeze("sale", production()).await;
    rig.record(&job, JobFact::RetryRequested { by: "ann".into() }).await;
    rig.frozen(&job, "sale").await;
    rig.thaw("sale").await;
    let again = rig.dispatched(&job).await;
    assert_eq!(again.rerun_of.map(|run| run.attempt), Some(1));
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_job_can_be_cancelled_and_a_verification_is_not_frozen() {
    let rig = Rig::start().await;
    let replica = rig.replica().await;
    rig.freeze("sale", json!({})).await;
    let cancelled = rig.request(1, "production").await;
    rig.frozen(&cancelled, "sale").await;
    rig.record(&cancelled, JobFact::CancelRequested { by: "ann".into(), reason: CancelReason::User }).await;
    until("it is cancelled", async || rig.state(&cancelled).await.is_finished().then_some(())).await;

    let policy = PolicyId::of(&acme(), "measure");
    let sleep = json!({ "type": "sleep", "durationSeconds": 1 });
    let rule = json!({ "verification": { "metrics": [{ "name": "rest", "provider": sleep }] } });
    rig.put(Kind::Policy, "measure", policy.0, json!({ "selector": "true", "rules": [rule] })).await;
    let mut verification = job(2, "production");
    verification.purpose = Purpose::Verify { of: JobId(Uuid::nil()), policy, rule_index: 0 };
    rig.record(&verification, JobFact::Requested { catalog_revision: 1, grounds: None }).await;
    rig.dispatched(&verification).await;

    rig.thaw("sale").await;
    let after = rig.request(3, "production").await;
    rig.dispatched(&after).await;
    assert!(rig.commands(&cancelled).await.is_empty());
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_that_cannot_be_evaluated_or_read_freezes() {
    let rig = Rig::start().await;
    let replica = rig.replica().await;
    rig.freeze("odd", json!({ "selector": "resource.metadata.zone == 'x'" })).await;
    let held = rig.request(1, "production").await;
    let state = until("it is held", async || {
        let state = rig.state(&held).await;
        matches!(state.phase, Phase::Held { .. }).then_some(state)
    })
    .await;
    let message = state.message.unwrap();
    assert!(message.contains("the selector of freeze odd") && message.contains("zone"), "{message}");
    let unreadable = format!("acme.{}.{}", Kind::Freeze.token(), Uuid::nil());
    let revision = rig.bus.bucket(&CATALOG).put(&unreadable, "{}".into()).await.unwrap();
    rig.freezes.note(&acme(), revision).await.unwrap();
    rig.thaw("odd").await;
    let other = rig.request(2, "staging").await;
    until("the other is held, too", async || {
        rig.state(&other).await.message.filter(|message| message.contains("cannot be read"))
    })
    .await;
    let revision = rig.bus.bucket(&CATALOG).delete(&unreadable).await.unwrap();
    rig.freezes.note(&acme(), revision).await.unwrap();
    rig.dispatched(&held).await;
    rig.dispatched(&other).await;
    replica.stop().await;
}

/// A history that cannot be read, and a list with a key and a value that say nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_job_that_cannot_be_read_keeps_no_other_frozen() {
    let rig = Rig::start().await;
    let replica = rig.replica().await;
    rig.freeze("sale", production()).await;
    let mut jobs = Vec::new();
    for number in 1..=5 {
        let job = rig.request(number, "production").await;
        rig.frozen(&job, "sale").await;
        jobs.push(job);
    }
    let broken = jobs.remove(0);
    rig.bus
        .publish_json(subject::job(&acme(), broken.id), &json!({ "type": "gibberish" }), None)
        .await
        .unwrap();
    let slots = rig.bus.bucket(&SLOTS);
    slots.put("acme.frozen.nobody", "{}".into()).await.unwrap();
    slots.put(&format!("acme.frozen.{}", jobs[0].id), "gibberish".into()).await.unwrap();
    until("what is wrong with it is a dead letter", async || {
        let dead = bus::dead::list(&rig.bus, 0, 10).await.unwrap();
        dead.iter().any(|letter| letter.subject == subject::job(&acme(), broken.id)).then_some(())
    })
    .await;

    rig.thaw("sale").await;
    for job in &jobs {
        rig.dispatched(job).await;
    }
    let listed = rig.bus.bucket(&SLOTS).list(&format!("acme.frozen.{}", broken.id)).await.unwrap();
    assert_eq!(listed.len(), 1, "it stays noted until somebody mends it");
    assert!(rig.commands(&broken).await.is_empty());
    // The next ones are served as well, and so is the next freeze.
    rig.freeze("sale", production()).await;
    let next = rig.request(6, "production").await;
    rig.frozen(&next, "sale").await;
    rig.thaw("sale").await;
    rig.dispatched(&next).await;
    replica.stop().await;
}

/// Each job is a key: one that is noted does not write the others again.
#[tokio::test(flavor = "multi_thread")]
async fn each_frozen_job_is_noted_by_itself() {
    let rig = Rig::start().await;
    let replica = rig.replica().await;
    rig.freeze("sale", production()).await;
    let slots = rig.bus.bucket(&SLOTS);
    let first = rig.request(1, "production").await;
    rig.frozen(&first, "sale").await;
    let noted = slots.list("acme.frozen.*").await.unwrap();
    let second = rig.request(2, "production").await;
    rig.frozen(&second, "sale").await;
    // Another freeze ends, and both are looked at again: they are held for the same reason.
    rig.freeze("night", json!({ "selector": "environment.name == 'staging'" })).await;
    rig.thaw("night").await;
    let third = rig.request(3, "production").await;
    rig.frozen(&third, "sale").await;
    let all = slots.list("acme.frozen.*").await.unwrap();
    let keys: Vec<&str> = all.iter().map(|(key, _)| key.as_str()).collect();
    let expected = [&first, &second, &third].map(|job| format!("acme.frozen.{}", job.id));
    assert_eq!((keys, &all[..1]), (expected.iter().map(String::as_str).collect(), &noted[..]));
    replica.stop().await;
}
