//! What this replica remembers of the jobs it told of lately, so that the ordinary fact costs no read. Bounded: what is
//! forgotten is read again.

use crate::folded::Folded;
use crate::status::Told;
use domain::id::JobId;
use domain::job::JobEvent;
use projections::HistoryEntry;
use std::collections::HashMap;
use tokio::sync::{Mutex, MutexGuard};

/// Facts of one job are worked one after the other; two jobs rarely wait for each other.
const SHARDS: usize = 256;
/// How many jobs are remembered in each: 8,192 in all, a few KB each.
const SHARD_JOBS_MAX: usize = 32;

/// What is remembered of a job.
#[derive(Debug)]
pub(crate) struct Remembered {
    /// Its fold.
    pub(crate) folded: Folded,
    /// Its last status on the bus, as far as we know.
    pub(crate) told: Option<Told>,
    /// Up to which sequence the views have it.
    pub(crate) viewed: u64,
    /// Facts that the views do not have yet.
    pub(crate) unviewed: Vec<HistoryEntry>,
}

/// The jobs of this replica.
#[derive(Debug)]
pub(crate) struct Memory {
    shards: Vec<Mutex<Shard>>,
}

/// Some of the jobs.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    jobs: HashMap<JobId, Remembered>,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// The shard of a job, for us alone.
    pub(crate) async fn shard(&self, job: JobId) -> MutexGuard<'_, Shard> {
        let spread =
            job.0.as_bytes().iter().fold(0usize, |sum, byte| sum.wrapping_mul(31) ^ usize::from(*byte));
        self.shards[spread % SHARDS].lock().await
    }
}

impl Shard {
    pub(crate) fn get(&mut self, job: JobId) -> Option<&mut Remembered> {
        self.jobs.get_mut(&job)
    }

    /// Folds further facts of a job, in order, each with its sequence.
    pub(crate) fn fold<'a>(&mut self, job: JobId, facts: impl Iterator<Item = (u64, &'a JobEvent)>) {
        let (mut folded, mut told, mut viewed, mut unviewed) = (None, None, 0, Vec::new());
        if let Some(before) = self.jobs.remove(&job) {
            (told, viewed, unviewed) = (before.told, before.viewed, before.unviewed);
            folded = Some(before.folded);
        }
        for (sequence, event) in facts {
            let (next, entry) = Folded::after(folded, sequence, event);
            folded = Some(next);
            unviewed.push(entry);
        }
        if let Some(folded) = folded {
            self.make_room();
            self.jobs.insert(job, Remembered { folded, told, viewed, unviewed });
        }
    }

    /// Forgets the job with the oldest news when there are too many.
    fn make_room(&mut self) {
        if self.jobs.len() >= SHARD_JOBS_MAX
            && let Some(oldest) = self.jobs.iter().min_by_key(|(_, r)| r.folded.sequence).map(|(job, _)| *job)
        {
            self.jobs.remove(&oldest);
        }
    }
}
