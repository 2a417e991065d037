//! Jobs: what can be read of them, and what people may wish.

use crate::harness::{World, job};
use domain::id::JobId;
use domain::job::{JobFact, TerminalStatus};
use projections::{JobChange, Projections};
use reqwest::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_job_is_not_cancelled_and_an_active_one_not_retried() {
    let world = World::with_shop().await;
    let job = world.requested(1).await;
    let path = |what: &str| format!("/api/v1/workspaces/acme/jobs/{}/{what}", job.id);

    assert_eq!(world.post("otto", &path("retry"), json!({})).await.status, StatusCode::CONFLICT);
    let cancelled = world.post("otto", &path("cancel"), json!({ "reason": "wrong branch" })).await;
    assert_eq!(cancelled.status, StatusCode::ACCEPTED, "{cancelled:?}");
    let again = world.post("otto", &path("cancel"), json!({})).await;
    assert_eq!((again.status, &again.json["sequence"]), (StatusCode::ACCEPTED, &cancelled.json["sequence"]));

    let shown = world.get("vera", &path("")[..path("").len() - 1]).await;
    assert_eq!((&shown.json["cancelling"], &shown.json["id"]), (&json!(true), &json!(job.id)));
    let noted = world.get("vera", "/api/v1/workspaces/acme/audit?kind=Job").await.json;
    assert_eq!(noted["items"][0]["object"]["name"], "web 1.0.1 → staging / cluster-eu", "{noted:#}");
    let history = shown.json["history"].as_array().expect("a timeline");
    assert_eq!(
        (&history[1]["fact"], &history[1]["cause"]),
        (&json!("cancelRequested"), &json!("otto: wrong branch"))
    );

    world.record(&job, JobFact::ended(TerminalStatus::Cancelled, None, "never started")).await;
    let late = world.post("otto", &path("cancel"), json!({})).await;
    assert_eq!(late.status, StatusCode::CONFLICT, "{late:?}");
    let retried = world.post("otto", &path("retry"), json!({})).await;
    assert_eq!(retried.status, StatusCode::ACCEPTED, "{retried:?}");
    for unknown in [JobId(Uuid::nil()).to_string(), "x".to_owned()] {
        let answer =
            world.post("otto", &format!("/api/v1/workspaces/acme/jobs/{unknown}/cancel"), json!({})).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_before_its_version_was_changed_is_not_retried() {
    let world = World::with_shop().await;
    let job = world.requested(1).await;
    world.record(&job, JobFact::ended(TerminalStatus::Failure, None, "the test says so")).await;
    let version = format!("/api/v1/workspaces/acme/deployment-versions/{}", job.version);
    let created = json!({ "tag": job.tag });
    let made =
        world.post("otto", "/api/v1/workspaces/acme/deployments/web/versions?upsert=true", created).await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    let changed = json!({ "jobAgentConfig": { "ref": "another" } });
    let changed = world.ask("otto", Method::PATCH, &version, Some(changed)).await;
    assert!(changed.json["contentSince"].is_string(), "{changed:?}");
    let retried =
        world.post("otto", &format!("/api/v1/workspaces/acme/jobs/{}/retry", job.id), json!({})).await;
    assert_eq!(retried.status, StatusCode::CONFLICT, "{retried:?}");
    assert!(retried.json["detail"].as_str().is_some_and(|why| why.contains("redeploy it")), "{retried:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_from_the_views_and_single_jobs_survive_without_them() {
    let mut world = World::with_shop().await;
    let views = Projections::connect(&world.servers.redis.url()).unwrap();
    for number in 1..=3 {
        let job = world.requested(number).await;
        views.apply(&JobChange { view: world.view(&job).await, history: vec![] }).await.unwrap();
    }
    let jobs = "/api/v1/workspaces/acme/jobs";
    let page =
        world.get("vera", &format!("{jobs}?limit=2&deployment=web&environment=staging&status=pending")).await;
    assert_eq!(
        (&page.json["total"], page.json["items"].as_array().map(Vec::len)),
        (&json!(3), Some(2)),
        "{page:?}"
    );
    for (agent, status, total) in
        [("github", StatusCode::OK, json!(0)), ("nobody", StatusCode::BAD_REQUEST, json!(null))]
    {
        let page = world.get("vera", &format!("{jobs}?agent={agent}")).await;
        assert_eq!((page.status, &page.json["total"]), (status, &total), "no agent has any yet: {page:?}");
    }
    let cursor = page.json["cursor"].as_str().expect("more");
    let rest = world.get("vera", &format!("{jobs}?limit=2&cursor={cursor}")).await;
    assert_eq!(rest.json["items"].as_array().map(Vec::len), Some(1));
    let one =
        world.get("vera", &format!("{jobs}?deployment=web&version=1.0.2&target={}", job(2).target)).await;
    assert_eq!(one.json["items"][0]["job"]["id"], json!(job(2).id), "{one:?}");
    assert_eq!(world.get("vera", &format!("{jobs}?status=successful")).await.json["total"], json!(0));
    for wrong in ["status=sleeping", "deployment=moon", "cursor=x", "target=x", "limit=many"] {
        let answer = world.get("vera", &format!("{jobs}?{wrong}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}: {answer:?}");
    }

    world.servers.redis.stop().await.unwrap();
    let away = world.get("vera", jobs).await;
    assert_eq!(away.status, StatusCode::SERVICE_UNAVAILABLE, "{away:?}");
    let alone = world.get("vera", &format!("{jobs}/{}", job(2).id)).await;
    assert_eq!((alone.status, &alone.json["status"]), (StatusCode::OK, &json!("pending")), "{alone:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_runs_a_job_tells_how_it_stands_and_a_finished_one_does_not_go_back() {
    let world = World::with_shop().await;
    let job = world.requested(1).await;
    let path = |what: &str| format!("/api/v1/workspaces/acme/jobs/{}{what}", job.id);
    let tell = |who: &'static str, status: &'static str| {
        let body = json!({ "status": status, "message": "told", "externalId": "17", "links": { "run": "https://ci.example/17" } });
        let (world, path) = (&world, path("/status"));
        async move { world.put(who, &path, body).await }
    };
    assert_eq!(tell("vera", "inProgress").await.status, StatusCode::FORBIDDEN);
    let early = tell("otto", "inProgress").await;
    assert_eq!(early.status, StatusCode::CONFLICT, "nobody was asked to run it yet: {early:?}");
    let wrong = tell("otto", "sleeping").await;
    assert_eq!(
        (wrong.status, &wrong.json["errors"][0]["field"]),
        (StatusCode::BAD_REQUEST, &json!("status"))
    );
    for _twice in 0..2 {
        let done = tell("otto", "invalidJobAgent").await;
        assert_eq!((done.status, &done.json["id"]), (StatusCode::ACCEPTED, &json!(job.id)), "{done:?}");
    }
    for back in ["inProgress", "successful"] {
        assert_eq!(tell("otto", back).await.status, StatusCode::CONFLICT, "{back}");
    }
    let shown = world.get("vera", &path("")).await;
    assert_eq!((&shown.json["status"], &shown.json["message"]), (&json!("invalidJobAgent"), &json!("told")));
    let with = world.get("vera", &path("/with-release")).await;
    assert_eq!(
        (&with.json["job"]["status"], &with.json["deployment"]["name"]),
        (&json!("invalidJobAgent"), &json!("web")),
        "{with:?}"
    );
    assert_eq!(with.json["release"]["id"], json!(job.release));
    assert_eq!(with.json["resource"]["identifier"], "cluster-eu");
    world.end().await;
}
