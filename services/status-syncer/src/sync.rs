//! Works one fact: folds it, tells the status, then shows it in the views. Old, repeated and reordered facts change
//! nothing. The views may be away; the status goes on without them.

use crate::memory::{Memory, Remembered, Shard};
use crate::status::{self, Told};
use async_trait::async_trait;
use bus::topology::JOBS;
use bus::{Bus, BusError, Delivery, Failure, Handler, Json, crash_point};
use domain::job::{JobEvent, JobRef};
use domain::subject;
use projections::{JobChange, Projections};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// While the views are away, one fact asks in this time whether they are back; the others wait without asking.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Longer histories are no histories of one job.
const FACTS_MAX: usize = 10_000;
/// When a fact that the views did not take comes again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// The handler of job facts.
#[derive(Debug)]
pub(crate) struct Syncer {
    bus: Bus,
    views: Projections,
    memory: Memory,
    away_until: Mutex<Option<Instant>>,
    incomplete: Arc<Notify>,
}

impl Syncer {
    pub(crate) fn new(bus: Bus, views: Projections) -> Self {
        Self { bus, views, memory: Memory::new(), away_until: Mutex::default(), incomplete: Arc::default() }
    }

    /// Is notified when the views turn out to lack something, so that somebody rebuilds them.
    pub(crate) fn incomplete(&self) -> Arc<Notify> {
        self.incomplete.clone()
    }
}

#[async_trait]
impl Handler for Syncer {
    type Event = Json<JobEvent>;

    async fn handle(&self, Json(event): Json<JobEvent>, delivery: &Delivery) -> Result<(), Failure> {
        let job = event.job.id;
        let change = {
            let mut shard = self.memory.shard(job).await;
            self.learn(&mut shard, &event, delivery).await?;
            let Some(remembered) = shard.get(job) else {
                tracing::debug!(%job, sequence = delivery.sequence, "its facts are gone");
                return Ok(());
            };
            self.tell(remembered).await?;
            if remembered.viewed >= delivery.sequence {
                return Ok(());
            }
            JobChange { view: remembered.folded.view(), history: remembered.unviewed.clone() }
        };
        self.show(&change).await?;
        if let Some(remembered) = self.memory.shard(job).await.get(job) {
            let viewed = change.view.sequence;
            remembered.viewed = remembered.viewed.max(viewed);
            remembered.unviewed.retain(|entry| entry.sequence > viewed);
        }
        let lag = bus::clock::now() - delivery.published_at;
        metrics::histogram!("syncer_lag_seconds").record(lag.as_seconds_f64().max(0.0));
        Ok(())
    }
}

impl Syncer {
    /// Brings what we remember of the job up to this fact, or past it.
    async fn learn(&self, shard: &mut Shard, event: &JobEvent, delivery: &Delivery) -> Result<(), BusError> {
        let job = event.job.id;
        let known = shard.get(job).map_or(0, |remembered| remembered.folded.sequence);
        if known >= delivery.sequence {
            return Ok(());
        }
        // A first fact has no fact before it, and 0 is what we know of a job that we do not know.
        if delivery.previous == Some(known) {
            shard.fold(job, std::iter::once((delivery.sequence, event)));
        } else {
            metrics::counter!("syncer_job_reads_total").increment(1);
            let missed = self.facts_after(&event.job, known).await?;
            shard.fold(job, missed.iter().map(|(sequence, event)| (*sequence, event)));
        }
        Ok(())
    }

    /// The facts of a job after a sequence, up to its newest.
    async fn facts_after(&self, job: &JobRef, sequence: u64) -> Result<Vec<(u64, JobEvent)>, BusError> {
        let subject = subject::job(&job.workspace, job.id);
        let mut facts: Vec<(u64, JobEvent)> = Vec::new();
        let mut from = sequence + 1;
        while let Some(stored) = self.bus.next_of_subject(&JOBS, &subject, from).await? {
            if facts.len() == FACTS_MAX {
                return Err(BusError::Corrupt { what: subject, why: format!("more than {FACTS_MAX} facts") });
            }
            let event = serde_json::from_slice(&stored.payload).map_err(|error| BusError::Corrupt {
                what: format!("{subject} at {}", stored.sequence),
                why: error.to_string(),
            })?;
            facts.push((stored.sequence, event));
            from = stored.sequence + 1;
        }
        Ok(facts)
    }

    async fn tell(&self, remembered: &mut Remembered) -> Result<(), BusError> {
        let folded = &remembered.folded;
        let Some(place) = folded.place() else { return Ok(()) };
        let known = remembered.told.take().filter(|told| told.place == place);
        if known.as_ref().is_some_and(|told| told.news >= folded.sequence) {
            remembered.told = known;
            return Ok(());
        }
        // Before a job has a run nobody has told of it, as a rule: then we need not look first.
        let known = known.or_else(|| folded.state.external.is_none().then(|| Told::nothing(place.clone())));
        let view = folded.view();
        let told = status::tell(&self.bus, &view, place, known).await?;
        for left in &folded.left {
            status::farewell(&self.bus, &view, left.clone()).await?;
        }
        remembered.folded.left.clear();
        remembered.told = Some(told);
        Ok(())
    }

    async fn show(&self, change: &JobChange) -> Result<(), Failure> {
        if self.is_away() {
            return Err(later("the views do not answer"));
        }
        crash_point("status-syncer.view.before");
        match self.views.apply(change).await {
            Ok(applied) => {
                crash_point("status-syncer.view.after");
                metrics::counter!("syncer_views_total", "outcome" => format!("{applied:?}").to_lowercase())
                    .increment(1);
                self.back();
                if !self.views.seems_complete() {
                    self.incomplete.notify_one();
                }
                Ok(())
            }
            Err(error) => {
                metrics::counter!("syncer_views_total", "outcome" => "failed").increment(1);
                self.away(&error);
                Err(later(&error.to_string()))
            }
        }
    }

    /// Whether the views were away a moment ago. Lets one through each time the moment has passed.
    fn is_away(&self) -> bool {
        let mut until = self.away_until.lock().unwrap_or_else(PoisonError::into_inner);
        match *until {
            Some(moment) if Instant::now() < moment => true,
            Some(_) => {
                *until = Some(Instant::now() + PROBE_EVERY);
                false
            }
            None => false,
        }
    }

    fn away(&self, error: &projections::ProjectionError) {
        let mut until = self.away_until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.replace(Instant::now() + PROBE_EVERY).is_none() {
            if error.is_transient() {
                tracing::warn!(%error, "the views are away: statuses go on without them");
            } else {
                tracing::error!(%error, "the views do not take anything: statuses go on without them");
            }
        }
    }

    fn back(&self) {
        let mut until = self.away_until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.take().is_some() {
            tracing::info!("the views are back");
        }
    }
}

/// Is not counted: however long Redis is away, no fact becomes a dead letter by that.
fn later(why: &str) -> Failure {
    Failure::Later { after: AGAIN_AFTER, why: why.to_owned() }
}
