//! Who may pull: a key opens one agent, over HTTP and over the bus, and a user of the bus asks for its own agent only.

use crate::rig::{KEY, OTHER_KEY, Rig, SECRET, acme, runner};
use agent_http_pull::Settings;
use bus::topology::{SUBSCRIBER, Service, puller_permissions, users_conf};
use domain::subject;
use serde_json::{Value, json};
use service::{CommonSettings, Nats};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_opens_one_agent_and_everything_else_is_not_there() {
    let rig = Rig::start().await;
    let (_service, puller) = rig.replica(Settings::default()).await;
    let job = rig.dispatch().await;
    rig.waiting(&job, 1).await;
    for (key, status) in
        [("", 401), ("wrong", 401), (KEY, 200), (OTHER_KEY, 401), (crate::rig::KEY_SHA256, 401)]
    {
        let puller = puller.with_key(key);
        let (got, answer) = puller.get("/jobs").await;
        assert_eq!(got, status, "{key:?}: {answer}");
        if status != 200 {
            for path in ["claim", "heartbeat", "status", "release"] {
                let body = json!({ "fence": 1, "status": "successful" });
                assert_eq!(puller.post(&format!("/jobs/{}/{path}", job.id), body).await.0, status, "{path}");
            }
            assert_eq!(puller.post("/claim", json!({})).await.0, status);
            assert_eq!(puller.get(&format!("/jobs/{}", job.id)).await.0, status);
        }
    }
    // The other tenant's own queue is there, and this job is not in it.
    let globex = reqwest::Client::new()
        .post(format!("{}/api/v1/workspaces/globex/job-agents/runner/jobs/{}/claim", puller.base, job.id))
        .header("x-api-key", OTHER_KEY);
    assert_eq!(globex.send().await.unwrap().status(), 404);
    // By id as by name.
    let id = format!("{}/api/v1/workspaces/acme/job-agents/{}/jobs", puller.base, runner());
    assert_eq!(reqwest::Client::new().get(id).bearer_auth(KEY).send().await.unwrap().status(), 200);
    assert_eq!(rig.names(&job).await, ["requested", "dispatched"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_guesses_waits_and_learns_nothing() {
    let rig = Rig::start().await;
    let settings = Settings {
        failures_per_minute: 1,
        failures_at_once: 3,
        forwarded_hops: 1,
        requests_per_second: 1,
        requests_at_once: 2,
        ..Settings::default()
    };
    let (_service, puller) = rig.replica(settings).await;
    let ask = async |from: &str, key: &str| {
        let asked =
            puller.client.get(puller.url("/jobs")).header("x-forwarded-for", format!("10.0.0.9, {from}"));
        let asked = if key.is_empty() { asked } else { asked.bearer_auth(key) };
        let answer = asked.send().await.unwrap();
        (answer.status().as_u16(), answer.headers().contains_key("retry-after"))
    };
    for _ in 0..3 {
        assert_eq!(ask("192.0.2.7", "guess").await, (401, false));
    }
    assert_eq!(ask("192.0.2.7", "guess").await, (429, true));
    assert_eq!(ask("192.0.2.7", KEY).await, (429, true), "whether it was right is not told");
    assert_eq!(ask("192.0.2.7", "").await, (401, false), "no key is no guess");
    assert_eq!(ask("192.0.2.8", KEY).await, (200, false));
    // All pullers of an agent are counted together, wherever they are.
    let refused = rig.until("they ask too often", async || {
        let answer = ask("192.0.2.9", KEY).await;
        (answer.0 == 429).then_some(answer)
    });
    assert_eq!(refused.await, (429, true));
    rig.until("they may again", async || (ask("192.0.2.9", KEY).await.0 == 200).then_some(())).await;
}

/// A puller on the bus.
struct OnBus {
    client: async_nats::Client,
    key: &'static str,
}

impl OnBus {
    async fn connect(url: &str, login: Option<(&str, &str)>, inbox: String) -> Self {
        let mut options = async_nats::ConnectOptions::new().custom_inbox_prefix(inbox);
        if let Some((user, password)) = login {
            options = options.user_and_password(user.to_owned(), password.to_owned());
        }
        Self { client: options.connect(url).await.unwrap(), key: KEY }
    }

    /// The error code, and the answer; `None` when nobody answers.
    async fn ask(&self, verb: &str, body: Value) -> Option<(u16, Value)> {
        let subject = subject::pull(&acme(), runner(), &verb.parse().unwrap());
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Authorization", format!("Bearer {}", self.key));
        let asked = self.client.request_with_headers(subject, headers, body.to_string().into());
        let answer = tokio::time::timeout(Duration::from_secs(3), asked).await.ok()?.ok()?;
        let code = answer.headers.as_ref().and_then(|headers| headers.get("Nats-Service-Error-Code"));
        let code = code.map_or(200, |code| code.as_str().parse().unwrap());
        Some((code, serde_json::from_slice(&answer.payload).unwrap()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_puller_works_over_the_bus_as_over_http() {
    let rig = Rig::start().await;
    let (_service, http) = rig.replica(Settings::default()).await;
    let mut puller = OnBus::connect(&rig.nats.url(), None, subject::pull_inbox(&acme(), runner())).await;
    let job = rig.dispatch().await;
    rig.waiting(&job, 1).await;
    assert_eq!(puller.ask("list", json!({})).await.unwrap().1["total"], 1);
    let claim = puller.ask("claim", json!({ "by": "bus", "leaseSeconds": 1 })).await.unwrap();
    assert_eq!((claim.0, &claim.1["fence"], &claim.1["job"]["id"]), (200, &json!(1), &json!(job.id)));
    assert_eq!(puller.ask("claim", json!({})).await.unwrap(), (200, Value::Null), "nothing is left");
    rig.waiting(&job, 2).await;
    let old = json!({ "job": job.id, "fence": 1, "status": "successful" });
    let (code, problem) = puller.ask("report", old.clone()).await.unwrap();
    assert_eq!((code, &problem["code"]), (409, &json!("staleFence")), "{problem}");
    // Claimed over HTTP, the old fence is refused over the bus, and the new one is good on both.
    http.claimed(&job, json!({ "by": "http" })).await;
    assert_eq!(puller.ask("report", old).await.unwrap().0, 409);
    let beat = puller.ask("heartbeat", json!({ "job": job.id, "fence": 2 })).await.unwrap();
    assert_eq!((beat.0, &beat.1["cancel"]), (200, &json!(false)));
    assert_eq!(puller.ask("get", json!({ "job": job.id })).await.unwrap().1["claimedBy"], "http");
    let released = puller.ask("release", json!({ "job": job.id, "fence": 2 })).await.unwrap();
    assert_eq!(released.1["status"], "queued");
    puller.ask("claim", json!({ "job": job.id })).await.unwrap();
    let done = json!({ "job": job.id, "fence": 3, "status": "successful" });
    assert_eq!(puller.ask("report", done).await.unwrap().0, 200);
    rig.over(&job).await;

    assert_eq!(puller.ask("dance", json!({})).await.unwrap().0, 404);
    assert_eq!(puller.ask("heartbeat", json!({ "fence": 1 })).await.unwrap().0, 400);
    puller.key = "wrong";
    assert_eq!(puller.ask("list", json!({})).await.unwrap().0, 401);
    puller.key = OTHER_KEY;
    assert_eq!(puller.ask("list", json!({})).await.unwrap().0, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_goes_to_no_inbox_but_the_agent_s_own() {
    let rig = Rig::start().await;
    let (_service, _) = rig.replica(Settings::default()).await;
    let job = rig.dispatch().await;
    rig.waiting(&job, 1).await;
    // A fact of a job would be a fine place for an answer.
    let asked = subject::pull(&acme(), runner(), &"list".parse().unwrap());
    let reply = subject::job(&acme(), job.id);
    rig.bus.client().publish_with_reply(asked, reply, "{}".into()).await.unwrap();
    let stranger = OnBus::connect(&rig.nats.url(), None, "_INBOX".to_owned()).await;
    assert_eq!(stranger.ask("list", json!({})).await, None);
    let own = OnBus::connect(&rig.nats.url(), None, subject::pull_inbox(&acme(), runner())).await;
    assert!(own.ask("list", json!({})).await.is_some(), "the requests before were dropped, not the service");
    assert_eq!(rig.names(&job).await, ["requested", "dispatched"]);
}

/// The users of production, and one puller.
fn users() -> String {
    let mut conf = users_conf();
    for user in Service::ALL.map(Service::name).into_iter().chain([SUBSCRIBER]) {
        let variable = format!("$NATS_{}_PASSWORD", user.to_ascii_uppercase().replace('-', "_"));
        conf = conf.replace(&variable, &format!("\"{user}\""));
    }
    let puller = bus::topology::puller_conf("puller", &acme(), runner())
        .replace("$NATS_PULLER_PASSWORD", "\"puller\"");
    conf.replace("  users = [\n", &format!("  users = [\n{puller}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_the_permissions_of_production_a_puller_asks_for_its_own_agent_only() {
    let rig = Rig::with(&users()).await;
    let mut common = CommonSettings::default();
    let password = Some("agent-http-pull".to_owned().into());
    common.nats = Nats {
        url: rig.nats.url(),
        user: Some("agent-http-pull".to_owned()),
        password,
        provision: service::Provision::Verify,
        ack_wait_seconds: 1,
        ..Nats::default()
    };
    common.http.bind = Some("127.0.0.1:0".parse().unwrap());
    let (_service, http) = rig.started(Settings::default(), common).await;
    let db = std::collections::BTreeMap::from([("/db".to_owned(), "db".to_owned())]);
    let job = rig.dispatch_with(json!({ "db": null }), db, Default::default()).await;
    rig.waiting(&job, 1).await;
    let login = Some(("puller", "puller"));
    let puller = OnBus::connect(&rig.nats.url(), login, subject::pull_inbox(&acme(), runner())).await;
    let claim = puller.ask("claim", json!({ "waitSeconds": 5 })).await.expect("it may ask").1;
    assert_eq!(claim["config"]["db"], SECRET);
    let done = json!({ "job": job.id, "fence": 1, "status": "successful" });
    assert_eq!(puller.ask("report", done).await.unwrap().0, 200);
    rig.over(&job).await;
    assert_eq!(http.get("/jobs").await.0, 200, "the service lives under its own permissions");

    let allowed = puller_permissions(&acme(), runner());
    assert_eq!(allowed.publish, [format!("ctrlplane.pull.acme.{}.>", runner())]);
    let (events, mut refused) = tokio::sync::mpsc::unbounded_channel();
    let watched = async_nats::ConnectOptions::new()
        .user_and_password("puller".to_owned(), "puller".to_owned())
        .event_callback(move |event| {
            let events = events.clone();
            async move {
                events.send(event.to_string()).ok();
            }
        })
        .connect(rig.nats.url())
        .await
        .unwrap();
    let foreign = domain::id::JobAgentId::of(&"globex".parse().unwrap(), "runner");
    for subject in [
        format!("ctrlplane.pull.globex.{foreign}.list"),
        subject::job(&acme(), job.id),
        "$KV.pulls.x".to_owned(),
    ] {
        watched.publish(subject.clone(), "{}".into()).await.unwrap();
        let words = tokio::time::timeout(Duration::from_secs(10), async {
            loop {
                let event = refused.recv().await.expect("the connection stands");
                if event.to_lowercase().contains("permissions violation") {
                    return event;
                }
            }
        });
        let words = words.await.expect("the server refuses in time");
        assert!(words.contains(&subject), "{words}");
    }
}
