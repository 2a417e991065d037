//! Stories of the gates: windows, cooldowns, rollouts, dependencies, and several of them together.

use super::story::check;

#[test]
fn the_first_deployment_ignores_a_closed_window_and_the_next_waits_for_its_opening() {
    check(
        "at 2026-06-01T10:00:00Z
         env staging 1
         policy office on *: window FREQ=DAILY;BYHOUR=14;BYMINUTE=0;BYSECOND=0 for 60m
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         at 2026-06-01T13:00:00Z
         version v2
         look staging-0 = waiting want v1 run v1 next +3599s
         at 2026-06-01T13:59:59Z
         look staging-0 = waiting want v1 run v1 next +1s
         +1s
         look staging-0 = deploying want v2 run v1 request v2#1
         end staging-0 successful
         at 2026-06-01T15:00:00Z
         version v3
         look staging-0 = waiting want v2 run v2 next +82799s",
    );
}

#[test]
fn a_window_of_quiet_keeps_out_what_comes_while_it_lasts() {
    check(
        "at 2026-06-01T10:00:00Z
         env staging 1
         policy lunch on *: quiet FREQ=DAILY;BYHOUR=12;BYMINUTE=0;BYSECOND=0 for 60m
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         at 2026-06-01T12:59:00Z
         version v2
         look staging-0 = waiting want v1 run v1 next +59s
         +59s
         look staging-0 = deploying want v2 run v1 request v2#1",
    );
}

#[test]
fn a_window_keeps_to_the_clock_on_the_wall_when_that_changes() {
    // Nine in Berlin is eight in UTC until the last Sunday of March, and seven after it.
    check(
        "at 2026-03-27T12:00:00Z
         env staging 1
         policy office on *: window FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0 for 60m in Europe/Berlin
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         at 2026-03-28T06:59:59Z
         version v2
         look staging-0 = waiting want v1 run v1 next +3600s
         at 2026-03-28T08:00:00Z
         look staging-0 = deploying want v2 run v1 request v2#1
         end staging-0 successful
         at 2026-03-29T06:59:58Z
         version v3
         look staging-0 = waiting want v2 run v2 next +1s
         +1s
         look staging-0 = deploying want v3 run v2 request v3#1",
    );
}

#[test]
fn a_soak_ends_at_the_second() {
    check(
        "env staging 1
         env production 1
         policy soak on production: after staging soak 10m
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         look production-0 = waiting want - run - next +600s
         +599s
         look production-0 = waiting want - run - next +1s
         +1s
         look production-0 = deploying want v1 run - request v1#1",
    );
}

#[test]
fn a_failed_staging_stops_production() {
    check(
        "env staging 1
         env production 1
         policy soak on production: after staging
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 failure
         look staging-0 = failed want v1 run -
         look production-0 = waiting want - run -",
    );
}

#[test]
fn production_may_ask_that_staging_was_measured_well() {
    check(
        "env staging 1
         env production 1
         policy measure on staging: verified by sleep
         policy gate on production: after staging verified
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         look staging-0 = upToDate want v1 run v1
         look production-0 = waiting want - run -
         measured staging-0 passed
         look production-0 = deploying want v1 run - request v1#1",
    );
}

#[test]
fn a_success_that_nothing_measured_is_none_where_measures_are_asked_for() {
    check(
        "env staging 1
         env production 1
         policy gate on production: after staging verified
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         look production-0 = waiting want - run -",
    );
}

#[test]
fn a_target_rests_after_a_deploy_and_waits_for_one_that_is_on_its_way() {
    check(
        "env staging 1
         policy rest on *: cooldown 10m
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         version v2
         look staging-0 = deploying want v1 run -
         end staging-0 successful
         look staging-0 = waiting want v1 run v1 next +600s
         +600s
         look staging-0 = deploying want v2 run v1 request v2#1",
    );
}

#[test]
fn a_rollout_goes_from_one_target_to_the_next_to_the_second() {
    // The order of the three is by hash: for v1 it is 1, 2, 0.
    check(
        "env staging 3
         policy slow on staging: rollout 60s
         version v1
         look staging-1 = deploying want v1 run - request v1#1
         look staging-0 = waiting want - run - next +120s
         look staging-2 = waiting want - run - next +60s
         +60s
         look staging-2 = deploying want v1 run - request v1#1
         look staging-0 = waiting want - run - next +60s",
    );
}

#[test]
fn one_bad_target_pauses_the_rollout_until_it_is_mended_or_somebody_resumes_it() {
    let paused = "env staging 3
         policy slow on staging: rollout 60s
         version v1
         look staging-1 = deploying want v1 run - request v1#1
         look staging-2 = waiting want - run - next +60s
         end staging-1 failure
         +60s
         look staging-2 = waiting want - run -";
    check(&format!(
        "{paused}
         again staging-1
         end staging-1 successful
         look staging-2 = deploying want v1 run - request v1#1"
    ));
    check(&format!(
        "{paused}
         +1s
         resume v1 in staging
         look staging-2 = waiting want - run - next +60s
         +60s
         look staging-2 = deploying want v1 run - request v1#1"
    ));
}

#[test]
fn what_was_due_while_a_rollout_was_paused_does_not_start_at_once() {
    // The order of the three is by hash: for v1 it is 1, 2, 0.
    check(
        "env staging 3
         policy slow on staging: rollout 60s
         version v1
         look staging-1 = deploying want v1 run - request v1#1
         end staging-1 successful
         +30s
         pause v1 in staging
         +3600s
         look staging-2 = waiting want - run -
         look staging-0 = waiting want - run -
         resume v1 in staging
         look staging-2 = waiting want - run - next +30s
         look staging-0 = waiting want - run - next +90s
         +30s
         look staging-2 = deploying want v1 run - request v1#1
         pause v1 in staging
         +600s
         resume v1 in staging
         look staging-0 = waiting want - run - next +60s",
    );
}

#[test]
fn a_failure_that_is_allowed_for_pauses_nothing() {
    check(
        "env staging 3
         policy slow on staging: rollout 60s max 1
         version v1
         look staging-1 = deploying want v1 run - request v1#1
         end staging-1 failure
         +60s
         look staging-2 = deploying want v1 run - request v1#1",
    );
}

#[test]
fn a_version_that_is_measured_badly_pauses_the_rollout() {
    check(
        "env staging 3
         policy slow on staging: rollout 60s ; verified by sleep
         version v1
         look staging-1 = deploying want v1 run - request v1#1
         end staging-1 successful
         look staging-1 = upToDate want v1 run v1
         measured staging-1 failed
         +60s
         look staging-2 = waiting want - run -",
    );
}

#[test]
fn a_target_that_comes_later_moves_no_one() {
    check(
        "env staging 3
         policy slow on staging: rollout 60s
         version v1
         look staging-1 = deploying want v1 run - request v1#1
         look staging-0 = waiting want - run - next +120s
         look staging-2 = waiting want - run - next +60s
         env staging 9
         look staging-0 = waiting want - run - next +120s
         look staging-2 = waiting want - run - next +60s",
    );
}

#[test]
fn another_deployment_must_run_on_the_resource_first() {
    check(
        "env staging 2
         policy database on *: needs deployment.name == 'db' && version.tag == 'd2'
         version v1
         look staging-0 = waiting want - run -
         db d1 on staging-0
         look staging-0 = waiting want - run -
         db d2 on staging-1
         look staging-0 = waiting want - run -
         look staging-1 = deploying want v1 run - request v1#1
         db d2 on staging-0 failure
         look staging-0 = waiting want - run -",
    );
}

#[test]
fn approval_progression_rollout_and_window_together() {
    // Approved at night; the rollout starts when the window opens, not before, and not for all at once.
    check(
        "at 2026-06-01T06:00:00Z
         env staging 1
         env production 3
         version v0
         look staging-0 = deploying want v0 run - request v0#1
         end staging-0 successful
         look production-0 = deploying want v0 run - request v0#1
         end production-0 successful
         look production-1 = deploying want v0 run - request v0#1
         end production-1 successful
         look production-2 = deploying want v0 run - request v0#1
         end production-2 successful
         policy careful on production: approvals 1 ; after staging ; rollout 60s ; window FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0 for 60m
         at 2026-06-01T20:00:00Z
         version v1
         look production-0 = waiting want v0 run v0 next +46799s
         look staging-0 = deploying want v1 run v0 request v1#1
         end staging-0 successful
         yes ann v1 production
         look production-0 = waiting want v0 run v0 next +46799s
         at 2026-06-02T09:00:00Z
         look production-1 = waiting want v0 run v0 next +60s
         look production-0 = deploying want v1 run v0 request v1#1
         look production-2 = waiting want v0 run v0 next +120s
         +60s
         look production-1 = deploying want v1 run v0 request v1#1",
    );
}

#[test]
fn a_policy_that_is_disabled_or_elsewhere_says_nothing() {
    let world = check(
        "env staging 1
         env production 1
         disabled gate on staging: approvals 1
         policy other on production: approvals 1
         version v1
         look staging-0 = deploying want v1 run - request v1#1",
    );
    assert!(world.decisions["staging-0"].considered[0].rules.is_empty());
}
