//! Stories of what people say against the ordinary course: vetoes, skips, freezes, pins, redeployments, pauses.

use super::story::check;

#[test]
fn a_veto_after_an_approval_blocks() {
    check(
        "env production 1
         policy gate on production: approvals 1
         version v1
         look production-0 = waiting want - run -
         yes ann v1 production
         no bob v1 production
         look production-0 = blocked want - run -",
    );
}

#[test]
fn a_skip_of_one_rule_leaves_the_other() {
    check(
        "env production 1
         policy gate on production: approvals 1 ; versions version.tag != 'v1'
         version v1
         skip anyApproval of gate for v1
         look production-0 = blocked want - run -",
    );
}

#[test]
fn a_skip_holds_only_where_it_says() {
    check(
        "env production 2
         policy gate on production: approvals 1
         version v1
         skip anyApproval of gate for v1 on production-0
         look production-0 = deploying want v1 run - request v1#1
         look production-1 = waiting want - run -",
    );
}

#[test]
fn a_skip_ends_with_the_policy_as_it_was_and_may_be_said_again() {
    let world = check(
        "env production 2
         policy gate on production: approvals 1
         version v1
         skip anyApproval of gate for v1 index 0
         look production-0 = deploying want v1 run - request v1#1
         +1s
         policy gate on production: approvals 2 ; approvals 1
         look production-1 = waiting want - run -
         +1s
         delete skip skip
         skip anyApproval of gate for v1 index 0
         skip anyApproval of gate for v1 index 1
         look production-1 = deploying want v1 run - request v1#1",
    );
    let mut world = world;
    world.step("+1s");
    world.step("policy gate on production: approvals 2 ; approvals 1");
    let summary = world.decide("production-1").decision.considered[0].rules[0].reason.clone();
    let said = "0 of 2 approvals in production; the skip by ann holds no more: the policy was changed at ";
    assert!(summary.starts_with(said), "{summary}");
}

#[test]
fn an_expired_skip_blocks_again() {
    check(
        "env production 2
         policy gate on production: approvals 1
         version v1
         skip anyApproval of gate for v1 until 10m
         look production-0 = deploying want v1 run - request v1#1
         +10m
         look production-1 = waiting want - run -",
    );
}

#[test]
fn a_freeze_stops_what_has_not_started_and_thaws_to_the_second() {
    check(
        "env staging 1
         env production 1
         version v1
         freeze production for 10m
         look staging-0 = deploying want v1 run - request v1#1
         look production-0 = waiting want - run - next +600s
         +600s
         look production-0 = deploying want v1 run - request v1#1",
    );
    check(
        "env production 1
         version v1
         freeze production
         look production-0 = waiting want - run -
         thaw
         look production-0 = deploying want v1 run - request v1#1",
    );
}

#[test]
fn a_pin_goes_back_to_an_older_version_and_stays_there() {
    check(
        "env staging 1
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         version v2
         look staging-0 = deploying want v2 run v1 request v2#1
         end staging-0 successful
         pin v1 in staging
         look staging-0 = deploying want v1 run v2 request v1#2
         end staging-0 successful
         version v3
         look staging-0 = blocked want v1 run v1
         unpin
         look staging-0 = deploying want v3 run v1 request v3#1",
    );
}

#[test]
fn a_redeployment_happens_once_and_only_when_the_gates_allow_it() {
    check(
        "env staging 1
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         look staging-0 = upToDate want v1 run v1
         redeploy staging-0
         freeze staging for 10m
         look staging-0 = waiting want v1 run v1 next +600s
         +600s
         look staging-0 = deploying want v1 run v1 request v1#2
         look staging-0 = deploying want v1 run v1
         end staging-0 successful
         look staging-0 = upToDate want v1 run v1",
    );
}

#[test]
fn a_redeployment_is_another_try_of_what_failed() {
    check(
        "env staging 1
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 failure
         look staging-0 = failed want v1 run -
         redeploy staging-0
         look staging-0 = deploying want v1 run - request v1#2
         end staging-0 failure
         look staging-0 = failed want v1 run -",
    );
}

#[test]
fn a_person_pauses_a_rollout_and_lets_it_go_on() {
    check(
        "env staging 3
         policy slow on staging: rollout 60s
         version v1
         pause v1 in staging
         look staging-1 = waiting want - run -
         resume v1 in staging
         look staging-1 = deploying want v1 run - request v1#1",
    );
}

#[test]
fn an_older_version_that_is_pinned_comes_also_where_a_newer_one_is_held() {
    check(
        "env staging 1
         policy mend on *: rollback
         version v1
         version v2
         look staging-0 = deploying want v2 run - request v2#1
         end staging-0 failure
         look staging-0 = blocked want - run -
         pin v1 in staging
         look staging-0 = deploying want v1 run - request v1#1",
    );
}
