//! Late, repeated and reordered news: over every interleaving, a finished job stays as it ended.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test fails by panicking")]

mod jobs;

use domain::job::{ActiveStatus, Admission, JobFact, JobState, Source, TerminalStatus, admit, evolve};
use jobs::{active, event, history, look, over};
use proptest::prelude::*;

/// What a platform sends about one run: attempt 1 fails, somebody runs it again, attempt 2 succeeds.
fn news() -> Vec<JobFact> {
    vec![
        active(ActiveStatus::Queued, 1, 10),
        active(ActiveStatus::InProgress, 1, 20),
        over(TerminalStatus::Failure, 1, 20),
        active(ActiveStatus::Queued, 2, 30),
        active(ActiveStatus::InProgress, 2, 40),
        over(TerminalStatus::Successful, 2, 40),
    ]
}

/// Applies a fact if it is admitted, and checks that an end is left by a later attempt only.
fn hear(state: JobState, second: i64, fact: &JobFact) -> JobState {
    match admit(Some(&state), fact) {
        Admission::Append => {
            let next = evolve(Some(state.clone()), &event(second, fact.clone()));
            if state.is_finished() {
                assert!(next.external_attempt > state.external_attempt, "{fact:?} changed {state:?}");
            }
            assert!(next.external_attempt >= state.external_attempt);
            next
        }
        Admission::AlreadySo | Admission::Refused(_) => state,
    }
}

fn hear_all(order: &[usize]) -> JobState {
    let news = news();
    order
        .iter()
        .enumerate()
        .fold(history("running"), |state, (n, index)| hear(state, 100 + n as i64, &news[*index]))
}

fn permutations(items: Vec<usize>) -> Vec<Vec<usize>> {
    if items.len() <= 1 {
        return vec![items];
    }
    let mut all = Vec::new();
    for (n, first) in items.iter().enumerate() {
        let mut rest = items.clone();
        rest.remove(n);
        all.extend(permutations(rest).into_iter().map(|mut tail| {
            tail.insert(0, *first);
            tail
        }));
    }
    all
}

#[test]
fn every_order_of_all_news_ends_in_the_last_attempts_end() {
    let orders = permutations((0..news().len()).collect());
    assert_eq!(orders.len(), 720);
    for order in orders {
        let state = hear_all(&order);
        assert_eq!((state.status().as_str(), state.external_attempt), ("successful", 2), "{order:?}");
    }
}

#[test]
fn every_order_with_any_one_piece_lost_is_healed_by_a_read() {
    for lost in 0..news().len() {
        for order in permutations((0..news().len()).filter(|n| *n != lost).collect()) {
            let heard = hear_all(&order);
            let read = JobFact::Finished(match over(TerminalStatus::Successful, 2, 40) {
                JobFact::Finished(mut snapshot) => {
                    snapshot.source = Source::Read;
                    snapshot
                }
                other => panic!("{other:?}"),
            });
            let state = hear(heard, 900, &read);
            assert_eq!(state.status().as_str(), "successful", "without {lost}, {order:?}");
        }
    }
}

proptest! {
    #[test]
    fn any_stream_of_repeats_never_changes_an_end(order in proptest::collection::vec(0usize..6, 0..40)) {
        let state = hear_all(&order);
        let after = hear_all(&[order.clone(), order.clone()].concat());
        // What was heard twice says no more than what was heard once, unless the first hearing ended between attempts.
        if state.is_finished() && state.external_attempt == 2 {
            prop_assert_eq!(state.status(), after.status());
        }
    }

    #[test]
    fn a_read_of_an_older_stamp_is_old_news(version in 0i64..45) {
        let finished = history("finished");
        let late = look("77", ActiveStatus::InProgress, 1, version, Source::Read);
        prop_assert_ne!(admit(Some(&finished), &late), Admission::Append);
    }
}
