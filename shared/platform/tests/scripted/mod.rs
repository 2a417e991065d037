//! A platform in memory that does what it is told, by the clock it is given.

use async_trait::async_trait;
use bytes::Bytes;
use domain::Timestamp;
use domain::id::JobId;
use domain::job::{
    ActiveStatus, ExternalRef, Links, OrderKey, RawStatus, Snapshot, SnapshotStatus, Source, TerminalStatus,
};
use domain::token::Slug;
use platform::conformance::{Fault, Rig, RunIs, Webhook};
use platform::{
    CallError, CancelAck, CancelMode, Clock, CorrelationKey, Found, NotReadable, Platform, PlatformEvent,
    RunKey, Seen, Signal, TriggerRequest, Triggered,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the answer to a trigger holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    /// The run.
    WithTheRun,
    /// Nothing, as on GitHub Enterprise Server.
    WithNothing,
}

const SECRET: &str = "hunter2-hunter2";

/// A handle; clones share the platform.
#[derive(Debug, Clone)]
pub(crate) struct Scripted {
    clock: Clock,
    answers: Answers,
    world: Arc<Mutex<World>>,
}

#[derive(Debug, Default)]
struct World {
    runs: Vec<Run>,
    fault: Option<Fault>,
    ticks: i64,
    blocked_until: Option<Timestamp>,
    /// How many more calls cannot be sent.
    unreachable: u32,
    /// How long a run does not show in a search.
    hidden_for: Duration,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Run {
    id: u64,
    job: JobId,
    attempt: u32,
    version: i64,
    since: Timestamp,
    status: String,
    deleted: bool,
}

impl Scripted {
    pub(crate) fn new(clock: Clock, answers: Answers) -> Self {
        Self { clock, answers, world: Arc::default() }
    }

    /// The next calls that start a run cannot be sent.
    pub(crate) fn unreachable_for(&self, calls: u32) {
        self.world().unreachable = calls;
    }

    /// Runs show in a search only after this long.
    pub(crate) fn hide_for(&self, time: Duration) {
        self.world().hidden_for = time;
    }

    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// What any call meets first.
    fn gate(&self) -> Result<(), CallError> {
        match self.world().fault {
            Some(Fault::Unauthorized) => {
                Err(CallError::Unauthorized(format!("Bearer {SECRET} is not accepted")))
            }
            Some(Fault::AnswerLost | Fault::RateLimited { .. } | Fault::Invalid) | None => Ok(()),
        }
    }

    /// Starts or repeats a run, as far as nothing is wrong.
    fn begin(&self, begin: impl FnOnce(&mut World) -> Run) -> Result<Triggered, CallError> {
        self.gate()?;
        let now = self.clock.now();
        let mut world = self.world();
        match world.fault {
            Some(Fault::RateLimited { after }) => {
                world.fault = None;
                world.blocked_until = Some(now + after);
                return Err(CallError::RateLimited { after, why: "slow down".to_owned() });
            }
            Some(Fault::Invalid) => return Err(CallError::Invalid("there is no such workflow".to_owned())),
            Some(Fault::AnswerLost | Fault::Unauthorized) | None => {}
        }
        if world.unreachable > 0 {
            world.unreachable -= 1;
            return Err(CallError::Transient("connection refused".to_owned()));
        }
        assert!(world.blocked_until.is_none_or(|until| now >= until), "called before the limit was over");
        let run = begin(&mut world);
        if world.fault.take() == Some(Fault::AnswerLost) {
            return Err(CallError::Ambiguous("connection reset".to_owned()));
        }
        Ok(match self.answers {
            Answers::WithTheRun => Triggered::Run { external: external(&run), links: Links::new() },
            Answers::WithNothing => Triggered::Accepted,
        })
    }

    fn run(&self, id: &str) -> Option<Run> {
        self.world().runs.iter().find(|run| run.id.to_string() == id && !run.deleted).cloned()
    }
}

impl World {
    fn stamp(&mut self) -> i64 {
        self.ticks += 1;
        self.ticks
    }
}

fn external(run: &Run) -> ExternalRef {
    ExternalRef {
        platform: name(),
        host: "scripted.test".to_owned(),
        scope: "Acme/Shop".to_owned(),
        id: run.id.to_string(),
        attempt: run.attempt,
        url: None,
    }
}

fn name() -> Slug {
    "scripted".parse().unwrap()
}

fn status(word: &str) -> Option<SnapshotStatus> {
    Some(match word {
        "queued" => SnapshotStatus::Active(ActiveStatus::Queued),
        "running" => SnapshotStatus::Active(ActiveStatus::InProgress),
        "good" => SnapshotStatus::Terminal(TerminalStatus::Successful),
        "stopped" => SnapshotStatus::Terminal(TerminalStatus::Cancelled),
        _ => return None,
    })
}

fn snapshot(run: &Run, source: Source) -> Option<Snapshot<SnapshotStatus>> {
    Some(Snapshot {
        status: status(&run.status)?,
        order: Some(OrderKey { attempt: run.attempt, version: run.version }),
        raw: Some(RawStatus { status: run.status.clone(), conclusion: None }),
        reason: None,
        message: None,
        links: Links::new(),
        source,
        external: None,
    })
}

#[async_trait]
impl Platform for Scripted {
    fn name(&self) -> Slug {
        name()
    }

    fn event_tokens(&self) -> &'static [&'static str] {
        &["run"]
    }

    fn search_lag(&self) -> Duration {
        Duration::from_secs(10)
    }

    async fn trigger(&self, request: &TriggerRequest<'_>) -> Result<Triggered, CallError> {
        self.begin(|world| {
            let version = world.stamp();
            let id = world.runs.len() as u64 + 1;
            let run = Run {
                id,
                job: request.job,
                attempt: 1,
                version,
                since: self.clock.now(),
                status: "queued".to_owned(),
                deleted: false,
            };
            world.runs.push(run.clone());
            run
        })
    }

    async fn find(&self, key: &CorrelationKey<'_>, _since: Timestamp) -> Result<Found, CallError> {
        self.gate()?;
        let world = self.world();
        let now = self.clock.now();
        let shows = |run: &&Run| (now - run.since).to_std().is_ok_and(|age| age >= world.hidden_for);
        let mut runs = world.runs.iter().filter(|run| run.job == key.job && !run.deleted).filter(shows);
        let Some(run) = runs.next() else { return Ok(Found::None) };
        let snapshot = Box::new(snapshot(run, Source::Read).expect("a known word"));
        Ok(match runs.count() {
            0 => Found::Run { external: external(run), snapshot },
            more => Found::Several { external: external(run), snapshot, count: more + 1 },
        })
    }

    async fn observe(&self, _config: &Map<String, Value>, run: &ExternalRef) -> Result<Seen, CallError> {
        self.gate()?;
        let Some(run) = self.run(&run.id) else { return Ok(Seen::Gone) };
        Ok(match snapshot(&run, Source::Read) {
            Some(snapshot) => Seen::Snapshot(Box::new(snapshot)),
            None => Seen::UnknownWords { raw: RawStatus { status: run.status, conclusion: None } },
        })
    }

    async fn cancel(
        &self,
        _config: &Map<String, Value>,
        run: &ExternalRef,
        _how: CancelMode,
    ) -> Result<CancelAck, CallError> {
        self.gate()?;
        let Some(run) = self.run(&run.id) else { return Ok(CancelAck::Gone) };
        Ok(match status(&run.status) {
            Some(SnapshotStatus::Terminal(_)) => CancelAck::AlreadyOver,
            Some(SnapshotStatus::Active(_)) | None => CancelAck::Requested,
        })
    }

    async fn rerun(&self, _config: &Map<String, Value>, run: &ExternalRef) -> Result<Triggered, CallError> {
        self.begin(|world| {
            let version = world.stamp();
            let run = world.runs.iter_mut().find(|known| known.id.to_string() == run.id).expect("it ran");
            run.attempt += 1;
            run.version = version;
            run.status = "queued".to_owned();
            run.clone()
        })
    }

    fn read_event(&self, event: &PlatformEvent<'_>) -> Result<Vec<Signal>, NotReadable> {
        let run: Run =
            serde_json::from_slice(event.data).map_err(|error| NotReadable { reason: error.to_string() })?;
        Ok(vec![Signal {
            run: RunKey {
                host: "scripted.test".to_owned(),
                scope: "acme/shop".to_owned(),
                id: run.id.to_string(),
            },
            // Some deliveries name the job and some only the run: both ways to a job are taken.
            job: (run.status == "good").then_some(run.job),
            snapshot: snapshot(&run, Source::Webhook),
        }])
    }
}

#[async_trait]
impl Rig for Scripted {
    type Platform = Scripted;

    fn platform(&self) -> Arc<Scripted> {
        Arc::new(self.clone())
    }

    fn config(&self) -> Map<String, Value> {
        Map::new()
    }

    fn secrets(&self) -> Vec<String> {
        vec![SECRET.to_owned()]
    }

    async fn runs(&self, job: JobId) -> usize {
        self.world().runs.iter().filter(|run| run.job == job).count()
    }

    async fn fault(&self, fault: Fault) {
        self.world().fault = Some(fault);
    }

    async fn heal(&self) {
        self.world().fault = None;
    }

    async fn set(&self, job: JobId, is: RunIs) {
        let mut world = self.world();
        let version = world.stamp();
        let run = world.runs.iter_mut().find(|run| run.job == job).expect("the job has a run");
        run.version = version;
        match is {
            RunIs::InProgress => run.status = "running".to_owned(),
            RunIs::Successful => run.status = "good".to_owned(),
            RunIs::Cancelled => run.status = "stopped".to_owned(),
            RunIs::Unheard => run.status = "levitating".to_owned(),
            RunIs::Deleted => run.deleted = true,
        }
    }

    async fn webhook(&self, job: JobId) -> Option<Webhook> {
        let world = self.world();
        let run = world.runs.iter().find(|run| run.job == job)?;
        Some(Webhook {
            event_type: "run".to_owned(),
            source_kind: "scripted".parse().unwrap(),
            payload: Bytes::from(serde_json::to_vec(run).unwrap()),
        })
    }
}
