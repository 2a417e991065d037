//! How often a job is looked at, and in which slot of time. Pure; every replica comes to the same answer.

use crate::settings::Sweep;
use domain::Timestamp;
use domain::id::JobId;
use domain::job::Phase;
use domain::webhook::Health;

/// Whether webhooks of a job's platform arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Webhooks {
    /// They do: looking is only for what they miss.
    Arrive,
    /// None came lately, or none since we started: looking is all we have.
    Silent,
}

impl Webhooks {
    /// By what the platform's log says of the webhook, and where it says nothing, by the last one that was heard. A webhook
    /// that is in order may be silent for hours: nothing happened. But when looking found the latest news, the log does not
    /// count: a webhook that was removed leaves no trace there.
    pub(crate) fn judge(health: Health, news: News, now: Timestamp, settings: &Sweep) -> Self {
        match health {
            Health::Arriving if news.looked_up <= news.heard => Self::Arrive,
            Health::Failing => Self::Silent,
            Health::Arriving | Health::Unknown => Self::since(news.heard, now, settings),
        }
    }

    fn since(last: Option<Timestamp>, now: Timestamp, settings: &Sweep) -> Self {
        let quiet = i64::try_from(settings.quiet().as_millis()).unwrap_or(i64::MAX);
        match last {
            Some(last) if (now - last).num_milliseconds() <= quiet => Self::Arrive,
            Some(_) | None => Self::Silent,
        }
    }
}

/// When a platform's news last came, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// By a webhook.
    pub(crate) heard: Option<Timestamp>,
    /// By looking.
    pub(crate) looked_up: Option<Timestamp>,
}

/// How many seconds may pass between two looks at a job; `None`: there is nothing to look at yet, or any more.
pub(crate) fn interval(phase: &Phase, webhooks: Webhooks, settings: &Sweep) -> Option<u32> {
    let running = match webhooks {
        Webhooks::Arrive => settings.slow_seconds,
        Webhooks::Silent => settings.fast_seconds,
    };
    match phase {
        Phase::Requested | Phase::Held { .. } | Phase::Dispatched | Phase::Finished { .. } => None,
        Phase::Triggering { .. } | Phase::Unknown { .. } => Some(settings.unknown_seconds),
        Phase::Running { .. } => Some(running),
        Phase::Cancelling(cancelling) => match (cancelling.fence, cancelling.seen) {
            (None, _) => None,
            (Some(_), None) => Some(settings.unknown_seconds),
            (Some(_), Some(_)) => Some(running),
        },
    }
}

/// The slot of time that holds `now`, when slots of a job are that long. Jobs are spread over the interval, so that
/// they are not all looked at in the same second.
pub(crate) fn slot(job: JobId, now: Timestamp, interval_seconds: u32) -> i64 {
    let interval = i64::from(interval_seconds.max(1));
    let spread = i64::try_from(job.0.as_u128() % u128::from(interval.unsigned_abs())).unwrap_or(0);
    (now.timestamp() + spread).div_euclid(interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use domain::job::{ActiveStatus, CancelReason, Cancelling, TerminalStatus};

    fn cancelling(fence: Option<u32>, seen: Option<ActiveStatus>) -> Phase {
        let reason = CancelReason::User;
        Phase::Cancelling(Cancelling { by: "ann".into(), reason, fence, seen, sent: 0, forced: false })
    }

    #[test]
    fn every_phase_has_its_pace() {
        let settings = Sweep::default();
        let seen = Some(ActiveStatus::InProgress);
        for (phase, slow, fast) in [
            (Phase::Requested, None, None),
            (Phase::Dispatched, None, None),
            (Phase::Triggering { fence: 1 }, Some(10), Some(10)),
            (Phase::Unknown { fence: 1 }, Some(10), Some(10)),
            (Phase::Running { status: ActiveStatus::Queued }, Some(300), Some(15)),
            (cancelling(None, None), None, None),
            (cancelling(Some(1), None), Some(10), Some(10)),
            (cancelling(Some(1), seen), Some(300), Some(15)),
            (Phase::Finished { status: TerminalStatus::Successful }, None, None),
        ] {
            assert_eq!(interval(&phase, Webhooks::Arrive, &settings), slow, "{phase:?}");
            assert_eq!(interval(&phase, Webhooks::Silent, &settings), fast, "{phase:?}");
        }
    }

    #[test]
    fn webhooks_arrive_while_the_last_is_not_long_ago() {
        let settings = Sweep::default();
        let now = Timestamp::UNIX_EPOCH + TimeDelta::days(1);
        let judged = |health, heard| Webhooks::judge(health, News { heard, looked_up: None }, now, &settings);
        let (lately, long_ago) = (Some(now - TimeDelta::seconds(600)), Some(now - TimeDelta::seconds(601)));
        assert_eq!(judged(Health::Unknown, None), Webhooks::Silent);
        assert_eq!(judged(Health::Unknown, lately), Webhooks::Arrive);
        assert_eq!(judged(Health::Unknown, long_ago), Webhooks::Silent);
        for last in [None, lately, long_ago] {
            assert_eq!(judged(Health::Arriving, last), Webhooks::Arrive, "nothing happened");
            assert_eq!(judged(Health::Failing, last), Webhooks::Silent, "something is missing");
        }
        let found = News { heard: long_ago, looked_up: lately };
        let removed = Webhooks::judge(Health::Arriving, found, now, &settings);
        assert_eq!(removed, Webhooks::Silent, "looking finds what no webhook brings");
        let faster = News { heard: lately, looked_up: Some(now) };
        assert_eq!(Webhooks::judge(Health::Arriving, faster, now, &settings), Webhooks::Arrive);
    }

    #[test]
    fn a_job_has_one_slot_per_interval_and_jobs_do_not_share_the_second() {
        let job = |n: u32| JobId(domain::id::derive(&["job", &n.to_string()]));
        let second = |s: i64| Timestamp::UNIX_EPOCH + TimeDelta::seconds(1_000_000 + s);
        let begins = |job: JobId| {
            let slots: Vec<i64> = (0..60).map(|s| slot(job, second(s), 15)).collect();
            assert_eq!(
                slots[59] - slots[0],
                slots.windows(2).filter(|pair| pair[0] != pair[1]).count() as i64
            );
            slots.windows(2).position(|pair| pair[0] != pair[1])
        };
        let begun: std::collections::BTreeSet<_> = (0..100).map(|n| begins(job(n))).collect();
        assert!(begun.len() > 10, "{begun:?}");
    }
}
