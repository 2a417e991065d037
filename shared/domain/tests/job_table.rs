//! Every phase against every fact: what may be appended, and where it leads.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test fails by panicking")]

mod jobs;

use domain::job::{
    ActiveStatus, Admission, CancelReason, JobFact, JobStatus, Phase, Source, TerminalStatus, admit, evolve,
    settled,
};
use jobs::{active, at, cancelled, dispatch, event, external, finished, history, look, over};

/// The facts of the table's columns, in order.
fn facts() -> Vec<(&'static str, JobFact)> {
    vec![
        ("requested", JobFact::Requested { catalog_revision: 9, grounds: None }),
        ("held", jobs::held()),
        ("dispatched", dispatch()),
        ("started 1", JobFact::TriggerStarted { fence: 1 }),
        ("started 2", JobFact::TriggerStarted { fence: 2 }),
        ("triggered", JobFact::Triggered { external: external("77", 1), links: Default::default() }),
        ("unknown", JobFact::TriggerUnknown { fence: 1, message: "no answer".into() }),
        ("observed", active(ActiveStatus::InProgress, 1, 50)),
        ("cancel", JobFact::CancelRequested { by: "ann".into(), reason: CancelReason::User }),
        ("sent", JobFact::CancelSent { force: false }),
        ("retry", JobFact::RetryRequested { by: "ann".into() }),
        ("finished", over(TerminalStatus::Successful, 1, 60)),
        ("other run", jobs::look_at("78", ActiveStatus::InProgress, 1, 50)),
        ("attempt 2", active(ActiveStatus::InProgress, 2, 40)),
    ]
}

/// A: append, s: already so, -: refused.
const TABLE: &[(&str, &str)] = &[
    // phase            requested held dispatched started1 started2 triggered unknown observed cancel sent retry finished other attempt2
    ("requested", "s A A - - - - - A - - - - -"),
    ("held", "s s A - - - - - A - - - - -"),
    ("dispatched", "s - s A A A - A A - - A A A"),
    ("triggering", "s - s s A A A A A - - A A A"),
    ("unknown", "s - s s A A s A A - - A A A"),
    ("running", "s - s - - s s A A - - A - A"),
    ("cancelling early", "s - - - - A s A s A - A A A"),
    ("cancelling run", "s - - - - s s A s A - A - A"),
    ("finished", "s - - - - s - s - - A s - A"),
];

#[test]
fn every_phase_answers_every_fact() {
    for (phase, row) in TABLE {
        let state = history(phase);
        let cells: Vec<&str> = row.split(' ').collect();
        let facts = facts();
        assert_eq!(cells.len(), facts.len(), "row of {phase}");
        for ((name, fact), cell) in facts.iter().zip(cells) {
            let admission = admit(Some(&state), fact);
            let letter = match admission {
                Admission::Append => "A",
                Admission::AlreadySo => "s",
                Admission::Refused(_) => "-",
            };
            assert_eq!(letter, cell, "{phase} × {name}: {admission:?}");
        }
    }
}

#[test]
fn a_history_begins_with_a_request_and_with_nothing_else() {
    for (name, fact) in facts() {
        let appended = admit(None, &fact) == Admission::Append;
        assert_eq!(appended, name == "requested", "{name}");
    }
}

#[test]
fn every_fact_folds_onto_every_state() {
    for (phase, _) in TABLE {
        for (name, fact) in facts() {
            let after = evolve(Some(history(phase)), &event(99, fact));
            assert_eq!(after.updated_at, at(99), "{phase} × {name}");
        }
    }
}

#[test]
fn every_state_that_is_not_over_has_a_deadline() {
    for (phase, _) in TABLE {
        let state = history(phase);
        assert_eq!(domain::job::due(&state).is_none(), state.is_finished(), "{phase}");
    }
}

#[test]
fn a_run_that_had_begun_and_waits_again_is_under_the_deadline_of_running() {
    let due = |state| domain::job::due(&state).unwrap().at;
    let deadlines = domain::entity::Deadlines::default();
    let later = |seconds: u32| chrono::TimeDelta::seconds(seconds.into());
    let running = history("running");
    assert_eq!(due(running.clone()), running.dispatched_at.unwrap() + later(deadlines.queue_seconds));
    let begun = evolve(Some(running), &event(100, active(ActiveStatus::InProgress, 1, 50)));
    let waits = evolve(Some(begun), &event(200, active(ActiveStatus::Queued, 1, 60)));
    assert_eq!(waits.phase, Phase::Running { status: ActiveStatus::Queued });
    assert_eq!(due(waits), at(100) + later(deadlines.run_seconds));
}

#[test]
fn a_cancelled_run_says_why() {
    for (reason, status, said) in [
        (CancelReason::User, JobStatus::Cancelled, domain::job::Reason::CancelledByUser),
        (CancelReason::TimedOut, JobStatus::Failure, domain::job::Reason::TimedOut),
        (CancelReason::Superseded, JobStatus::Cancelled, domain::job::Reason::Superseded),
    ] {
        let running = history("running");
        let wished = evolve(Some(running), &event(10, JobFact::CancelRequested { by: "x".into(), reason }));
        let ended = evolve(Some(wished.clone()), &event(11, cancelled(1, 70)));
        assert_eq!((ended.status(), ended.reason), (status, Some(said)));
        let JobFact::Finished(told) = settled(&wished, cancelled(1, 70)) else {
            panic!("an end stays an end")
        };
        assert_eq!(
            (JobStatus::from(told.status), told.reason),
            (status, Some(said)),
            "the fact alone says it"
        );
    }
}

#[test]
fn a_run_that_ends_well_while_being_cancelled_ended_well() {
    let state = evolve(Some(history("cancelling run")), &event(12, over(TerminalStatus::Successful, 1, 70)));
    assert_eq!(state.status(), JobStatus::Successful);
    assert_eq!(state.reason, None);
}

#[test]
fn equal_stamps_are_settled_by_rank_for_webhooks_and_by_order_for_reads() {
    let running = history("running");
    let running = evolve(Some(running), &event(10, active(ActiveStatus::InProgress, 1, 50)));
    let same_instant = |source| look("77", ActiveStatus::Queued, 1, 50, source);
    assert_eq!(admit(Some(&running), &same_instant(Source::Webhook)), Admission::AlreadySo);
    assert_eq!(admit(Some(&running), &same_instant(Source::Read)), Admission::Append);
    assert_eq!(admit(Some(&running), &over(TerminalStatus::Failure, 1, 50)), Admission::Append);
    assert_eq!(admit(Some(&running), &over(TerminalStatus::Failure, 1, 49)), Admission::AlreadySo);
}

#[test]
fn a_run_that_was_accepted_without_a_name_is_named_later() {
    let mut accepted = history("triggering");
    let queued = match active(ActiveStatus::Queued, 1, 50) {
        JobFact::Observed(mut snapshot) => {
            (snapshot.external, snapshot.order) = (None, None);
            JobFact::Observed(snapshot)
        }
        other => panic!("{other:?}"),
    };
    accepted = evolve(Some(accepted), &event(5, queued));
    accepted = evolve(Some(accepted), &event(6, active_unnamed()));
    let named = JobFact::Triggered { external: external("77", 1), links: Default::default() };
    assert_eq!(admit(Some(&accepted), &named), Admission::Append);
    let running = evolve(Some(accepted), &event(7, named.clone()));
    assert_eq!(
        running.phase,
        Phase::Running { status: ActiveStatus::InProgress },
        "what was seen is not unseen"
    );
    assert_eq!(admit(Some(&running), &named), Admission::AlreadySo);
}

fn active_unnamed() -> JobFact {
    match active(ActiveStatus::InProgress, 1, 60) {
        JobFact::Observed(mut snapshot) => {
            snapshot.external = None;
            JobFact::Observed(snapshot)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_retry_runs_again_under_the_next_attempt() {
    let again = evolve(Some(history("finished")), &event(20, JobFact::RetryRequested { by: "ann".into() }));
    assert_eq!((again.phase.clone(), again.external_attempt), (Phase::Requested, 2));
    let late = finished(1, 90);
    assert_ne!(admit(Some(&again), &late), Admission::Append, "news of the first attempt is old");
    let dispatched = evolve(Some(again), &event(21, dispatch()));
    assert_ne!(admit(Some(&dispatched), &late), Admission::Append, "news of the first attempt is old");
    assert_eq!(admit(Some(&dispatched), &active(ActiveStatus::Queued, 2, 10)), Admission::Append);
}
