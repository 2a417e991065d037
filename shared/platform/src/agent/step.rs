//! What a trigger command means for a job in a given state: pure, so that every phase can be looked at.

use chrono::TimeDelta;
use domain::Timestamp;
use domain::job::{ExternalRef, JobState, OrderKey, Phase};
use std::time::Duration;

/// A run whose call got no answer is looked for again no sooner, and no later.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(2);
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(20);

/// What to do next for a job that is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing was tried yet.
    Start,
    /// A try was made, or may be under way: look for its run. Without one, the next try may begin at `not_before`.
    Look {
        /// The try.
        fence: u32,
        /// When its run would have shown up.
        not_before: Timestamp,
    },
    /// The platform has it but did not name it: look for it, never try again.
    Find,
    /// The run is known.
    Known,
    /// Somebody wishes it to end.
    Cancel,
    /// Nothing: it is over, or not yet our turn.
    Nothing,
}

/// What to do next. `window` is how long a try of unknown outcome may take to show its run, `lag` the platform's part of it.
pub(super) fn step(state: &JobState, window: Duration, lag: Duration) -> Step {
    match &state.phase {
        Phase::Requested | Phase::Held { .. } | Phase::Finished { .. } => Step::Nothing,
        Phase::Dispatched => Step::Start,
        // The last fact is the one that recorded the try: later ones leave the phase.
        Phase::Triggering { fence } => {
            Step::Look { fence: *fence, not_before: state.updated_at + delta(window) }
        }
        // The call is over since that fact: only the search may lag. Later ones say why it cannot be searched.
        Phase::Unknown { fence } => Step::Look { fence: *fence, not_before: state.phase_since + delta(lag) },
        Phase::Running { .. } if state.external.is_none() => Step::Find,
        Phase::Running { .. } => Step::Known,
        Phase::Cancelling(_) => Step::Cancel,
    }
}

/// The run that is to run again, while its next attempt has not been seen.
pub(super) fn run_to_repeat(state: &JobState) -> Option<&ExternalRef> {
    state.external.as_ref().filter(|run| run.attempt < state.external_attempt)
}

/// Orders our own word about a run right at the last look: a newer look, recorded meanwhile, wins over it.
pub(super) fn last_order(state: &JobState) -> OrderKey {
    let attempt = state.external_attempt;
    match state.order {
        Some(order) if order.attempt >= attempt => order,
        Some(_) | None => OrderKey { attempt, version: i64::MIN },
    }
}

/// Until when the platform must have taken it: the queue deadline of its dispatch.
pub(super) fn start_until(state: &JobState) -> Option<Timestamp> {
    let queue = state.assigned.as_ref()?.dispatch.deadlines.queue_seconds;
    Some(state.dispatched_at? + TimeDelta::seconds(queue.into()))
}

/// How long until the next look for a run that has not shown for that long. Each look is a call out of a budget that all jobs of a
/// platform share, so the longer a run stays away the more rarely it is looked for.
pub(super) fn look_again(age: Duration) -> Duration {
    (age / 2).clamp(LOOK_AGAIN, LOOK_AGAIN_MAX)
}

/// A span of time in the calendar's terms. None of ours is longer than a `TimeDelta`.
pub(super) fn delta(span: Duration) -> TimeDelta {
    TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::{DeploymentId, EnvironmentId, JobId, ReleaseId, ResourceId, VersionId};
    use domain::job::{
        ActiveStatus, CancelReason, Dispatch, JobEvent, JobFact, JobRef, Links, TerminalStatus, fold,
    };
    use domain::target::TargetKey;
    use uuid::Uuid;

    const WINDOW: Duration = Duration::from_secs(30);
    const LAG: Duration = Duration::from_secs(10);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    /// The state after these facts, one second apart.
    fn state(facts: Vec<JobFact>) -> JobState {
        let id = Uuid::nil();
        let job = JobRef {
            workspace: "acme".parse().unwrap(),
            id: JobId(id),
            target: TargetKey {
                deployment: DeploymentId(id),
                environment: EnvironmentId(id),
                resource: ResourceId(id),
            },
            version: VersionId(id),
            tag: "v1".to_owned(),
            release: ReleaseId(id),
            attempt: 1,
            deployment: "web".parse().unwrap(),
            environment: "prod".parse().unwrap(),
            purpose: Default::default(),
            content: None,
        };
        let requested = JobFact::Requested { catalog_revision: 1, grounds: None };
        let events: Vec<JobEvent> = (0..)
            .zip(std::iter::once(requested).chain(facts))
            .map(|(second, fact)| JobEvent {
                job: job.clone(),
                at: at(second),
                cause: None,
                traceparent: None,
                fact,
            })
            .collect();
        fold(&events).unwrap()
    }

    fn dispatched() -> JobFact {
        JobFact::Dispatched(Dispatch {
            agent: domain::id::JobAgentId(Uuid::nil()),
            agent_name: "a".to_owned(),
            platform: "p".parse().unwrap(),
            config: serde_json::Map::new(),
            context: serde_json::Value::Null,
            deadlines: Default::default(),
            secrets: Default::default(),
        })
    }

    fn run(attempt: u32) -> ExternalRef {
        ExternalRef {
            platform: "p".parse().unwrap(),
            host: "h".to_owned(),
            scope: "s".to_owned(),
            id: "1".to_owned(),
            attempt,
            url: None,
        }
    }

    fn started(fence: u32) -> JobFact {
        JobFact::TriggerStarted { fence }
    }

    fn triggered() -> JobFact {
        JobFact::Triggered { external: run(1), links: Links::new() }
    }

    #[track_caller]
    fn check(facts: Vec<JobFact>, expected: &Step) {
        assert_eq!(&step(&state(facts), WINDOW, LAG), expected);
    }

    #[test]
    fn every_phase_has_its_step() {
        let cancelled = || JobFact::CancelRequested { by: "ada".to_owned(), reason: CancelReason::User };
        let over = || JobFact::ended(TerminalStatus::Successful, None, "");
        let accepted = JobFact::Observed(domain::job::Snapshot {
            status: ActiveStatus::Queued,
            order: None,
            raw: None,
            reason: None,
            message: None,
            links: Links::new(),
            source: domain::job::Source::Ctrlplane,
            external: None,
        });
        let unknown = JobFact::TriggerUnknown { fence: 1, message: "reset".to_owned() };
        check(vec![], &Step::Nothing);
        check(vec![dispatched()], &Step::Start);
        // The window of a try runs from the fact that recorded it, also when it is not the first.
        check(vec![dispatched(), started(1)], &Step::Look { fence: 1, not_before: at(2 + 30) });
        check(vec![dispatched(), started(1), started(2)], &Step::Look { fence: 2, not_before: at(3 + 30) });
        check(vec![dispatched(), started(1), unknown], &Step::Look { fence: 1, not_before: at(3 + 10) });
        check(vec![dispatched(), started(1), accepted], &Step::Find);
        check(vec![dispatched(), started(1), triggered()], &Step::Known);
        check(vec![dispatched(), cancelled()], &Step::Cancel);
        check(vec![dispatched(), started(1), over()], &Step::Nothing);
    }

    #[test]
    fn a_retried_run_is_repeated_until_its_next_attempt_was_seen() {
        let over = || JobFact::ended(TerminalStatus::Failure, None, "");
        let retried = || JobFact::RetryRequested { by: "ada".to_owned() };
        let mut facts = vec![dispatched(), started(1), triggered()];
        assert_eq!(run_to_repeat(&state(facts.clone())), None);
        facts.extend([over(), retried(), dispatched(), started(1)]);
        assert_eq!(run_to_repeat(&state(facts.clone())), Some(&run(1)));
        facts.push(JobFact::Triggered { external: run(2), links: Links::new() });
        assert_eq!(run_to_repeat(&state(facts)), None);
    }

    #[test]
    fn our_own_word_never_outranks_a_look_that_came_meanwhile() {
        let mut state = state(vec![dispatched(), started(1), triggered()]);
        assert_eq!(last_order(&state), OrderKey { attempt: 1, version: i64::MIN });
        state.order = Some(OrderKey { attempt: 1, version: 7 });
        assert_eq!(last_order(&state), OrderKey { attempt: 1, version: 7 });
        state.external_attempt = 2;
        assert_eq!(last_order(&state), OrderKey { attempt: 2, version: i64::MIN });
    }

    #[test]
    fn the_longer_a_run_stays_away_the_more_rarely_it_is_looked_for() {
        let mut looks = vec![Duration::ZERO];
        while let Some(last) = looks.last().copied().filter(|age| *age < Duration::from_secs(60)) {
            looks.push(last + look_again(last));
        }
        assert_eq!(looks.len(), 10, "in the minute that a search on GitHub may lag: {looks:?}");
        let pauses: Vec<_> = looks.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(pauses.is_sorted(), "{pauses:?}");
        assert_eq!(pauses[0], LOOK_AGAIN);
        assert_eq!(look_again(Duration::from_secs(3_600)), LOOK_AGAIN_MAX);
    }
}
