//! What was told of each job, so that nothing older, and nothing twice, is told after it. Bounded.

use std::collections::HashMap;

use domain::id::JobId;

/// How many jobs are remembered. Past that, the half with the oldest news is forgotten: their old news is the least
/// likely to come again.
const JOBS_MAX: usize = 65_536;

/// The newest fact told, by job.
#[derive(Debug, Default)]
pub(super) struct Newest(HashMap<JobId, u64>);

impl Newest {
    /// Whether this is newer than what was told, and notes it.
    pub(super) fn is_news(&mut self, job: JobId, sequence: u64) -> bool {
        if self.0.get(&job).is_some_and(|told| *told >= sequence) {
            return false;
        }
        if self.0.len() >= JOBS_MAX && !self.0.contains_key(&job) {
            self.forget_half();
        }
        self.0.insert(job, sequence);
        true
    }

    fn forget_half(&mut self) {
        let mut sequences: Vec<u64> = self.0.values().copied().collect();
        let middle = sequences.len() / 2;
        let (_, median, _) = sequences.select_nth_unstable(middle);
        let median = *median;
        self.0.retain(|_, told| *told > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::derive;

    fn job(n: usize) -> JobId {
        JobId(derive(&["job", &n.to_string()]))
    }

    #[test]
    fn older_or_repeated_news_of_the_same_job_is_none() {
        let mut newest = Newest::default();
        assert!(newest.is_news(job(1), 5));
        assert!(!newest.is_news(job(1), 4));
        assert!(!newest.is_news(job(1), 5), "the same again");
        assert!(newest.is_news(job(2), 4) && newest.is_news(job(1), 6));
    }

    #[test]
    fn it_does_not_grow_without_end_and_forgets_the_oldest() {
        let mut newest = Newest::default();
        for n in 0..=JOBS_MAX {
            assert!(newest.is_news(job(n), n as u64));
        }
        assert!(newest.0.len() <= JOBS_MAX);
        assert!(!newest.is_news(job(JOBS_MAX), 0), "the newest is remembered");
    }
}
