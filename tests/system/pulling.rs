//! A pull agent in the whole system, under the permissions of production: the dispatcher fills its queue, a puller empties it.

use crate::NODE;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::time::Duration;
use system_tests::{BASIC, Options, System, eventually, no_secret_left_a_trace, tell};

const KEY: &str = "a-puller's-key-of-the-tests";
const RUNNER: &str = "
---
kind: JobAgent
metadata: { name: runner }
spec: { type: http-pull, maxConcurrent: 1, config: { keySecret: runner-key } }
";

fn catalog() -> String {
    let pulled = "  jobAgents: [{ ref: runner }]\n  jobAgentConfig: { image: 'web:{{ version.tag }}' }\n";
    let catalog = BASIC.replace("  jobAgents: [{ ref: github }]\n", pulled);
    assert_ne!(catalog, BASIC, "the basic catalog names its agent");
    format!("{catalog}{RUNNER}")
}

struct Puller {
    base: String,
    http: reqwest::Client,
}

impl Puller {
    async fn of(system: &System) -> Self {
        let service = system.url_of("agent-http-pull").await;
        let base = format!("{service}/api/v1/workspaces/acme/job-agents/runner");
        Self { base, http: reqwest::Client::new() }
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.base)).bearer_auth(KEY).json(body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
    }

    /// The path of the next job, and what it was claimed with.
    async fn next(&self, lease_seconds: u32) -> (String, Value) {
        let claim = json!({ "by": "puller", "leaseSeconds": lease_seconds, "waitSeconds": 30 });
        let (status, claim) = self.post("/claim", &claim).await;
        assert_eq!(status, 200, "{claim}");
        (format!("/jobs/{}", claim["job"]["id"].as_str().unwrap()), claim)
    }

    async fn report(&self, job: &str, fence: &Value, status: &str) -> u16 {
        self.post(&format!("{job}/status"), &json!({ "fence": fence, "status": status })).await.0
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_go_their_way_by_pulled_jobs() {
    let users = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nats/users.conf");
    let hash = hex::encode(Sha256::digest(KEY.as_bytes()));
    let mut system = System::start(Options {
        nats_config: Some(std::fs::read_to_string(users).unwrap()),
        catalog: catalog(),
        environment: vec![("CTRLPLANE_SECRET_VAR_ACME_RUNNER_KEY", hash.clone())],
        ..Options::new(NODE)
    })
    .await;
    let puller = Puller::of(&system).await;

    // A puller dies, another one goes on, and production is next.
    tell(&mut system, "push v1").await;
    let (job, first) = puller.next(1).await;
    assert_eq!(first["config"], json!({ "image": "web:v1" }));
    tell(&mut system, "v1 is queued in staging on stage-1").await;
    assert_eq!(puller.report(&job, &first["fence"], "successful").await, 409);
    let (again, second) = puller.next(60).await;
    assert_eq!(again, job);
    tell(&mut system, "v1 is in_progress in staging on stage-1").await;
    assert_eq!(puller.report(&job, &second["fence"], "successful").await, 200);
    tell(&mut system, "v1 is successful in staging on stage-1\napprove v1 for production").await;
    let (job, claim) = puller.next(60).await;
    assert_eq!(claim["job"]["environment"], "production");
    assert_eq!(puller.report(&job, &claim["fence"], "successful").await, 200);
    tell(&mut system, "v1 is successful in production on prod-1").await;

    // A person cancels: the puller hears of it.
    tell(&mut system, "push v2").await;
    let (job, claim) = puller.next(60).await;
    tell(&mut system, "v2 is in_progress in staging on stage-1\ncancel v2 in staging on stage-1").await;
    let beat = (format!("{job}/heartbeat"), json!({ "fence": claim["fence"] }));
    eventually("the puller is told", Duration::from_secs(20), || async {
        let (status, lease) = puller.post(&beat.0, &beat.1).await;
        if status == 200 && lease["cancel"] == true { Ok(()) } else { Err(format!("{status}: {lease}")) }
    })
    .await;
    assert_eq!(puller.report(&job, &claim["fence"], "cancelled").await, 200);
    tell(&mut system, "v2 is cancelled in staging on stage-1").await;

    // A freeze takes back what nobody has claimed; the thaw gives it out.
    tell(&mut system, "push v3").await;
    eventually("it is in the queue", Duration::from_secs(20), || async {
        let listed = puller.http.get(format!("{}/jobs", puller.base)).bearer_auth(KEY).send().await.unwrap();
        let listed: Value = listed.json().await.unwrap();
        if listed["total"] == 1 { Ok(()) } else { Err(listed.to_string()) }
    })
    .await;
    tell(&mut system, "freeze staging because \"the sale\"\nv3 is frozen in staging on stage-1").await;
    assert_eq!(puller.post("/claim", &json!({})).await.0, 204);
    tell(&mut system, "thaw").await;
    let (job, claim) = puller.next(60).await;
    assert_eq!(puller.report(&job, &claim["fence"], "successful").await, 200);
    tell(&mut system, "v3 is successful in staging on stage-1").await;

    // Not even its hash, which is what the secret holds.
    no_secret_left_a_trace(&system, &[KEY, &hash]).await;
    let logs = system.logs();
    assert!(system.crashes.is_empty(), "{:?}\n{logs}", system.crashes);
    assert!(!logs.to_lowercase().contains("permissions violation"), "{logs}");
}
