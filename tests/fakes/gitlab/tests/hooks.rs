//! Deliveries: proved in both ways, listed, sent again under the same key, and going wrong as told.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use fake_gitlab::{
    Ending, FakeGitlab, HOOK_ID, Hook, HookFault, HookFaultKind, Options, Plan, Project, Script, Token,
};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const TOKEN: &str = "glpat-0123456789abcdefghij";
const SOON: Duration = Duration::from_secs(10);

/// Remembers what it is told, and answers with the status of the moment.
#[derive(Clone)]
struct Receiver {
    got: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    status: Arc<Mutex<StatusCode>>,
    url: String,
}

impl Receiver {
    async fn start(tasks: &mut JoinSet<()>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let receiver = Self { got: Arc::default(), status: Arc::new(Mutex::new(StatusCode::ACCEPTED)), url };
        let app = Router::new().fallback(take).with_state(receiver.clone());
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        receiver
    }

    fn keys(&self) -> Vec<String> {
        let got = self.got.lock().unwrap();
        got.iter().map(|(headers, _)| headers["idempotency-key"].to_str().unwrap().to_owned()).collect()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    receiver.got.lock().unwrap().push((headers, serde_json::from_slice(&body).unwrap()));
    *receiver.status.lock().unwrap()
}

async fn fake(hook: Hook) -> FakeGitlab {
    let project = Project::new("acme/shop").script(Script::of(Plan::new(Ending::HoldQueued)));
    let options = Options {
        tokens: vec![Token::new(TOKEN)],
        projects: vec![project],
        hook: Some(hook),
        ..Options::default()
    };
    FakeGitlab::start(options).await.unwrap()
}

async fn call(fake: &FakeGitlab, method: http::Method, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}/api/v4/projects/acme%2Fshop/{path}", fake.base_url());
    let request = reqwest::Client::new().request(method, url).bearer_auth(TOKEN);
    let answer =
        request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null))
}

async fn start(fake: &FakeGitlab) -> u64 {
    let (status, pipeline) = call(fake, http::Method::POST, "pipeline", json!({ "ref": "main" })).await;
    assert_eq!(status, 201, "{pipeline}");
    pipeline["id"].as_u64().unwrap()
}

#[tokio::test]
async fn both_proofs_are_sent_and_dates_are_gitlabs_own() {
    let mut tasks = JoinSet::new();
    let receiver = Receiver::start(&mut tasks).await;
    let fake = fake(Hook::signed(&receiver.url, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").and_jobs()).await;
    start(&fake).await;
    fake.wait_for_delivery(SOON, |d| d.event == "Pipeline Hook" && d.status_code == 202).await.unwrap();
    let got = receiver.got.lock().unwrap().clone();
    let (headers, pipeline) = got.iter().find(|(_, body)| body["object_kind"] == "pipeline").unwrap();
    assert_eq!(headers["x-gitlab-event"], "Pipeline Hook");
    assert_eq!(headers["webhook-id"], headers["idempotency-key"]);
    assert!(headers["webhook-signature"].to_str().unwrap().starts_with("v1,"));
    assert!(!headers.contains_key("x-gitlab-token"));
    let created = pipeline["object_attributes"]["created_at"].as_str().unwrap();
    assert!(created.ends_with(" UTC") && created.len() == "2016-08-12 15:23:28 UTC".len(), "{created}");
    let (_, job) = got.iter().find(|(_, body)| body["object_kind"] == "build").unwrap();
    assert_eq!(job["pipeline_id"], pipeline["object_attributes"]["id"]);
    assert!(job.get("variables").is_none());

    fake.set_hook(Some(Hook::with_token(&receiver.url, "t0ken")));
    start(&fake).await;
    fake.wait_for_delivery(SOON, |_| receiver.keys().len() > got.len()).await.unwrap();
    let (headers, _) = receiver.got.lock().unwrap().pop().unwrap();
    assert_eq!(headers["x-gitlab-token"], "t0ken");
    assert!(!headers.contains_key("webhook-signature"));
}

#[tokio::test]
async fn what_failed_is_listed_and_sent_again_under_its_old_key() {
    let mut tasks = JoinSet::new();
    let receiver = Receiver::start(&mut tasks).await;
    *receiver.status.lock().unwrap() = StatusCode::SERVICE_UNAVAILABLE;
    let fake = fake(Hook::with_token(&receiver.url, "t0ken")).await;
    start(&fake).await;
    fake.wait_for_delivery(SOON, |delivery| delivery.status_code == 503).await.unwrap();
    let events = format!("hooks/{HOOK_ID}/events");
    let (_, failed) =
        call(&fake, http::Method::GET, &format!("{events}?status=server_failure"), Value::Null).await;
    assert_eq!(failed.as_array().unwrap().len(), 1, "{failed}");
    let (id, key) = (failed[0]["id"].as_u64().unwrap(), &failed[0]["request_headers"]["Idempotency-Key"]);
    let (_, fine) = call(&fake, http::Method::GET, &format!("{events}?status=successful"), Value::Null).await;
    assert_eq!(fine, json!([]));

    *receiver.status.lock().unwrap() = StatusCode::ACCEPTED;
    let resend = format!("{events}/{id}/resend");
    let (status, answer) = call(&fake, http::Method::POST, &resend, Value::Null).await;
    assert_eq!((status, &answer["response_status"]), (201, &json!(202)));
    assert_eq!(receiver.keys(), [key.as_str().unwrap(), key.as_str().unwrap()]);
    for _ in 0..4 {
        call(&fake, http::Method::POST, &resend, Value::Null).await;
    }
    let (limited, _) = call(&fake, http::Method::POST, &resend, Value::Null).await;
    assert_eq!(limited, 429, "five a minute");
}

#[tokio::test]
async fn deliveries_go_wrong_as_told() {
    let mut tasks = JoinSet::new();
    let receiver = Receiver::start(&mut tasks).await;
    let fake = fake(Hook::with_token(&receiver.url, "t0ken")).await;
    let hook = "Pipeline Hook";
    fake.inject_hook(HookFault::once(hook, "pending", HookFaultKind::Drop));
    fake.inject_hook(HookFault::once(hook, "running", HookFaultKind::Reorder));
    fake.inject_hook(HookFault::once(hook, "success", HookFaultKind::Repeat(1)));
    let id = start(&fake).await;
    fake.set_status(id, "running");
    fake.set_status(id, "success");
    fake.wait_for_delivery(SOON, |delivery| delivery.told == "running").await.unwrap();
    let told: Vec<String> = {
        let got = receiver.got.lock().unwrap();
        got.iter().map(|(_, body)| body["object_attributes"]["status"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(told, ["success", "success", "running"]);
    assert_eq!(
        fake.deliveries().iter().filter(|delivery| delivery.failed()).count(),
        1,
        "the lost one is listed"
    );
}
