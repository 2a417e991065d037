//! One credential's budget: a local mirror that answers without a round trip, and compare-and-set writes to the bucket
//! where all replicas must agree.

use super::decide::{Kind, Learned, RateLimit, RateLimited, Record, Verdict, decide, learn, merge, spacing};
use super::registry::BudgetKey;
use bus::clock::Clock;
use bus::{Bucket, CasError};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::budget::SharedBudget;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How often a reservation is tried against other replicas before the caller is asked to come back.
const TRIES_MAX: usize = 8;
/// How often what is left is told to the other replicas, if nothing alarming happens.
const TELL_EVERY: TimeDelta = TimeDelta::seconds(5);
/// With so few calls left, every answer is told.
const LOW_WATER: u64 = 50;
/// When to ask again if the bucket does not answer.
const BUS_PAUSE: Duration = Duration::from_secs(1);
/// Nobody is asked to come back later than this because others wait, too.
const QUEUE_MAX: TimeDelta = TimeDelta::minutes(10);

/// The budget of one credential on one host.
#[derive(Debug)]
pub struct Budget {
    key: BudgetKey,
    bucket: Bucket,
    clock: Clock,
    mirror: Mutex<Mirror>,
    /// One reservation at a time in this process: only other replicas can be in the way.
    reserving: tokio::sync::Mutex<()>,
    concurrent: Arc<Semaphore>,
}

#[derive(Debug)]
struct Mirror {
    limit: RateLimit,
    record: Record,
    revision: u64,
    told_at: Option<Timestamp>,
    /// When the last caller that had to wait was asked to come back.
    promised: Option<Timestamp>,
}

/// A place among the concurrent calls of a credential; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub(super) fn new(
        key: BudgetKey,
        limit: RateLimit,
        concurrent_max: usize,
        bucket: Bucket,
        clock: Clock,
    ) -> Self {
        Self {
            key,
            bucket,
            clock,
            mirror: Mutex::new(Mirror {
                limit,
                record: Record::default(),
                revision: 0,
                told_at: None,
                promised: None,
            }),
            reserving: tokio::sync::Mutex::default(),
            concurrent: Arc::new(Semaphore::new(concurrent_max.max(1))),
        }
    }

    /// Whether a call may be made now. A paced write takes its place before this returns; a read asks nobody.
    ///
    /// # Errors
    /// [`RateLimited`] with the time to come back, a different one for each caller.
    pub async fn admit(&self, kind: Kind) -> Result<(), RateLimited> {
        let admitted = self.try_admit(kind).await;
        if admitted.is_err() {
            metrics::counter!("platform_budget_waits_total", "platform" => self.key.platform.to_string(), "kind" => kind.as_str())
                .increment(1);
        }
        self.show();
        admitted
    }

    /// Waits for a place among the concurrent calls of this process.
    pub async fn slot(&self) -> Slot {
        // The semaphore is never closed; if it were, there would be nothing to wait for.
        Slot { _permit: Arc::clone(&self.concurrent).acquire_owned().await.ok() }
    }

    /// Takes note of what an answer told. Pauses and low water are told to all replicas at once, the rest now and then.
    pub async fn learned(&self, learned: Learned) {
        let now = self.clock.now();
        let tell = {
            let mut mirror = self.mirror();
            let before = mirror.record;
            mirror.record = learn(&before, &learned, now);
            let alarming = mirror.record.blocked_until != before.blocked_until
                || mirror
                    .record
                    .remaining
                    .is_some_and(|left| left <= LOW_WATER && before.remaining > Some(left));
            let due = mirror.told_at.is_none_or(|told| now - told >= TELL_EVERY);
            let tell = mirror.record != before && (alarming || due);
            if tell {
                mirror.told_at = Some(now);
            }
            tell
        };
        self.show();
        if tell && let Err(error) = self.tell().await {
            tracing::warn!(budget = %self.key, %error, "the other replicas were not told what is left of the API budget");
        }
    }

    /// The pace of writes from now on.
    pub(super) fn pace(&self, limit: RateLimit) {
        self.mirror().limit = limit;
    }

    /// What another replica, or we, wrote.
    pub(super) fn follow(&self, record: &Record, revision: u64) {
        let mut mirror = self.mirror();
        if revision > mirror.revision {
            mirror.record = merge(&mirror.record, record);
            mirror.revision = revision;
        }
    }

    async fn try_admit(&self, kind: Kind) -> Result<(), RateLimited> {
        // A look at the mirror is enough for every read and for every write that must wait or is not paced.
        if self.decide(kind)?.is_none() {
            return Ok(());
        }
        let _one = self.reserving.lock().await;
        for _ in 0..TRIES_MAX {
            let Some((record, revision)) = self.decide(kind)? else { return Ok(()) };
            match self.write(&record, revision).await {
                Ok(revision) => {
                    self.follow(&record, revision);
                    return Ok(());
                }
                Err(CasError::Conflict) => self.look().await.map_err(|error| unreachable_bus(&error))?,
                Err(CasError::Bus(error)) => return Err(unreachable_bus(&error)),
            }
        }
        Err(RateLimited { after: Duration::from_millis(50), why: "many replicas reserve at once".to_owned() })
    }

    /// `None`: go. A record: go, once it is written over that revision.
    fn decide(&self, kind: Kind) -> Result<Option<(Record, u64)>, RateLimited> {
        let now = self.clock.now();
        let mut mirror = self.mirror();
        match decide(&mirror.record, mirror.limit, kind, now) {
            Verdict::Go => Ok(None),
            Verdict::Reserve(record) => Ok(Some((*record, mirror.revision))),
            Verdict::Wait { until, why } => {
                let queued = mirror.promised.map(|promised| promised + spacing(mirror.limit, kind));
                let until = queued.unwrap_or(until).clamp(until, until + QUEUE_MAX);
                mirror.promised = Some(until);
                let after = (until - now).to_std().unwrap_or(Duration::ZERO);
                Err(RateLimited { after, why: why.to_owned() })
            }
        }
    }

    async fn tell(&self) -> Result<(), bus::BusError> {
        let _one = self.reserving.lock().await;
        for _ in 0..TRIES_MAX {
            let (record, revision) = {
                let mirror = self.mirror();
                (mirror.record, mirror.revision)
            };
            match self.write(&record, revision).await {
                Ok(revision) => {
                    self.follow(&record, revision);
                    return Ok(());
                }
                Err(CasError::Conflict) => self.look().await?,
                Err(CasError::Bus(error)) => return Err(error),
            }
        }
        // Somebody writes all the time: they follow the platform's answers as we do.
        Ok(())
    }

    async fn write(&self, record: &Record, revision: u64) -> Result<u64, CasError> {
        let key = self.key.bucket_key();
        let budget = SharedBudget {
            platform: self.key.platform.clone(),
            host: self.key.host.clone(),
            credential: self.key.credential.clone(),
            known: *record,
        };
        if revision == 0 {
            self.bucket.create_json(&key, &budget).await
        } else {
            self.bucket.update_json(&key, &budget, revision).await
        }
    }

    async fn look(&self) -> Result<(), bus::BusError> {
        match self.bucket.get_json::<Record>(&self.key.bucket_key()).await? {
            Some((record, revision)) => self.follow(&record, revision),
            // It expired: begin anew.
            None => self.mirror().revision = 0,
        }
        Ok(())
    }

    #[allow(clippy::cast_precision_loss, reason = "gauges")]
    fn show(&self) {
        let now = self.clock.now();
        let (record, promised) = {
            let mirror = self.mirror();
            (mirror.record, mirror.promised)
        };
        let labels = [
            ("platform", self.key.platform.to_string()),
            ("host", self.key.host.clone()),
            ("credential", self.key.credential.clone()),
        ];
        let left = |at: Option<Timestamp>| {
            at.and_then(|at| (at - now).to_std().ok()).unwrap_or_default().as_secs_f64()
        };
        if let Some(limit) = record.limit {
            metrics::gauge!("platform_budget_limit", &labels).set(limit as f64);
        }
        if let Some(remaining) = record.remaining {
            metrics::gauge!("platform_budget_remaining", &labels).set(remaining as f64);
            metrics::gauge!("platform_budget_reset_seconds", &labels).set(left(record.reset_at));
        }
        metrics::gauge!("platform_budget_blocked_seconds", &labels).set(left(record.blocked_until));
        // How long the last of those who were asked to come back later has to wait.
        metrics::gauge!("platform_budget_wait_seconds", &labels).set(left(promised));
    }

    fn mirror(&self) -> MutexGuard<'_, Mirror> {
        // Nothing in here is half done at a panic.
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreachable_bus(error: &bus::BusError) -> RateLimited {
    RateLimited { after: BUS_PAUSE, why: format!("the shared budget cannot be read: {error}") }
}
