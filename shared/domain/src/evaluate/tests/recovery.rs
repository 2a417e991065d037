//! Stories of what comes after a job: retries, rollbacks, verification.

use super::story::check;
use crate::decision::VerificationResult;

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
        check(&format!(
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
         look staging-0 = {} want {run} run {run}
         +1s
         version v3
         look staging-0 = deploying want v3 run {run} request v3#1",
            if ran_before { ran } else { "version between paused" },
            if ran_before { back } else { "" },
            if ran_before { "upToDate" } else { "noVersion" },
        ));
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
