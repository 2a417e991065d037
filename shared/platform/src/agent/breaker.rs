//! A breaker for runs that are called missing: that many disappear at once on a platform is less likely than that we cannot see
//! them any more, because a credential lost its sight of their project, say. Pure, but for its memory.

use chrono::TimeDelta;
use domain::Timestamp;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// How long one counts.
const WITHIN: TimeDelta = TimeDelta::minutes(10);

/// How many runs were called missing of late.
#[derive(Debug)]
pub(super) struct Breaker {
    most: usize,
    called: Mutex<VecDeque<Timestamp>>,
}

impl Breaker {
    /// A breaker that lets `most` through in ten minutes.
    pub(super) fn new(most: usize) -> Self {
        Self { most, called: Mutex::default() }
    }

    /// Whether one more may be called missing; it is counted if so.
    pub(super) fn admits(&self, now: Timestamp) -> bool {
        let mut called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        while called.front().is_some_and(|at| *at + WITHIN <= now) {
            called.pop_front();
        }
        let admits = called.len() < self.most;
        if admits {
            called.push_back(now);
        }
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_not_let_through_and_the_next_are_when_time_has_passed() {
        let breaker = Breaker::new(2);
        let at = |minutes| Timestamp::UNIX_EPOCH + TimeDelta::minutes(minutes);
        let admitted = [0, 3, 3, 9, 10, 12, 13].map(|minute| breaker.admits(at(minute)));
        assert_eq!(admitted, [true, true, false, false, true, false, true]);
    }
}
