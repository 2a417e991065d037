//! Stories of what a decision remembers beyond what it shows, and of what cannot be told.

use super::story::check;
use crate::decision::TargetDecision;

fn summary<'w>(decisions: &'w std::collections::BTreeMap<String, TargetDecision>, target: &str) -> &'w str {
    &decisions[target].summary
}

#[test]
fn where_it_cannot_be_told_what_staging_has_production_is_denied() {
    let world = check(
        "env staging 1
         env production 1
         policy after on production: after staging
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         break staging
         look production-0 = blocked want - run -",
    );
    let why = summary(&world.decisions, "production-0");
    assert!(why.contains("which targets staging has cannot be told"), "{why}");
}

#[test]
fn a_success_that_nobody_verifies_is_told_to_be_one() {
    let world = check(
        "env staging 1
         env production 1
         policy after on production: after staging verified
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         look production-0 = waiting want - run -",
    );
    let why = summary(&world.decisions, "production-0");
    assert!(why.contains("on 1 it succeeded and no policy verifies it there"), "{why}");
}

#[test]
fn the_row_of_failures_outlives_the_facts() {
    check(
        "env staging 1
         policy again on *: retry 2 pause 10s
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 failure
         +10s
         look staging-0 = deploying want v1 run - request v1#2
         end staging-0 failure
         look staging-0 = waiting want v1 run - next +10s
         forget
         +10s
         look staging-0 = deploying want v1 run - request v1#3
         look staging-0 = deploying want v1 run -
         end staging-0 failure
         look staging-0 = failed want v1 run -
         forget
         +1h
         look staging-0 = failed want v1 run -",
    );
}

#[test]
fn a_success_or_a_wish_ends_the_row_that_is_remembered() {
    let failed_once = "env staging 1
         policy again on *: retry 1 pause 10s
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 failure
         look staging-0 = waiting want v1 run - next +10s
         forget";
    check(&format!(
        "{failed_once}
         version v2
         look staging-0 = deploying want v2 run - request v2#1
         end staging-0 successful
         look staging-0 = upToDate want v2 run v2
         version v2 rejected
         look staging-0 = deploying want v1 run v2 request v1#2"
    ));
    check(&format!(
        "{failed_once}
         redeploy staging-0
         look staging-0 = deploying want v1 run - request v1#2
         end staging-0 failure
         look staging-0 = waiting want v1 run - next +10s"
    ));
}

#[test]
fn other_variables_lift_the_hold_of_what_was_measured_badly() {
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
         vars staging-0 region=eu
         measured staging-0 failed
         look staging-0 = deploying want v2 run v2 request v2#1",
    );
}

#[test]
fn of_targets_whose_turn_comes_at_once_a_failure_of_an_earlier_one_stops_the_others() {
    // The order is by hash: here it is 1, 2, 0.
    let world = check(
        "env staging 3
         policy slow on *: rollout 0s
         version v1
         look staging-2 = deploying want v1 run - request v1#1
         end staging-2 failure
         look staging-1 = deploying want v1 run - request v1#1
         look staging-0 = waiting want - run -",
    );
    let why = summary(&world.decisions, "staging-0");
    assert!(why.contains("failed on 1 earlier targets"), "{why}");
}

#[test]
fn a_wish_for_what_is_not_chosen_is_told() {
    let world = check(
        "env staging 1
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         version v2
         look staging-0 = deploying want v2 run v1 request v2#1
         end staging-0 successful
         redeploy staging-0 v1
         look staging-0 = upToDate want v2 run v2",
    );
    let why = summary(&world.decisions, "staging-0");
    assert!(why.contains("v1 is to be deployed once more as soon as"), "{why}");
}

#[test]
fn what_is_not_shown_still_keeps_its_place_and_wakes() {
    let mut world = check(
        "env staging 2
         env production 1
         policy slow on staging: rollout 600s
         policy gate on staging: versions version.tag == 'v1'
         policy after on production: after staging ; versions version.tag == 'v1'
         version v1
         look staging-1 = deploying want v1 run - request v1#1
         end staging-1 successful
         look staging-0 = waiting want - run - next +600s",
    );
    let first = world.decisions["staging-0"].rollout_places().next();
    for n in 2..15 {
        world.step(&format!("version v{n}"));
    }
    for _ in 0..2 {
        world.step("look staging-0");
        world.step("look production-0");
    }
    let shown = &world.decisions["staging-0"];
    assert_eq!(shown.considered.len(), 10);
    assert!(first.is_some() && shown.rollout_places().any(|place| Some(place) == first));
    assert!(world.decisions["production-0"].waits_for.contains("environmentProgression"));
}

#[test]
fn where_it_cannot_be_told_what_the_deployment_selects_in_staging_production_is_denied() {
    let world = check(
        "choosy
         env staging 1
         env production 1
         policy after on production: after staging
         version v1
         look production-0 = blocked want - run -",
    );
    let why = summary(&world.decisions, "production-0");
    assert!(why.contains("which targets staging has cannot be told"), "{why}");
}

#[test]
fn a_rollout_begins_when_the_freeze_before_it_ends() {
    check(
        "env staging 2
         policy slow on staging: rollout 60s
         freeze staging for 10m
         version v1
         look staging-1 = waiting want - run - next +599s
         +599s
         look staging-1 = deploying want v1 run - request v1#1
         look staging-0 = waiting want - run - next +60s",
    );
}

#[test]
fn a_rollout_begins_when_somebody_thaws_the_freeze_before_it() {
    check(
        "env staging 2
         policy slow on staging: rollout 60s
         freeze staging
         version v1
         look staging-1 = waiting want - run -
         +10m
         thaw
         look staging-1 = deploying want v1 run - request v1#1
         look staging-0 = waiting want - run - next +60s
         +59s
         look staging-0 = waiting want - run - next +1s
         +1s
         look staging-0 = deploying want v1 run - request v1#1",
    );
}

#[test]
fn a_rollout_begins_when_what_it_depends_on_runs() {
    check(
        "env staging 2
         policy slow on staging: rollout 60s ; needs deployment.slug == 'db'
         version v1
         look staging-1 = waiting want - run -
         +1h
         db v7 on staging-1
         db v7 on staging-0
         look staging-1 = deploying want v1 run - request v1#1
         look staging-0 = waiting want - run - next +60s",
    );
}

#[test]
fn what_is_pinned_is_asked_however_many_newer_versions_there_are() {
    let mut world = check("env staging 1\nversion v0");
    for n in 1..205 {
        world.step(&format!("version v{n}"));
    }
    world.step("pin v0 in staging");
    assert_eq!(world.step("look staging-0").as_deref(), Some("deploying want v0 run - request v0#1"));
}

#[test]
fn what_runs_elsewhere_counts_after_the_facts_have_forgotten_how_it_came_there() {
    let forgotten = |rule: &str| {
        format!(
            "env staging 1
             env production 1
             policy after on production: after {rule}
             version v1
             look staging-0 = deploying want v1 run - request v1#1
             end staging-0 successful
             look staging-0 = upToDate want v1 run v1
             forget\n"
        )
    };
    check(&(forgotten("staging") + "look production-0 = deploying want v1 run - request v1#1"));
    check(&(forgotten("staging verified") + "look production-0 = waiting want - run -"));
}

#[test]
fn a_rollout_that_failed_stays_paused_after_the_facts_have_forgotten_the_failure() {
    let failed = "env staging 3
         policy slow on staging: rollout 60s
         version v1
         look staging-1 = deploying want v1 run - request v1#1
         end staging-1 failure
         look staging-1 = failed want v1 run -";
    check(&format!(
        "{failed}
         +60s
         look staging-2 = waiting want - run -
         forget
         look staging-2 = waiting want - run -
         +1s
         resume v1 in staging
         +60s
         look staging-2 = deploying want v1 run - request v1#1"
    ));
    check(&format!(
        "{failed}
         forget
         redeploy staging-1
         look staging-1 = deploying want v1 run - request v1#2
         +60s
         look staging-2 = waiting want - run -
         end staging-1 successful
         look staging-1 = upToDate want v1 run v1
         look staging-2 = deploying want v1 run - request v1#1"
    ));
}
