//! The agents' slots in their bucket: every change is a compare-and-set, so replicas need no lock.

use bus::{Bucket, BusError, CasError, Failure, clock, crash_point};
use domain::Timestamp;
use domain::id::{JobAgentId, JobId};
use domain::slots::{self, Asked, Slots};
use domain::token::Slug;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};

/// How often a change is tried against other replicas before the message is tried again later.
const RACES_MAX: usize = 64;

/// So many records are changed at once by one replica.
const TURNS: usize = 64;

/// The queue of slots of every agent that has a limit.
#[derive(Clone)]
pub(crate) struct Queue {
    bucket: Bucket,
    /// Who changes a record here takes a turn, so that only other replicas are raced.
    turns: Arc<[Mutex<()>]>,
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
        Self { bucket, turns: (0..TURNS).map(|_| Mutex::new(())).collect() }
    }

    async fn turn(&self, key: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let turn = usize::try_from(hasher.finish() % TURNS as u64).unwrap_or_default();
        self.turns[turn].lock().await
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
        let _turn = self.turn(key).await;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests have a clock, and may panic")]

    use super::*;
    use bus::topology::{Needs, SLOTS, Service, needs_of};
    use bus::{Bus, ConnectOptions, Provision};
    use domain::id::derive;
    use futures::future::join_all;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_jobs_ask_one_agent_at_once_and_none_is_put_off() {
        let servers = servers::TestServers::start().await;
        let options = ConnectOptions {
            url: servers.nats.url(),
            name: "test".to_owned(),
            user: None,
            password: None,
            credentials_file: None,
            provision: Provision::Create,
        };
        let bus = Bus::connect(&options).await.unwrap();
        bus.ensure(&Needs { consumers: Vec::new(), ..needs_of(Service::Admin) }).await.unwrap();
        let queue = Queue::new(bus.bucket(&SLOTS));
        let (acme, agent) = ("acme".parse::<Slug>().unwrap(), JobAgentId(derive(&["agent"])));
        let asks = (0..300).map(|n: u32| {
            let job = JobId(derive(&["job", &n.to_string()]));
            let (queue, acme) = (queue.clone(), acme.clone());
            async move { queue.ask(&acme, agent, job, 20, clock::now()).await.unwrap() }
        });
        let granted = join_all(asks).await.into_iter().filter(|asked| *asked == Asked::Granted).count();
        let slots = queue.read(&acme, agent).await.unwrap();
        assert_eq!((granted, slots.held.len(), slots.waiting.len()), (20, 20, 280));
    }
}
