//! The fake as its clients see it: tokens, submissions, ends, retries, the archive, and the event stream with its faults.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a panic is a test's answer")]

use fake_argo::{Ending, FakeArgo, Fault, NewsFault, Options, Plan, Template};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(10);

async fn fake(plan: Plan) -> FakeArgo {
    let template = Template::new("ci", "deploy").parameter("version", None).parameter("region", Some("eu"));
    let templates = vec![template.plan(plan)];
    let (tokens, readers) = (vec!["admin".to_owned()], vec!["reader".to_owned()]);
    FakeArgo::start(Options { tokens, readers, templates, ..Options::default() }).await.unwrap()
}

fn request(fake: &FakeArgo, method: Method, path: &str) -> RequestBuilder {
    Client::new().request(method, format!("{}{path}", fake.base_url())).bearer_auth("admin")
}

async fn call(fake: &FakeArgo, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let answer = request(fake, method, path).body(body.to_string()).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn submission(name: &str, parameters: &[&str]) -> Value {
    json!({ "resourceKind": "WorkflowTemplate", "resourceName": "deploy",
        "submitOptions": { "name": name, "labels": "team=shop", "parameters": parameters } })
}

async fn submit(fake: &FakeArgo, name: &str) -> (u16, Value) {
    call(fake, Method::POST, "/api/v1/workflows/ci/submit", &submission(name, &["version=1"])).await
}

async fn until(fake: &FakeArgo, name: &str, phase: &str) {
    let reached = async {
        while fake.workflow("ci", name).unwrap().phase() != phase {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(WITHIN, reached).await.is_ok(), "never {phase}");
}

#[tokio::test]
async fn a_token_is_asked_for_and_a_reader_may_only_read() {
    let fake = fake(Plan::hold()).await;
    submit(&fake, "a").await;
    let url = format!("{}/api/v1/workflows/ci/a", fake.base_url());
    assert_eq!(Client::new().get(&url).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(Client::new().get(&url).bearer_auth("reader").send().await.unwrap().status(), StatusCode::OK);
    let stop = Client::new().put(format!("{url}/stop")).bearer_auth("reader").body("{}");
    assert_eq!(stop.send().await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_name_is_taken_once_and_what_is_missing_is_said() {
    let fake = fake(Plan::hold()).await;
    let (status, made) = submit(&fake, "a").await;
    assert_eq!((status, &made["metadata"]["labels"]["team"]), (200, &json!("shop")));
    assert_eq!(submit(&fake, "a").await.0, 409);
    let path = "/api/v1/workflows/ci/submit";
    let (status, refused) = call(&fake, Method::POST, path, &submission("b", &[])).await;
    assert_eq!(status, 400);
    assert!(refused["message"].as_str().unwrap().contains("version"), "{refused}");
    assert_eq!(
        call(&fake, Method::POST, "/api/v1/workflows/cd/submit", &submission("b", &["version=1"])).await.0,
        404
    );
    assert_eq!(fake.submitted(), 1);
}

#[tokio::test]
async fn what_is_stopped_fails_in_argos_words_and_cannot_be_stopped_again() {
    let fake = fake(Plan::at_once(Ending::Runs)).await;
    submit(&fake, "a").await;
    until(&fake, "a", "Running").await;
    assert_eq!(call(&fake, Method::PUT, "/api/v1/workflows/ci/a/stop", &json!({})).await.0, 200);
    until(&fake, "a", "Failed").await;
    let object = fake.workflow("ci", "a").unwrap().object;
    assert_eq!(object["status"]["message"], "Stopped with strategy 'Stop'");
    let (status, refused) = call(&fake, Method::PUT, "/api/v1/workflows/ci/a/terminate", &json!({})).await;
    assert_eq!(status, 500);
    assert!(refused["message"].as_str().unwrap().contains("completed workflow"));
}

/// As in Argo: a retry that changes one parameter forgets those of the template.
#[tokio::test]
async fn a_retry_that_does_not_repeat_the_template_s_parameters_loses_them() {
    let fake = fake(Plan::at_once(Ending::Fails("no".to_owned()))).await;
    submit(&fake, "a").await;
    until(&fake, "a", "Failed").await;
    let path = "/api/v1/workflows/ci/a/retry";
    assert_eq!(call(&fake, Method::PUT, path, &json!({ "parameters": ["n=2", "region=eu"] })).await.0, 200);
    until(&fake, "a", "Failed").await;
    assert_eq!(fake.workflow("ci", "a").unwrap().parameter("version"), Some("1"));
    assert_eq!(call(&fake, Method::PUT, path, &json!({ "parameters": ["n=3"] })).await.0, 200);
    until(&fake, "a", "Failed").await;
    submit(&fake, "b").await;
    until(&fake, "b", "Failed").await;
    assert_eq!(
        call(&fake, Method::PUT, "/api/v1/workflows/ci/b/retry", &json!({ "parameters": ["n=2"] })).await.0,
        200
    );
    let object = fake.workflow("ci", "b").unwrap().object;
    assert_eq!(object["status"]["phase"], "Error");
    assert!(object["status"]["message"].as_str().unwrap().contains("region"));
}

#[tokio::test]
async fn what_is_over_is_archived_and_found_by_name_without_its_nodes() {
    let fake = fake(Plan::at_once(Ending::Succeeds)).await;
    submit(&fake, "a").await;
    until(&fake, "a", "Succeeded").await;
    assert!(fake.delete("ci", "a"));
    let path = "/api/v1/archived-workflows?listOptions.fieldSelector=metadata.namespace=ci,metadata.name=a";
    let (_, listed) = call(&fake, Method::GET, path, &Value::Null).await;
    let found = &listed["items"][0];
    assert!(found["status"]["nodes"].is_null() && found["status"]["phase"] == "Succeeded", "{found}");
    let uid = found["metadata"]["uid"].as_str().unwrap();
    let (_, whole) =
        call(&fake, Method::GET, &format!("/api/v1/archived-workflows/{uid}"), &Value::Null).await;
    assert_eq!(whole["status"]["nodes"].as_object().unwrap().len(), 2);
    assert_eq!(
        call(&fake, Method::GET, "/api/v1/workflows/ci/a?fields=metadata.name", &Value::Null).await.1,
        json!({ "metadata": { "name": "a" } })
    );
}

#[tokio::test]
async fn news_go_wrong_as_told() {
    let fake = fake(Plan::hold()).await;
    submit(&fake, "a").await;
    let mut stream = request(&fake, Method::GET, "/api/v1/workflow-events/ci").send().await.unwrap();
    fake.spoil_news(&[NewsFault::Drop, NewsFault::Repeat, NewsFault::Cut]);
    for progress in ["dropped", "repeated", "cut"] {
        fake.write("ci", "a", "/status/progress", &json!(progress));
    }
    let mut heard = String::new();
    while let Some(chunk) = stream.chunk().await.unwrap() {
        heard.push_str(&String::from_utf8_lossy(&chunk));
    }
    let count = |word: &str| heard.matches(&format!("\"progress\":\"{word}\"")).count();
    assert_eq!((count("dropped"), count("repeated"), count("cut")), (0, 2, 0), "{heard}");
    fake.forget_history();
    let path = "/api/v1/workflow-events/ci?listOptions.resourceVersion=1";
    let old = request(&fake, Method::GET, path).send().await.unwrap().text().await.unwrap();
    assert!(old.contains("too old resource version"), "{old}");
}

#[tokio::test]
async fn calls_go_wrong_as_told_and_are_remembered() {
    let fake = fake(Plan::hold()).await;
    fake.inject(Fault::too_many("POST", "/submit", 9));
    let limited =
        request(&fake, Method::POST, "/api/v1/workflows/ci/submit").body("{}").send().await.unwrap();
    assert_eq!((limited.status().as_u16(), &limited.headers()["retry-after"]), (429, &"9".parse().unwrap()));
    fake.inject(Fault::once("POST", "/submit", fake_argo::FaultKind::DropAfterEffect));
    let lost = request(&fake, Method::POST, "/api/v1/workflows/ci/submit");
    assert!(lost.body(submission("a", &["version=1"]).to_string()).send().await.is_err());
    assert_eq!(fake.submitted(), 1);
    let statuses: Vec<Option<u16>> = fake.calls().into_iter().map(|call| call.status).collect();
    assert_eq!(statuses, [Some(429), None]);
    fake.shutdown().await;
}
