//! What becomes of a message: a pure function of what its handler said and how often it was tried.

use std::time::Duration;

use super::handler::Failure;
use crate::backoff::doubled;

/// What one consumer loop may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many messages are handled at once.
    pub slots: usize,
    /// How often a message is tried before it becomes a dead letter.
    pub attempts_max: u64,
    /// How long one try may take.
    pub deadline: Duration,
}

impl Default for Limits {
    /// 64 slots, 12 attempts (spread over about a quarter of an hour), 60 s each.
    fn default() -> Self {
        Self { slots: 64, attempts_max: 12, deadline: Duration::from_secs(60) }
    }
}

/// What is done with a delivered message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// It is done.
    Ack,
    /// It comes again after this long.
    Nak(Duration),
    /// It is kept as a dead letter, for this reason, and done.
    DeadLetter(String),
}

const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_CAP: Duration = Duration::from_secs(300);
/// Never at once: an immediate redelivery would ask again before anything can have changed.
const LATER_MIN: Duration = Duration::from_millis(10);
/// Well below the life of the count of attempts, which is renewed at each delivery.
const LATER_MAX: Duration = Duration::from_secs(6 * 60 * 60);

/// What becomes of a message that was tried for the `attempt`-th time, from 1, with this result.
pub fn settle(result: &Result<(), Failure>, attempt: u64, limits: &Limits) -> Settlement {
    match result {
        Ok(()) => Settlement::Ack,
        Err(Failure::Later { after, .. }) => Settlement::Nak((*after).clamp(LATER_MIN, LATER_MAX)),
        Err(Failure::Reject(why)) => Settlement::DeadLetter(why.clone()),
        Err(failure @ Failure::Retry(_)) if attempt >= limits.attempts_max => {
            Settlement::DeadLetter(format!("{attempt} attempts failed, the last with: {failure}"))
        }
        Err(Failure::Retry(_)) => {
            let earlier = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
            Settlement::Nak(doubled(RETRY_FIRST, earlier, RETRY_CAP))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { slots: 1, attempts_max: 3, deadline: Duration::from_secs(1) };

    #[track_caller]
    fn check(result: Result<(), Failure>, attempt: u64, expected: &Settlement) {
        assert_eq!(&settle(&result, attempt, &LIMITS), expected);
    }

    #[test]
    fn a_success_is_acked_whatever_the_attempt() {
        check(Ok(()), 1, &Settlement::Ack);
        check(Ok(()), 99, &Settlement::Ack);
    }

    #[test]
    fn a_failure_is_tried_ever_more_slowly_and_then_kept() {
        let failure = || Err(Failure::retry("down"));
        check(failure(), 1, &Settlement::Nak(Duration::from_millis(500)));
        check(failure(), 2, &Settlement::Nak(Duration::from_secs(1)));
        check(failure(), 3, &Settlement::DeadLetter("3 attempts failed, the last with: down".into()));
        check(failure(), 4, &Settlement::DeadLetter("4 attempts failed, the last with: down".into()));
        let patient = Limits { attempts_max: u64::MAX, ..LIMITS };
        assert_eq!(settle(&failure(), 1 << 40, &patient), Settlement::Nak(RETRY_CAP));
    }

    #[test]
    fn later_is_never_at_once_never_too_late_and_never_dead() {
        let later = |after| Err(Failure::Later { after, why: "rate limit".into() });
        check(later(Duration::from_secs(7)), 99, &Settlement::Nak(Duration::from_secs(7)));
        check(later(Duration::ZERO), 1, &Settlement::Nak(LATER_MIN));
        check(later(Duration::MAX), 1, &Settlement::Nak(LATER_MAX));
    }

    #[test]
    fn a_rejection_is_kept_at_once() {
        check(Err(Failure::Reject("nonsense".into())), 1, &Settlement::DeadLetter("nonsense".into()));
    }
}
