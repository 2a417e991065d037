//! Live events while the api dies again and again: clients come back with the last id they saw, and every one of them
//! is counted to have heard everything it wanted, each once and in order.

use crate::NODE;
use domain::id::derive;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use system_tests::{Options, System, eventually};

const DEATHS: usize = 6;
const JOBS: usize = 150;
/// Fewer than the stream keeps of one subject.
const NEWS_OF_A_JOB: usize = 20;
const EVERY: Duration = Duration::from_millis(3);
const WITHIN: Duration = Duration::from_secs(240);
const KEY: &str = "an-admin-key-of-the-tests";
const DEPLOYMENTS: [&str; 3] = ["web", "db", "mail"];

/// What was published: its sequence, and what a filter looks at.
#[derive(Clone)]
struct Published {
    sequence: u64,
    deployment: &'static str,
    platform: &'static str,
    status: &'static str,
}

struct Wish {
    query: &'static str,
    wants: fn(&Published) -> bool,
}

const WISHES: [Wish; 4] = [
    Wish { query: "", wants: |_| true },
    Wish { query: "?deployment=web", wants: |news| news.deployment == "web" },
    Wish {
        query: "?platform=gitlab&status=failure,in_progress",
        wants: |news| news.platform == "gitlab" && news.status != "successful",
    },
    Wish { query: "?environment=staging", wants: |_| true },
];

/// What one client heard, over all its connections.
#[derive(Default)]
struct Heard {
    ids: Vec<u64>,
    live_at: Option<u64>,
    resets: usize,
    connections: usize,
}

/// Hears `ids` until `enough`, whatever dies on the way.
async fn listen(url: String, wish: &'static Wish, enough: impl Fn(&Heard) -> bool) -> Heard {
    let http = reqwest::Client::new();
    let mut heard = Heard::default();
    let mut last: Option<String> = None;
    while !enough(&heard) {
        let mut request =
            http.get(format!("{url}/api/v1/workspaces/acme/events{}", wish.query)).header("x-api-key", KEY);
        if let Some(last) = &last {
            request = request.header("last-event-id", last);
        }
        let Some(mut response) = request.send().await.ok().filter(|answer| answer.status() == 200) else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        heard.connections += 1;
        let mut rest = String::new();
        while !enough(&heard) {
            let chunk = tokio::time::timeout(Duration::from_millis(500), response.chunk()).await;
            let chunk = match chunk {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None) | Err(_)) => break,
                Err(_silence) => continue,
            };
            rest.push_str(std::str::from_utf8(&chunk).unwrap());
            while let Some((block, after)) = rest.split_once("\n\n") {
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
                if let Some(id) = field("id: ") {
                    last = Some(id.to_owned());
                }
                match field("event: ") {
                    Some("job") => heard.ids.push(field("id: ").unwrap().parse().unwrap()),
                    Some("live") if heard.live_at.is_none() => {
                        heard.live_at = Some(field("id: ").unwrap().parse().unwrap());
                    }
                    Some("reset") => heard.resets += 1,
                    _ => {}
                }
                rest = after.to_owned();
            }
        }
    }
    heard
}

async fn publish(bus: &bus::Bus, job: usize, n: usize) -> Published {
    let deployment = DEPLOYMENTS[job % DEPLOYMENTS.len()];
    let platform = if job.is_multiple_of(2) { "github-app" } else { "gitlab" };
    let status = match n {
        _ if n + 1 < NEWS_OF_A_JOB => "in_progress",
        _ if job.is_multiple_of(5) => "failure",
        _ => "successful",
    };
    let id = derive(&["job", &job.to_string()]);
    let at = "2026-01-01T00:00:00Z";
    let target = json!({ "deployment": id, "environment": id, "resource": id });
    let view = json!({
        "id": id, "workspace": "acme", "status": status, "platform": platform, "deployment": deployment,
        "environment": "staging", "target": target, "versionId": id, "version": "v1", "releaseId": id,
        "attempt": 1, "createdAt": at, "updatedAt": at, "sequence": n + 1,
    });
    let subject = format!("ctrlplane.status.acme.{platform}.{deployment}.staging.{id}");
    let published = bus.publish_json(subject, &view, None).await.unwrap();
    Published { sequence: published.sequence, deployment, platform, status }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_repeated_while_the_api_dies_again_and_again() {
    let bind = format!("127.0.0.1:{}", free_port());
    let mut system = System::start(Options {
        settings_of: vec![("api", "CTRLPLANE_HTTP__BIND", bind.clone())],
        ..Options::new(NODE)
    })
    .await;
    let bus = bus::Bus::connect(&bus::ConnectOptions {
        url: system.servers.nats.url(),
        name: "test".to_owned(),
        user: None,
        password: None,
        credentials_file: None,
        provision: bus::Provision::Verify,
    })
    .await
    .unwrap();
    // What is true before anybody listens.
    let mut published = Vec::new();
    for job in 0..20 {
        published.push(publish(&bus, job, 0).await);
    }
    let end = Arc::new(AtomicU64::new(u64::MAX));
    let clients: Vec<_> = WISHES
        .iter()
        .cycle()
        .take(24)
        .enumerate()
        .map(|(n, wish)| {
            let (url, end) = (format!("http://{bind}"), Arc::clone(&end));
            let listening = tokio::spawn(async move {
                // Some come while all is on its way.
                tokio::time::sleep(Duration::from_millis(200) * (n as u32 / 4)).await;
                listen(url, wish, |heard| {
                    heard.ids.last().is_some_and(|id| *id >= end.load(Ordering::Acquire))
                })
                .await
            });
            (wish, listening)
        })
        .collect();

    let publishing = {
        let bus = bus.clone();
        tokio::spawn(async move {
            let mut published = Vec::new();
            for n in 1..NEWS_OF_A_JOB {
                for job in 0..JOBS {
                    published.push(publish(&bus, job, n).await);
                    tokio::time::sleep(EVERY).await;
                }
            }
            published
        })
    };
    let mut deaths = 0;
    let began = Instant::now();
    while !publishing.is_finished() {
        assert!(began.elapsed() < WITHIN, "the traffic does not end");
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        if deaths < DEATHS {
            system.process("api", 0).kill().await;
            system.revive().await;
            deaths += 1;
        }
    }
    published.extend(publishing.await.unwrap());
    assert_eq!(deaths, DEATHS, "it died during the traffic");
    // One that every filter lets through, so that each client knows its end.
    let closing = publish(&bus, 15, NEWS_OF_A_JOB).await;
    assert_eq!((closing.deployment, closing.platform, closing.status), ("web", "gitlab", "failure"));
    published.push(closing.clone());
    end.store(closing.sequence, Ordering::Release);
    eventually("every client hears the last", WITHIN, || async {
        let waiting = clients.iter().filter(|(_, listening)| !listening.is_finished()).count();
        if waiting == 0 { Ok(()) } else { Err(format!("{waiting} clients wait")) }
    })
    .await;

    let (mut heard_all, mut connections) = (0, 0);
    for (wish, listening) in clients {
        let heard = listening.await.unwrap();
        let wanted: BTreeSet<u64> =
            published.iter().filter(|news| (wish.wants)(news)).map(|news| news.sequence).collect();
        let query = wish.query;
        assert_eq!(heard.resets, 0, "{query}");
        assert!(heard.ids.windows(2).all(|two| two[0] < two[1]), "{query}: in order, and nothing twice");
        let live_at = heard.live_at.expect("it was told what is true");
        let ids: BTreeSet<u64> = heard.ids.iter().copied().collect();
        let lost: Vec<u64> = wanted.range(live_at + 1..).filter(|id| !ids.contains(id)).copied().collect();
        assert!(lost.is_empty(), "{query}: lost {lost:?}");
        assert!(ids.is_subset(&wanted), "{query}: {:?}", ids.difference(&wanted).collect::<Vec<_>>());
        heard_all += ids.len();
        connections += heard.connections;
    }
    assert!(connections > 24 + DEATHS, "{connections} connections: they came back");
    eprintln!(
        "24 clients heard {heard_all} events of {} over {connections} connections and {deaths} deaths: 0 lost, 0 repeated",
        published.len()
    );
    bus.drain().await;
}
