//! Stories of what comes after a job: retries, rollbacks, verification.

use super::story::{World, check};
use crate::decision::{ConsideredVersion, RuleInputs, RuleVerdict, Verdict, VerificationResult};

#[test]
fn a_failed_release_is_tried_again_with_a_capped_doubling_pause() {
    check(
        "env staging 1
         policy again on *: retry 3 pause 10s doubling cap 15s
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 failure
         look staging-0 = waiting want v1 run - next +10s
         +9s
         look staging-0 = waiting want v1 run - next +1s
         +1s
         look staging-0 = deploying want v1 run - request v1#2
         end staging-0 failure
         look staging-0 = waiting want v1 run - next +15s
         +15s
         look staging-0 = deploying want v1 run - request v1#3
         end staging-0 failure
         +15s
         look staging-0 = deploying want v1 run - request v1#4
         end staging-0 failure
         look staging-0 = failed want v1 run -",
    );
}

#[test]
fn a_success_ends_the_row_and_what_a_person_cancelled_is_left_alone() {
    check(
        "env staging 1
         policy again on *: retry 1
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 failure
         look staging-0 = deploying want v1 run - request v1#2
         end staging-0 successful
         look staging-0 = upToDate want v1 run v1
         version v2
         look staging-0 = deploying want v2 run v1 request v2#1
         end staging-0 cancelled cancelled_by_user
         look staging-0 = failed want v2 run v1",
    );
}

#[test]
fn after_the_last_retry_what_ran_before_comes_back_and_the_failed_version_is_held() {
    let world = check(
        "env staging 1
         policy mend on *: retry 1 pause 10s ; rollback
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         version v2
         look staging-0 = deploying want v2 run v1 request v2#1
         end staging-0 failure
         look staging-0 = waiting want v2 run v1 next +10s
         +10s
         look staging-0 = deploying want v2 run v1 request v2#2
         end staging-0 failure
         look staging-0 = deploying want v1 run v1 request v1#2
         end staging-0 successful
         look staging-0 = blocked want v1 run v1
         +2h
         look staging-0 = blocked want v1 run v1",
    );
    let held = &world.decisions["staging-0"].held;
    assert_eq!(held.len(), 1);
    assert_eq!(
        (held[0].tag.as_str(), held[0].reason.as_str()),
        ("v2", "v2 ended as failure 2 times in a row")
    );
}

#[test]
fn retries_with_a_capped_doubling_pause_come_before_the_rollback() {
    check(
        "env staging 1
         policy mend on *: retry 3 pause 10s doubling cap 15s ; rollback
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         version v2
         look staging-0 = deploying want v2 run v1 request v2#1
         end staging-0 failure
         look staging-0 = waiting want v2 run v1 next +10s
         +10s
         look staging-0 = deploying want v2 run v1 request v2#2
         end staging-0 failure
         look staging-0 = waiting want v2 run v1 next +15s
         +15s
         look staging-0 = deploying want v2 run v1 request v2#3
         end staging-0 failure
         look staging-0 = waiting want v2 run v1 next +15s
         +15s
         look staging-0 = deploying want v2 run v1 request v2#4
         end staging-0 failure
         look staging-0 = deploying want v1 run v1 request v1#2
         end staging-0 successful
         look staging-0 = blocked want v1 run v1",
    );
}

#[test]
fn a_hold_lasts_until_somebody_redeploys_the_version_or_a_newer_one_comes() {
    let held = "env staging 1
         policy mend on *: rollback
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         version v2
         look staging-0 = deploying want v2 run v1 request v2#1
         end staging-0 failure
         look staging-0 = deploying want v1 run v1 request v1#2
         end staging-0 successful
         look staging-0 = blocked want v1 run v1";
    check(&format!(
        "{held}
         version v3
         look staging-0 = deploying want v3 run v1 request v3#1"
    ));
    check(&format!(
        "{held}
         redeploy staging-0 v2
         look staging-0 = deploying want v2 run v1 request v2#2
         end staging-0 successful
         look staging-0 = upToDate want v2 run v2"
    ));
}

#[test]
fn a_hold_outlives_what_cannot_be_told_for_a_moment() {
    let held = "env staging 1
         vars staging-0 region=eu
         policy mend on *: rollback
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         version v2
         look staging-0 = deploying want v2 run v1 request v2#1
         end staging-0 failure
         look staging-0 = deploying want v1 run v1 request v1#2
         end staging-0 successful
         look staging-0 = blocked want v1 run v1";
    check(&format!(
        "{held}
         lost staging-0 region
         look staging-0 = blocked want v1 run v1
         vars staging-0 region=eu
         look staging-0 = blocked want v1 run v1
         vars staging-0 region=us
         look staging-0 = deploying want v2 run v1 request v2#1"
    ));
    check(&format!(
        "{held}
         unreadable version v2
         look staging-0 = upToDate want v1 run v1
         readable version v2
         look staging-0 = blocked want v1 run v1
         delete version v2
         look staging-0 = upToDate want v1 run v1
         version v2
         look staging-0 = deploying want v2 run v1 request v2#2"
    ));
}

#[test]
fn what_may_lie_below_a_held_version_that_cannot_be_read_is_not_tried() {
    for ran_before in [true, false] {
        let ran = "version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         version between paused";
        let run = if ran_before { "v1" } else { "-" };
        let back = "look staging-0 = deploying want v1 run v1 request v1#2
         end staging-0 successful";
        let mut world = check(&format!(
            "env staging 1
         policy mend on *: rollback
         {}
         version v2
         look staging-0 = deploying want v2 run {run} request v2#1
         end staging-0 failure
         {}
         look staging-0 = blocked want {run} run {run}
         version between
         unreadable version v2
         look staging-0 = blocked want {run} run {run}",
            if ran_before { ran } else { "version between paused" },
            if ran_before { back } else { "" },
        ));
        let [rule] = told(&world, "staging-0", "between").rules.as_slice() else {
            panic!("one rule says why")
        };
        assert_eq!((rule.rule.as_str(), &rule.verdict), ("rollback", &Verdict::Deny));
        assert!(
            rule.reason.starts_with("perhaps older than v2, which is held back here "),
            "{}",
            rule.reason
        );
        assert!(rule.reason.contains(" and cannot be read: v2 ended as failure"), "{}", rule.reason);
        world.step("+1s");
        world.step("version v3");
        let look = world.step("look staging-0");
        assert_eq!(look, Some(format!("deploying want v3 run {run} request v3#1")));
    }
}

#[test]
fn without_anything_that_ran_before_a_failed_version_stays_failed() {
    check(
        "env staging 1
         policy mend on *: rollback
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 failure
         look staging-0 = blocked want - run -",
    );
}

#[test]
fn what_ran_before_and_fails_to_come_back_is_not_held_as_well() {
    check(
        "env staging 1
         policy mend on *: rollback
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         version v2
         look staging-0 = deploying want v2 run v1 request v2#1
         end staging-0 failure
         look staging-0 = deploying want v1 run v1 request v1#2
         end staging-0 failure
         look staging-0 = failed want v1 run v1",
    );
}

#[test]
fn a_version_that_is_measured_badly_makes_way_and_one_that_cannot_be_measured_stays() {
    let measured = "env staging 1
         policy watch on *: verified by sleep ; rollback
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         look staging-0 = upToDate want v1 run v1
         measured staging-0 passed
         version v2
         look staging-0 = deploying want v2 run v1 request v2#1
         end staging-0 successful
         look staging-0 = upToDate want v2 run v2";
    check(&format!(
        "{measured}
         measured staging-0 failed
         look staging-0 = deploying want v1 run v2 request v1#2
         end staging-0 successful
         look staging-0 = blocked want v1 run v1"
    ));
    let world = check(&format!(
        "{measured}
         measured staging-0 inconclusive
         look staging-0 = upToDate want v2 run v2"
    ));
    let verified = &world.decisions["staging-0"].verifications;
    assert_eq!(verified[0].result, VerificationResult::Inconclusive);
}

#[test]
fn a_verification_is_asked_for_once_and_not_by_a_policy_that_came_later() {
    let world = check(
        "env staging 1
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         +1s
         policy watch on *: verified by sleep
         look staging-0 = upToDate want v1 run v1",
    );
    assert!(world.decide("staging-0").verifications.is_empty());
    let world = check(
        "env staging 1
         policy watch on *: verified by sleep
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful",
    );
    assert_eq!(world.decide("staging-0").verifications.len(), 1);
    let world = check(
        "env staging 1
         policy watch on *: verified by sleep
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         look staging-0 = upToDate want v1 run v1",
    );
    assert!(world.decide("staging-0").verifications.is_empty());
}

fn told<'w>(world: &'w World, target: &str, tag: &str) -> &'w ConsideredVersion {
    let considered = &world.decisions[target].considered;
    considered.iter().find(|told| told.tag == tag).expect("it is considered")
}

fn of_policy<'w>(told: &'w ConsideredVersion, rule: &str) -> &'w RuleVerdict {
    let mut rules = told.rules.iter().filter(|said| said.policy.is_some() && said.rule == rule);
    rules.next().expect("the rule has its say")
}

#[test]
fn what_lies_between_a_held_version_and_what_runs_says_why_it_does_not_come() {
    let world = check(
        "env staging 1
         policy mend on *: rollback
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         +1m
         version v2 paused
         +1m
         version v3
         look staging-0 = deploying want v3 run v1 request v3#1
         end staging-0 failure
         look staging-0 = deploying want v1 run v1 request v1#2
         end staging-0 successful
         version v2
         look staging-0 = blocked want v1 run v1",
    );
    let between = told(&world, "staging-0", "v2");
    let [rule] = between.rules.as_slice() else { panic!("{between:?}") };
    assert_eq!((between.allowed, rule.rule.as_str(), &rule.verdict), (false, "rollback", &Verdict::Deny));
    assert!(rule.reason.starts_with("older than v3, which is held back here since "), "{}", rule.reason);
    let held = &world.decisions["staging-0"].held[0];
    let looked_at = RuleInputs::Rollback { job: Some(held.job), held_at: Some(held.since) };
    assert_eq!(rule.inputs, Some(looked_at));
}

#[test]
fn rules_about_what_comes_after_a_job_have_their_verdicts() {
    let brought = "env staging 1
         policy watch on *: verified by sleep ; rollback
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         look staging-0 = upToDate want v1 run v1
         measured staging-0 passed
         version v2
         look staging-0 = deploying want v2 run v1 request v2#1";
    let world = check(brought);
    let coming = told(&world, "staging-0", "v2");
    assert!(coming.allowed, "they keep nothing back");
    assert_eq!(of_policy(coming, "verification").reason, "it is measured when a job has brought it here");
    assert_eq!(of_policy(coming, "rollback").verdict, Verdict::Allow);

    let running = format!(
        "{brought}
         end staging-0 successful
         look staging-0 = upToDate want v2 run v2"
    );
    let world = check(&running);
    let wait = of_policy(told(&world, "staging-0", "v2"), "verification");
    assert_eq!(wait.verdict, Verdict::Wait { until: None });
    let measured = |result: &str, after: &str| {
        let world = check(&format!(
            "{running}
         measured staging-0 {result}
         {after}"
        ));
        let told = told(&world, "staging-0", "v2");
        let said = ["verification", "rollback"].map(|rule| of_policy(told, rule).clone());
        let jobs = said[0].inputs.clone();
        assert!(matches!(jobs, Some(RuleInputs::Verification { jobs }) if jobs.len() == 1), "{said:?}");
        said.map(|said| said.verdict)
    };
    let up = "look staging-0 = upToDate want v2 run v2";
    assert_eq!(measured("passed", up), [Verdict::Allow, Verdict::Allow]);
    assert_eq!(measured("inconclusive", up), [Verdict::Deny, Verdict::Allow]);
    let back = "look staging-0 = deploying want v1 run v2 request v1#2";
    assert_eq!(measured("failed", back), [Verdict::Deny, Verdict::Deny]);
}

#[test]
fn a_failure_that_may_be_tried_again_says_what_a_rollback_waits_for() {
    let world = check(
        "env staging 1
         policy mend on *: retry 1 pause 10s ; rollback
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 failure
         look staging-0 = waiting want v1 run - next +10s",
    );
    let rule = of_policy(told(&world, "staging-0", "v1"), "rollback");
    assert_eq!(rule.reason, "its last job ended as failure; it is held when its retries are used up");
    assert!(matches!(rule.inputs, Some(RuleInputs::Rollback { job: Some(_), held_at: None })), "{rule:?}");
}

#[test]
fn what_ran_before_a_version_that_failed_and_is_rejected_comes_before_what_is_older() {
    check(
        "env staging 1
         policy watch on *: verified by sleep ; rollback
         version v1
         version v2
         look staging-0 = deploying want v2 run - request v2#1
         end staging-0 successful
         look staging-0 = upToDate want v2 run v2
         measured staging-0 passed
         version v3
         look staging-0 = deploying want v3 run v2 request v3#1
         end staging-0 successful
         look staging-0 = upToDate want v3 run v3
         measured staging-0 failed
         version v3 rejected
         look staging-0 = deploying want v2 run v3 request v2#2",
    );
}

#[test]
fn what_was_decided_and_never_asked_for_is_taken_back_where_the_gates_say_no_by_then() {
    let crashed = "env production 1
         policy gate on production: approvals 1
         version v1
         yes ann v1 production
         crash production-0 = deploying want v1 run - request v1#1";
    for no in ["no bob v1 production", "version v1 rejected", "freeze production"] {
        let mut world = check(&format!(
            "{crashed}
             {no}"
        ));
        let mut look = |at: &str| {
            world.step(at);
            world.step("look production-0").unwrap()
        };
        let soon = look("+1s");
        assert!(!soon.contains("request") && soon.contains("next +"), "{no}: {soon}");
        let late = look("+9s");
        assert!(late.contains("withdraw v1#1"), "{no}: {late}");
        let then = look("+1s");
        assert!(!then.contains("v1#1") && !then.starts_with("deploying"), "{no}: {then}");
    }
    check(&format!(
        "{crashed}
         no bob v1 production
         +10s
         look production-0 = deploying want v1 run - withdraw v1#1
         yes bob v1 production
         look production-0 = deploying want v1 run - request v1#2"
    ));
    check(&format!(
        "{crashed}
         +10s
         look production-0 = deploying want v1 run - request v1#1"
    ));
}

#[test]
fn what_was_taken_back_says_nothing_of_what_ran_and_failed_before() {
    // What runs is still rolled back.
    check(
        "env staging 1
         policy watch on *: verified by sleep ; rollback
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         look staging-0 = upToDate want v1 run v1
         measured staging-0 passed
         version v2
         look staging-0 = deploying want v2 run v1 request v2#1
         end staging-0 successful
         look staging-0 = upToDate want v2 run v2
         version v3
         crash staging-0 = deploying want v3 run v2 request v3#1
         version v3 rejected
         +10s
         look staging-0 = deploying want v2 run v2 withdraw v3#1
         look staging-0 = upToDate want v2 run v2
         measured staging-0 failed
         look staging-0 = deploying want v1 run v2 request v1#2",
    );
    // A rollout stays paused.
    check(
        "env staging 3
         policy slow on staging: rollout 60s
         version v1
         look staging-1 = deploying want v1 run - request v1#1
         end staging-1 failure
         look staging-1 = failed want v1 run -
         redeploy staging-1
         crash staging-1 = deploying want v1 run - request v1#2
         freeze staging
         +10s
         look staging-1 = deploying want v1 run - withdraw v1#2
         look staging-1 = waiting want - run -
         thaw
         +60s
         look staging-2 = waiting want - run -
         look staging-1 = deploying want v1 run - request v1#3",
    );
}
