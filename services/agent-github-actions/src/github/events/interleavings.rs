//! Webhooks late, repeated and reordered: over every order of a run's deliveries, a finished job stays as it ended, and
//! a last read makes it right.

use super::read;
use crate::github::config::Neutral;
use crate::github::run::Run;
use crate::github::status::{self, Meaning};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::entity::Deadlines;
use domain::id::*;
use domain::job::*;
use domain::target::TargetKey;
use platform::{PlatformEvent, Signal};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

/// What GitHub sent, in the order it happened. The first attempt fails, somebody runs it again, the second succeeds.
/// Seconds are GitHub's: `updated_at` has no finer time, so neighbours may share one.
const STORY: &[(&str, &str, Option<&str>, u32)] = &[
    ("requested", "queued", None, 1),
    ("in_progress", "in_progress", None, 1),
    ("completed", "completed", Some("failure"), 1),
    ("requested", "queued", None, 2),
    ("in_progress", "in_progress", None, 2),
    ("completed", "completed", Some("success"), 2),
];
/// At which second each happened: well apart, and all but the attempts at once.
const CLOCKS: [[i64; 6]; 2] = [[0, 5, 9, 20, 22, 30], [0, 0, 0, 1, 1, 1]];

fn payload(index: usize, clock: &[i64; 6]) -> Value {
    let (action, status, conclusion, attempt) = STORY[index];
    let url = "https://api.github.com/repos/acme/shop/actions/runs/77";
    json!({ "action": action, "workflow_run": {
        "id": 77, "status": status, "conclusion": conclusion, "run_attempt": attempt, "url": url,
        "event": "workflow_dispatch", "display_title": format!("deploy {}", job().id),
        "updated_at": at(clock[index]).to_rfc3339(),
    } })
}

fn signal(index: usize, clock: &[i64; 6]) -> Signal {
    let data = payload(index, clock).to_string();
    let event = PlatformEvent { event_type: "workflow_run", data: data.as_bytes() };
    read(&"github-app".parse().unwrap(), &event).unwrap().remove(0)
}

/// What a read shows once the run has come that far.
fn look(index: usize, clock: &[i64; 6]) -> JobFact {
    let run: Run = serde_json::from_value(payload(index, clock)["workflow_run"].clone()).unwrap();
    let Meaning::Plain(plain) = status::meaning(&run, Neutral::default()) else { panic!("it is plain") };
    status::snapshot(&run, plain, Source::Read, Some(external(run.attempt()))).into_fact()
}

fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::seconds(1_790_000_000 + second)
}

fn job() -> JobRef {
    let target = TargetKey {
        deployment: DeploymentId(Uuid::from_u128(1)),
        environment: EnvironmentId(Uuid::from_u128(2)),
        resource: ResourceId(Uuid::from_u128(3)),
    };
    JobRef {
        workspace: "acme".parse().unwrap(),
        id: JobId(Uuid::from_u128(4)),
        target,
        version: VersionId(Uuid::from_u128(5)),
        tag: "v1".into(),
        release: ReleaseId(Uuid::from_u128(6)),
        attempt: 1,
        deployment: "web".parse().unwrap(),
        environment: "staging".parse().unwrap(),
        purpose: Default::default(),
        content: None,
    }
}

fn external(attempt: u32) -> ExternalRef {
    ExternalRef {
        platform: "github-app".parse().unwrap(),
        host: "api.github.com".into(),
        scope: "acme/shop".into(),
        id: "77".into(),
        attempt,
        url: None,
    }
}

fn event(second: i64, fact: JobFact) -> JobEvent {
    JobEvent { job: job(), at: at(second), cause: None, traceparent: None, fact }
}

/// A job whose run was just started.
fn triggered() -> JobState {
    let dispatch = Dispatch {
        agent: JobAgentId(Uuid::from_u128(7)),
        agent_name: "gh".into(),
        platform: "github-app".parse().unwrap(),
        config: Default::default(),
        context: Value::Null,
        deadlines: Deadlines::default(),
        secrets: Default::default(),
    };
    let facts = [
        JobFact::Requested { catalog_revision: 1, grounds: None },
        JobFact::Dispatched(dispatch),
        JobFact::TriggerStarted { fence: 1 },
        JobFact::Triggered { external: external(1), links: Links::new() },
    ];
    fold(&facts.map(|fact| event(0, fact))).unwrap()
}

/// Applies a fact if it is admitted, and holds the law: an end is left for a later attempt only.
fn apply(state: JobState, fact: JobFact) -> JobState {
    if admit(Some(&state), &fact) != Admission::Append {
        return state;
    }
    let next = evolve(Some(state.clone()), &event(100, fact.clone()));
    if state.is_finished() {
        assert!(next.external_attempt > state.external_attempt, "{fact:?} changed {state:?}");
    }
    assert!(next.external_attempt >= state.external_attempt, "{fact:?} went back from {state:?}");
    next
}

/// Hears a delivery; one without a snapshot makes us look at a run that has come as far as `now`.
fn hear(state: JobState, signal: Signal, now: usize, clock: &[i64; 6]) -> JobState {
    match signal.snapshot {
        Some(snapshot) => apply(state, snapshot.into_fact()),
        None => apply(state, look(now, clock)),
    }
}

/// How it stands in the end: after everything was heard, and after one more look.
fn told(order: &[usize], clock: &[i64; 6]) -> (JobState, JobState) {
    let heard = order.iter().fold(triggered(), |state, index| hear(state, signal(*index, clock), 5, clock));
    let seen = apply(heard.clone(), look(5, clock));
    (heard, seen)
}

fn outcome(state: &JobState) -> (&'static str, u32) {
    (state.status().as_str(), state.external_attempt)
}

fn orders(rest: &[usize]) -> Vec<Vec<usize>> {
    if rest.is_empty() {
        return vec![Vec::new()];
    }
    let first = rest.iter().flat_map(|first| {
        let others: Vec<usize> = rest.iter().copied().filter(|other| other != first).collect();
        orders(&others).into_iter().map(|order| [vec![*first], order].concat())
    });
    first.collect()
}

#[test]
fn every_order_of_all_deliveries_ends_as_the_run_ended() {
    for clock in &CLOCKS {
        let orders = orders(&[0, 1, 2, 3, 4, 5]);
        assert_eq!(orders.len(), 720);
        for order in orders {
            let (heard, seen) = told(&order, clock);
            assert_eq!(outcome(&heard), ("successful", 2), "{order:?}");
            assert_eq!(heard, seen, "a look adds nothing after {order:?}");
        }
    }
}

#[test]
fn every_order_with_one_delivery_repeated_at_the_end_changes_nothing_more() {
    for clock in &CLOCKS {
        for order in orders(&[0, 1, 2, 3, 4, 5]) {
            let (heard, _) = told(&order, clock);
            for again in 0..STORY.len() {
                assert_eq!(
                    hear(heard.clone(), signal(again, clock), 5, clock),
                    heard,
                    "{again} after {order:?}"
                );
            }
        }
    }
}

#[test]
fn every_order_of_every_part_of_the_deliveries_is_healed_by_a_look() {
    for clock in &CLOCKS {
        for part in 0..1_usize << STORY.len() {
            let heard: Vec<usize> = (0..STORY.len()).filter(|index| part & (1 << index) != 0).collect();
            for order in orders(&heard) {
                let (_, seen) = told(&order, clock);
                assert_eq!(outcome(&seen), ("successful", 2), "{order:?}");
            }
        }
    }
}

proptest! {
    /// Deliveries and looks at whatever time, mixed: a look shows the run at least as far as the newest delivery.
    #[test]
    fn any_stream_of_deliveries_and_looks_keeps_ends_and_comes_right(
        steps in proptest::collection::vec((0usize..6, any::<bool>()), 0..40),
        which in 0usize..2,
    ) {
        let clock = &CLOCKS[which];
        let (mut state, mut reached) = (triggered(), 0);
        for (index, looks) in steps {
            reached = reached.max(index);
            state = if looks { apply(state, look(reached, clock)) } else { hear(state, signal(index, clock), reached, clock) };
        }
        let seen = apply(state, look(5, clock));
        prop_assert_eq!(outcome(&seen), ("successful", 2));
        for index in 0..STORY.len() {
            prop_assert_eq!(hear(seen.clone(), signal(index, clock), 5, clock), seen.clone());
        }
    }
}
