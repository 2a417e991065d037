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
    CallError, CancelAck, CancelMode, Clock, CorrelationKey, Found, News, NotReadable, Platform,
    PlatformEvent, RunKey, Seen, Signal, TriggerRequest, Triggered, WatchKey,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// What the answer to a trigger holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    /// The run.
    WithTheRun,
    /// Nothing, as on GitHub Enterprise Server.
    WithNothing,
}

/// What an answer that repeats the config is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Echo {
    /// A run with a link.
    Link,
    /// Each kind of error.
    Unauthorized,
    Invalid,
    RateLimited,
    Transient,
    /// As any [`Fault::AnswerLost`], after the run was made.
    Ambiguous,
}

const SECRET: &str = "hunter2-hunter2";

/// A handle; clones share the platform.
#[derive(Debug, Clone)]
pub(crate) struct Scripted {
    clock: Clock,
    answers: Answers,
    config: Map<String, Value>,
    secret_places: BTreeMap<String, String>,
    secrets: Vec<String>,
    world: Arc<Mutex<World>>,
    changes: Arc<watch::Sender<Changes>>,
}

/// What watches wait for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Changes {
    runs: u64,
    /// How often all watches broke.
    broken: u64,
    /// Whether a watch says only that something changed.
    without_snapshots: bool,
}

#[derive(Debug, Default)]
struct World {
    runs: Vec<Run>,
    fault: Option<Fault>,
    ticks: i64,
    blocked_until: Option<Timestamp>,
    /// How many more calls cannot be sent.
    unreachable: u32,
    /// How many more looks at a run get no answer.
    blind: u32,
    /// How many more searches cannot be made.
    unsearchable: u32,
    /// How long a run does not show in a search.
    hidden_for: Duration,
    echo: Option<Echo>,
    started_with: Vec<Value>,
    asked_with: Vec<Value>,
    /// The next call that starts a run is cut off.
    cut_off: bool,
    /// The run of a call that was cut off.
    late: Option<Run>,
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
    /// Whether a webhook says that it is in another place than the config.
    #[serde(default)]
    elsewhere: bool,
}

impl Scripted {
    pub(crate) fn new(clock: Clock, answers: Answers) -> Self {
        Self {
            clock,
            answers,
            config: Map::new(),
            secret_places: BTreeMap::new(),
            secrets: vec![SECRET.to_owned()],
            world: Arc::default(),
            changes: Arc::new(watch::Sender::default()),
        }
    }

    /// Jobs run with this config, in which secrets belong, and these texts are secret.
    pub(crate) fn with_config(self, config: &Value, places: &[(&str, &str)], secrets: &[&str]) -> Self {
        let owned = |(pointer, name): &(&str, &str)| ((*pointer).to_owned(), (*name).to_owned());
        Self {
            config: config.as_object().expect("a map").clone(),
            secret_places: places.iter().map(owned).collect(),
            secrets: secrets.iter().map(|secret| (*secret).to_owned()).collect(),
            ..self
        }
    }

    /// The next call that starts a run is answered with words that repeat its config.
    pub(crate) fn echo(&self, echo: Echo) {
        self.world().echo = Some(echo);
    }

    /// The configs of the calls that started, or tried to start, a run, as they were declared.
    pub(crate) fn started_with(&self) -> Vec<Value> {
        self.world().started_with.iter().map(declared).collect()
    }

    /// The configs of all other calls.
    pub(crate) fn asked_with(&self) -> Vec<Value> {
        self.world().asked_with.iter().map(declared).collect()
    }

    /// The run is from now on in a state of that name.
    pub(crate) fn say(&self, job: JobId, status: &str) {
        let mut world = self.world();
        let version = world.stamp();
        let run = world.runs.iter_mut().find(|run| run.job == job).expect("the job has a run");
        run.version = version;
        status.clone_into(&mut run.status);
    }

    /// Tells everybody who watches how the runs are by now.
    pub(crate) fn tell(&self) {
        self.changes.send_modify(|changes| changes.runs += 1);
    }

    /// Watches say from now on only that something changed.
    pub(crate) fn tell_no_more_than_that(&self) {
        self.changes.send_modify(|changes| changes.without_snapshots = true);
    }

    /// Every watch ends with an error.
    pub(crate) fn break_watches(&self) {
        self.changes.send_modify(|changes| changes.broken += 1);
    }

    /// How many watches are open.
    pub(crate) fn watching(&self) -> usize {
        self.changes.receiver_count()
    }

    fn asked(&self, config: &Map<String, Value>) {
        self.world().asked_with.push(Value::Object(config.clone()));
    }

    /// The next calls that start a run cannot be sent.
    pub(crate) fn unreachable_for(&self, calls: u32) {
        self.world().unreachable = calls;
    }

    /// The next searches for a run cannot be made.
    pub(crate) fn unsearchable_for(&self, searches: u32) {
        self.world().unsearchable = searches;
    }

    /// The next looks at a run get no answer.
    pub(crate) fn blind_for(&self, looks: u32) {
        self.world().blind = looks;
    }

    /// The run is not there, or is there again.
    pub(crate) fn vanish(&self, job: JobId, gone: bool) {
        let mut world = self.world();
        let run = world.runs.iter_mut().find(|run| run.job == job).expect("the job has a run");
        run.deleted = gone;
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
    fn begin(
        &self,
        config: &Map<String, Value>,
        begin: impl FnOnce(&mut World) -> Run,
    ) -> Result<Triggered, CallError> {
        self.gate()?;
        let now = self.clock.now();
        let mut world = self.world();
        let config = Value::Object(config.clone());
        let words = format!("what am I to do with {config}?");
        world.started_with.push(config);
        let echo = world.echo.take();
        let after = Duration::from_secs(7);
        match echo {
            Some(Echo::Unauthorized) => return Err(CallError::Unauthorized(words)),
            Some(Echo::Invalid) => return Err(CallError::Invalid(words)),
            Some(Echo::RateLimited) => return Err(CallError::RateLimited { after, why: words }),
            Some(Echo::Transient) => return Err(CallError::Transient(words)),
            Some(Echo::Link | Echo::Ambiguous) | None => {}
        }
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
        if std::mem::take(&mut world.cut_off) {
            world.late = world.runs.pop();
            return Err(CallError::Ambiguous("connection reset".to_owned()));
        }
        match echo {
            Some(Echo::Ambiguous) => return Err(CallError::Ambiguous(words)),
            Some(Echo::Link) => {
                let external = ExternalRef { url: Some(words.clone()), ..external(&run) };
                return Ok(Triggered::Run { external, links: Links::from([("run".to_owned(), words)]) });
            }
            Some(Echo::Unauthorized | Echo::Invalid | Echo::RateLimited | Echo::Transient) | None => {}
        }
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
        Duration::from_secs(60)
    }

    async fn ready(&self, config: &Map<String, Value>) -> Result<(), CallError> {
        self.asked(config);
        Ok(())
    }

    async fn trigger(&self, request: &TriggerRequest<'_>) -> Result<Triggered, CallError> {
        self.begin(request.config, |world| {
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
                elsewhere: false,
            };
            world.runs.push(run.clone());
            run
        })
    }

    async fn find(&self, key: &CorrelationKey<'_>, _since: Timestamp) -> Result<Found, CallError> {
        self.asked(key.config);
        self.gate()?;
        let mut world = self.world();
        if world.unsearchable > 0 {
            world.unsearchable -= 1;
            return Err(CallError::Transient("the search is too wide".to_owned()));
        }
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

    async fn observe(&self, config: &Map<String, Value>, run: &ExternalRef) -> Result<Seen, CallError> {
        self.asked(config);
        self.gate()?;
        let left = self.world().blind.checked_sub(1);
        if let Some(left) = left {
            self.world().blind = left;
            return Err(CallError::Transient("no answer".to_owned()));
        }
        let Some(run) = self.run(&run.id) else { return Ok(Seen::Gone) };
        Ok(match snapshot(&run, Source::Read) {
            Some(snapshot) => Seen::Snapshot(Box::new(snapshot)),
            None => Seen::UnknownWords { raw: RawStatus { status: run.status, conclusion: None } },
        })
    }

    async fn cancel(
        &self,
        config: &Map<String, Value>,
        run: &ExternalRef,
        _how: CancelMode,
    ) -> Result<CancelAck, CallError> {
        self.asked(config);
        self.gate()?;
        let Some(run) = self.run(&run.id) else { return Ok(CancelAck::Gone) };
        Ok(match status(&run.status) {
            Some(SnapshotStatus::Terminal(_)) => CancelAck::AlreadyOver,
            Some(SnapshotStatus::Active(_)) | None => CancelAck::Requested,
        })
    }

    async fn rerun(&self, config: &Map<String, Value>, run: &ExternalRef) -> Result<Triggered, CallError> {
        self.begin(config, |world| {
            let version = world.stamp();
            let run = world.runs.iter_mut().find(|known| known.id.to_string() == run.id).expect("it ran");
            run.attempt += 1;
            run.version = version;
            run.status = "queued".to_owned();
            run.clone()
        })
    }

    fn source_kind(&self) -> Option<&'static str> {
        Some("scripted")
    }

    fn runs_there(&self, _config: &Map<String, Value>, run: &RunKey) -> bool {
        run.host == "scripted.test" && run.scope.eq_ignore_ascii_case("acme/shop")
    }

    fn read_event(&self, event: &PlatformEvent<'_>) -> Result<Vec<Signal>, NotReadable> {
        let run: Run =
            serde_json::from_slice(event.data).map_err(|error| NotReadable { reason: error.to_string() })?;
        Ok(vec![Signal {
            run: RunKey {
                host: "scripted.test".to_owned(),
                scope: if run.elsewhere { "mallory/shop" } else { "acme/shop" }.to_owned(),
                id: run.id.to_string(),
            },
            // Some deliveries name the job and some only the run: both ways to a job are taken.
            job: (run.status == "good").then_some(run.job),
            snapshot: snapshot(&run, Source::Webhook),
        }])
    }

    fn watch_of(&self, config: &Map<String, Value>) -> Option<WatchKey> {
        Some(WatchKey(config.get("place")?.as_str()?.to_owned()))
    }

    async fn watch(&self, _config: &Map<String, Value>, news: &mut News) -> CallError {
        let mut changes = self.changes.subscribe();
        let begun = *changes.borrow_and_update();
        loop {
            let runs = self.world().runs.clone();
            for run in runs {
                let told = snapshot(&run, Source::Webhook).filter(|_| !changes.borrow().without_snapshots);
                let run_key = RunKey {
                    host: "scripted.test".to_owned(),
                    scope: "Acme/Shop".to_owned(),
                    id: run.id.to_string(),
                };
                news.tell(Signal { run: run_key, job: Some(run.job), snapshot: told }).await;
            }
            changes.changed().await.expect("the platform is there");
            if changes.borrow_and_update().broken != begun.broken {
                return CallError::Transient("the connection was closed".to_owned());
            }
        }
    }
}

#[async_trait]
impl Rig for Scripted {
    type Platform = Scripted;

    fn platform(&self) -> Arc<Scripted> {
        Arc::new(self.clone())
    }

    fn config(&self) -> Map<String, Value> {
        self.config.clone()
    }

    fn secret_places(&self) -> BTreeMap<String, String> {
        self.secret_places.clone()
    }

    fn secrets(&self) -> Vec<String> {
        self.secrets.clone()
    }

    async fn runs(&self, job: JobId) -> usize {
        self.world().runs.iter().filter(|run| run.job == job).count()
    }

    async fn cut_off(&self) -> bool {
        self.world().cut_off = true;
        true
    }

    async fn let_it_happen(&self) {
        let mut world = self.world();
        let late = world.late.take();
        world.runs.extend(late);
    }

    async fn fault(&self, fault: Fault) {
        self.world().fault = Some(fault);
    }

    fn says(&self, fault: Fault) -> &'static str {
        match fault {
            Fault::Unauthorized => "is not accepted",
            Fault::Invalid => "there is no such workflow",
            Fault::AnswerLost | Fault::RateLimited { .. } => "",
        }
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

/// The config without what the agent's loop says of it: such fields begin with `$`.
fn declared(config: &Value) -> Value {
    let fields = config.as_object().expect("a config is an object").iter();
    let declared = fields.filter(|(field, _)| !field.starts_with('$'));
    Value::Object(declared.map(|(field, value)| (field.clone(), value.clone())).collect())
}
