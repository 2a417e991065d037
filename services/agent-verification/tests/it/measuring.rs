//! The whole service on a real bus: from the command to the last fact, with one replica and with several.

use crate::rig::{Rig, SECRET};
use domain::id::{JobId, PolicyId};
use domain::job::{JobFact, JobStatus, Purpose, Reason};
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_passes_and_tells_of_its_progress() {
    let rig = Rig::start().await;
    rig.replica().await;
    let sleep = json!({ "name": "settle", "provider": { "type": "sleep", "durationSeconds": 1 } });
    let job = rig.dispatch(json!([rig.metric("home", 3), sleep])).await;
    let known = rig.over(&job).await;
    assert_eq!(known.state.status(), JobStatus::Successful, "{known:?}");
    assert_eq!(known.state.message.as_deref(), Some("home: passed; settle: passed"));
    assert_eq!(rig.measured.asked(), 3);
    let facts = rig.facts(&job).await;
    let said: Vec<String> = facts
        .iter()
        .filter_map(|event| {
            let JobFact::Observed(seen) = &event.fact else { return None };
            seen.message.clone()
        })
        .collect();
    assert!(said.iter().any(|message| message.contains("home: 2 of 3 good")), "{said:?}");
    let text = serde_json::to_string(&facts).unwrap() + &rig.stored(&job).await.unwrap().to_string();
    assert!(!text.contains(SECRET), "no secret, though each answer held it");
    rig.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_says_why_and_what_cannot_be_measured_is_inconclusive() {
    let rig = Rig::start().await;
    rig.replica().await;
    rig.measured.answers(503);
    let failing = rig.dispatch(json!([rig.metric("home", 3)])).await;
    let mut nowhere = rig.metric("nowhere", 9);
    nowhere["provider"]["url"] = json!("http://10.255.255.1/");
    let unknown = rig.dispatch(json!([nowhere])).await;
    let known = rig.over(&failing).await;
    assert_eq!((known.state.status(), known.state.reason), (JobStatus::Failure, None));
    assert_eq!(
        known.state.message.as_deref(),
        Some("home: failed (status 503: `result.statusCode == 200` is not true)")
    );
    let known = rig.over(&unknown).await;
    assert_eq!((known.state.status(), known.state.reason), (JobStatus::Failure, Some(Reason::Inconclusive)));
    assert!(known.state.message.as_ref().is_some_and(|message| message.contains("networks")), "{known:?}");
    assert_eq!(rig.stored(&unknown).await.unwrap()["course"]["metrics"][0]["measured"], 5, "five in a row");
    rig.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_replicas_measure_everything_once() {
    let rig = Rig::start().await;
    for _ in 0..3 {
        rig.replica().await;
    }
    let mut jobs = Vec::new();
    for _ in 0..10 {
        jobs.push(rig.dispatch(json!([rig.metric("home", 3), rig.metric("again", 2)])).await);
    }
    for job in &jobs {
        let known = rig.over(job).await;
        assert_eq!(known.state.status(), JobStatus::Successful, "{known:?}");
        let record = rig.stored(job).await.unwrap();
        let measured = |n: usize| record["course"]["metrics"][n]["measured"].clone();
        assert_eq!((measured(0), measured(1)), (json!(3), json!(2)));
    }
    assert_eq!(rig.measured.asked(), 10 * 5, "nobody measured what somebody else did");
    rig.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_verification_measures_no_more_and_can_be_repeated() {
    let rig = Rig::start().await;
    rig.replica().await;
    let metrics = json!([rig.metric("home", 2), { "name": "settle", "provider": { "type": "sleep", "durationSeconds": 3600 } }]);
    let job = rig.dispatch(metrics).await;
    rig.until("the home page was measured", async || (rig.measured.asked() == 2).then_some(())).await;
    rig.cancel(&job).await;
    let known = rig.over(&job).await;
    assert_eq!(
        (known.state.status(), known.state.reason),
        (JobStatus::Cancelled, Some(Reason::CancelledByUser))
    );
    assert_eq!(rig.stored(&job).await.unwrap()["ended"], "cancelled");

    rig.record(&job, JobFact::RetryRequested { by: "ada".to_owned() }).await;
    rig.send(&job, &json!({ "workspace": "acme", "metrics": [rig.metric("home", 1)] })).await;
    let known = rig.over(&job).await;
    assert_eq!(known.state.status(), JobStatus::Successful, "{known:?}");
    assert_eq!(known.state.external.map(|run| run.attempt), Some(2));
    assert_eq!(rig.measured.asked(), 3);
    rig.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_no_verification_of_the_workspace_gets_none_of_its_secrets() {
    let rig = Rig::start().await;
    rig.replica().await;
    let acme = json!({ "workspace": "acme", "metrics": [rig.metric("home", 1)] });
    let verify = Purpose::Verify { of: JobId(Uuid::nil()), policy: PolicyId(Uuid::nil()), rule_index: 0 };
    for (workspace, purpose) in [("globex", verify), ("acme", Purpose::Deploy)] {
        let job = rig.dispatch_in(workspace, purpose, acme.clone()).await;
        rig.until("it is refused", async || {
            rig.stored(&job).await.filter(|record| record["ended"] == "refused")
        })
        .await;
    }
    assert_eq!(rig.measured.asked(), 0);
    // Its own workspace has no secret of that name.
    let globex = json!({ "workspace": "globex", "metrics": [rig.metric("home", 1)] });
    let job = rig.dispatch_in("globex", verify, globex).await;
    let known = rig.over(&job).await;
    assert!(known.state.message.is_some_and(|message| message.contains("var-globex-token")));
    assert_eq!(rig.measured.asked(), 0);
    rig.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_survive_a_restart() {
    let rig = Rig::start().await;
    let first = rig.replica().await;
    let job = rig.dispatch(json!([rig.metric("home", 3)])).await;
    rig.until("it began", async || (rig.measured.asked() == 1).then_some(())).await;
    first.supervisor.finish(Duration::from_secs(10)).await.unwrap();
    let so_far = rig.measured.asked();
    rig.replica().await;
    let known = rig.over(&job).await;
    assert_eq!(known.state.status(), JobStatus::Successful, "{known:?}");
    assert!(so_far < 3, "it was stopped half-way");
    assert_eq!(rig.measured.asked(), 3);
    rig.drain().await;
}
