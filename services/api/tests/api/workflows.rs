//! Workflows and their runs over HTTP: declared, begun with inputs, read with every job, cancelled.

use crate::harness::{World, acme, until};
use bus::topology::CATALOG;
use domain::id::JobId;
use domain::job::{JobFact, JobRef, TerminalStatus};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const WORKFLOWS: &str = "/api/v1/workspaces/acme/workflows";
const RUNS: &str = "/api/v1/workspaces/acme/workflow-runs";

fn ship() -> Value {
    json!({
        "name": "Ship It",
        "inputs": [
            { "key": "tag", "required": true },
            { "key": "regions", "type": "array", "default": ["eu", "us"] },
        ],
        "jobs": [
            { "name": "build", "agent": { "ref": "github" }, "config": { "inputs": { "tag": "{{ inputs.tag }}" } } },
            { "name": "deploy", "agent": { "ref": "github" }, "needs": ["build"], "forEach": "regions" },
            { "name": "clean-up", "agent": { "ref": "github" }, "needs": ["deploy"], "if": "true" },
        ],
    })
}

async fn world() -> World {
    let world = World::with_shop().await;
    let made = world.post("adam", WORKFLOWS, ship()).await;
    assert_eq!((made.status, &made.json["slug"]), (StatusCode::ACCEPTED, &json!("Ship-It")), "{made:?}");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_written_by_admins_and_read_by_all_in_every_way() {
    let world = world().await;
    let id =
        world.get("vera", &format!("{WORKFLOWS}/Ship%20It")).await.json["id"].as_str().unwrap().to_owned();
    for path in [format!("{WORKFLOWS}/{id}"), format!("{WORKFLOWS}/slug/Ship-It")] {
        let read = world.get("vera", &path).await;
        assert_eq!((read.status, &read.json["id"]), (StatusCode::OK, &json!(id)), "{path}");
        assert_eq!(read.json["jobs"][1]["forEach"], "regions");
    }
    assert_eq!(world.get("vera", WORKFLOWS).await.json["total"], json!(1));
    assert_eq!(world.post("otto", WORKFLOWS, ship()).await.status, StatusCode::FORBIDDEN);
    assert_eq!(world.get("vera", &format!("{WORKFLOWS}/slug/nothing")).await.status, StatusCode::NOT_FOUND);

    let mut wrong = ship();
    wrong["jobs"][0]["needs"] = json!(["deploy"]);
    let refused = world.ask("adam", Method::PUT, &format!("{WORKFLOWS}/{id}"), Some(wrong)).await;
    assert_eq!(
        (refused.status, &refused.json["errors"][0]["field"]),
        (StatusCode::BAD_REQUEST, &json!("jobs[0].needs"))
    );
    let mut nobody = ship();
    nobody["jobs"][0]["agent"] = json!({ "ref": "nobody" });
    let refused = world.ask("adam", Method::PUT, &format!("{WORKFLOWS}/{id}"), Some(nobody)).await;
    assert_eq!(refused.json["errors"][0]["field"], json!("jobs[0].agent.ref"), "{refused:?}");
    let twin =
        json!({ "name": "other", "slug": "Ship-It", "jobs": ship()["jobs"], "inputs": ship()["inputs"] });
    assert_eq!(world.post("adam", WORKFLOWS, twin).await.status, StatusCode::CONFLICT);

    let exported =
        world.get("vera", "/api/v1/workspaces/acme/catalog/workflow/Ship-It?format=manifest").await;
    let again = world.apply("adam", exported.json.as_str().unwrap(), false).await;
    assert_eq!(again.actions(), ["unchanged"], "{again:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_answers_with_the_ids_of_all_its_jobs_and_tells_how_each_stands() {
    let world = world().await;
    let path = format!("{WORKFLOWS}/slug/Ship-It/runs");
    assert_eq!(world.post("vera", &path, json!({})).await.status, StatusCode::FORBIDDEN);
    for (inputs, field) in [
        (json!({}), "inputs.tag"),
        (json!({ "tag": 3 }), "inputs.tag"),
        (json!({ "tag": "v1", "regions": "eu" }), "inputs.regions"),
        (json!({ "tag": "v1", "regoins": [] }), "inputs.regoins"),
        (json!({ "tag": "ghp_0123456789abcdefghijklmnopqrstuvwxyz" }), "inputs.tag"),
    ] {
        let refused = world.post("otto", &path, json!({ "inputs": inputs })).await;
        assert_eq!(
            (refused.status, &refused.json["errors"][0]["field"]),
            (StatusCode::BAD_REQUEST, &json!(field)),
            "{refused:?}"
        );
    }
    assert_eq!(world.get("vera", RUNS).await.json["total"], json!(0));

    let run = world.post("otto", &path, json!({ "inputs": { "tag": "v1" } })).await;
    assert_eq!(run.status, StatusCode::ACCEPTED, "{run:?}");
    assert_eq!((&run.json["status"], &run.json["begunBy"]), (&json!("pending"), &json!({ "user": "otto" })));
    assert_eq!(
        told(&run.json),
        ["build pending", "deploy[0] waiting", "deploy[1] waiting", "clean-up waiting"]
    );
    assert_eq!(run.json["jobs"][1]["needs"], json!([{ "name": "build" }]));
    assert_eq!(run.json["jobs"][2]["item"], json!("us"));
    let id = run.json["id"].as_str().unwrap();
    let list = world.get("vera", &format!("{RUNS}?workflow=Ship%20It")).await.json;
    assert_eq!((&list["total"], &list["items"][0]["jobCount"]), (&json!(1), &json!(4)), "{list}");
    assert_eq!(world.get("vera", &format!("{RUNS}?workflow=nothing")).await.json["total"], json!(0));

    // A job of it, as the evaluator asks for it.
    let job: JobRef = serde_json::from_value(json!({
        "workspace": "acme", "id": run.json["jobs"][0]["id"], "tag": "build", "attempt": 1,
        "purpose": { "is": "workflow", "workflow": run.json["workflowId"], "run": id },
    }))
    .unwrap();
    world.record(&job, JobFact::Requested { catalog_revision: 1, grounds: None }).await;
    let with_release =
        world.get("vera", &format!("/api/v1/workspaces/acme/jobs/{}/with-release", job.id)).await;
    assert_eq!(with_release.status, StatusCode::OK);
    assert_eq!(with_release.json["release"], Value::Null);
    assert_eq!(with_release.json["workflow"]["slug"], "Ship-It");
    assert_eq!(with_release.json["workflowRun"]["inputs"]["tag"], "v1");
    assert_eq!(with_release.json["job"].get("versionId"), None, "{}", with_release.json);
    assert_eq!(with_release.json["job"]["name"], "build");
    world.record(&job, JobFact::ended(TerminalStatus::Failure, None, "broken")).await;
    let retried =
        world.post("otto", &format!("/api/v1/workspaces/acme/jobs/{}/retry", job.id), json!({})).await;
    assert_eq!(retried.status, StatusCode::ACCEPTED, "{retried:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_asked_for_twice_under_one_key_is_one_run() {
    let world = world().await;
    let path = format!("{WORKFLOWS}/slug/Ship-It/runs");
    let mut ids = Vec::new();
    for lost in [false, true] {
        if lost {
            // The answer was lost, and with it that it was given.
            let answers = bus::topology::IDEMPOTENCY.stream();
            world.bus.jetstream().get_stream(answers).await.unwrap().purge().await.unwrap();
        }
        let request = world.request(Method::POST, &path).header("x-api-key", "otto");
        let request = request.header("idempotency-key", "once").json(&json!({ "inputs": { "tag": "v1" } }));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        ids.push(answer["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned());
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!(world.get("vera", RUNS).await.json["total"], json!(1));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_starts_nothing_and_its_jobs_are_not_tried_again() {
    let world = world().await;
    let run = world
        .post("otto", &format!("{WORKFLOWS}/slug/Ship-It/runs"), json!({ "inputs": { "tag": "v1" } }))
        .await;
    let path = format!("{RUNS}/{}", run.json["id"].as_str().unwrap());
    let cancel = format!("{path}/cancel");
    assert_eq!(world.post("vera", &cancel, json!({})).await.status, StatusCode::FORBIDDEN);
    let cancelled = world.post("otto", &cancel, json!({ "reason": "wrong tag" })).await;
    assert_eq!((cancelled.status, &cancelled.json["status"]), (StatusCode::ACCEPTED, &json!("cancelled")));
    assert_eq!(
        (&cancelled.json["cancel"]["by"], &cancelled.json["cancel"]["reason"]),
        (&json!("otto"), &json!("wrong tag"))
    );
    let first = &cancelled.json["jobs"][0];
    assert_eq!((&first["status"], &first["why"]), (&json!("skipped"), &json!("the run was cancelled")));
    assert_eq!(
        world.post("adam", &cancel, json!({})).await.json["cancel"]["by"],
        "otto",
        "it was wished before"
    );

    let id: JobId = serde_json::from_value(first["id"].clone()).unwrap();
    let job: JobRef = serde_json::from_value(json!({
        "workspace": acme(), "id": id, "tag": "build", "attempt": 1,
        "purpose": { "is": "workflow", "workflow": run.json["workflowId"], "run": run.json["id"] },
    }))
    .unwrap();
    world.record(&job, JobFact::Requested { catalog_revision: 1, grounds: None }).await;
    world.record(&job, JobFact::ended(TerminalStatus::Cancelled, None, "cancelled")).await;
    let again = world.post("otto", &format!("/api/v1/workspaces/acme/jobs/{id}/retry"), json!({})).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{again:?}");
    let revision = until("the run is in the catalog", async || {
        let key = format!("acme.workflow-run.{}", run.json["id"].as_str().unwrap());
        world.bus.bucket(&CATALOG).get(&key).await.unwrap().map(|entry| entry.revision)
    })
    .await;
    assert!(revision > 0);
    for (status, total) in
        [("cancelled", 1), ("pending,cancelled", 1), ("successful, failure,in_progress", 0)]
    {
        let list = world.get("vera", &format!("{RUNS}?status={status}")).await.json;
        assert_eq!(list["total"], json!(total), "{status}: {list}");
    }
    let refused = world.get("vera", &format!("{RUNS}?status=done")).await;
    assert_eq!(
        (refused.status, &refused.json["errors"][0]["field"]),
        (StatusCode::BAD_REQUEST, &json!("status"))
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_jobs_are_forgotten_is_shown_as_it_ended() {
    let world = world().await;
    let begun = world
        .post("otto", &format!("{WORKFLOWS}/slug/Ship-It/runs"), json!({ "inputs": { "tag": "v1" } }))
        .await;
    let (id, first) = (begun.json["id"].as_str().unwrap(), begun.json["jobs"][0]["id"].as_str().unwrap());
    let (bucket, key) = (world.bus.bucket(&CATALOG), format!("acme.workflow-run.{id}"));
    let (mut run, revision): (Value, u64) = bucket.get_json(&key).await.unwrap().unwrap();
    run["spec"]["end"] =
        json!({ "status": "failure", "at": "2026-01-02T03:04:05Z", "jobs": { first: "failure" } });
    bucket.update_json(&key, &run, revision).await.unwrap();
    until("the end is seen", async || {
        let list = world.get("vera", &format!("{RUNS}?status=failure")).await.json;
        (list["items"][0]["id"] == id).then_some(())
    })
    .await;
    let shown = world.get("vera", &format!("{RUNS}/{id}")).await.json;
    assert_eq!(
        told(&shown),
        ["build failure", "deploy[0] skipped", "deploy[1] skipped", "clean-up pending"],
        "what it still wants to do is not over: {shown}"
    );
    world.end().await;
}

/// The jobs of a run, as `name status`.
fn told(run: &Value) -> Vec<String> {
    let jobs = run["jobs"].as_array().unwrap().iter();
    jobs.map(|job| format!("{} {}", job["name"].as_str().unwrap(), job["status"].as_str().unwrap())).collect()
}
