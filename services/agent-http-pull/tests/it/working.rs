//! The life of a job in the hands of its puller, as people see it.

use crate::rig::Rig;
use agent_http_pull::Settings;
use domain::entity::Deadlines;
use domain::job::{ActiveStatus, JobFact, JobRef, JobStatus, Phase, Reason};
use serde_json::json;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_puller_says_is_what_people_see_and_saying_it_twice_is_once() {
    let rig = Rig::start().await;
    let (_service, puller) = rig.replica(Settings::default()).await;
    let job = rig.dispatch().await;
    rig.waiting(&job, 1).await;
    let (_, list) = puller.get("/jobs?status=queued&includeDispatchContext=true").await;
    assert_eq!(list["total"], 1, "{list}");
    assert_eq!(list["items"][0]["id"], json!(job.id), "{list}");

    let claim = puller.claimed(&job, json!({ "by": "ci-7", "claimId": "c1", "leaseSeconds": 30 })).await;
    assert_eq!(
        (&claim["fence"], &claim["leaseSeconds"], &claim["cancel"]),
        (&json!(1), &json!(30), &json!(false))
    );
    assert_eq!(claim["config"], json!({ "image": "web:v1" }));
    assert_eq!(claim["dispatchContext"]["deployment"]["slug"], "web");
    let again = puller.claimed(&job, json!({ "by": "ci-7", "claimId": "c1" })).await;
    assert_eq!(again["fence"], 1, "a claim whose answer was lost is asked for again");
    let known = rig.known(&job).await;
    assert_eq!(known.state.phase, Phase::Running { status: ActiveStatus::InProgress });
    assert_eq!(known.state.message.as_deref(), Some("claimed by ci-7"));

    let (status, lease) = puller.heartbeat(&job, json!({ "fence": 1, "leaseSeconds": 60 })).await;
    assert_eq!((status, &lease["leaseSeconds"]), (200, &json!(60)), "{lease}");
    let progress = json!({
        "fence": 1, "status": "inProgress", "message": "migrating", "progress": "3/10", "externalId": "4711",
        "url": "https://ci.example/4711", "links": { "logs": "https://ci.example/4711/logs" },
    });
    for _ in 0..2 {
        assert_eq!(puller.report(&job, progress.clone()).await.0, 200);
    }
    let known = rig.known(&job).await;
    assert_eq!(known.state.message.as_deref(), Some("3/10 migrating"));
    assert_eq!(known.state.links["logs"], "https://ci.example/4711/logs");
    assert_eq!(known.state.external.unwrap().url.as_deref(), Some("https://ci.example/4711"));
    assert!(known.state.raw.unwrap().status.contains("run 4711"));

    let done = json!({ "fence": 1, "status": "successful", "message": "10 of 10" });
    for _ in 0..2 {
        assert_eq!(puller.report(&job, done.clone()).await.0, 200, "a report that was lost is sent again");
    }
    let (status, problem) = puller.report(&job, json!({ "fence": 1, "status": "failure" })).await;
    assert_eq!((status, &problem["code"]), (409, &json!("over")), "{problem}");
    let known = rig.over(&job).await;
    assert_eq!(known.state.status(), JobStatus::Successful);
    assert_eq!(
        rig.names(&job).await,
        ["requested", "dispatched", "triggerStarted", "observed", "observed", "finished"]
    );
    assert_eq!(puller.get("/jobs").await.1["total"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_given_back_waits_for_another_and_a_retry_is_its_next_attempt() {
    let rig = Rig::start().await;
    let (_service, puller) = rig.replica(Settings::default()).await;
    let job = rig.dispatch().await;
    rig.waiting(&job, 1).await;
    puller.claimed(&job, json!({ "by": "one" })).await;
    for _ in 0..2 {
        let released = puller
            .post(&format!("/jobs/{}/release", job.id), json!({ "fence": 1, "message": "no disk left" }))
            .await;
        assert_eq!(released.0, 200, "giving it back twice is once: {}", released.1);
    }
    let known = rig.known(&job).await;
    assert_eq!(known.state.phase, Phase::Running { status: ActiveStatus::Queued });
    assert_eq!(known.state.message.as_deref(), Some("given back by one: no disk left"));
    let claim = puller.claimed(&job, json!({ "by": "two" })).await;
    assert_eq!(claim["fence"], 2);
    assert_eq!(
        puller.report(&job, json!({ "fence": 2, "status": "failure", "message": "exit 3" })).await.0,
        200
    );
    assert_eq!(rig.over(&job).await.state.status(), JobStatus::Failure);

    rig.record(&job, JobFact::RetryRequested { by: "ada".to_owned() }).await;
    rig.send(&job, json!({ "image": "web:v1" }), Default::default(), Deadlines::default()).await;
    rig.waiting(&job, 3).await;
    let (status, problem) = puller.report(&job, json!({ "fence": 2, "status": "successful" })).await;
    assert_eq!((status, &problem["code"]), (409, &json!("staleFence")), "{problem}");
    puller.claimed(&job, json!({ "by": "three" })).await;
    assert_eq!(puller.report(&job, json!({ "fence": 3, "status": "successful" })).await.0, 200);
    let known = rig.over(&job).await;
    assert_eq!((known.state.status(), known.state.external_attempt), (JobStatus::Successful, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_nobody_claims_ends_with_words_a_person_can_act_on() {
    let rig = Rig::start().await;
    let (_service, puller) = rig.replica(Settings::default()).await;
    let deadlines = Deadlines { queue_seconds: 2, run_seconds: 60 };
    let job = rig.dispatch_with(json!({}), Default::default(), deadlines).await;
    let known = rig.over(&job).await;
    assert_eq!((known.state.status(), known.state.reason), (JobStatus::Failure, Some(Reason::TimedOut)));
    let message = known.state.message.unwrap();
    assert!(message.contains("no puller of job agent \"runner\" claimed it"), "{message}");
    let (status, problem) = puller.claim(&job, json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("over")), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_is_refused_with_the_field() {
    let rig = Rig::start().await;
    let (_service, puller) = rig.replica(Settings::default()).await;
    let job = rig.dispatch().await;
    rig.waiting(&job, 1).await;
    puller.claimed(&job, json!({})).await;
    for (body, field) in [
        (json!({ "fence": 1, "status": "fine" }), "status"),
        (json!({ "fence": 1, "status": "queued" }), "status"),
        (json!({ "fence": 1, "status": "inProgress", "links": { "x": "javascript:alert(1)" } }), "links"),
        (json!({ "fence": 1, "status": "inProgress", "progress": "two\nlines" }), "progress"),
        (json!({ "status": "inProgress" }), "body"),
    ] {
        let (status, problem) = puller.report(&job, body).await;
        assert_eq!(status, 400, "{problem}");
        assert!(problem["detail"].as_str().unwrap().starts_with(field), "{problem}");
    }
    assert_eq!(puller.heartbeat(&job, json!({ "fence": 1, "leaseSeconds": 0 })).await.0, 400);
    assert_eq!(puller.get("/jobs?status=odd").await.0, 400);
    assert_eq!(rig.names(&job).await.len(), 4, "nothing of it was recorded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_a_workflow_names_its_run_and_no_deployment() {
    let rig = Rig::start().await;
    let (_service, puller) = rig.replica(Settings::default()).await;
    let (workflow, run) = (Uuid::new_v4(), Uuid::new_v4());
    let job: JobRef = serde_json::from_value(json!({
        "workspace": "acme", "id": Uuid::new_v4(), "tag": "build", "attempt": 1,
        "purpose": { "is": "workflow", "workflow": workflow, "run": run },
    }))
    .unwrap();
    rig.record(&job, JobFact::Requested { catalog_revision: 1, grounds: None }).await;
    rig.send(&job, json!({ "image": "build:v1" }), Default::default(), Deadlines::default()).await;
    rig.waiting(&job, 1).await;
    let (_, list) = puller.get("/jobs").await;
    let listed = list["items"][0].clone();
    let claim = puller.claimed(&job, json!({ "by": "ci-7" })).await;
    for told in [&listed, &claim["job"]] {
        assert_eq!((&told["id"], &told["name"]), (&json!(job.id), &json!("build")), "{told}");
        assert_eq!(told["workflowRun"], json!(run), "{told}");
        assert!(!told.to_string().contains("~workflow"), "{told}");
        for absent in ["deployment", "environment", "version"] {
            assert!(told.get(absent).is_none(), "{absent}: {told}");
        }
    }
    let other = rig.dispatch().await;
    rig.waiting(&other, 1).await;
    let (_, list) = puller.get("/jobs").await;
    let listed = &list["items"][0];
    let is = |field: &str, value: &str| listed[field] == value;
    assert!(is("deployment", "web") && is("environment", "production") && is("version", "v1"), "{listed}");
    assert!(listed.get("workflowRun").is_none() && listed.get("name").is_none(), "{listed}");
}
