//! The bucket of verifications: one record per job, every write a compare-and-set.

use crate::record::Record;
use bus::topology::VERIFICATIONS;
use bus::{Bucket, Bus, BusError, CasError};
use domain::id::JobId;

/// How often a change is tried against other writers.
const RACES_MAX: usize = 32;

/// The bucket of verifications.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    bucket: Bucket,
}

/// Why a record could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The bus failed.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The record is not what we write: it is of a newer version of us, or broken.
    #[error("the record of verification {job} cannot be read: {source}")]
    Unreadable {
        /// Whose.
        job: JobId,
        /// Why.
        source: serde_json::Error,
    },
    /// Others were faster each time.
    #[error("lost {RACES_MAX} races for verification {0}")]
    Contended(JobId),
}

impl Store {
    pub(crate) fn new(bus: &Bus) -> Self {
        Self { bucket: bus.bucket(&VERIFICATIONS) }
    }

    /// The record and its revision.
    pub(crate) async fn load(&self, job: JobId) -> Result<Option<(Record, u64)>, StoreError> {
        let Some(entry) = self.bucket.get(&key(job)).await? else { return Ok(None) };
        Ok(Some((read(job, &entry.value)?, entry.revision)))
    }

    /// Writes a record where there is none.
    pub(crate) async fn create(&self, job: JobId, record: &Record) -> Result<u64, CasError> {
        self.bucket.create_json(&key(job), record).await
    }

    /// Replaces the record of that revision.
    pub(crate) async fn update(&self, job: JobId, record: &Record, revision: u64) -> Result<u64, CasError> {
        self.bucket.update_json(&key(job), record, revision).await
    }

    /// Changes the record until nobody comes in between, and answers it as it is then. A change that says `false` is none.
    /// `None`: there is no record.
    pub(crate) async fn change(
        &self,
        job: JobId,
        mut change: impl FnMut(&mut Record) -> bool + Send,
    ) -> Result<Option<(Record, u64)>, StoreError> {
        for _ in 0..RACES_MAX {
            let Some((mut record, revision)) = self.load(job).await? else { return Ok(None) };
            if !change(&mut record) {
                return Ok(Some((record, revision)));
            }
            match self.update(job, &record, revision).await {
                Ok(revision) => return Ok(Some((record, revision))),
                Err(CasError::Conflict) => continue,
                Err(CasError::Bus(error)) => return Err(error.into()),
            }
        }
        Err(StoreError::Contended(job))
    }
}

/// Reads a record.
pub(crate) fn read(job: JobId, bytes: &[u8]) -> Result<Record, StoreError> {
    serde_json::from_slice(bytes).map_err(|source| StoreError::Unreadable { job, source })
}

fn key(job: JobId) -> String {
    job.to_string()
}
