//! `ctrlplane bench sse`: many clients of live events at a steady rate, beside as many bare subscribers of the bus in the
//! same run. The api is a process of its own, so that its memory is its alone. It fails when an event was lost or repeated,
//! never because it was slow.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bus::Bus;
use domain::id::derive;
use futures::StreamExt as _;
use serde::Serialize;
use serde_json::json;
use service::Supervisor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::api::{Api, Scene, WORKSPACE};
use super::pace::paced;
use crate::args::SseArgs;
use crate::measure::rounded;
use crate::stage::Stage;

/// News of so many jobs.
const JOBS: u32 = 1_000;
/// All payloads are of one length: their own sequences begin here.
const FIRST_FACT: u64 = 1_000_000;
const READY_WITHIN: Duration = Duration::from_secs(30);
/// What is under way when the last event was published comes within this.
const ARRIVE_WITHIN: Duration = Duration::from_secs(120);
/// A lag is counted in steps of this, up to a minute.
const STEP: Duration = Duration::from_micros(250);
const STEPS: usize = 240_000;
const READ_BYTES: usize = 64 * 1024;

/// What was measured on one side.
#[derive(Clone, Copy, Debug, Serialize)]
struct Side {
    delivered: u64,
    lost: u64,
    repeated: u64,
    lag_p50_ms: f64,
    lag_p99_ms: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    clients: u32,
    events: u32,
    rate_asked: u32,
    /// Events a second that were published, which is less where the machine cannot.
    rate_raw: f64,
    rate_sse: f64,
    raw: Side,
    sse: Side,
    /// How many times the lag of the bare bus.
    ratio_p99: f64,
    /// The memory of the api: before the clients came, and the most it ever had.
    api_rss_mb_idle: f64,
    api_rss_mb_peak: f64,
}

/// When each event was published, and what clients tell.
struct Tally {
    began: Instant,
    /// Each side tells newer news of the same jobs than the one before: older news is told to nobody.
    first_fact: u64,
    /// Nanoseconds since `began`, by number of the event.
    published: Vec<AtomicU64>,
    lags: Vec<AtomicU64>,
    delivered: AtomicU64,
    repeated: AtomicU64,
}

/// Measures and reports.
pub(crate) async fn run(args: &SseArgs, supervisor: Supervisor, stage: Stage) -> anyhow::Result<()> {
    let tell = |what: &str| eprintln!("bench: {what}");
    tell("starting NATS, Redis, and an api of its own process");
    let Scene { dev, bus, api } = Scene::set(&args.servers, &supervisor, &stage).await?;
    let idle = api.memory_mb("VmRSS")?;

    let count = args.rate.saturating_mul(args.seconds).max(1);
    tell(&format!("{} bare subscribers, {} events a second for {} s", args.clients, args.rate, args.seconds));
    let (raw, rate_raw) = raw(args, &dev.servers.nats_url, &bus, count).await?;
    tell(&format!("the bare bus: {raw:?}"));
    tell(&format!("{} clients of live events", args.clients));
    let (sse, rate_sse) = sse(args, &api, dev.data.admin_key(), &bus, count).await?;
    let report = Report {
        ok: [raw, sse].iter().all(|side| side.lost == 0 && side.repeated == 0),
        clients: args.clients,
        events: count,
        rate_asked: args.rate,
        rate_raw: rounded(rate_raw),
        rate_sse: rounded(rate_sse),
        raw,
        sse,
        ratio_p99: rounded(sse.lag_p99_ms / raw.lag_p99_ms.max(f64::EPSILON)),
        api_rss_mb_idle: rounded(idle),
        api_rss_mb_peak: rounded(api.memory_mb("VmHWM")?),
    };
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    api.end().await?;
    bus.drain().await;
    ensure!(report.ok, "events were lost or repeated");
    Ok(())
}

/// As many plain subscribers of the bus.
async fn raw(args: &SseArgs, nats: &str, bus: &Bus, count: u32) -> anyhow::Result<(Side, f64)> {
    let tally = Arc::new(Tally::new(count, FIRST_FACT));
    let mut listening = JoinSet::new();
    for _ in 0..args.clients {
        let client = async_nats::connect(nats).await.context("a bare subscriber")?;
        let mut news = client.subscribe("ctrlplane.status.>").await?;
        client.flush().await?;
        let tally = Arc::clone(&tally);
        listening.spawn(async move {
            let mut next = 0;
            while let Some(message) = news.next().await {
                let number = message.headers.as_ref().and_then(|headers| headers.get("Bench-Number"));
                if let Some(number) = number.and_then(|number| number.as_str().parse().ok()) {
                    tally.hear(number, &mut next);
                }
                if next >= count as usize {
                    break;
                }
            }
            drop(client);
        });
    }
    measured(&tally, args, bus, count, listening).await
}

async fn sse(args: &SseArgs, api: &Api, key: &str, bus: &Bus, count: u32) -> anyhow::Result<(Side, f64)> {
    let first_fact = FIRST_FACT + u64::from(count);
    let tally = Arc::new(Tally::new(count, first_fact));
    let payload_bytes = payload(0, first_fact).len();
    let mut listening = JoinSet::new();
    let first = bus.last_sequence(&bus::topology::STATUS).await? + 1;
    for _ in 0..args.clients {
        let listener = Listener::connect(api, key, first - 1, payload_bytes).await?;
        let tally = Arc::clone(&tally);
        listening.spawn(async move {
            if let Err(error) = listener.hear(&tally, first, count as usize).await {
                tracing::warn!(error = format!("{error:#}"), "a client of live events ended");
            }
        });
    }
    measured(&tally, args, bus, count, listening).await
}

async fn measured(
    tally: &Arc<Tally>,
    args: &SseArgs,
    bus: &Bus,
    count: u32,
    mut listening: JoinSet<()>,
) -> anyhow::Result<(Side, f64)> {
    let began = Instant::now();
    // One after another: the number of an event is its place in the stream.
    let (bus, noting) = (bus.clone(), Arc::clone(tally));
    let turn = Arc::new(tokio::sync::Mutex::new(0));
    paced(count, Duration::from_secs(1) / args.rate, |_any| {
        let (bus, noting, turn) = (bus.clone(), Arc::clone(&noting), Arc::clone(&turn));
        async move {
            let mut number = turn.lock().await;
            noting.publish(&bus, *number).await?;
            *number += 1;
            anyhow::Ok(())
        }
    })
    .await?;
    let rate = f64::from(count) / began.elapsed().as_secs_f64();
    let all = async { while listening.join_next().await.is_some() {} };
    // Who has not heard all by then has lost something, and is counted so.
    if tokio::time::timeout(ARRIVE_WITHIN, all).await.is_err() {
        listening.abort_all();
    }
    Ok((tally.side(u64::from(args.clients) * u64::from(count)), rate))
}

/// A client of live events that reads as little as it can, so that what is measured is the api.
struct Listener {
    stream: TcpStream,
    buffer: Vec<u8>,
    payload_bytes: usize,
}

const EVENT: &[u8] = b"event: job\nid: ";
const DATA: &[u8] = b"data: ";

impl Listener {
    /// Connects, and waits until it was told that it is live.
    async fn connect(api: &Api, key: &str, after: u64, payload_bytes: usize) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(&api.address).await.context("connecting to the api")?;
        // HTTP/1.0: the body is the events, without chunks around them.
        let request = format!(
            "GET /api/v1/workspaces/{WORKSPACE}/events HTTP/1.0\r\nHost: {}\r\nX-API-Key: {key}\r\nLast-Event-ID: {after}\r\n\r\n",
            api.address
        );
        stream.write_all(request.as_bytes()).await?;
        let mut listener = Self { stream, buffer: Vec::with_capacity(READ_BYTES), payload_bytes };
        let is_live = async {
            loop {
                listener.read().await?;
                let text = String::from_utf8_lossy(&listener.buffer);
                ensure!(
                    text.starts_with("HTTP/1.") && !text.contains("\r\n\r\n{"),
                    "the api refuses: {text}"
                );
                if text.contains("event: live") && text.ends_with("\n\n") {
                    return anyhow::Ok(());
                }
            }
        };
        tokio::time::timeout(READY_WITHIN, is_live).await.context("a client is not live")??;
        listener.buffer.clear();
        Ok(listener)
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => bail!("the api ended it"),
            _some => Ok(()),
        }
    }

    async fn hear(mut self, tally: &Tally, first: u64, count: usize) -> anyhow::Result<()> {
        let mut next = 0;
        while next < count {
            self.read().await?;
            let mut at = 0;
            while let Some((sequence, end)) = self.event_at(at)? {
                if let Some(sequence) = sequence {
                    tally.hear(usize::try_from(sequence - first)?, &mut next);
                }
                at = end;
            }
            self.buffer.drain(..at);
        }
        Ok(())
    }

    /// The event that begins there, and where it ends; `None`: it is not whole yet.
    fn event_at(&self, at: usize) -> anyhow::Result<Option<(Option<u64>, usize)>> {
        let rest = &self.buffer[at..];
        if rest.first() == Some(&b':') {
            // A heartbeat.
            let end = rest.windows(2).position(|two| two == b"\n\n");
            return Ok(end.map(|end| (None, at + end + 2)));
        }
        let Some(id) = rest.get(EVENT.len()..) else { return Ok(None) };
        ensure!(rest.starts_with(EVENT), "no event: {}", String::from_utf8_lossy(&rest[..EVENT.len()]));
        let Some(digits) = id.iter().take(20).position(|byte| *byte == b'\n') else { return Ok(None) };
        let end = EVENT.len() + digits + 1 + DATA.len() + self.payload_bytes + 2;
        if rest.len() < end {
            return Ok(None);
        }
        ensure!(&rest[end - 2..end] == b"\n\n", "an event of another length");
        Ok(Some((Some(std::str::from_utf8(&id[..digits])?.parse()?), at + end)))
    }
}

impl Tally {
    fn new(count: u32, first_fact: u64) -> Self {
        Self {
            began: Instant::now(),
            first_fact,
            published: (0..count).map(|_| AtomicU64::new(0)).collect(),
            lags: (0..STEPS).map(|_| AtomicU64::new(0)).collect(),
            delivered: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    async fn publish(&self, bus: &Bus, number: u32) -> anyhow::Result<()> {
        let job = derive(&["job", &(number % JOBS).to_string()]);
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Bench-Number", number.to_string());
        self.published[number as usize].store(self.now(), Ordering::Release);
        let subject = format!("ctrlplane.status.{WORKSPACE}.none.web.staging.{job}");
        bus.publish(subject, headers, payload(number, self.first_fact).into(), None)
            .await
            .context("publishing a status")?;
        Ok(())
    }

    /// One client heard that event; it expects them in order.
    fn hear(&self, number: usize, next: &mut usize) {
        let Some(published) = self.published.get(number) else { return };
        if number < *next {
            self.repeated.fetch_add(1, Ordering::Relaxed);
            return;
        }
        *next = number + 1;
        self.delivered.fetch_add(1, Ordering::Relaxed);
        let lag = self.now().saturating_sub(published.load(Ordering::Acquire));
        let step = usize::try_from(u128::from(lag) / STEP.as_nanos()).unwrap_or(STEPS);
        self.lags[step.min(STEPS - 1)].fetch_add(1, Ordering::Relaxed);
    }

    fn side(&self, expected: u64) -> Side {
        let delivered = self.delivered.load(Ordering::Relaxed);
        Side {
            delivered,
            lost: expected.saturating_sub(delivered),
            repeated: self.repeated.load(Ordering::Relaxed),
            lag_p50_ms: self.percentile(50, delivered),
            lag_p99_ms: self.percentile(99, delivered),
        }
    }

    fn percentile(&self, percent: u64, delivered: u64) -> f64 {
        let rank = (delivered * percent).div_ceil(100);
        let mut seen = 0;
        let step = self.lags.iter().position(|count| {
            seen += count.load(Ordering::Relaxed);
            seen >= rank
        });
        rounded((step.unwrap_or(STEPS) + 1) as f64 * STEP.as_secs_f64() * 1e3)
    }
}

/// A status as the syncer writes it, of one length whatever the number.
fn payload(number: u32, first_fact: u64) -> String {
    let job = derive(&["job", &(number % JOBS).to_string()]);
    let (at, fact) = ("2026-01-01T00:00:00Z", first_fact + u64::from(number));
    // Of a status that events spell as the stream does: they are as long as they were.
    json!({
        "id": job, "workspace": WORKSPACE, "status": "queued", "deployment": "web", "environment": "staging",
        "target": { "deployment": job, "environment": job, "resource": job }, "versionId": job, "version": "v1",
        "releaseId": job, "attempt": 1, "createdAt": at, "updatedAt": at, "sequence": fact,
        "message": "3 of 5 steps done", "links": { "run": "https://github.com/acme/shop/actions/runs/30433642" },
    })
    .to_string()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} clients, {} events at {} a second", self.clients, self.events, self.rate_asked)?;
        writeln!(f, "            published/s   delivered        lost    repeated    p50 ms    p99 ms")?;
        for (name, rate, side) in
            [("bare bus", self.rate_raw, self.raw), ("live events", self.rate_sse, self.sse)]
        {
            writeln!(
                f,
                "{name:<12}{rate:>11}{:>12}{:>12}{:>12}{:>10}{:>10}",
                side.delivered, side.lost, side.repeated, side.lag_p50_ms, side.lag_p99_ms
            )?;
        }
        writeln!(f, "ratio p99   {}", self.ratio_p99)?;
        write!(f, "api memory  {} MB before, {} MB at most", self.api_rss_mb_idle, self.api_rss_mb_peak)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_of_one_length() {
        assert_eq!(payload(0, FIRST_FACT).len(), payload(7_999_999, FIRST_FACT).len());
        assert!(serde_json::from_str::<domain::job::JobView>(&payload(7, FIRST_FACT)).is_ok());
    }

    #[test]
    fn what_is_heard_is_counted_once() {
        let tally = Tally::new(4, FIRST_FACT);
        let mut next = 0;
        for number in [0, 1, 1, 3, 9] {
            tally.hear(number, &mut next);
        }
        let side = tally.side(4);
        assert_eq!((side.delivered, side.lost, side.repeated), (3, 1, 1));
    }
}
