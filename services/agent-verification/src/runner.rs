//! Measures what is due: claims a measurement, asks the provider, stores what it says. Every replica follows all records and
//! tries; the claim lets one measure, and only its result counts.

use crate::agenda::{Agenda, Task};
use crate::provider::Providers;
use crate::record::{Ended, Record, Settled};
use crate::store::{Store, StoreError, read};
use bus::topology::VERIFICATIONS;
use bus::{Bus, BusError, CasError, Change, FollowSource, From, JobLog, crash_point, follow};
use chrono::TimeDelta;
use domain::id::JobId;
use domain::job::Purpose;
use domain::verification::Reading;
use futures::FutureExt as _;
use platform::Clock;
use service::Gate;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// After something on the bus that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// A timer sleeps at most so long, so that a changed clock is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// What ended longer ago than this when we started is not told again.
const TOLD_AGAIN: TimeDelta = TimeDelta::hours(1);

/// The measuring part of the agent.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) bus: Bus,
    pub(crate) jobs: JobLog,
    store: Store,
    providers: Providers,
    clock: Clock,
    at_once: usize,
    agenda: Mutex<Agenda>,
    due_changed: Notify,
    pub(crate) news: Notify,
}

/// What stands in the way of a measurement.
#[derive(Debug, thiserror::Error)]
enum Hindrance {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl Runner {
    pub(crate) fn new(bus: &Bus, providers: Providers, clock: Clock, at_once: usize) -> Arc<Self> {
        Arc::new(Self {
            bus: bus.clone(),
            jobs: bus.jobs(),
            store: Store::new(bus),
            providers,
            clock,
            at_once,
            agenda: Mutex::default(),
            due_changed: Notify::new(),
            news: Notify::new(),
        })
    }

    /// Follows the records until the drain.
    pub(crate) async fn follow(&self, gate: Gate, drain: CancellationToken) -> Result<(), BusError> {
        let started_at = self.clock.now();
        let on = |change: Change| {
            match change {
                Change::Put { key, sequence, payload, published_at, .. } => {
                    let Some(job) = job_of(&key) else { return };
                    match read(job, &payload) {
                        Ok(record) => {
                            let tell = !record.is_over() || published_at + TOLD_AGAIN > started_at;
                            self.agenda().see(job, record, sequence, tell);
                        }
                        Err(error) => {
                            tracing::warn!(%job, %error, "a verification that cannot be read is left alone");
                            self.agenda().forget(job);
                        }
                    }
                }
                Change::Delete { key, .. } => {
                    if let Some(job) = job_of(&key) {
                        self.agenda().forget(job);
                    }
                }
                Change::CaughtUp { sequence } => {
                    tracing::info!(sequence, verifications = self.agenda().len(), "knows the verifications");
                    gate.set(true, "caught up");
                }
            }
            self.due_changed.notify_one();
            self.news.notify_one();
        };
        follow(&self.bus, FollowSource::Bucket(&VERIFICATIONS, None), From::LastPerSubject, on, drain).await
    }

    /// Measures until the drain, then finishes what is in hand.
    pub(crate) async fn run(self: Arc<Self>, drain: CancellationToken) -> anyhow::Result<()> {
        let mut measuring = JoinSet::new();
        while !drain.is_cancelled() {
            let free = self.at_once.saturating_sub(measuring.len());
            let (tasks, next) = {
                let mut agenda = self.agenda();
                metrics::gauge!("verification_active").set(agenda.len() as f64);
                (agenda.take(self.clock.now(), free), agenda.next())
            };
            for task in tasks {
                measuring.spawn(Arc::clone(&self).work(task));
            }
            let is_full = measuring.len() >= self.at_once;
            let sleep = next.filter(|_| !is_full).map_or(SLEEP_MAX, |at| self.until(at));
            tokio::select! {
                () = drain.cancelled() => {}
                Some(ended) = measuring.join_next() => ended?,
                () = self.due_changed.notified(), if !is_full => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
        while let Some(ended) = measuring.join_next().await {
            ended?;
        }
        Ok(())
    }

    /// Rounded up, so that it is due when we wake.
    fn until(&self, at: domain::Timestamp) -> Duration {
        let ahead = (at - self.clock.now()).to_std().unwrap_or_default();
        ahead.saturating_add(Duration::from_millis(1)).min(SLEEP_MAX)
    }

    async fn work(self: Arc<Self>, task: Task) {
        let (job, metric) = (task.job, task.metric);
        if let Err(error) = self.measure(task).await {
            tracing::warn!(%job, metric, %error, "a measurement was not made, trying again");
            tokio::time::sleep(PAUSE).await;
        }
        self.agenda().done(job, metric);
        self.due_changed.notify_one();
    }

    async fn measure(&self, task: Task) -> Result<(), Hindrance> {
        let Task { job, metric: n, mut record, revision, vouched } = task;
        if !vouched && !self.vouch(job, &record).await? {
            return Ok(());
        }
        let claim = Uuid::new_v4();
        if !record.claim(n, claim, self.clock.now()) {
            return Ok(());
        }
        crash_point("verification.claimed.before");
        match self.store.update(job, &record, revision).await {
            Ok(revision) => self.agenda().see(job, record.clone(), revision, true),
            // Somebody was first: what they wrote says what is due.
            Err(CasError::Conflict) => return self.look(job).await,
            Err(CasError::Bus(error)) => return Err(error.into()),
        }
        crash_point("verification.claimed.after");
        let (reading, why) = self.ask(&record, n).await;
        let mut settled = Settled::Dropped;
        crash_point("verification.measured.before");
        let changed = self.store.change(job, |record| {
            settled = record.settle(n, claim, reading, &why);
            settled == Settled::Counted
        });
        let Some((record, revision)) = changed.await? else { return Ok(()) };
        crash_point("verification.measured.after");
        let counted = settled == Settled::Counted;
        metrics::counter!("verification_measurements_total", "reading" => word(reading), "counted" => counted.to_string())
            .increment(1);
        if counted && record.is_over() {
            tracing::info!(%job, attempt = record.attempt, "verified: {}", telemetry::redact(&record.message));
        }
        self.agenda().see(job, record, revision, true);
        self.news.notify_one();
        Ok(())
    }

    /// What the provider says. A panic about an answer is an error like any other: it must not be asked for again for ever.
    async fn ask(&self, record: &Record, n: usize) -> (Reading, String) {
        let Some(metric) = record.config.metrics.get(n) else {
            return (Reading::Error, "there is no such metric".to_owned());
        };
        let asked = self.providers.measure(&record.config.workspace, metric);
        AssertUnwindSafe(asked).catch_unwind().await.unwrap_or_else(|_panic| {
            tracing::error!(metric = metric.name, "a measurement panicked");
            (Reading::Error, "it could not be measured".to_owned())
        })
    }

    /// Whether the job is a verification of the workspace whose secrets the record asks for: the record itself only says so.
    async fn vouch(&self, job: JobId, record: &Record) -> Result<bool, Hindrance> {
        let known = self.jobs.load(&record.config.workspace, job).await?;
        let is_so = known.is_some_and(|known| match known.state.job.purpose {
            Purpose::Verify { .. } => true,
            Purpose::Deploy | Purpose::Workflow { .. } => false,
        });
        if is_so {
            self.agenda().vouch(job, record.attempt);
            return Ok(true);
        }
        tracing::error!(%job, workspace = %record.config.workspace, "refused: the job is no verification of this workspace");
        let refuse =
            |record: &mut Record| record.end(Ended::Refused, "this is no verification of its workspace");
        self.store.change(job, refuse).await?;
        self.look(job).await?;
        Ok(false)
    }

    /// Sees the record as it is now.
    async fn look(&self, job: JobId) -> Result<(), Hindrance> {
        match self.store.load(job).await? {
            Some((record, revision)) => self.agenda().see(job, record, revision, true),
            None => self.agenda().forget(job),
        }
        Ok(())
    }

    /// The agenda, for a moment: nothing is awaited under this lock.
    pub(crate) fn agenda(&self) -> MutexGuard<'_, Agenda> {
        // Every change leaves each job whole but for the one being changed, which its next record puts right.
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn job_of(key: &str) -> Option<JobId> {
    key.parse().ok()
}

fn word(reading: Reading) -> &'static str {
    match reading {
        Reading::Good => "good",
        Reading::Bad => "bad",
        Reading::Unclear => "unclear",
        Reading::Error => "error",
    }
}
