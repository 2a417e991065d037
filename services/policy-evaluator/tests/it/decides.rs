//! From a change to a requested job, with one replica.

use crate::rig::{Rig, deployment, target, until, workspace};
use domain::decision::TargetState;
use domain::entity::{DeploymentDependency, OnNewVersion, VersionStatus, built_in};
use domain::id::DeploymentId;
use domain::job::{CancelReason, JobFact, TerminalStatus};
use domain::target::TargetKey;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_version_becomes_a_requested_job_and_a_decision_that_says_why() {
    let rig = Rig::start().await;
    rig.environment("staging", 1).await;
    let replica = rig.replica().await;
    let staging = target("staging", 0);
    rig.decided("the first look at all", &staging, |decision| decision.state == TargetState::NoVersion).await;
    let revision = rig.version("v1").await;
    let job = rig.requested("v1", &staging).await;
    let facts = rig.facts().await;
    assert_eq!(facts.len(), 1);
    let JobFact::Requested { catalog_revision, grounds: Some(grounds) } = &facts[0].fact else {
        panic!("{facts:?}")
    };
    assert!(*catalog_revision >= revision);
    assert!(facts[0].cause.as_ref().is_some_and(|cause| cause.contains("version")), "{facts:?}");
    let decision = rig.decision(&staging).await.unwrap();
    assert_eq!(decision.state, TargetState::Deploying);
    assert_eq!(decision.grounds(job.version).as_ref(), Some(grounds.as_ref()), "it stays with the job");
    assert_eq!(decision.active.map(|active| active.job), Some(job.id));

    rig.end(&job, TerminalStatus::Successful).await;
    rig.decided("v1 runs", &staging, |decision| decision.state == TargetState::UpToDate).await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn production_waits_for_staging_and_for_a_person() {
    let rig = Rig::start().await;
    rig.environment("staging", 2).await;
    rig.environment("production", 1).await;
    let after = json!({ "environmentProgression": { "dependsOnEnvironmentSelector": "environment.name == 'staging'" } });
    rig.policy("after-staging", "production", after).await;
    rig.policy("approved", "production", json!({ "anyApproval": { "minApprovals": 1 } })).await;
    let replica = rig.replica().await;
    rig.version("v1").await;
    let production = target("production", 0);
    rig.decided("production waits", &production, |decision| decision.state == TargetState::Waiting).await;
    for n in 0..2 {
        let job = rig.requested("v1", &target("staging", n)).await;
        rig.end(&job, TerminalStatus::Successful).await;
    }
    let waits = rig
        .decided("only the person is missing", &production, |decision| {
            let rules = &decision.considered[0].rules;
            rules.iter().filter(|rule| rule.verdict.allows()).count() == 1
        })
        .await;
    assert!(waits.summary.contains("0 of 1 approvals in production"), "{}", waits.summary);
    rig.approve("ann", "v1", "production").await;
    rig.requested("v1", &production).await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_another_deployment_is_woken_by_its_success() {
    let rig = Rig::start().await;
    rig.environment("staging", 1).await;
    rig.deployment_of("db", OnNewVersion::Wait).await;
    let db = DeploymentId::of(&workspace(), "db");
    let (web, below) = (target("staging", 0), TargetKey { deployment: db, ..target("staging", 0) });
    let needs = json!({ "deploymentDependency": { "dependsOn": "deployment.name == 'db'" } });
    rig.policy_where("database-first", "deployment.name == 'web'", needs).await;
    let replica = rig.replica().await;
    let second = "version.tag == 'd2'";
    for (on, tag, needs, rule) in [
        ("d1", "v1", json!([]), DeploymentDependency::RULE),
        ("d2", "v2", json!([{ "deployment": db, "versionSelector": second }]), built_in::VERSION_DEPENDENCY),
    ] {
        rig.version_with(json!({ "deployment": deployment(), "tag": tag, "dependencies": needs })).await;
        rig.version_with(json!({ "deployment": db, "tag": on })).await;
        let database = rig.requested(on, &below).await;
        rig.decided("it waits for the database", &web, |decision| {
            let told = decision.considered.iter().find(|told| told.tag == tag);
            let held = told.and_then(|told| told.rules.iter().find(|verdict| verdict.rule == rule));
            held.is_some_and(|verdict| !verdict.verdict.allows())
        })
        .await;
        rig.end(&database, TerminalStatus::Successful).await;
        let request = rig.request(tag, &web).await;
        // Its cause is that end, and no pass over everything.
        let woken_by = format!("job {} finished at ", database.id);
        assert!(request.cause.as_ref().is_some_and(|cause| cause.starts_with(&woken_by)), "{request:?}");
        let facts = rig.facts().await;
        let ended = facts.iter().rfind(|event| event.job.id == database.id).unwrap();
        assert!(request.at - ended.at < chrono::TimeDelta::seconds(1), "{ended:?}, then {request:?}");
        rig.end(&request.job, TerminalStatus::Successful).await;
    }
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_supersedes_the_job_in_progress() {
    let rig = Rig::start().await;
    rig.deployment(OnNewVersion::Supersede).await;
    rig.environment("staging", 1).await;
    let replica = rig.replica().await;
    rig.version("v1").await;
    let staging = target("staging", 0);
    let first = rig.requested("v1", &staging).await;
    rig.version("v2").await;
    until("v1 is asked to end", async || {
        let facts = rig.facts_of("v1").await.remove(&staging)?;
        let superseded =
            JobFact::CancelRequested { by: "policy-evaluator".to_owned(), reason: CancelReason::Superseded };
        facts.iter().any(|event| event.fact == superseded).then_some(())
    })
    .await;
    assert!(rig.facts_of("v2").await.is_empty(), "one job at a time");
    rig.end(&first, TerminalStatus::Cancelled).await;
    rig.requested("v2", &staging).await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejecting_what_runs_brings_back_what_ran_before() {
    let rig = Rig::start().await;
    rig.environment("staging", 1).await;
    let replica = rig.replica().await;
    let staging = target("staging", 0);
    for tag in ["v1", "v2"] {
        rig.version(tag).await;
        let job = rig.requested(tag, &staging).await;
        rig.end(&job, TerminalStatus::Successful).await;
        rig.decided("it runs", &staging, |decision| decision.state == TargetState::UpToDate).await;
    }
    rig.version_as("v2", VersionStatus::Rejected).await;
    rig.decided("v1 comes back", &staging, |decision| {
        decision.active.as_ref().is_some_and(|active| (active.tag.as_str(), active.attempt) == ("v1", 2))
    })
    .await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_alone_is_enough() {
    let rig = Rig::start().await;
    rig.environment("staging", 1).await;
    let rule = json!({ "anyApproval": { "minApprovals": 1, "expiresAfterSeconds": 2 } });
    rig.policy("approved", "staging", rule).await;
    let replica = rig.replica().await;
    let staging = target("staging", 0);
    rig.version("v1").await;
    rig.approve("ann", "v1", "staging").await;
    rig.requested("v1", &staging).await;
    rig.version("v2").await;
    rig.approve("ann", "v2", "staging").await;
    let wants = |tag: &'static str| {
        move |decision: &domain::decision::TargetDecision| {
            decision.desired.as_ref().is_some_and(|desired| desired.tag == tag)
        }
    };
    let waits = rig.decided("v2 waits for the job of v1", &staging, wants("v2")).await;
    let look = waits.next_look.expect("the approval expires");
    let expired = rig.decided("the approval has expired", &staging, wants("v1")).await;
    assert!(expired.decided_at >= look, "not before its time");
    assert!(expired.cause.is_some_and(|cause| cause.contains("time came")));
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_deselected_is_gone_and_one_that_comes_is_served() {
    let rig = Rig::start().await;
    rig.environment("staging", 1).await;
    let replica = rig.replica().await;
    rig.version("v1").await;
    rig.requested("v1", &target("staging", 0)).await;
    rig.environment("staging", 2).await;
    rig.requested("v1", &target("staging", 1)).await;
    let key = domain::entity::CatalogKey {
        workspace: crate::rig::workspace(),
        kind: domain::entity::Kind::Resource,
        id: target("staging", 0).resource.0,
    };
    rig.bus.bucket(&bus::topology::CATALOG).delete(&key.to_string()).await.unwrap();
    rig.decided("it is gone", &target("staging", 0), |decision| decision.state == TargetState::Gone).await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soak_ends_by_the_clock_and_a_restart_finds_its_timer_again() {
    let rig = Rig::start().await;
    rig.environment("staging", 1).await;
    rig.environment("production", 2).await;
    let staging = "environment.name == 'staging'";
    let rule = json!({ "environmentProgression": {
        "dependsOnEnvironmentSelector": staging, "minimumSoakTimeMinutes": 60 } });
    rig.policy("soak", "production", rule).await;
    let rollout = json!({ "gradualRollout": { "timeScaleInterval": 7200 } });
    rig.policy("slow", "production", rollout).await;
    let replica = rig.replica().await;
    rig.version("v1").await;
    let job = rig.requested("v1", &target("staging", 0)).await;
    rig.end(&job, TerminalStatus::Successful).await;
    let soaks = |decision: &domain::decision::TargetDecision| decision.next_look.is_some();
    let mut looks = Vec::new();
    for n in 0..2 {
        looks.push(rig.decided("it soaks", &target("production", n), soaks).await.next_look.unwrap());
    }
    let hour = std::time::Duration::from_secs(3600);
    rig.hand.pass(hour);
    // One of the two has the first turn; the other's comes two hours later, when nobody is there.
    let started = until("the first turn came", async || {
        let facts = rig.facts_of("v1").await;
        (0..2).find(|n| facts.contains_key(&target("production", *n)))
    })
    .await;
    let (first, second) = (target("production", started), target("production", 1 - started));
    assert!(rig.decision(&first).await.unwrap().decided_at >= looks[started], "not before its time");
    let waits = rig.decided("its turn is told", &second, |decision| {
        decision.next_look.is_some_and(|look| look > looks[1 - started])
    });
    let look = waits.await.next_look.unwrap();
    replica.stop().await;
    rig.hand.pass(hour * 2);
    let replica = rig.replica().await;
    rig.requested("v1", &second).await;
    assert!(rig.decision(&second).await.unwrap().decided_at >= look, "not before its time");
    replica.stop().await;
}
