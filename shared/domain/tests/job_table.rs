//! Every phase against every fact: what may be appended, and where it leads.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test fails by panicking")]

mod jobs;

use domain::job::{
    ActiveStatus, Admission, CancelReason, JobFact, JobStatus, Phase, Reason, Source, TerminalStatus, admit,
    evolve, settled,
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
fn what_was_decided_may_be_taken_back_before_it_is_asked_for_and_never_after() {
    let withdrawn = JobFact::withdrawn();
    assert_eq!(admit(None, &withdrawn), Admission::Append);
    let state = evolve(None, &event(1, withdrawn.clone()));
    assert_eq!((state.status(), state.reason), (JobStatus::Cancelled, Some(Reason::Withdrawn)));
    for (name, fact) in facts() {
        let may_follow = admit(Some(&state), &fact) == Admission::Append;
        assert_eq!(may_follow, name == "attempt 2", "{name}");
    }
    assert_eq!(admit(Some(&state), &withdrawn), Admission::AlreadySo);
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
fn a_run_that_was_run_again_on_the_platform_has_its_whole_time_again() {
    let due = |state: &_| domain::job::due(state).unwrap().at;
    let deadlines = domain::entity::Deadlines::default();
    let later = |seconds: u32| chrono::TimeDelta::seconds(seconds.into());
    let week = 7 * 86_400;
    let begun = evolve(Some(history("running")), &event(100, active(ActiveStatus::InProgress, 1, 50)));
    let over = evolve(Some(begun), &event(200, finished(1, 60)));
    let queued = evolve(Some(over.clone()), &event(week, active(ActiveStatus::Queued, 2, 70)));
    assert_eq!((queued.started_at, queued.completed_at), (None, None));
    assert_eq!(due(&queued), at(week) + later(deadlines.queue_seconds));
    let runs = evolve(Some(queued), &event(week + 9, active(ActiveStatus::InProgress, 2, 80)));
    assert_eq!(runs.started_at, Some(at(week + 9)));
    assert_eq!(due(&runs), at(week + 9) + later(deadlines.run_seconds));
    let runs_at_once = evolve(Some(over.clone()), &event(week, active(ActiveStatus::InProgress, 2, 70)));
    assert_eq!(due(&runs_at_once), at(week) + later(deadlines.run_seconds));
    let unseen = evolve(Some(over), &event(week, finished(2, 90)));
    assert_eq!(unseen.started_at, None, "nobody saw when the second attempt began");
}

#[test]
fn a_job_that_is_tried_again_and_again_is_not_lost_before_its_agent_says_that_it_is_too_late() {
    let queue = chrono::TimeDelta::seconds(domain::entity::Deadlines::default().queue_seconds.into());
    let due = |state: &_| domain::job::due(state).unwrap();
    let started = history("triggering");
    let too_late = started.dispatched_at.unwrap() + queue;
    assert!(due(&started).at > too_late && due(&started).then == domain::job::Overdue::Lost);
    // However short the queue deadline: a try is not lost while a platform may have it wait.
    let hours = 30 * 3_600;
    let again = evolve(Some(started), &event(hours, JobFact::TriggerStarted { fence: 2 }));
    assert!(due(&again).at > at(hours) + chrono::TimeDelta::seconds(3_660), "{:?}", due(&again));
    let unknown = JobFact::TriggerUnknown { fence: 2, message: "no answer".into() };
    let unknown = evolve(Some(again), &event(hours + 9, unknown));
    assert!(due(&unknown).at > at(hours + 9) + chrono::TimeDelta::seconds(3_660), "looking may have to wait");
}

#[test]
fn what_stays_unknown_may_say_another_reason_and_is_lost_no_later_for_it() {
    let unknown = history("unknown");
    let because = |message: &str| JobFact::TriggerUnknown { fence: 1, message: message.into() };
    assert_eq!(admit(Some(&unknown), &because("no answer")), Admission::AlreadySo);
    assert_eq!(admit(Some(&unknown), &because("the search is refused")), Admission::Append);
    let told = evolve(Some(unknown.clone()), &event(1_000, because("the search is refused")));
    assert_eq!(told.message.as_deref(), Some("the search is refused"));
    assert_eq!(domain::job::due(&told), domain::job::due(&unknown));
}

#[test]
fn only_the_platform_confirms() {
    let confirmed = evolve(Some(history("running")), &event(10, active(ActiveStatus::InProgress, 1, 50)));
    assert_eq!(confirmed.confirmed_at, Some(at(10)));
    let noted = look("77", ActiveStatus::InProgress, 1, 50, Source::Ctrlplane);
    let noted = evolve(Some(confirmed), &event(20, noted));
    assert_eq!((noted.confirmed_at, noted.updated_at), (Some(at(10)), at(20)), "a look that failed");
    let read = evolve(Some(noted), &event(30, look("77", ActiveStatus::InProgress, 1, 50, Source::Read)));
    assert_eq!(read.confirmed_at, Some(at(30)));
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
