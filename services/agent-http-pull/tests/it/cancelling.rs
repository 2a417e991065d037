//! Wishes to end a job: told with the puller's next answer, kept to at once where nobody has the job.

use crate::rig::Rig;
use agent_http_pull::Settings;
use domain::job::{CancelReason, JobStatus, Reason};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_puller_hears_of_a_wish_with_its_heartbeat_and_ends_the_job() {
    let rig = Rig::start().await;
    let (_service, puller) = rig.replica(Settings::default()).await;
    let job = rig.dispatch().await;
    rig.waiting(&job, 1).await;
    puller.claimed(&job, json!({ "by": "one" })).await;
    rig.cancel(&job, CancelReason::User).await;
    rig.until("the puller is told", async || {
        let (status, lease) = puller.heartbeat(&job, json!({ "fence": 1 })).await;
        assert_eq!(status, 200, "{lease}");
        (lease["cancel"] == true).then_some(())
    })
    .await;
    rig.until("that it was asked is recorded", async || {
        rig.names(&job).await.contains(&"cancelSent").then_some(())
    })
    .await;
    let over = json!({ "fence": 1, "status": "cancelled", "message": "rolled back" });
    assert_eq!(puller.report(&job, over).await.0, 200);
    let known = rig.over(&job).await;
    assert_eq!(
        (known.state.status(), known.state.reason),
        (JobStatus::Cancelled, Some(Reason::CancelledByUser))
    );
    assert_eq!(known.state.message.as_deref(), Some("rolled back"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_waits_again_is_ended_at_once() {
    let rig = Rig::start().await;
    let (_service, puller) = rig.replica(Settings::default()).await;
    let job = rig.dispatch().await;
    rig.waiting(&job, 1).await;
    puller.claimed(&job, json!({ "by": "one", "leaseSeconds": 1 })).await;
    rig.waiting(&job, 2).await;
    rig.cancel(&job, CancelReason::TimedOut).await;
    let known = rig.over(&job).await;
    assert_eq!((known.state.status(), known.state.reason), (JobStatus::Failure, Some(Reason::TimedOut)));
    assert_eq!(puller.claim(&job, json!({})).await.1["code"], "over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_force_nobody_is_waited_for_and_a_silent_puller_s_job_ends_cancelled() {
    let rig = Rig::start().await;
    let (_service, puller) = rig.replica(Settings::default()).await;
    let (forced, silent) = (rig.dispatch().await, rig.dispatch().await);
    for job in [&forced, &silent] {
        rig.waiting(job, 1).await;
    }
    puller.claimed(&forced, json!({ "by": "stubborn" })).await;
    puller.claimed(&silent, json!({ "by": "silent", "leaseSeconds": 1 })).await;
    rig.cancel(&silent, CancelReason::User).await;
    rig.cancel(&forced, CancelReason::User).await;
    let after = rig.known(&forced).await.sequence;
    rig.cancel_command(&forced, after, true).await;
    let known = rig.over(&forced).await;
    assert_eq!(known.state.status(), JobStatus::Cancelled);
    assert!(known.state.message.unwrap().contains("stubborn did not end it in time"));
    let late = puller.report(&forced, json!({ "fence": 1, "status": "successful" })).await;
    assert_eq!((late.0, &late.1["code"]), (409, &json!("staleFence")));
    let known = rig.over(&silent).await;
    assert_eq!(known.state.status(), JobStatus::Cancelled);
    assert!(known.state.message.unwrap().starts_with("cancelled; silent gave no sign of life"));
}

/// The dispatcher ends such a job by itself and sends no command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_was_cancelled_before_anybody_claimed_it_cannot_be_claimed() {
    let rig = Rig::start().await;
    let (_service, puller) = rig.replica(Settings::default()).await;
    let job = rig.dispatch().await;
    rig.waiting(&job, 1).await;
    let wish = domain::job::JobFact::CancelRequested { by: "ada".to_owned(), reason: CancelReason::User };
    rig.record(&job, wish).await;
    let (status, problem) = puller.claim(&job, json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("notQueued")), "{problem}");
    assert_eq!(puller.get("/jobs").await.1["total"], 0);
    assert_eq!(rig.names(&job).await, ["requested", "dispatched", "cancelRequested"]);
}
