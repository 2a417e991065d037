//! The process dies right before and right after each durable effect, starts again, and the story ends the same.

use crate::rig::{Rig, STEP, target, until};
use domain::entity::OnNewVersion;
use domain::job::{JobFact, TerminalStatus};
use futures::StreamExt;
use policy_evaluator::CRASH_POINTS;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use tokio::process::{Child, Command};

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_anywhere_leaves_one_job_per_decision() {
    // Those of runs are passed by their own story.
    let points = CRASH_POINTS.iter().filter(|point| !point.starts_with("policy-evaluator.run-"));
    futures::stream::iter(points).for_each_concurrent(2, |point| survives(point)).await;
}

async fn survives(point: &str) {
    let rig = Rig::start().await;
    rig.deployment(OnNewVersion::Supersede).await;
    rig.environment("staging", 1).await;
    rig.trigger("v1").await;
    let staging = target("staging", 0);

    let mut dying = evaluator(&rig, Some(point));
    rig.event("first", "v1").await;
    // Changes keep coming until the point was reached: those made before the replica was live need no hint.
    let poking = async {
        let mut second = false;
        loop {
            if !second && !rig.facts_of("v1").await.is_empty() {
                rig.version("v2").await;
                second = true;
            }
            rig.environment("staging", 1).await;
            if let Some(died) = dying.try_wait().unwrap() {
                return died;
            }
        }
    };
    let died = tokio::time::timeout(STEP, poking).await.unwrap_or_else(|_| panic!("{point} is not reached"));
    assert_eq!(died.signal(), Some(6), "{point}: it aborted: {died:?}");

    let mut living = evaluator(&rig, None);
    let first = rig.requested("v1", &staging).await;
    rig.version("v2").await;
    until(&format!("{point}: v1 makes way"), async || {
        let facts = rig.facts_of("v1").await.remove(&staging)?;
        facts.iter().any(|event| matches!(event.fact, JobFact::CancelRequested { .. })).then_some(())
    })
    .await;
    rig.end(&first, TerminalStatus::Cancelled).await;
    let next = rig.requested("v2", &staging).await;
    rig.end(&next, TerminalStatus::Successful).await;
    rig.decided("v2 runs", &staging, |decision| {
        decision.current.as_ref().is_some_and(|current| current.tag == "v2")
    })
    .await;

    let told = |events: &[domain::job::JobEvent]| -> Vec<&'static str> {
        events.iter().map(|event| event.fact.name()).collect()
    };
    assert_eq!(
        told(&rig.facts_of("v1").await[&staging]),
        ["requested", "cancelRequested", "finished"],
        "{point}"
    );
    assert_eq!(told(&rig.facts_of("v2").await[&staging]), ["requested", "finished"], "{point}");
    living.kill().await.unwrap();
}

/// The evaluator as a process of its own.
pub(crate) fn evaluator(rig: &Rig, crash_at: Option<&str>) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy-evaluator"));
    command
        .env("CTRLPLANE_NATS__URL", rig.servers.nats.url())
        .env("CTRLPLANE_HTTP__BIND", "127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if let Some(point) = crash_at {
        command.env("CTRLPLANE_CRASH_AT", point);
    }
    command.spawn().unwrap()
}
