//! `retry`: whether a release whose last job ended badly is tried again, and when.

use super::ruling::{Ruling, after, rfc};
use crate::Timestamp;
use crate::decision::{EndedBadly, RuleInputs};
use crate::entity::{BackoffStrategy, Retry};
use crate::job::{Reason, TerminalStatus};
use chrono::TimeDelta;

pub(super) fn judge(rule: &Retry, tried: &EndedBadly, now: Timestamp) -> Ruling {
    let EndedBadly { failed, status, reason, at: ended_at } = *tried;
    let by_person = reason == Some(Reason::CancelledByUser);
    let counts = rule.retry_on_statuses.contains(&status) && status != TerminalStatus::Successful;
    let used_up = failed > rule.max_retries;
    let next_at = (counts && !by_person && !used_up).then(|| after(ended_at, pause(rule, failed)));
    let word = crate::job::JobStatus::from(status);
    let ruling = match next_at {
        None if by_person => Ruling::deny("a person cancelled the last job"),
        None if used_up => Ruling::deny(format!(
            "{failed} jobs in a row ended badly, the last as {word}; {} retries are used up",
            rule.max_retries
        )),
        None => Ruling::deny(format!("the last job ended as {word}, after which nothing is tried again")),
        Some(next) if now < next => {
            let reason = format!("retry {failed} of {} comes at {}", rule.max_retries, rfc(next));
            Ruling::wait(reason, Some(next))
        }
        Some(_) => Ruling::allow(format!("retry {failed} of {}", rule.max_retries), None),
    };
    let max_retries = rule.max_retries;
    ruling.on(RuleInputs::Retry { failed, max_retries, status, ended_at, next_at })
}

/// Without a rule nothing is tried again by itself.
pub(super) fn without_rule(tried: &EndedBadly) -> Ruling {
    let EndedBadly { failed, status, at: ended_at, .. } = *tried;
    let word = crate::job::JobStatus::from(status);
    let inputs = RuleInputs::Retry { failed, max_retries: 0, status, ended_at, next_at: None };
    Ruling::deny(format!("the last job ended as {word}, and no policy says that it is tried again"))
        .on(inputs)
}

/// Before the n-th retry.
fn pause(rule: &Retry, n: u32) -> TimeDelta {
    let base = u64::from(rule.backoff_seconds);
    let seconds = match rule.backoff_strategy {
        BackoffStrategy::Linear => base,
        BackoffStrategy::Exponential => {
            base.saturating_mul(1_u64.checked_shl(n.saturating_sub(1)).unwrap_or(u64::MAX))
        }
    };
    // Ten years are as good as never, and fit any calendar.
    const SECONDS_MAX: u64 = 10 * 365 * 24 * 60 * 60;
    let capped = rule.max_backoff_seconds.map_or(seconds, |max| seconds.min(max.into())).min(SECONDS_MAX);
    TimeDelta::seconds(i64::try_from(capped).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Verdict;

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn rule() -> Retry {
        Retry {
            max_retries: 5,
            backoff_seconds: 10,
            backoff_strategy: BackoffStrategy::Exponential,
            max_backoff_seconds: Some(60),
            retry_on_statuses: vec![TerminalStatus::Failure],
        }
    }

    fn tried(failed: u32) -> EndedBadly {
        EndedBadly { failed, status: TerminalStatus::Failure, reason: None, at: at(100) }
    }

    #[test]
    fn the_pause_doubles_up_to_its_cap_and_ends_to_the_second() {
        for (failed, next) in [(1, 110), (2, 120), (3, 140), (4, 160), (5, 160)] {
            let until = Verdict::Wait { until: Some(at(next)) };
            assert_eq!(judge(&rule(), &tried(failed), at(next - 1)).verdict, until, "{failed}");
            assert_eq!(judge(&rule(), &tried(failed), at(next)).verdict, Verdict::Allow, "{failed}");
        }
        let linear = Retry { backoff_strategy: BackoffStrategy::Linear, ..rule() };
        assert_eq!(judge(&linear, &tried(4), at(109)).verdict, Verdict::Wait { until: Some(at(110)) });
        let huge = Retry { max_backoff_seconds: None, max_retries: 200, ..rule() };
        assert!(matches!(judge(&huge, &tried(150), at(0)).verdict, Verdict::Wait { until: Some(_) }));
    }

    #[test]
    fn what_is_used_up_or_not_meant_is_not_tried_again() {
        let cancelled = EndedBadly {
            status: TerminalStatus::Cancelled,
            reason: Some(Reason::CancelledByUser),
            ..tried(1)
        };
        let all = Retry { retry_on_statuses: vec![TerminalStatus::Cancelled], ..rule() };
        let other = EndedBadly { status: TerminalStatus::InvalidJobAgent, ..tried(1) };
        for (rule, tried) in [(&rule(), tried(6)), (&rule(), other), (&all, cancelled)] {
            assert_eq!(judge(rule, &tried, at(9_999)).verdict, Verdict::Deny, "{tried:?}");
        }
        assert_eq!(without_rule(&tried(1)).verdict, Verdict::Deny);
    }
}
