//! The process dies right before and right after each durable effect, starts again, and the verification ends the same: every
//! measurement counts once.

use crate::rig::{Rig, SECRET, SOON};
use agent_verification::CRASH_POINTS;
use domain::job::JobStatus;
use futures::StreamExt as _;
use serde_json::json;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use tokio::process::{Child, Command};

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_anywhere_counts_no_measurement_twice_and_loses_none() {
    futures::stream::iter(CRASH_POINTS).for_each_concurrent(3, |point| survives(point)).await;
}

async fn survives(point: &str) {
    let rig = Rig::start().await;
    let mut dying = agent(&rig, Some(&format!("{point}#2")));
    let job = rig.dispatch(json!([rig.metric("home", 3)])).await;
    let died =
        tokio::time::timeout(SOON, dying.wait()).await.unwrap_or_else(|_| panic!("{point} is not reached"));
    assert_eq!(died.unwrap().signal(), Some(6), "{point}: it aborted");
    if ["verification.claimed.after", "verification.measured.before"].contains(&point) {
        let record = rig.stored(&job).await.unwrap();
        assert!(record["claims"]["0"].is_object(), "{point}: it died with a claim: {record}");
    }

    let mut living = agent(&rig, None);
    let known = rig.over(&job).await;
    assert_eq!(known.state.status(), JobStatus::Successful, "{point}: {known:?}");
    let record = rig.stored(&job).await.unwrap();
    assert_eq!(record["course"]["metrics"][0]["measured"], 3, "{point}");
    // Whoever dies between asking and storing has asked in vain: it is asked once more, and counted once.
    // So may have whoever died telling, while measuring went on beside it.
    let asked = rig.measured.asked();
    let in_vain = match point {
        "verification.measured.before" => asked == 4,
        "verification.told.before" | "verification.told.after" => (3..=4).contains(&asked),
        _ => asked == 3,
    };
    assert!(in_vain, "{point}: asked {asked} times");
    let facts = rig.facts(&job).await;
    let ends = facts.iter().filter(|event| event.fact.name() == "finished").count();
    assert_eq!(ends, 1, "{point}");
    living.kill().await.unwrap();
    let log = std::fs::read_to_string(rig.log()).unwrap();
    assert!(log.contains("verification"), "it logs");
    assert!(!log.contains(SECRET), "{point}: a secret was logged");
}

/// The agent as a process of its own.
fn agent(rig: &Rig, crash_at: Option<&str>) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(rig.log()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent-verification"));
    command
        .env("CTRLPLANE_NATS__URL", rig.nats.url())
        .env("CTRLPLANE_NATS__ACK_WAIT_SECONDS", "1")
        .env("CTRLPLANE_HTTP__BIND", "127.0.0.1:0")
        .env("CTRLPLANE_NETWORKS", "127.0.0.0/8")
        .env("CTRLPLANE_SECRET_VAR_ACME_TOKEN", SECRET)
        .env("CTRLPLANE_LOG__FILTER", "debug")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .kill_on_drop(true);
    if let Some(point) = crash_at {
        command.env("CTRLPLANE_CRASH_AT", point);
    }
    command.spawn().unwrap()
}
