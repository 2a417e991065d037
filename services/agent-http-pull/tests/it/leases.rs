//! Leases that run out: the job returns under a new fence, whatever happens to the service meanwhile.

use crate::rig::Rig;
use agent_http_pull::Settings;
use domain::job::{ActiveStatus, JobFact, JobStatus, Phase, Reason};
use serde_json::json;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashed_puller_s_job_returns_under_a_new_fence_and_its_reports_are_refused() {
    let rig = Rig::start().await;
    let (_one, puller) = rig.replica(Settings::default()).await;
    let (_two, other) = rig.replica(Settings::default()).await;
    let job = rig.dispatch().await;
    rig.waiting(&job, 1).await;
    puller.claimed(&job, json!({ "by": "crashing", "leaseSeconds": 1 })).await;
    rig.waiting(&job, 2).await;
    let known = rig
        .until("people see it", async || {
            let known = rig.known(&job).await;
            (known.state.phase == Phase::Running { status: ActiveStatus::Queued }).then_some(known)
        })
        .await;
    assert_eq!(known.state.reason, Some(Reason::Lost));
    let message = known.state.message.unwrap();
    assert_eq!(message, "crashing gave no sign of life for 1 s: back in the queue (lost lease 1 of 3)");

    let old = json!({ "fence": 1, "status": "successful" });
    for puller in [&puller, &other] {
        let (status, problem) = puller.report(&job, old.clone()).await;
        assert_eq!((status, &problem["code"]), (409, &json!("staleFence")), "{problem}");
        assert_eq!(puller.heartbeat(&job, json!({ "fence": 1 })).await.0, 409);
    }
    let claim = other.claimed(&job, json!({ "by": "living" })).await;
    assert_eq!(claim["fence"], 2);
    for puller in [&puller, &other] {
        assert_eq!(puller.report(&job, old.clone()).await.0, 409, "also while somebody else has it");
    }
    assert_eq!(other.report(&job, json!({ "fence": 2, "status": "successful" })).await.0, 200);
    assert_eq!(rig.over(&job).await.state.status(), JobStatus::Successful);
    assert_eq!(
        puller.report(&job, json!({ "fence": 1, "status": "failure" })).await.0,
        409,
        "and after the end"
    );
    assert_eq!(
        rig.names(&job).await,
        ["requested", "dispatched", "triggerStarted", "observed", "observed", "observed", "finished"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_keep_a_job_and_lost_leases_are_counted() {
    let rig = Rig::start().await;
    let settings = Settings { lost_leases_max: 2, lease_seconds: 1, ..Settings::default() };
    let (_service, puller) = rig.replica(settings).await;
    let job = rig.dispatch().await;
    rig.waiting(&job, 1).await;
    puller.claimed(&job, json!({ "by": "one" })).await;
    // Three leases long, a sign of life every third of a lease.
    let mut beats = tokio::time::interval(Duration::from_millis(330));
    for _ in 0..9 {
        beats.tick().await;
        assert_eq!(puller.heartbeat(&job, json!({ "fence": 1 })).await.0, 200);
    }
    rig.waiting(&job, 2).await;
    puller.claimed(&job, json!({ "by": "two" })).await;
    let known = rig.over(&job).await;
    assert_eq!(known.state.status(), JobStatus::ExternalRunNotFound);
    assert_eq!(known.state.reason, Some(Reason::Lost));
    let message = known.state.message.unwrap();
    for said in
        ["two gave no sign of life for 1 s", "2 leases were lost", "job agent \"runner\"", "retry the job"]
    {
        assert!(message.contains(said), "{message}");
    }
    assert_eq!(puller.claim(&job, json!({})).await.1["code"], "over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_outlives_the_service_and_is_not_lost_by_its_absence() {
    let rig = Rig::start().await;
    let (service, puller) = rig.replica(Settings::default()).await;
    let job = rig.dispatch().await;
    rig.waiting(&job, 1).await;
    let claim = puller.claimed(&job, json!({ "by": "patient", "leaseSeconds": 2 })).await;
    service.supervisor.finish(Duration::from_secs(10)).await.unwrap();
    let until: chrono::DateTime<chrono::Utc> = claim["leaseUntil"].as_str().unwrap().parse().unwrap();
    rig.until("the lease is over", async || (chrono::Utc::now() > until).then_some(())).await;
    let (_service, puller) = rig.replica(Settings::default()).await;
    // Nobody could give a sign of life while nobody was there to hear it.
    assert_eq!(puller.heartbeat(&job, json!({ "fence": 1 })).await.0, 200);
    // Now there is somebody.
    rig.waiting(&job, 2).await;
    let lost: Vec<_> = rig
        .facts(&job)
        .await
        .into_iter()
        .filter(|event| matches!(&event.fact, JobFact::Observed(seen) if seen.reason == Some(Reason::Lost)))
        .collect();
    assert!(lost.len() <= 1, "told once: {lost:?}");
}
