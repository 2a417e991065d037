//! Several replicas, and a replica that starts again.

use crate::rig::{Rig, STEP, target, until};
use bus::topology::{EVALUATE, JOBS, TARGETS, evaluator_hints};
use domain::decision::TargetState;
use domain::entity::VersionStatus;
use domain::job::{JobFact, TerminalStatus};
use domain::subject;
use futures::StreamExt;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_request_exactly_one_job_per_target() {
    const TARGETS: usize = 60;
    let rig = Rig::start().await;
    rig.environment("staging", TARGETS).await;
    let (one, other) = tokio::join!(rig.replica(), rig.replica());
    for tag in ["v1", "v2"] {
        rig.version(tag).await;
        let jobs = until("every target has a job", async || {
            let jobs = rig.facts_of(tag).await;
            (jobs.len() == TARGETS).then_some(jobs)
        })
        .await;
        let ends = jobs.values().map(|events| {
            let (rig, job) = (&rig, &events[0].job);
            async move { rig.end(job, TerminalStatus::Successful).await }
        });
        futures::stream::iter(ends).buffer_unordered(16).collect::<Vec<()>>().await;
        for n in 0..TARGETS {
            let runs = |decision: &domain::decision::TargetDecision| decision.state == TargetState::UpToDate;
            rig.decided("it runs", &target("staging", n), runs).await;
        }
    }
    quiet(&rig).await;
    for tag in ["v1", "v2"] {
        for (target, events) in rig.facts_of(tag).await {
            let names: Vec<&str> = events.iter().map(|event| event.fact.name()).collect();
            assert_eq!(names, ["requested", "finished"], "{tag} on {target}");
        }
    }
    let (one, other) = (one.stop(), other.stop());
    tokio::join!(one, other);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_did_not_finish_the_next_one_does() {
    let rig = Rig::start().await;
    rig.environment("staging", 1).await;
    let replica = rig.replica().await;
    rig.version("v1").await;
    let job = rig.requested("v1", &target("staging", 0)).await;
    replica.stop().await;
    // As if it had died between the decision and the request.
    let jobs = rig.bus.jetstream().get_stream(JOBS.name).await.unwrap();
    jobs.purge().await.unwrap();
    // While nobody watched.
    rig.environment("staging", 2).await;
    let replica = rig.replica().await;
    assert_eq!(rig.requested("v1", &target("staging", 0)).await, job);
    rig.requested("v1", &target("staging", 1)).await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_did_not_finish_is_taken_back_where_somebody_said_no_since() {
    let rig = Rig::start().await;
    rig.environment("staging", 1).await;
    let target = target("staging", 0);
    let replica = rig.replica().await;
    rig.version("v1").await;
    rig.requested("v1", &target).await;
    replica.stop().await;
    // As if it had died between the decision and the request.
    rig.bus.jetstream().get_stream(JOBS.name).await.unwrap().purge().await.unwrap();
    rig.version_as("v1", VersionStatus::Rejected).await;
    let replica = rig.replica().await;
    let waits =
        rig.decided("it may have been asked for", &target, |decision| decision.next_look.is_some()).await;
    assert!(rig.facts_of("v1").await.is_empty(), "it must not be asked for: {waits:?}");
    rig.hand.pass(std::time::Duration::from_secs(10));
    rig.decided("nothing is on its way", &target, |decision| decision.state == TargetState::NoVersion).await;
    let facts = rig.facts_of("v1").await;
    let names: Vec<&str> = facts[&target].iter().map(|event| event.fact.name()).collect();
    assert_eq!(names, ["finished"]);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_hints_every_target_is_still_looked_at() {
    let rig = Rig::start().await;
    rig.environment("staging", 1).await;
    let replica = rig.replica().await;
    nobody_works_hints(&rig).await;
    rig.version("v1").await;
    rig.requested("v1", &target("staging", 0)).await;
    drop(tokio::time::timeout(STEP, replica.stop()).await);
}

/// A hint may come to a replica whose clock or whose decisions are behind, or to none.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_looked_at_at_its_instant_without_any_hint() {
    let rig = Rig::start().await;
    for name in ["staging", "production"] {
        rig.environment(name, 1).await;
    }
    let soak = json!({ "environmentProgression": {
        "dependsOnEnvironmentSelector": "environment.name == 'staging'", "minimumSoakTimeMinutes": 60 } });
    rig.policy("soak", "production", soak).await;
    let replicas = [rig.replica().await, rig.replica().await];
    rig.version("v1").await;
    let job = rig.requested("v1", &target("staging", 0)).await;
    rig.end(&job, TerminalStatus::Successful).await;
    let production = target("production", 0);
    let soaks = rig.decided("it soaks", &production, |decision| decision.next_look.is_some()).await;
    let look = soaks.next_look.unwrap();
    nobody_works_hints(&rig).await;
    let nearly = look - chrono::Utc::now() - chrono::TimeDelta::seconds(1);
    rig.hand.pass(nearly.to_std().unwrap());
    let request = rig.request("v1", &production).await;
    let JobFact::Requested { grounds: Some(grounds), .. } = &request.fact else { panic!("{request:?}") };
    let late = grounds.decided_at - look;
    assert!((chrono::TimeDelta::zero()..chrono::TimeDelta::seconds(1)).contains(&late), "{late}");
    assert!(request.cause.as_ref().is_some_and(|cause| cause.contains("time came")), "{request:?}");
    for replica in replicas {
        drop(tokio::time::timeout(STEP, replica.stop()).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_on_a_newer_catalog_stays_until_this_replica_has_seen_as_much() {
    let rig = Rig::start().await;
    rig.environment("staging", 2).await;
    let replica = rig.replica().await;
    let (ahead, other) = (target("staging", 0), target("staging", 1));
    let mut decision = rig.decided("it is looked at", &ahead, |_| true).await;
    rig.decided("it is looked at", &other, |_| true).await;
    // As another replica would decide that has seen changes which this one has not.
    let seen = rig.version_as("building", VersionStatus::Building).await + 10;
    decision.catalog_revision = seen;
    let key = subject::target_key(&decision.workspace, &ahead);
    let value = serde_json::to_vec(&decision).unwrap();
    rig.bus.bucket(&TARGETS).put(&key, value.into()).await.unwrap();

    assert!(rig.version("v1").await < seen);
    let job = rig.requested("v1", &other).await;
    rig.end(&job, TerminalStatus::Successful).await;
    let later = rig.decided("v1 runs", &other, |decision| decision.state == TargetState::UpToDate).await;
    assert!((1..seen).contains(&later.catalog_revision), "{later:?}");
    assert_eq!(rig.decision(&ahead).await.as_ref(), Some(&decision), "it must not be touched");

    while rig.version_as("building", VersionStatus::Building).await < seen {}
    rig.requested("v1", &ahead).await;
    let decision = rig.decision(&ahead).await.unwrap();
    assert!(decision.catalog_revision >= seen, "{decision:?}");
    replica.stop().await;
}

/// From here on nobody can work hints any more.
async fn nobody_works_hints(rig: &Rig) {
    let stream = rig.bus.jetstream().get_stream(EVALUATE.name).await.unwrap();
    let name = evaluator_hints().name;
    until("the consumer of hints is gone", async || {
        // A server that writes down what was acked meanwhile says that it could not: what counts is what is there then.
        let said = stream.delete_consumer(&name).await.err();
        stream.consumer_info(&name).await.err().map(|gone| (said, gone))
    })
    .await;
}

/// Waits until no hint is left to be worked.
async fn quiet(rig: &Rig) {
    until("no hint is left", async || {
        let stream = rig.bus.jetstream().get_stream(EVALUATE.name).await.unwrap();
        let info = stream.consumer_info(&evaluator_hints().name).await.unwrap();
        (info.num_pending == 0 && info.num_ack_pending == 0).then_some(())
    })
    .await;
}
