//! Dispatching, reading, searching, cancelling and re-running workflow runs.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod support;

use std::time::Duration;

use fake_github::{Conclusion, Ending, FakeGithub, Options, Plan, Script, Status, When, Workflow};
use serde_json::{Map, Value, json};
use support::{Caller, DISPATCH, PAT, SOON, options};

const RUNS: &str = "/repos/acme/shop/actions/workflows/deploy.yml/runs";

fn run_path(id: u64) -> String {
    format!("/repos/acme/shop/actions/runs/{id}")
}

#[tokio::test]
async fn a_dispatch_returns_the_run_only_when_asked_or_by_api_version() {
    let fake = FakeGithub::start(options(Script::hold())).await.unwrap();
    let caller = Caller::of(&fake, PAT);
    let body = json!({ "ref": "main", "inputs": { "job_id": "j1" } });
    assert_eq!(caller.json(caller.post(DISPATCH, &body)).await, (204, Value::Null));
    let newer = caller.post(DISPATCH, &body).header("X-GitHub-Api-Version", "2026-03-10");
    let (status, answer) = caller.json(newer).await;
    let id = answer["workflow_run_id"].as_u64().unwrap();
    assert_eq!(
        (status, answer["run_url"].as_str()),
        (200, Some(&*format!("{}{}", fake.base_url(), run_path(id))))
    );

    let traced = json!({ "ref": "refs/heads/main", "inputs": { "job_id": "j2", "tag": 7 }, "return_run_details": true });
    let (_, answer) = caller.json(caller.post(DISPATCH, &traced).header("traceparent", "00-1-2-01")).await;
    let run = fake.run(answer["workflow_run_id"].as_u64().unwrap()).unwrap();
    assert_eq!((run.git_ref.as_str(), run.display_title.as_str()), ("main", "deploy j2"));
    assert_eq!((run.inputs["tag"].as_str(), run.traceparent.as_deref()), ("7", Some("00-1-2-01")));
    assert_eq!(fake.dispatch_count(), 3);
}

#[tokio::test]
async fn bad_dispatches_are_refused_in_githubs_words() {
    let mut options = options(Script::success());
    let disabled = Workflow { disabled: true, ..Workflow::new("off.yml") };
    options.repos[0].workflows.push(disabled);
    let fake = FakeGithub::start(options).await.unwrap();
    let caller = Caller::of(&fake, PAT);
    let many: Map<String, Value> = (0..26).map(|n| (format!("i{n}"), json!("x"))).collect();
    let off = "/repos/acme/shop/actions/workflows/off.yml/dispatches";
    for (path, body, status, message) in [
        (DISPATCH, json!({ "ref": "nope" }), 422, "No ref found for: nope"),
        (
            DISPATCH,
            json!({ "ref": "main", "inputs": { "x": "1", "y": "2" } }),
            422,
            "Unexpected inputs provided: [\"x\", \"y\"]",
        ),
        (
            DISPATCH,
            json!({ "ref": "main", "inputs": many }),
            422,
            "No more than 25 properties are allowed; 26 were supplied.",
        ),
        (DISPATCH, json!({ "inputs": {} }), 422, "\"ref\" wasn't supplied."),
        (DISPATCH, json!({ "ref": "main", "colour": "red" }), 422, "\"colour\" is not a permitted key."),
        (DISPATCH, json!([]), 400, "Body should be a JSON object"),
        (off, json!({ "ref": "main" }), 422, "Cannot trigger a 'workflow_dispatch' on a disabled workflow"),
        ("/repos/acme/shop/actions/workflows/no.yml/dispatches", json!({ "ref": "main" }), 404, "Not Found"),
        (
            "/repos/acme/none/actions/workflows/deploy.yml/dispatches",
            json!({ "ref": "main" }),
            404,
            "Not Found",
        ),
    ] {
        let (got, answer) = caller.json(caller.post(path, &body)).await;
        assert_eq!(got, status, "{body}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(message), "{answer}");
    }
    assert_eq!(fake.dispatch_count(), 0);
    let (_, workflow) = caller.json(caller.get("/repos/acme/shop/actions/workflows/off.yml")).await;
    assert_eq!(workflow["state"], "disabled_manually");
}

#[tokio::test]
async fn ghes_returns_nothing_and_takes_ten_inputs() {
    let ghes = Options { returns_run_details: false, ..options(Script::success()) };
    let fake = FakeGithub::start(ghes).await.unwrap();
    let caller = Caller::of(&fake, PAT).under("/api/v3");
    let body = json!({ "ref": "main", "inputs": { "job_id": "j1" }, "return_run_details": true });
    let (status, answer) = caller.json(caller.post(DISPATCH, &body)).await;
    assert_eq!(status, 422);
    assert!(answer["message"].as_str().unwrap().contains("is not a permitted key"));
    let body = json!({ "ref": "main", "inputs": { "job_id": "j1" } });
    let versioned = caller.post(DISPATCH, &body).header("X-GitHub-Api-Version", "2026-03-10");
    assert_eq!(caller.json(versioned).await.0, 204);
    let eleven: Map<String, Value> = (0..11).map(|n| (format!("i{n}"), json!("x"))).collect();
    assert_eq!(caller.json(caller.post(DISPATCH, &json!({ "ref": "main", "inputs": eleven }))).await.0, 422);
}

#[tokio::test]
async fn runs_go_their_scripted_way() {
    let script = Script::success()
        .taking(Duration::from_millis(20), Duration::from_millis(20))
        .when(When::input("tag", "bad"), Plan::ends(Conclusion::Failure))
        .when(When::input("tag", "gate"), Plan::new(Ending::AwaitApproval));
    let fake = FakeGithub::start(options(script)).await.unwrap();
    let caller = Caller::of(&fake, PAT);
    let dispatch = async |tag: &str| {
        let body = json!({ "ref": "main", "inputs": { "tag": tag }, "return_run_details": true });
        caller.json(caller.post(DISPATCH, &body)).await.1["workflow_run_id"].as_u64().unwrap()
    };
    let (good, bad, gate) = (dispatch("good").await, dispatch("bad").await, dispatch("gate").await);
    for (id, conclusion) in [(good, "success"), (bad, "failure")] {
        fake.wait_for_status(id, Status::Completed, SOON).await.unwrap();
        let (_, run) = caller.json(caller.get(&run_path(id))).await;
        assert_eq!(
            (run["status"].as_str(), run["conclusion"].as_str()),
            (Some("completed"), Some(conclusion))
        );
        let (_, jobs) = caller.json(caller.get(&format!("{}/jobs", run_path(id)))).await;
        assert_eq!(jobs["jobs"][0]["conclusion"].as_str(), Some(conclusion));
    }
    fake.wait_for_status(gate, Status::Waiting, SOON).await.unwrap();
    let pending = format!("{}/pending_deployments", run_path(gate));
    assert_eq!(caller.json(caller.get(&pending)).await.1[0]["environment"]["name"], "production");
    assert!(fake.approve(gate));
    fake.wait_for_status(gate, Status::Completed, SOON).await.unwrap();
    assert_eq!(caller.json(caller.get(&pending)).await.1, json!([]));
    assert!(fake.delete_run(gate));
    assert_eq!(caller.json(caller.get(&run_path(gate))).await.0, 404);
}

#[tokio::test]
async fn cancel_is_asynchronous_and_force_cancel_ends_what_ignores_it() {
    let script = Script::hold().when(When::input("tag", "stuck"), Plan::new(Ending::Hold).ignoring_cancel());
    let fake = FakeGithub::start(options(script)).await.unwrap();
    let caller = Caller::of(&fake, PAT);
    let id = caller.dispatch("j1").await;
    let cancel = |id: u64, how: &str| caller.post(&format!("{}/{how}", run_path(id)), &json!({}));
    assert_eq!(caller.json(cancel(id, "cancel")).await, (202, json!({})));
    let run = fake.wait_for_status(id, Status::Completed, SOON).await.unwrap();
    assert_eq!(run.conclusion, Some(Conclusion::Cancelled));
    assert_eq!(caller.json(cancel(id, "cancel")).await.0, 409);

    let body = json!({ "ref": "main", "inputs": { "tag": "stuck" }, "return_run_details": true });
    let stuck = caller.json(caller.post(DISPATCH, &body)).await.1["workflow_run_id"].as_u64().unwrap();
    fake.wait_for_status(stuck, Status::InProgress, SOON).await.unwrap();
    assert_eq!(caller.json(cancel(stuck, "cancel")).await.0, 202);
    // A later run is cancelled while the stuck one goes on: its cancel had its chance.
    let witness = caller.dispatch("j2").await;
    caller.json(cancel(witness, "cancel")).await;
    fake.wait_for_status(witness, Status::Completed, SOON).await.unwrap();
    assert_eq!(fake.run(stuck).unwrap().status, Status::InProgress);
    assert_eq!(caller.json(cancel(stuck, "force-cancel")).await.0, 202);
    fake.wait_for_status(stuck, Status::Completed, SOON).await.unwrap();
}

#[tokio::test]
async fn a_rerun_keeps_the_id_and_adds_an_attempt() {
    let script = Script::hold().when(When::attempt(2), Plan::ends(Conclusion::Success));
    let fake = FakeGithub::start(options(script)).await.unwrap();
    let caller = Caller::of(&fake, PAT);
    let id = caller.dispatch("j1").await;
    let rerun = format!("{}/rerun", run_path(id));
    let (status, _) = caller.json(caller.post(&rerun, &json!({}))).await;
    assert_eq!(status, 403, "still running");
    assert_eq!(fake.complete_held(&Conclusion::Failure), 1);
    let failed_jobs = format!("{}/rerun-failed-jobs", run_path(id));
    assert_eq!(caller.json(caller.post(&failed_jobs, &json!({}))).await.0, 201);
    let run = fake.wait_for_status(id, Status::Completed, SOON).await.unwrap();
    assert_eq!((run.run_attempt, run.conclusion), (2, Some(Conclusion::Success)));
    for (attempt, conclusion) in [(1, "failure"), (2, "success")] {
        let (_, seen) = caller.json(caller.get(&format!("{}/attempts/{attempt}", run_path(id)))).await;
        assert_eq!(
            (seen["run_attempt"].as_u64(), seen["conclusion"].as_str()),
            (Some(attempt), Some(conclusion))
        );
    }
    assert_eq!(caller.json(caller.get(&format!("{}/attempts/3", run_path(id)))).await.0, 404);
    assert_eq!(caller.json(caller.post(&failed_jobs, &json!({}))).await.0, 403, "nothing failed");
    assert_eq!(fake.dispatch_count(), 1);
}

#[tokio::test]
async fn searches_filter_and_page() {
    let fake = FakeGithub::start(options(Script::hold())).await.unwrap();
    let caller = Caller::of(&fake, PAT);
    for n in 0..5 {
        caller.dispatch(&format!("j{n}")).await;
    }
    let search = async |query: &str| caller.json(caller.get(&format!("{RUNS}?{query}"))).await.1;
    let page =
        search("event=workflow_dispatch&branch=main&created=%3E%3D2026-01-01T00:00:00Z&per_page=2&page=2")
            .await;
    assert_eq!(page["total_count"], 5);
    let titles: Vec<_> =
        page["workflow_runs"].as_array().unwrap().iter().map(|r| r["display_title"].clone()).collect();
    assert_eq!(titles, ["deploy j2", "deploy j1"], "newest first");
    for nothing in ["event=push", "branch=other", "status=completed", "created=%3C2026-01-01"] {
        assert_eq!(search(nothing).await["total_count"], 0, "{nothing}");
    }
    let response = caller.get(&format!("{RUNS}?per_page=2&event=workflow_dispatch")).send().await.unwrap();
    assert!(response.headers()["link"].to_str().unwrap().contains("page=2>; rel=\"next\""));
}

#[tokio::test]
async fn a_run_is_found_only_after_a_while() {
    let hidden = Options { search_visible_after: Duration::from_secs(3600), ..options(Script::hold()) };
    let fake = FakeGithub::start(hidden).await.unwrap();
    let caller = Caller::of(&fake, PAT);
    let id = caller.dispatch("j1").await;
    assert_eq!(caller.json(caller.get(RUNS)).await.1["total_count"], 0);
    assert_eq!(caller.json(caller.get(&run_path(id))).await.0, 200, "by id it is there");
}
