//! Freezes hold claims: what nobody has begun goes back to the dispatcher, what came back to the queue waits.

use crate::rig::{Rig, acme};
use agent_http_pull::Settings;
use domain::entity::Deadlines;
use domain::job::{HeldWhy, JobFact, JobStatus, Phase};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_takes_an_unclaimed_job_back_and_after_the_thaw_it_is_given_out() {
    let rig = Rig::start().await;
    let (_service, puller) = rig.replica(Settings::default()).await;
    let job = rig.dispatch().await;
    rig.waiting(&job, 1).await;
    rig.freeze("incident").await;
    let (status, problem) = puller.claim(&job, json!({ "by": "eager" })).await;
    assert_eq!(status, 409, "{problem}");
    let known = rig
        .until("it is held without a claim, too", async || {
            let known = rig.known(&job).await;
            matches!(known.state.phase, Phase::Held { why: HeldWhy::Freeze { .. } }).then_some(known)
        })
        .await;
    assert_eq!(known.state.status(), JobStatus::Pending);
    assert_eq!(puller.get("/jobs").await.1["total"], 0);
    assert_eq!(puller.post("/claim", json!({})).await.0, 204);

    rig.thaw("incident").await;
    rig.send(&job, json!({}), Default::default(), Deadlines::default()).await;
    let claim = rig
        .until("it can be claimed", async || {
            let (status, claim) = puller.post("/claim", json!({ "by": "eager" })).await;
            (status == 200).then_some(claim)
        })
        .await;
    let fence = &claim["fence"];
    assert_eq!(puller.report(&job, json!({ "fence": fence, "status": "successful" })).await.0, 200);
    assert_eq!(rig.over(&job).await.state.status(), JobStatus::Successful);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_before_the_freeze_goes_on_and_its_lost_job_waits_for_the_thaw() {
    let rig = Rig::start().await;
    let (_service, puller) = rig.replica(Settings::default()).await;
    let job = rig.dispatch().await;
    rig.waiting(&job, 1).await;
    puller.claimed(&job, json!({ "by": "early", "leaseSeconds": 1 })).await;
    rig.freeze("incident").await;
    assert_eq!(puller.heartbeat(&job, json!({ "fence": 1 })).await.0, 200, "it had begun");
    rig.waiting(&job, 2).await;
    let (status, problem) = puller.claim(&job, json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("frozen")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("incident"), "{problem}");
    rig.thaw("incident").await;
    assert_eq!(puller.claimed(&job, json!({})).await["fence"], 2);
    let held = rig.facts(&job).await.iter().any(|event| matches!(event.fact, JobFact::Held { .. }));
    assert!(!held, "what has begun is not taken back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_that_begins_by_time_takes_the_job_back_without_anybody_asking() {
    let rig = Rig::start().await;
    let (_service, puller) = rig.replica(Settings::default()).await;
    let job = rig.dispatch().await;
    rig.waiting(&job, 1).await;
    let mut record = rig.stored(&job).await.unwrap();
    record["command"]["freezeBeginsAt"] = json!(bus::clock::now() + chrono::TimeDelta::milliseconds(300));
    let key = format!("{}.{}.{}", acme(), crate::rig::runner(), job.id);
    rig.bus.bucket(&bus::topology::PULLS).put_json(&key, &record).await.unwrap();
    rig.until("it is held", async || {
        matches!(rig.known(&job).await.state.phase, Phase::Held { .. }).then_some(())
    })
    .await;
    assert_eq!(puller.claim(&job, json!({})).await.1["code"], "notQueued");
}
