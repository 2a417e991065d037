//! The jobs of one workspace that freezes hold, or may hold yet. Pure; the bucket keeps it by compare-and-set.

use crate::slots::Slot;
use domain::Timestamp;
use domain::id::JobId;
use serde::{Deserialize, Serialize};

/// The record of one workspace in the `slots` bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FrozenJobs {
    /// Each job once, the one held longest first.
    pub(crate) jobs: Vec<Slot>,
}

impl FrozenJobs {
    /// Notes a job as of then. It keeps its place.
    pub(crate) fn put(&mut self, job: JobId, since: Timestamp) {
        match self.jobs.iter_mut().find(|known| known.job == job) {
            Some(known) => known.since = known.since.max(since),
            None => self.jobs.push(Slot { job, since }),
        }
    }

    /// Forgets these, but not those that were noted anew since they were read.
    pub(crate) fn remove(&mut self, read: &[Slot]) {
        self.jobs.retain(|known| !read.contains(known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(n: u128) -> JobId {
        JobId(uuid::Uuid::from_u128(n))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn a_job_is_noted_once_and_keeps_its_place() {
        let mut frozen = FrozenJobs::default();
        for (n, second) in [(1, 1), (2, 2), (1, 3), (1, 2)] {
            frozen.put(job(n), at(second));
        }
        assert_eq!(frozen.jobs, [Slot { job: job(1), since: at(3) }, Slot { job: job(2), since: at(2) }]);
    }

    #[test]
    fn what_was_noted_anew_is_not_forgotten_by_who_read_it_before() {
        let mut frozen = FrozenJobs::default();
        frozen.put(job(1), at(1));
        frozen.put(job(2), at(1));
        let read = frozen.jobs.clone();
        frozen.put(job(1), at(2));
        frozen.remove(&read);
        assert_eq!(frozen.jobs, [Slot { job: job(1), since: at(2) }]);
    }
}
