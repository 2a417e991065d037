//! Planted secrets: where a system leaves traces, nobody's secret is among them.

use crate::System;
use std::path::Path;

/// All the traces of a system: what it logs, keeps, shows and tells.
#[derive(Debug)]
struct Traces {
    logs: Vec<u8>,
    /// Streams and buckets, as nats-server keeps them.
    streams: Vec<u8>,
    redis: Vec<u8>,
    /// Metrics, the doctor, every job and its history, and the catalog's agents.
    answers: Vec<u8>,
}

/// Looks for these secrets, and for those of every system, in all traces of a system that has run a job or more.
///
/// # Panics
/// When a secret is found, or a trace does not even hold the job that ran: it was not looked at then.
pub async fn no_secret_left_a_trace(system: &System, secrets: &[&str]) {
    let jobs = system.client.jobs().await.expect("the api answers");
    let job = jobs.first().and_then(|job| job["id"].as_str()).expect("a job has run");
    let traces = Traces::of(system, job).await;
    let all = [
        ("the logs", &traces.logs),
        ("the streams and buckets", &traces.streams),
        ("Redis", &traces.redis),
        ("what is answered", &traces.answers),
    ];
    for (place, bytes) in all {
        assert!(holds(bytes, job), "the job {job} is in {place}");
        for secret in secrets.iter().copied().chain(system.secrets()) {
            assert!(!holds(bytes, secret), "{secret} is in {place}");
        }
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

impl Traces {
    async fn of(system: &System, job: &str) -> Self {
        Self {
            logs: system.logs().into_bytes(),
            streams: everything_below(system.servers.nats.data_dir()),
            redis: kept_in_redis(system).await,
            answers: answers(system, job).await,
        }
    }
}

/// All bytes of all files below a folder.
fn everything_below(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of the server") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            bytes.extend(everything_below(&path));
        } else {
            bytes.extend(std::fs::read(&path).expect("a file of the server"));
        }
    }
    bytes
}

async fn answers(system: &System, job: &str) -> Vec<u8> {
    let mut told = String::new();
    let of_job = format!("/api/v1/workspaces/acme/jobs/{job}");
    let catalog = "/api/v1/workspaces/acme/catalog/jobAgent";
    for path in ["/api/v1/doctor", "/api/v1/dead-letters", catalog, &of_job] {
        let (status, answer) = system.client.get(path).await.expect("the api answers");
        assert_eq!(status, 200, "{path}: {answer}");
        told += &answer.to_string();
    }
    for process in &system.processes {
        let url = format!("http://{}/metrics", process.address().await);
        told += &reqwest::get(url).await.expect("metrics").text().await.expect("metrics are a text");
    }
    told.into_bytes()
}

/// All there is in Redis, uncompressed.
async fn kept_in_redis(system: &System) -> Vec<u8> {
    let client = redis::Client::open(system.servers.redis.url()).expect("a URL of Redis");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis is there");
    let plain = redis::cmd("CONFIG").arg("SET").arg("rdbcompression").arg("no").to_owned();
    plain.exec_async(&mut connection).await.expect("Redis can be told");
    let keys: Vec<Vec<u8>> =
        redis::cmd("KEYS").arg("*").query_async(&mut connection).await.expect("Redis has keys");
    let mut bytes = Vec::new();
    for key in keys {
        let dump = redis::cmd("DUMP").arg(&key).query_async::<Option<Vec<u8>>>(&mut connection).await;
        bytes.extend(dump.expect("Redis gives out what it keeps").unwrap_or_default());
        bytes.extend(key);
    }
    bytes
}
