//! The example pullers of the documentation work. Where a program they need is missing, the test says so and fails.

use crate::rig::{KEY, Puller, Rig};
use agent_http_pull::Settings;
use domain::entity::Deadlines;
use domain::job::{CancelReason, JobStatus};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/pull").join(name)
}

/// The program of that name; without it the examples cannot be tried, and nobody may think that they were.
async fn needs(program: &str) {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.await.is_ok_and(|status| status.success());
    assert!(found, "{program} is missing: the example pullers cannot be tried here. Install {program}");
}

fn puller(puller: &Puller, program: &str, arguments: &[&str]) -> Child {
    Command::new(program)
        .args(arguments)
        .env("CTRLPLANE_PULL_URL", puller.url(""))
        .env("CTRLPLANE_PULL_KEY", KEY)
        .env("PULL_LEASE_SECONDS", "3")
        .env("PULL_ONCE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn said(child: Child) -> String {
    let ended = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await;
    let output = ended.expect("it ends in time").unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_puller_works_a_job_and_tells_its_progress() {
    needs("python3").await;
    let rig = Rig::start().await;
    let (_service, client) = rig.replica(Settings::default()).await;
    let job = rig.dispatch_with(json!({ "steps": 2 }), Default::default(), Deadlines::default()).await;
    let said = said(puller(&client, "python3", &[example("puller.py").to_str().unwrap()])).await;
    assert!(said.contains(&format!("{} successful", job.id)), "{said}");
    let known = rig.over(&job).await;
    assert_eq!(known.state.status(), JobStatus::Successful);
    assert_eq!(known.state.message.as_deref(), Some("2/2 all steps done"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shell_puller_runs_a_command_for_each_job_and_ends_it_when_wished() {
    needs("curl").await;
    let rig = Rig::start().await;
    let (_service, client) = rig.replica(Settings::default()).await;
    let script = example("puller.sh");
    let script = script.to_str().unwrap();
    let good = rig.dispatch().await;
    let said_good = said(puller(&client, "sh", &[script, "grep", "-o", "web:v1"])).await;
    assert!(said_good.starts_with("web:v1\n"), "the command's own output is seen: {said_good}");
    assert!(said_good.contains(&format!("{} successful (200)", good.id)), "{said_good}");
    assert_eq!(rig.over(&good).await.state.message.as_deref(), Some("exit code 0"));

    let bad = rig.dispatch().await;
    said(puller(&client, "sh", &[script, "grep", "-q", "no such thing"])).await;
    let known = rig.over(&bad).await;
    assert_eq!(
        (known.state.status(), known.state.message.as_deref()),
        (JobStatus::Failure, Some("exit code 1"))
    );

    let long = rig.dispatch().await;
    let working = puller(&client, "sh", &[script, "sleep", "60"]);
    rig.until("it is claimed", async || rig.names(&long).await.contains(&"observed").then_some(())).await;
    rig.cancel(&long, CancelReason::User).await;
    said(working).await;
    assert_eq!(rig.over(&long).await.state.status(), JobStatus::Cancelled);
}
