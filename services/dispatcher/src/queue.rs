//! The agents' slots in their bucket: every change is a compare-and-set, so replicas need no lock.

use bus::{Bucket, BusError, CasError, Failure, clock, crash_point};
use domain::Timestamp;
use domain::id::{JobAgentId, JobId};
use domain::slots::{self, Asked, Slots};
use domain::token::Slug;

/// How often a change is tried against other replicas before the message is tried again later.
const RACES_MAX: usize = 64;

/// The queue of slots of every agent that has a limit.
#[derive(Clone)]
pub(crate) struct Queue {
    bucket: Bucket,
}

/// Why a record could not be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueueError {
    /// The bus failed.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Other replicas were faster each time.
    #[error("lost {RACES_MAX} races for the slots {0}")]
    Contended(String),
    /// The record is not what we wrote.
    #[error("the slots {key} cannot be read: {source}")]
    Unreadable {
        /// Which.
        key: String,
        /// Why.
        source: serde_json::Error,
    },
}

impl From<QueueError> for Failure {
    fn from(error: QueueError) -> Self {
        Failure::retry(error)
    }
}

impl Queue {
    pub(crate) fn new(bucket: Bucket) -> Self {
        Self { bucket }
    }

    /// Asks for a slot, now.
    pub(crate) async fn ask(
        &self,
        workspace: &Slug,
        agent: JobAgentId,
        job: JobId,
        limit: usize,
        now: Timestamp,
    ) -> Result<Asked, QueueError> {
        let mut answer = Asked::Granted;
        let key = slots::key(workspace, agent);
        self.change(&key, |slots| answer = slots.ask(job, limit, now)).await?;
        Ok(answer)
    }

    /// Gives back what the jobs have, and gives free slots to those who wait. Answers who got one by that.
    pub(crate) async fn release(
        &self,
        workspace: &Slug,
        agent: JobAgentId,
        jobs: &[JobId],
        limit: Option<usize>,
    ) -> Result<Vec<JobId>, QueueError> {
        let now = clock::now();
        let mut promoted = Vec::new();
        self.change(&slots::key(workspace, agent), |slots| {
            for job in jobs {
                slots.release(*job);
            }
            promoted = slots.promote(limit, now);
        })
        .await?;
        Ok(promoted)
    }

    /// The slots as they are.
    pub(crate) async fn read(&self, workspace: &Slug, agent: JobAgentId) -> Result<Slots, QueueError> {
        Ok(self.load(&slots::key(workspace, agent)).await?.0)
    }

    async fn load(&self, key: &str) -> Result<(Slots, Option<u64>), QueueError> {
        let Some(entry) = self.bucket.get(key).await? else { return Ok((Slots::default(), None)) };
        let value = serde_json::from_slice(&entry.value)
            .map_err(|source| QueueError::Unreadable { key: key.to_owned(), source })?;
        Ok((value, Some(entry.revision)))
    }

    async fn change(&self, key: &str, mut change: impl FnMut(&mut Slots) + Send) -> Result<(), QueueError> {
        for _ in 0..RACES_MAX {
            let (before, revision) = self.load(key).await?;
            let mut after = before.clone();
            change(&mut after);
            if after == before {
                return Ok(());
            }
            crash_point("dispatcher.slots.before");
            let written = match revision {
                Some(revision) => self.bucket.update_json(key, &after, revision).await,
                None => self.bucket.create_json(key, &after).await,
            };
            match written {
                Ok(_) => {
                    crash_point("dispatcher.slots.after");
                    return Ok(());
                }
                Err(CasError::Conflict) => continue,
                Err(CasError::Bus(error)) => return Err(error.into()),
            }
        }
        Err(QueueError::Contended(key.to_owned()))
    }
}
