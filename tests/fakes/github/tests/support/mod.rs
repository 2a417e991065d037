//! A client that speaks to the fake, and a receiver that remembers deliveries.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::disallowed_methods, reason = "a test client owns its clock, as a real one would")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use chrono::Utc;
use fake_github::{App, FakeGithub, Options, Repo, Script, Webhook, Workflow};
use http::{HeaderMap, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;

pub(crate) const SOON: Duration = Duration::from_secs(10);
pub(crate) const PAT: &str = "pat-for-tests";
pub(crate) const SECRET: &str = "hook-secret";
pub(crate) const DISPATCH: &str = "/repos/acme/shop/actions/workflows/deploy.yml/dispatches";

/// One repository `acme/shop` with `deploy.yml`, the sample App and a personal token.
pub(crate) fn options(script: Script) -> Options {
    Options {
        app: Some(App::sample("4711", "acme")),
        pats: vec![PAT.to_owned()],
        repos: vec![
            Repo::new("acme", "shop").workflow(Workflow::new("deploy.yml").inputs(&["tag"]).script(script)),
        ],
        ..Options::default()
    }
}

pub(crate) struct Caller {
    client: Client,
    base: String,
    pub(crate) token: String,
}

impl Caller {
    pub(crate) fn of(fake: &FakeGithub, token: &str) -> Self {
        let client = Client::builder().user_agent("test").no_proxy().build().unwrap();
        Self { client, base: fake.base_url(), token: token.to_owned() }
    }

    pub(crate) fn under(mut self, prefix: &str) -> Self {
        self.base.push_str(prefix);
        self
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base)).bearer_auth(&self.token).json(body)
    }

    /// Sends; status and JSON body.
    pub(crate) async fn json(&self, request: RequestBuilder) -> (u16, Value) {
        read(request.send().await.unwrap()).await
    }

    /// Starts a run of `deploy.yml` and returns its id.
    pub(crate) async fn dispatch(&self, job_id: &str) -> u64 {
        let body = json!({ "ref": "main", "inputs": { "job_id": job_id }, "return_run_details": true });
        let (status, answer) = self.json(self.post(DISPATCH, &body)).await;
        assert_eq!(status, 200, "{answer}");
        answer["workflow_run_id"].as_u64().unwrap()
    }
}

pub(crate) async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// A JWT of the sample App, living this many seconds.
pub(crate) fn app_jwt(iss: &str, lives_secs: i64) -> String {
    let key = EncodingKey::from_rsa_pem(fake_github::SAMPLE_APP_PRIVATE_KEY_PEM.as_bytes()).unwrap();
    let now = Utc::now().timestamp();
    let claims = json!({ "iss": iss, "iat": now - 30, "exp": now + lives_secs });
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).unwrap()
}

/// Headers and raw body of each delivery, in order of arrival.
type Mailbox = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A webhook receiver; answers 202 and remembers what came.
pub(crate) struct Receiver {
    pub(crate) url: String,
    got: Mailbox,
    _server: JoinSet<()>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let got = Mailbox::default();
        let remember = async |State(got): State<Mailbox>, headers, body| {
            got.lock().unwrap().push((headers, body));
            StatusCode::ACCEPTED
        };
        let app = Router::new().route("/hooks", post(remember)).with_state(Arc::clone(&got));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, got, _server: server }
    }

    pub(crate) fn webhook(&self) -> Webhook {
        Webhook::new(&self.url, SECRET)
    }

    pub(crate) fn got(&self) -> Vec<(HeaderMap, Bytes)> {
        self.got.lock().unwrap().clone()
    }

    /// `event.action` of everything that came, in order.
    pub(crate) fn story(&self) -> Vec<String> {
        let line = |(headers, body): &(HeaderMap, Bytes)| {
            let payload: Value = serde_json::from_slice(body).unwrap();
            let event = headers["x-github-event"].to_str().unwrap();
            format!("{event}.{}", payload["action"].as_str().unwrap_or("-"))
        };
        self.got().iter().map(line).collect()
    }
}
