//! The process dies right before and right after each durable effect, is started again, and every job ends as it would have: one
//! puller each, no report lost, none counted twice.

use crate::rig::{KEY, Puller, Rig, SECRET, SOON, environment};
use agent_http_pull::CRASH_POINTS;
use domain::job::{CancelReason, JobRef, JobStatus, Phase};
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_anywhere_loses_no_job_and_gives_none_to_two() {
    futures::stream::iter(CRASH_POINTS).for_each_concurrent(4, |point| survives(point)).await;
}

async fn survives(point: &str) {
    let rig = Rig::start().await;
    let port = free_port();
    let log = rig.dir.path().join("agent.log");
    let mut dying = agent(&rig, port, &log, Some(point));
    let puller = Patient(Puller::new(&format!("http://127.0.0.1:{port}")));
    let (died, ()) = tokio::join!(
        async {
            let died = tokio::time::timeout(SOON, dying.wait()).await;
            let died = died.unwrap_or_else(|_| panic!("{point} is not reached"));
            assert_eq!(died.unwrap().signal(), Some(6), "{point}: it aborted");
            agent(&rig, port, &log, None)
        },
        the_story(&rig, &puller, point),
    );
    let mut living = died;
    assert!(living.try_wait().unwrap().is_none(), "{point}: the second life goes on");
    living.kill().await.unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("agent-http-pull") || log.contains("claimed"), "it logs");
    assert!(!log.contains(SECRET) && !log.contains(KEY), "{point}: a secret was logged");
}

/// Passes every point once.
async fn the_story(rig: &Rig, puller: &Patient, point: &str) {
    // One that goes well.
    let good = rig.dispatch().await;
    let claim = puller.claim(&good, "c-good", 20).await;
    let fence = claim["fence"].clone();
    puller.must(&good, "heartbeat", json!({ "fence": fence })).await;
    puller.must(&good, "status", json!({ "fence": fence, "status": "inProgress", "message": "half" })).await;
    puller.must(&good, "status", json!({ "fence": fence, "status": "successful" })).await;
    let known = rig.over(&good).await;
    assert_eq!(known.state.status(), JobStatus::Successful, "{point}: {known:?}");

    // One that is lost, given back, and cancelled.
    let bad = rig.dispatch().await;
    let first = puller.claim(&bad, "c-bad", 1).await["fence"].as_u64().unwrap();
    let again = rig
        .until("the lease runs out", async || {
            let record = rig.stored(&bad).await?;
            let fence = record["fence"].as_u64()?;
            (record["stage"]["stage"] == "waiting" && fence > first).then_some(fence)
        })
        .await;
    let second = puller.claim(&bad, "c-bad-2", 20).await;
    assert_eq!(second["fence"], again, "{point}");
    let stale = puller.ask(&bad, "status", &json!({ "fence": first, "status": "successful" })).await;
    assert_eq!(stale.0, 409, "{point}: {}", stale.1);
    puller.must(&bad, "release", json!({ "fence": again, "message": "not mine" })).await;
    let third = puller.claim(&bad, "c-bad-3", 20).await["fence"].clone();
    rig.cancel(&bad, CancelReason::User).await;
    rig.until("the puller is told", async || {
        let lease = puller.must(&bad, "heartbeat", json!({ "fence": third })).await;
        (lease["cancel"] == true).then_some(())
    })
    .await;
    rig.until("that it was asked is recorded", async || {
        rig.names(&bad).await.contains(&"cancelSent").then_some(())
    })
    .await;
    puller.must(&bad, "status", json!({ "fence": third, "status": "cancelled" })).await;
    assert_eq!(rig.over(&bad).await.state.status(), JobStatus::Cancelled, "{point}");

    // One that a freeze takes back.
    let frozen = rig.dispatch().await;
    rig.until("it is in the queue", async || rig.stored(&frozen).await).await;
    rig.freeze("incident").await;
    rig.until("it is held, and out of the queue", async || {
        let held = matches!(rig.known(&frozen).await.state.phase, Phase::Held { .. });
        let record = rig.stored(&frozen).await?;
        (held && record["stage"]["stage"] == "withdrawn").then_some(())
    })
    .await;
    for job in [&good, &bad] {
        let ends = rig.names(job).await.iter().filter(|name| **name == "finished").count();
        assert_eq!(ends, 1, "{point}: ended once");
    }
}

/// A puller that asks until somebody answers, as pullers do.
struct Patient(Puller);

impl Patient {
    async fn ask(&self, job: &JobRef, verb: &str, body: &Value) -> (u16, Value) {
        let asking = async {
            loop {
                match self.0.try_post(&format!("/jobs/{}/{verb}", job.id), body).await {
                    Ok((status, _)) if status >= 500 => {}
                    Ok(answer) => return answer,
                    Err(_nobody) => {}
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(SOON, asking).await.unwrap_or_else(|_| panic!("{verb} is not answered"))
    }

    async fn must(&self, job: &JobRef, verb: &str, body: Value) -> Value {
        let (status, answer) = self.ask(job, verb, &body).await;
        assert_eq!(status, 200, "{verb}: {answer}");
        answer
    }

    /// Claims it as soon as it is there.
    async fn claim(&self, job: &JobRef, id: &str, lease_seconds: u32) -> Value {
        let body = json!({ "by": "patient", "claimId": id, "leaseSeconds": lease_seconds });
        let claiming = async {
            loop {
                match self.ask(job, "claim", &body).await {
                    (200, claim) => return claim,
                    (404 | 401 | 409, _) => tokio::time::sleep(Duration::from_millis(20)).await,
                    (status, problem) => panic!("{status}: {problem}"),
                }
            }
        };
        tokio::time::timeout(SOON, claiming).await.unwrap_or_else(|_| panic!("{id} is not given out"))
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The service as a process of its own.
fn agent(rig: &Rig, port: u16, log: &PathBuf, crash_at: Option<&str>) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent-http-pull"));
    command
        .env("CTRLPLANE_NATS__URL", rig.nats.url())
        .env("CTRLPLANE_NATS__ACK_WAIT_SECONDS", "1")
        .env("CTRLPLANE_HTTP__BIND", format!("127.0.0.1:{port}"))
        .env("CTRLPLANE_LOG__FILTER", "debug")
        .env("CTRLPLANE_LOST_LEASES_MAX", "10")
        .envs(environment())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .kill_on_drop(true);
    if let Some(point) = crash_at {
        command.env("CTRLPLANE_CRASH_AT", point);
    }
    command.spawn().unwrap()
}
