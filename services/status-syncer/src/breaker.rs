//! How many jobs may be called lost: when many seem lost at once, it is us or the platform, not the jobs. Pure.

use crate::settings::Deadlines;
use chrono::TimeDelta;
use domain::Timestamp;
use domain::id::JobId;
use std::collections::HashMap;

/// The time in which jobs called lost are counted.
const WINDOW: TimeDelta = TimeDelta::minutes(10);

/// Counts the jobs that were called lost lately, by whomever.
#[derive(Debug, Default)]
pub(crate) struct LostBreaker {
    lost: HashMap<JobId, Timestamp>,
    open: bool,
}

/// Whether a job may be called lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// Yes; it is counted.
    Mark,
    /// No. The first refusal is to be told to a person.
    Refuse {
        /// Whether it is the first since jobs were last marked.
        first: bool,
    },
}

impl LostBreaker {
    /// A job was called lost then.
    pub(crate) fn note(&mut self, job: JobId, at: Timestamp) {
        self.lost.insert(job, at);
    }

    /// Whether this job may be called lost now, when that many are active (itself included).
    pub(crate) fn rule(&mut self, job: JobId, now: Timestamp, active: usize, limits: &Deadlines) -> Ruling {
        self.lost.retain(|_, at| *at > now - WINDOW);
        let before = self.lost.len() - usize::from(self.lost.contains_key(&job));
        let share = (active + before) * limits.lost_percent as usize / 100;
        if before < share.max(limits.lost_at_least as usize) {
            self.open = false;
            self.lost.insert(job, now);
            return Ruling::Mark;
        }
        let first = !self.open;
        self.open = true;
        Ruling::Refuse { first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(n: usize) -> JobId {
        JobId(domain::id::derive(&["job", &n.to_string()]))
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn marked(breaker: &mut LostBreaker, jobs: std::ops::Range<usize>, minute: i64, active: usize) -> usize {
        jobs.filter(|n| breaker.rule(job(*n), at(minute), active, &Deadlines::default()) == Ruling::Mark)
            .count()
    }

    #[test]
    fn a_few_may_be_lost_a_crowd_may_not() {
        assert_eq!(marked(&mut LostBreaker::default(), 0..20, 0, 20), 5);
        assert_eq!(
            marked(&mut LostBreaker::default(), 0..1_000, 0, 1_000),
            111,
            "a tenth, the marked ones counted in"
        );
    }

    #[test]
    fn a_refusal_is_news_once_and_time_closes_the_breaker() {
        let mut breaker = LostBreaker::default();
        assert_eq!(marked(&mut breaker, 0..5, 0, 5), 5);
        let limits = Deadlines::default();
        assert_eq!(breaker.rule(job(6), at(1), 5, &limits), Ruling::Refuse { first: true });
        assert_eq!(breaker.rule(job(7), at(2), 5, &limits), Ruling::Refuse { first: false });
        assert_eq!(breaker.rule(job(6), at(10), 5, &limits), Ruling::Mark);
        assert_eq!(marked(&mut breaker, 10..14, 11, 5), 4);
        assert_eq!(breaker.rule(job(20), at(11), 5, &limits), Ruling::Refuse { first: true });
    }

    #[test]
    fn what_other_replicas_called_lost_counts_and_one_job_counts_once() {
        let mut breaker = LostBreaker::default();
        for n in 0..4 {
            breaker.note(job(n), at(0));
            breaker.note(job(n), at(0));
        }
        assert_eq!(marked(&mut breaker, 0..1, 1, 10), 1, "marking it again, after a lost answer");
        assert_eq!(marked(&mut breaker, 4..10, 1, 10), 1);
    }
}
