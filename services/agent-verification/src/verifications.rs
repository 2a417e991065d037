//! The bucket of verifications as a platform: a run is a record, named by its job.

use crate::provider;
use crate::record::{Ended, Record, external};
use crate::store::{Store, StoreError};
use async_trait::async_trait;
use bus::{BusError, CasError};
use domain::Timestamp;
use domain::id::JobId;
use domain::job::{ExternalRef, Links, RawStatus};
use domain::token::Slug;
use domain::verification::{Config, PLATFORM};
use platform::{
    CallError, CancelAck, CancelMode, Clock, CorrelationKey, Found, NotReadable, Platform, PlatformEvent,
    RunKey, Seen, Signal, TriggerRequest, Triggered,
};
use serde_json::{Map, Value};
use std::time::Duration;

/// A record that was written shows at once, but for a follower in a cluster.
const SEARCH_LAG: Duration = Duration::from_secs(2);

/// The bucket of verifications.
#[derive(Debug)]
pub struct Verifications {
    store: Store,
    clock: Clock,
}

impl Verifications {
    pub(crate) fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// The verifications on that bus, by that clock.
    pub fn on(bus: &bus::Bus, clock: Clock) -> Self {
        Self::new(Store::new(bus), clock)
    }
}

#[async_trait]
impl Platform for Verifications {
    fn name(&self) -> Slug {
        Slug::of_name(PLATFORM)
    }

    fn event_tokens(&self) -> &'static [&'static str] {
        &[]
    }

    fn search_lag(&self) -> Duration {
        SEARCH_LAG
    }

    async fn trigger(&self, request: &TriggerRequest<'_>) -> Result<Triggered, CallError> {
        let config = checked(request.config)?;
        let record = Record::begin(config, self.clock.now());
        match self.store.create(request.job, &record).await {
            Ok(_) => Ok(run(record.external(request.job))),
            Err(CasError::Conflict) => match self.store.load(request.job).await {
                Ok(Some((record, _))) => Ok(run(record.external(request.job))),
                Ok(None) => Err(CallError::Transient("the record went away".to_owned())),
                Err(error) => Err(unread(error)),
            },
            Err(CasError::Bus(error)) => Err(unwritten(&error)),
        }
    }

    async fn find(&self, key: &CorrelationKey<'_>, _since: Timestamp) -> Result<Found, CallError> {
        Ok(match self.store.load(key.job).await.map_err(unread)? {
            Some((record, _)) => {
                Found::Run { external: record.external(key.job), snapshot: Box::new(record.snapshot()) }
            }
            None => Found::None,
        })
    }

    async fn observe(&self, _config: &Map<String, Value>, run: &ExternalRef) -> Result<Seen, CallError> {
        match self.store.load(job_of(run)?).await {
            Ok(Some((record, _))) => Ok(Seen::Snapshot(Box::new(record.snapshot()))),
            Ok(None) => Ok(Seen::Gone),
            // Written by a newer version of us, while replicas of both are there.
            Err(StoreError::Unreadable { .. }) => Ok(Seen::UnknownWords {
                raw: RawStatus { status: "unreadable".to_owned(), conclusion: None },
            }),
            Err(error @ (StoreError::Bus(_) | StoreError::Contended(_))) => Err(unread(error)),
        }
    }

    async fn cancel(
        &self,
        _config: &Map<String, Value>,
        run: &ExternalRef,
        _how: CancelMode,
    ) -> Result<CancelAck, CallError> {
        let mut ended = false;
        let change = |record: &mut Record| {
            ended = record.end(Ended::Cancelled, "cancelled");
            ended
        };
        let changed = self.store.change(job_of(run)?, change).await;
        Ok(match changed.map_err(unread)? {
            Some(_) if ended => CancelAck::Requested,
            Some(_) => CancelAck::AlreadyOver,
            None => CancelAck::Gone,
        })
    }

    async fn rerun(
        &self,
        config: &Map<String, Value>,
        repeated: &ExternalRef,
    ) -> Result<Triggered, CallError> {
        let (config, job, now) = (checked(config)?, job_of(repeated)?, self.clock.now());
        let workspace = config.workspace.clone();
        let begin = |record: &mut Record| {
            // Asked for once already.
            if record.attempt > repeated.attempt {
                return false;
            }
            *record = record.again(config.clone(), now);
            true
        };
        match self.store.change(job, begin).await {
            Ok(Some((record, _))) => Ok(run(record.external(job))),
            Ok(None) => {
                let attempt = repeated.attempt + 1;
                // What it was like is forgotten: count on from beyond whatever it can have counted to.
                let record = Record::of(config, attempt, i64::from(attempt) << 32, now);
                match self.store.create(job, &record).await {
                    Ok(_) => Ok(run(external(&workspace, job, attempt))),
                    Err(CasError::Conflict) => Err(CallError::Transient("somebody else is at it".to_owned())),
                    Err(CasError::Bus(error)) => Err(unwritten(&error)),
                }
            }
            Err(StoreError::Bus(error)) => Err(unwritten(&error)),
            Err(error @ (StoreError::Unreadable { .. } | StoreError::Contended(_))) => Err(unread(error)),
        }
    }

    /// Nobody tells of a verification but we.
    fn runs_there(&self, _config: &Map<String, Value>, _run: &RunKey) -> bool {
        false
    }

    fn read_event(&self, _event: &PlatformEvent<'_>) -> Result<Vec<Signal>, NotReadable> {
        Err(NotReadable { reason: "verifications send no webhooks".to_owned() })
    }
}

/// The config, if it can be measured by.
fn checked(config: &Map<String, Value>) -> Result<Config, CallError> {
    let config = Config::read(config).map_err(CallError::Invalid)?;
    for metric in &config.metrics {
        provider::check(metric)
            .map_err(|why| CallError::Invalid(format!("metric {:?}: {why}", metric.name)))?;
    }
    Ok(config)
}

fn job_of(run: &ExternalRef) -> Result<JobId, CallError> {
    run.id.parse().map_err(|_| CallError::Invalid(format!("{:?} is no verification", run.id)))
}

fn run(external: ExternalRef) -> Triggered {
    Triggered::Run { external, links: Links::new() }
}

/// Whether it was written is not known.
fn unwritten(error: &BusError) -> CallError {
    CallError::Ambiguous(error.to_string())
}

fn unread(error: StoreError) -> CallError {
    CallError::Transient(error.to_string())
}
