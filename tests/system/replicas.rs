//! Two of everything, and one of each is killed in the middle of a burst.

use crate::NODE;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;
use system_tests::{LIMITED, Options, System, eventually, tell};

const TARGETS: usize = 500;

fn catalog() -> String {
    let mut catalog = LIMITED.replace("  maxConcurrent: 1\n", "");
    for n in 4..=TARGETS {
        write!(
            catalog,
            "---\nkind: Resource\nmetadata: {{ name: stage-{n}, metadata: {{ stage: staging }} }}\nspec: {{ identifier: stage-{n} }}\n"
        )
        .unwrap();
    }
    catalog
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_targets_run_once_each_while_half_of_the_processes_die() {
    let mut system = System::start(Options { replicas: 2, catalog: catalog(), ..Options::new(NODE) }).await;
    tell(&mut system, "push v1").await;
    system.github.wait_for_runs(50, Duration::from_secs(60)).await.unwrap();
    for service in
        ["policy-evaluator", "dispatcher", "agent-github-actions", "agent-verification", "status-syncer"]
    {
        system.process(service, 0).kill().await;
    }
    // These two are spoken to: they die while deliveries are on their way to them, and the other one is spoken to then.
    for service in ["trigger-ingester", "api"] {
        system.process(service, 0).kill().await;
    }
    system.turn_to(1).await;
    eventually("every job has ended well", Duration::from_secs(120), || async {
        let jobs = system.client.jobs().await?;
        let well = jobs.iter().filter(|job| job["status"] == "successful").count();
        if well == TARGETS { Ok(()) } else { Err(format!("{well} of {} jobs", jobs.len())) }
    })
    .await;
    let mut runs: BTreeMap<String, usize> = BTreeMap::new();
    for run in system.github.runs() {
        *runs.entry(run.display_title.clone()).or_default() += 1;
    }
    let twice: Vec<_> = runs.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "run twice: {twice:?}");
    assert_eq!(runs.len(), TARGETS);
}
