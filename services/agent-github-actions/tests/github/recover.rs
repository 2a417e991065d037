//! Missed deliveries: GitHub's logs are read and what is missing is asked for, by one replica, not for ever, not hotly.

use crate::rig::{APP, SOON, config, connect, options, platform_on};
use bus::Bus;
use bus::topology::{CATALOG, GITHUB_ACTIONS, WEBHOOKS};
use domain::entity::{Entity, JobAgent, Meta, Record};
use domain::id::JobAgentId;
use domain::token::Slug;
use domain::webhook::{Account, GivenUp, TroubleKind};
use fake_github::{FakeGithub, Fault, FaultKind, Script, Webhook};
use platform::recovery::{Recovery, RecoverySettings};
use platform::{Clock, ClockHand};
use serde_json::{Map, Value, json};
use servers::{Nats, NatsOptions, test_binaries};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Answers every request with the status of the moment.
struct Receiver {
    url: String,
    status: Arc<AtomicU16>,
    _task: JoinSet<()>,
}

impl Receiver {
    async fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/acme/github", listener.local_addr().unwrap());
        let status = Arc::new(AtomicU16::new(status));
        let mut task = JoinSet::new();
        let answered = Arc::clone(&status);
        task.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !is_whole(&request) {
                    let mut part = [0; 65_536];
                    match stream.read(&mut part).await {
                        Ok(count) if count > 0 => request.extend_from_slice(&part[..count]),
                        _ => break,
                    }
                }
                let status = answered.load(Ordering::SeqCst);
                let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { url, status, _task: task }
    }

    fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    body.len() >= length
}

struct Scene {
    fake: FakeGithub,
    bus: Bus,
    clock: Clock,
    hand: ClockHand,
    drain: CancellationToken,
    tasks: JoinSet<()>,
    _nats: Nats,
    _dir: TempDir,
}

impl Scene {
    /// A catalog with one agent of this config.
    async fn start(receiver: &str, config_of: impl Fn(&str) -> Map<String, Value>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let binaries = test_binaries().await;
        let nats = Nats::start(NatsOptions::new(&binaries.nats, dir.path().join("nats"))).await.unwrap();
        let bus = connect(&nats).await;
        let fake = FakeGithub::start(options(Script::success())).await.unwrap();
        fake.set_webhook(Some(Webhook::new(receiver, "secret")));
        let agent = agent(config_of(&fake.base_url()));
        bus.bucket(&CATALOG).put_json(&agent.key().to_string(), &agent).await.unwrap();
        let (clock, hand) = Clock::movable();
        let (drain, tasks) = (CancellationToken::new(), JoinSet::new());
        Self { fake, bus, clock, hand, drain, tasks, _nats: nats, _dir: dir }
    }

    fn replica(&mut self, every: Duration) {
        let platform = Arc::new(platform_on(&self.bus, self.clock.clone()));
        let settings = RecoverySettings { every, ..RecoverySettings::default() };
        let recovery = Recovery::new(platform, &self.bus, settings, self.clock.clone());
        let drain = self.drain.clone();
        self.tasks.spawn(async move { recovery.run(drain).await.unwrap() });
    }

    async fn push(&self) {
        self.fake.send_event("push", &json!({ "ref": "refs/heads/main" })).await.unwrap();
    }

    /// The account of the only webhook, once it is as wanted.
    async fn account(&self, what: &str, wanted: impl Fn(&Account) -> bool) -> Account {
        let last = std::sync::Mutex::new(None);
        let found = tokio::time::timeout(SOON, async {
            loop {
                if let Some(account) = self.read().await {
                    if wanted(&account) {
                        return account;
                    }
                    *last.lock().unwrap() = Some(account);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("{what}: {:#?}", last.lock().unwrap()))
    }

    async fn read(&self) -> Option<Account> {
        let host = self.fake.base_url().replace("http://", "");
        for scope in [format!("app {APP}"), "acme/shop".to_owned()] {
            let hook =
                domain::webhook::Hook { platform: Slug::of_name(GITHUB_ACTIONS), host: host.clone(), scope };
            let known = self.bus.bucket(&WEBHOOKS).get_json(&hook.key()).await.unwrap();
            if let Some((account, _)) = known {
                return Some(account);
            }
        }
        None
    }

    fn looks(&self) -> usize {
        let calls = self.fake.calls();
        let read = calls.iter().filter(|call| call.method == "GET" && call.status == Some(200));
        read.filter(|call| call.path.ends_with("/deliveries")).count()
    }

    async fn end(mut self) {
        self.drain.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

fn agent(config: Map<String, Value>) -> Entity {
    let acme = Slug::of_name("acme");
    let at = bus::clock::now();
    let meta = json!({
        "id": JobAgentId::of(&acme, "github"), "workspace": acme, "name": "github", "createdAt": at, "updatedAt": at,
    });
    let meta: Meta = serde_json::from_value(meta).unwrap();
    let spec = JobAgent { platform: Slug::of_name(GITHUB_ACTIONS), config, max_concurrent: None };
    Entity::JobAgent(Record { meta, spec })
}

fn by_app(base: &str) -> Map<String, Value> {
    let config =
        json!({ "$workspace": "acme", "baseUrl": base, "appId": APP, "privateKeySecret": "app-key" });
    config.as_object().unwrap().clone()
}

const OFTEN: Duration = Duration::from_millis(50);

#[tokio::test]
async fn what_nobody_took_is_asked_for_until_somebody_does() {
    // As an App, and with a token for a repository's webhook.
    for config_of in [by_app as fn(&str) -> Map<String, Value>, config] {
        let receiver = Receiver::start(503).await;
        let mut scene = Scene::start(&receiver.url, config_of).await;
        for _ in 0..3 {
            scene.push().await;
        }
        scene.replica(OFTEN);
        scene.account("three are missing", |account| account.open() == 3).await;
        scene
            .fake
            .wait_for_delivery(SOON, |delivery| delivery.redelivery && delivery.failed())
            .await
            .unwrap();
        let deliveries = scene.fake.deliveries();
        let asked = deliveries.iter().filter(|delivery| delivery.redelivery).map(|one| one.guid.clone());
        let asked: std::collections::BTreeSet<String> = asked.collect();
        assert_eq!(asked.len(), 1, "while nobody answers, one finds out");
        receiver.answer(202);
        let whole = scene.account("all came in", |account| account.counts.accepted == 3).await;
        assert_eq!((whole.counts.sent, whole.counts.recovered, whole.missing.len()), (3, 3, 0));
        assert_eq!(whole.users.len(), 1);
        scene.end().await;
    }
}

#[tokio::test]
async fn what_is_refused_is_not_asked_for_for_ever() {
    let receiver = Receiver::start(401).await;
    let mut scene = Scene::start(&receiver.url, by_app).await;
    scene.push().await;
    scene.replica(OFTEN);
    let hour = Duration::from_secs(3_600);
    let given_up = |account: &Account| {
        account.missing.values().any(|missing| missing.given_up == Some(GivenUp::Refused))
    };
    // The pause between two wishes passes at once.
    let waits = async {
        while !scene.read().await.as_ref().is_some_and(given_up) {
            scene.hand.pass(Duration::from_secs(31));
            tokio::time::sleep(OFTEN).await;
        }
    };
    tokio::time::timeout(SOON, waits).await.expect("it is given up");
    assert_eq!(scene.fake.deliveries().len(), 3, "sent once, asked for twice");
    let looked_at = scene.read().await.unwrap().looked_at;
    scene.hand.pass(hour);
    let later = scene.account("it is looked again", |account| account.looked_at > looked_at).await;
    assert_eq!((later.open(), later.counts.lost, later.refused()), (0, 1, Some((401, 1))));
    assert_eq!(scene.fake.deliveries().len(), 3);
    scene.end().await;
}

#[tokio::test]
async fn a_log_that_may_not_be_read_is_said_and_not_asked_for_hotly() {
    let receiver = Receiver::start(202).await;
    let mut scene = Scene::start(&receiver.url, config).await;
    let body = json!({ "message": "Resource not accessible by personal access token" }).to_string();
    let answer = FaultKind::Answer { status: 403, headers: Vec::new(), body };
    scene.fake.inject(Fault::once("GET", "*/hooks", answer));
    scene.replica(OFTEN);
    let refused = scene.account("it is said", |account| account.trouble.is_some()).await;
    let trouble = refused.trouble.unwrap();
    assert_eq!(trouble.kind, TroubleKind::Refused);
    for words in ["not accessible", "Webhooks: read and write", "admin:repo_hook"] {
        assert!(trouble.message.contains(words), "{}", trouble.message);
    }
    let pause = refused.next_look_at - bus::clock::now();
    assert!(pause.num_seconds() > 500, "{pause}");
    assert_eq!(scene.looks(), 0);
    scene.hand.pass(Duration::from_secs(601));
    let mended = scene.account("it is read", |account| account.looked_at.is_some()).await;
    assert_eq!(mended.trouble, None);
    scene.end().await;
}

#[tokio::test]
async fn one_replica_looks_and_a_webhook_of_others_is_left_alone() {
    let receiver = Receiver::start(202).await;
    let mut scene = Scene::start(&receiver.url, by_app).await;
    for _ in 0..2 {
        scene.replica(Duration::from_secs(3_600));
    }
    let first = scene.account("it was looked", |account| account.looked_at.is_some()).await;
    scene.hand.pass(Duration::from_secs(3_601));
    scene.account("it is looked again", |account| account.looked_at > first.looked_at).await;
    assert_eq!(scene.looks(), 2, "each look was made by one of them");
    scene.end().await;

    // The repository has a webhook, and it leads elsewhere.
    let elsewhere = receiver.url.replace("/webhooks/acme/github", "/services/chat");
    let mut scene = Scene::start(&elsewhere, config).await;
    receiver.answer(503);
    scene.push().await;
    scene.replica(OFTEN);
    let refused = scene.account("it is said", |account| account.trouble.is_some()).await;
    assert!(refused.trouble.unwrap().message.contains("no webhook that leads to /webhooks/acme/"));
    assert!(scene.fake.deliveries().iter().all(|delivery| !delivery.redelivery));
    scene.end().await;
}
