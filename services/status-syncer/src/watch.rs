//! Keeps the active jobs in memory: follows the facts, and reads the jobs of which it has not seen all.

use crate::active::Actives;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use bus::topology::JOBS;
use bus::{Bus, BusError, Change, FollowSource, From, JobLog, follow};
use domain::job::{JobEvent, JobRef};
use futures::StreamExt as _;
use service::Gate;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// How many jobs are read at once.
const READS: usize = 16;
/// How many jobs one round reads.
const ROUND: usize = 512;
/// After a read that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// The active jobs, shared by those who act on them.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) bus: Bus,
    pub(crate) jobs: JobLog,
    actives: Mutex<Actives>,
    /// The earliest deadline has changed.
    pub(crate) due_changed: Notify,
    unknown: Notify,
    caught_up: watch::Sender<bool>,
}

impl Watch {
    pub(crate) fn new(bus: Bus) -> Self {
        Self {
            jobs: bus.jobs(),
            bus,
            actives: Mutex::default(),
            due_changed: Notify::new(),
            unknown: Notify::new(),
            caught_up: watch::Sender::new(false),
        }
    }

    /// The jobs, for a moment: nothing is awaited under this lock.
    pub(crate) fn actives(&self) -> MutexGuard<'_, Actives> {
        // Every change leaves the jobs whole but for the one being changed, which its next fact puts right.
        self.actives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves once the facts that were there at the start are known; `false` when the drain came first.
    pub(crate) async fn is_caught_up(&self, drain: &CancellationToken) -> bool {
        let mut caught_up = self.caught_up.subscribe();
        tokio::select! {
            () = drain.cancelled() => false,
            there = caught_up.wait_for(|there| *there) => there.is_ok(),
        }
    }

    /// Follows the facts until the drain.
    pub(crate) async fn follow(&self, gate: Gate, drain: CancellationToken) -> Result<(), BusError> {
        let on = |change: Change| match change {
            Change::Put { key, sequence, payload, headers, .. } => {
                let event: JobEvent = match serde_json::from_slice(&payload) {
                    Ok(event) => event,
                    Err(error) => {
                        metrics::counter!("syncer_unreadable_facts_total").increment(1);
                        tracing::warn!(subject = key, sequence, %error, "a fact that cannot be read is left out");
                        return;
                    }
                };
                let previous = headers
                    .get(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE)
                    .and_then(|value| value.as_str().parse().ok());
                self.change(|actives| actives.tell(sequence, previous, &event));
            }
            Change::Delete { .. } => {}
            Change::CaughtUp { sequence } => {
                tracing::info!(sequence, active = self.actives().len(), "knows the active jobs");
                gate.set(true, "caught up");
                self.caught_up.send_replace(true);
                self.unknown.notify_one();
            }
        };
        follow(&self.bus, FollowSource::Stream(&JOBS, None), From::LastPerSubject, on, drain).await
    }

    /// Reads the jobs of which not all facts were seen, as long as there are any, until the drain.
    pub(crate) async fn load_unknown(self: Arc<Self>, drain: CancellationToken) -> anyhow::Result<()> {
        if !self.is_caught_up(&drain).await {
            return Ok(());
        }
        loop {
            let jobs = self.actives().unknown(ROUND);
            if jobs.is_empty() {
                tokio::select! {
                    () = drain.cancelled() => return Ok(()),
                    () = self.unknown.notified() => continue,
                }
            }
            let failed = futures::stream::iter(jobs)
                .map(|job| {
                    let watch = self.clone();
                    async move { watch.load(&job).await }
                })
                .buffer_unordered(READS)
                .fold(None, async |failed, read| failed.or(read.err()));
            tokio::select! {
                () = drain.cancelled() => return Ok(()),
                failed = failed => if let Some(error) = failed {
                    tracing::warn!(%error, "cannot read every active job, trying again");
                    tokio::select! {
                        () = drain.cancelled() => return Ok(()),
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                },
            }
        }
    }

    async fn load(&self, job: &JobRef) -> Result<(), BusError> {
        let known = match self.jobs.load(&job.workspace, job.id).await {
            Ok(known) => known,
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                tracing::error!(job = %job.id, %error, "a job whose facts cannot be read is not watched");
                None
            }
        };
        self.change(|actives| match known {
            Some(known) => actives.learn(known),
            None => actives.remove(job.id),
        });
        Ok(())
    }

    /// Changes the jobs, and wakes those who wait for what has changed.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Actives) -> T) -> T {
        let mut actives = self.actives();
        let before = actives.next_due();
        let result = change(&mut actives);
        let (due_changed, unknown) = (actives.next_due() != before, !actives.unknown(1).is_empty());
        drop(actives);
        if due_changed {
            self.due_changed.notify_one();
        }
        if unknown {
            self.unknown.notify_one();
        }
        result
    }
}
