//! The agents' slots, and the jobs that freezes hold, in their bucket: every change is a compare-and-set, so replicas
//! need no lock.

use crate::frozen::FrozenJobs;
use crate::slots::{Asked, Slot, Slots};
use bus::{Bucket, BusError, CasError, Failure, clock, crash_point};
use domain::Timestamp;
use domain::id::{JobAgentId, JobId};
use domain::token::Slug;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How often a change is tried against other replicas before the message is tried again later.
const RACES_MAX: usize = 64;

/// The two points around a write at which a test lets the process die.
#[derive(Clone, Copy)]
struct Around(&'static str, &'static str);

const SLOTS: Around = Around("dispatcher.slots.before", "dispatcher.slots.after");
const NOTED: Around = Around("dispatcher.noted.before", "dispatcher.noted.after");

/// The queue of slots of every agent that has a limit, and the list of frozen jobs of every workspace.
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

    /// Asks for a slot.
    pub(crate) async fn ask(
        &self,
        workspace: &Slug,
        agent: JobAgentId,
        job: JobId,
        limit: usize,
    ) -> Result<Asked, QueueError> {
        let now = clock::now();
        let mut answer = Asked::Granted;
        let key = slots_key(workspace, agent);
        self.change(&key, SLOTS, |slots: &mut Slots| answer = slots.ask(job, limit, now)).await?;
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
        self.change(&slots_key(workspace, agent), SLOTS, |slots: &mut Slots| {
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
        Ok(self.load(&slots_key(workspace, agent)).await?.0)
    }

    /// Notes that a freeze holds the job, as of then.
    pub(crate) async fn freeze(
        &self,
        workspace: &Slug,
        job: JobId,
        since: Timestamp,
    ) -> Result<(), QueueError> {
        self.change(&frozen_key(workspace), NOTED, |frozen: &mut FrozenJobs| frozen.put(job, since)).await
    }

    /// Forgets jobs that no freeze can hold any more, but not those that were noted anew since they were read.
    pub(crate) async fn thaw(&self, workspace: &Slug, read: &[Slot]) -> Result<(), QueueError> {
        self.change(&frozen_key(workspace), NOTED, |frozen: &mut FrozenJobs| frozen.remove(read)).await
    }

    /// The jobs that freezes hold, the one held longest first.
    pub(crate) async fn frozen(&self, workspace: &Slug) -> Result<FrozenJobs, QueueError> {
        Ok(self.load(&frozen_key(workspace)).await?.0)
    }

    async fn load<T: Default + DeserializeOwned>(&self, key: &str) -> Result<(T, Option<u64>), QueueError> {
        let Some(entry) = self.bucket.get(key).await? else { return Ok((T::default(), None)) };
        let value = serde_json::from_slice(&entry.value)
            .map_err(|source| QueueError::Unreadable { key: key.to_owned(), source })?;
        Ok((value, Some(entry.revision)))
    }

    async fn change<T>(
        &self,
        key: &str,
        around: Around,
        mut change: impl FnMut(&mut T) + Send,
    ) -> Result<(), QueueError>
    where
        T: Clone + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync,
    {
        for _ in 0..RACES_MAX {
            let (before, revision) = self.load::<T>(key).await?;
            let mut after = before.clone();
            change(&mut after);
            if after == before {
                return Ok(());
            }
            crash_point(around.0);
            let written = match revision {
                Some(revision) => self.bucket.update_json(key, &after, revision).await,
                None => self.bucket.create_json(key, &after).await,
            };
            match written {
                Ok(_) => {
                    crash_point(around.1);
                    return Ok(());
                }
                Err(CasError::Conflict) => continue,
                Err(CasError::Bus(error)) => return Err(error.into()),
            }
        }
        Err(QueueError::Contended(key.to_owned()))
    }
}

fn slots_key(workspace: &Slug, agent: JobAgentId) -> String {
    format!("{workspace}.{agent}")
}

/// No agent's: theirs end with a uuid.
fn frozen_key(workspace: &Slug) -> String {
    format!("{workspace}.frozen")
}
