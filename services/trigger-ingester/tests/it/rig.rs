//! The ingester on servers of its own, and the few words the tests are written in.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus::topology::{CATALOG, Permissions, Service as Who, TRIGGERS, needs_of, permissions_of};
use bus::{Bus, ConnectOptions, Decode, Provision, RawMessage, StoredMessage, TriggerEvent};
use domain::entity::Entity;
use domain::manifest::{Defaults, File, OfNames, parse};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use servers::{NatsOptions, TestServers};
use service::{CommonSettings, Plan, Secrets, Supervisor, start};
use sha2::Sha256;
use trigger_ingester::TriggerIngester;

pub(crate) const WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(10);
const ADMIN: &str = "admin";
const PASSWORD: &str = "test";

pub(crate) const PUSH: &[u8] = include_bytes!("../fixtures/github-push.json");
pub(crate) const PUSHES: &str = "ctrlplane.trigger.acme.github.push";

/// What the tests send to. Every name of a secret is a file, with `<name>'s value` in it.
const SOURCES: &str = "
kind: Workspace
metadata: { name: acme }
---
kind: TriggerSource
metadata: { name: github }
spec: { sender: { type: github }, secretRefs: [old, new], events: [push, workflow_run, repository_dispatch] }
---
kind: TriggerSource
metadata: { name: unready }
spec: { sender: { type: github }, secretRefs: [old, absent] }
---
kind: TriggerSource
metadata: { name: gitlab }
spec: { sender: { type: gitlab }, secretRefs: [old] }
---
kind: TriggerSource
metadata: { name: token }
spec:
  sender: { type: token, token: { header: X-Token }, naming: { deliveryHeader: X-Delivery, eventHeader: X-Event } }
  secretRefs: [old]
---
kind: TriggerSource
metadata: { name: signed }
spec:
  sender:
    type: hmac
    signature: { header: X-Signature, prefix: 'sha256=' }
    naming: { deliveryHeader: X-Delivery, eventHeader: X-Event, uniqueBodies: true }
  secretRefs: [old]
---
kind: TriggerSource
metadata: { name: events }
spec:
  sender: { type: cloudevents, auth: { type: token, token: { header: Authorization, prefix: 'Bearer ' } } }
  secretRefs: [old]
---
kind: TriggerSource
metadata: { name: standard }
spec: { sender: { type: standard-webhooks }, secretRefs: [standard] }
";

/// `whsec_` and base64, as Standard Webhooks writes a secret.
pub(crate) const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub(crate) struct World {
    pub(crate) servers: TestServers,
    pub(crate) bus: Bus,
    pub(crate) supervisor: Supervisor,
    pub(crate) http: reqwest::Client,
    /// Of the first replica.
    pub(crate) address: SocketAddr,
}

/// An answer: status, JSON, and when to come again.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) json: Value,
    pub(crate) retry_after: Option<String>,
}

impl World {
    pub(crate) async fn start() -> Self {
        let servers = TestServers::with(users).await;
        let secrets = secrets_dir(&servers);
        std::fs::create_dir(&secrets).unwrap();
        for name in ["old", "new"] {
            std::fs::write(secrets.join(name), value_of(name)).unwrap();
        }
        std::fs::write(secrets.join("standard"), STANDARD_SECRET).unwrap();
        let bus = connect(&servers).await;
        bus.ensure(&needs_of(Who::Admin)).await.unwrap();
        for entity in manifests("sources", SOURCES) {
            bus.bucket(&CATALOG).put_json(&entity.key().to_string(), &entity).await.unwrap();
        }
        let supervisor = Supervisor::new("test");
        let address = replica(&supervisor, &servers).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { servers, bus, supervisor, http, address }
    }

    /// One more ingester; where it listens.
    pub(crate) async fn replica(&self) -> SocketAddr {
        replica(&self.supervisor, &self.servers).await
    }

    /// Drains, and fails when something failed or is left over.
    pub(crate) async fn end(self) {
        self.supervisor.finish(WITHIN).await.unwrap();
        self.bus.drain().await;
    }

    pub(crate) fn request(&self, method: Method, source: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("http://{}/webhooks/acme/{source}", self.address))
    }

    pub(crate) async fn post(
        &self,
        source: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        post(self.request(Method::POST, source), headers, body).await
    }

    /// A delivery of GitHub, signed with the value of that secret.
    pub(crate) async fn deliver(&self, id: &str, event: &str, body: &[u8], secret: &str) -> Answer {
        self.deliver_to(self.address, id, event, body, secret).await
    }

    pub(crate) async fn deliver_to(
        &self,
        address: SocketAddr,
        id: &str,
        event: &str,
        body: &[u8],
        secret: &str,
    ) -> Answer {
        let signature = signature(body, secret);
        let headers = github_headers(id, event, &signature);
        post(self.http.post(format!("http://{address}/webhooks/acme/github")), &headers, body).await
    }

    /// How many messages were ever stored.
    pub(crate) async fn stored(&self) -> u64 {
        self.bus.last_sequence(&TRIGGERS).await.unwrap()
    }

    /// The n-th stored message, from 1, which must be on that subject.
    pub(crate) async fn message(&self, sequence: u64, subject: &str) -> StoredMessage {
        let found = self.bus.next_of_subject(&TRIGGERS, subject, sequence).await.unwrap();
        let found = found.unwrap_or_else(|| panic!("nothing on {subject} from {sequence}"));
        assert_eq!(found.sequence, sequence, "the next on {subject}");
        found
    }

    /// As [`World::message`], read.
    pub(crate) async fn event(&self, sequence: u64, subject: &str) -> TriggerEvent {
        let StoredMessage { headers, payload, .. } = self.message(sequence, subject).await;
        TriggerEvent::decode(&RawMessage { subject: subject.into(), headers, payload }).unwrap()
    }
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        let status = response.status();
        let retry_after =
            response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let text = response.text().await.unwrap();
        let json = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, json, retry_after }
    }

    /// Fails unless it is 202 with these counts.
    #[track_caller]
    pub(crate) fn accepted(&self, stored: u32, before: u32) {
        assert_eq!(self.status, StatusCode::ACCEPTED, "{self:?}");
        assert_eq!(self.json, json!({ "stored": stored, "storedBefore": before }));
    }
}

pub(crate) async fn post(
    mut request: reqwest::RequestBuilder,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) -> Answer {
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::of(request.body(body.into()).send().await.unwrap()).await
}

pub(crate) fn github_headers<'a>(id: &'a str, event: &'a str, signature: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("content-type", "application/json"),
        ("x-github-delivery", id),
        ("x-github-event", event),
        ("x-hub-signature-256", signature),
    ]
}

/// What GitHub writes into `X-Hub-Signature-256` under that secret.
pub(crate) fn signature(body: &[u8], secret: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(value_of(secret).as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

pub(crate) fn value_of(secret: &str) -> String {
    format!("{secret}'s value")
}

/// The entities of a text; panics with their mistakes.
pub(crate) fn manifests(name: &str, text: &str) -> Vec<Entity> {
    let acme = "acme".parse().unwrap();
    let defaults = Defaults {
        workspace: Some(&acme),
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        by: "rig",
        ids: &OfNames,
    };
    match parse(&[File { name, text }], &defaults) {
        Ok(documents) => documents.into_iter().map(|document| document.entity).collect(),
        Err(errors) => panic!("{}", errors.iter().map(|error| format!("{error}\n")).collect::<String>()),
    }
}

/// Looks until it is so, within a bound.
pub(crate) async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let seen = async {
        while !look().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(WITHIN, seen).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

/// What this thread logs while the guard lives: the tests run each on a thread of its own.
pub(crate) fn logged() -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(Writer(log.clone()).make()).finish();
    (log, tracing::subscriber::set_default(subscriber))
}

#[derive(Clone)]
struct Writer(Arc<Mutex<Vec<u8>>>);

impl Writer {
    fn make(self) -> impl Fn() -> Self {
        move || self.clone()
    }
}

impl std::io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn replica(supervisor: &Supervisor, servers: &TestServers) -> SocketAddr {
    let mut common = CommonSettings::listening_on(0);
    common.nats.url = servers.nats.url();
    common.nats.user = Some(Who::TriggerIngester.name().to_owned());
    common.nats.password = Some(PASSWORD.into());
    common.nats.provision = service::Provision::Verify;
    let secrets = Arc::new(Secrets::new(Some(secrets_dir(servers)), []).shared_with(["acme"]));
    let plan = Plan { settings: service::NoSettings::default(), common, secrets };
    let started = start::<TriggerIngester>(supervisor, plan).await.unwrap();
    until("the ingester is ready", async || started.readiness.is_ready()).await;
    started.address.unwrap()
}

pub(crate) fn secrets_dir(servers: &TestServers) -> PathBuf {
    servers.dir.path().join("secrets")
}

async fn connect(servers: &TestServers) -> Bus {
    let options = ConnectOptions {
        url: servers.nats.url(),
        name: ADMIN.to_owned(),
        user: Some(ADMIN.to_owned()),
        password: Some(PASSWORD.to_owned()),
        credentials_file: None,
        provision: Provision::Create,
    };
    Bus::connect(&options).await.unwrap()
}

/// The users of nats-server: the ingester with its permissions, and one who may do everything.
fn users(options: &mut NatsOptions) {
    let Permissions { publish, subscribe } = permissions_of(Who::TriggerIngester);
    let name = Who::TriggerIngester.name();
    options.extra_config = format!(
        "authorization {{ users = [\n\
         {{ user: {name}, password: {PASSWORD}, permissions: {{ publish: {publish:?}, subscribe: {subscribe:?} }} }}\n\
         {{ user: {ADMIN}, password: {PASSWORD} }}\n] }}\n"
    );
}
