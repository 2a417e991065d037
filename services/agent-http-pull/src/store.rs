//! The bucket of pullable jobs: one record per job of an agent, every write a compare-and-set.

use crate::effects::Around;
use crate::record::Record;
use bus::topology::PULLS;
use bus::{Bucket, Bus, BusError, CasError};
use domain::command::AgentCommand;
use domain::id::{JobAgentId, JobId};
use domain::token::Slug;
use std::fmt;

/// How often a change is tried against other writers.
const RACES_MAX: usize = 32;

/// Where a job's record is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) workspace: Slug,
    pub(crate) agent: JobAgentId,
    pub(crate) job: JobId,
}

impl Place {
    pub(crate) fn of(command: &AgentCommand) -> Self {
        Self { workspace: command.job.workspace.clone(), agent: command.agent, job: command.job.id }
    }

    /// The place of that key.
    pub(crate) fn parse(key: &str) -> Option<Self> {
        let mut parts = key.split('.');
        let place = Self {
            workspace: parts.next()?.parse().ok()?,
            agent: parts.next()?.parse().ok()?,
            job: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(place)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.workspace, self.agent, self.job)
    }
}

/// A record as it was read or written.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) record: Record,
    pub(crate) revision: u64,
}

/// Why a record could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The bus failed.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Others were faster each time.
    #[error("lost {RACES_MAX} races for job {0}")]
    Contended(JobId),
}

/// The bucket.
#[derive(Debug, Clone)]
pub(crate) struct Store(Bucket);

impl Store {
    pub(crate) fn new(bus: &Bus) -> Self {
        Self(bus.bucket(&PULLS))
    }

    /// The record of the job; `None` when it was never queued for that agent.
    pub(crate) async fn load(&self, place: &Place) -> Result<Option<Stored>, BusError> {
        let found = self.0.get_json(&place.to_string()).await?;
        Ok(found.map(|(record, revision)| Stored { record, revision }))
    }

    /// Writes the record over the one that was read, or where there was none.
    pub(crate) async fn write(
        &self,
        around: Around,
        place: &Place,
        record: Record,
        over: Option<u64>,
    ) -> Result<Stored, CasError> {
        let key = place.to_string();
        let written = around.effect(async {
            match over {
                Some(revision) => self.0.update_json(&key, &record, revision).await,
                None => self.0.create_json(&key, &record).await,
            }
        });
        let revision = written.await?;
        Ok(Stored { record, revision })
    }

    /// Changes the record until nobody comes in between. A change may refuse, or say that it is none.
    /// `None`: there is no record.
    pub(crate) async fn change<No>(
        &self,
        around: Around,
        place: &Place,
        mut change: impl FnMut(&mut Record) -> Result<bool, No> + Send,
    ) -> Result<Option<Result<Stored, No>>, StoreError> {
        for _ in 0..RACES_MAX {
            let Some(Stored { mut record, revision }) = self.load(place).await? else { return Ok(None) };
            match change(&mut record) {
                Err(no) => return Ok(Some(Err(no))),
                Ok(false) => return Ok(Some(Ok(Stored { record, revision }))),
                Ok(true) => {}
            }
            match self.write(around, place, record, Some(revision)).await {
                Ok(stored) => return Ok(Some(Ok(stored))),
                Err(CasError::Conflict) => {}
                Err(CasError::Bus(error)) => return Err(error.into()),
            }
        }
        Err(StoreError::Contended(place.job))
    }
}
