//! This service is no `Platform`: it makes no call, so the suite of shared/platform has nothing to call. What the suite holds of
//! the others is held of this one by the tests that ARCHITECTURE.md names, point by point.

use crate::rig::{KEY, Rig};
use agent_http_pull::Settings;
use domain::job::{ActiveStatus, CancelReason, JobStatus, Phase};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::path::{Path, PathBuf};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_that_comes_too_late_does_not_change_how_the_job_ended() {
    let rig = Rig::start().await;
    let (_service, puller) = rig.replica(Settings::default()).await;
    let job = rig.dispatch().await;
    rig.waiting(&job, 1).await;
    puller.claimed(&job, json!({ "by": "one" })).await;
    rig.cancel(&job, CancelReason::User).await;
    assert_eq!(puller.report(&job, json!({ "fence": 1, "status": "successful" })).await.0, 200);
    assert_eq!(rig.over(&job).await.state.status(), JobStatus::Successful);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_withdrawn_does_not_end_a_running_job() {
    let rig = Rig::start().await;
    let (_service, puller) = rig.replica(Settings::default()).await;
    let job = rig.dispatch().await;
    rig.waiting(&job, 1).await;
    puller.claimed(&job, json!({ "by": "one", "leaseSeconds": 300 })).await;
    rig.key_secret("db").await;
    rig.until("the key opens nothing", async || {
        (puller.heartbeat(&job, json!({ "fence": 1 })).await.0 == 401).then_some(())
    })
    .await;
    assert_eq!(puller.report(&job, json!({ "fence": 1, "status": "failure" })).await.0, 401);
    assert_eq!(rig.known(&job).await.state.phase, Phase::Running { status: ActiveStatus::InProgress });
    rig.key_secret("runner-key").await;
    let puller = puller.with_key(KEY);
    rig.until("the key opens the agent again", async || {
        (puller.heartbeat(&job, json!({ "fence": 1 })).await.0 == 200).then_some(())
    })
    .await;
    assert_eq!(puller.report(&job, json!({ "fence": 1, "status": "successful" })).await.0, 200);
    assert_eq!(rig.over(&job).await.state.status(), JobStatus::Successful);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every name of a function in the Rust files below.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, names);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = read_to_string(&path).unwrap();
            let found = text.lines().filter_map(|line| line.trim_start().split_once("fn "));
            names.extend(found.filter_map(|(_, rest)| rest.split(['(', '<']).next()).map(str::to_owned));
        }
    }
}

/// The texts in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_point_of_the_suite_has_its_equal() {
    let suite = read_to_string(root().join("shared/platform/src/conformance/mod.rs")).unwrap();
    let cases = suite.lines().filter_map(|line| line.trim().strip_suffix(',')?.split_once("::"));
    let cases: BTreeSet<&str> = cases.map(|(_, case)| case).filter(|case| case.contains('_')).collect();
    assert!(cases.len() > 20, "{cases:?}");
    let mut here = BTreeSet::new();
    functions(&root().join("services/agent-http-pull"), &mut here);
    let map = read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, map) = map.split_once("| point of the suite | held here by |").expect("the table");
    let mut told = BTreeSet::new();
    for row in map.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let [points, equals] = cells.as_slice() else { panic!("{row}") };
        told.extend(quoted(points));
        let equals = quoted(equals);
        assert!(!equals.is_empty(), "{row}");
        for equal in equals {
            assert!(here.contains(equal), "there is no {equal} in this service: {row}");
        }
    }
    assert_eq!(told, cases);
}
