//! Each field of a rule changes what comes of the same story.

use super::story::check;

/// Tells the story once with each rule, and what the last `look` says then.
#[track_caller]
fn with_each<const N: usize>(story: &str, rules: [(&str, &str); N]) {
    for (rule, says) in rules {
        check(&(story.replace("RULE", rule) + " = " + says));
    }
}

#[test]
fn only_the_approvers_count() {
    with_each(
        "env production 1
         policy gate on production: RULE
         version v1
         yes bob v1 production
         look production-0",
        [
            ("approvals 1", "deploying want v1 run - request v1#1"),
            ("approvals 2", "waiting want - run -"),
            ("approvals 1 by bob", "deploying want v1 run - request v1#1"),
            ("approvals 1 by ann", "waiting want - run -"),
        ],
    );
}

#[test]
fn a_veto_is_one_of_an_approver() {
    with_each(
        "env production 1
         policy gate on production: RULE
         version v1
         yes ann v1 production
         no bob v1 production
         look production-0",
        [
            ("approvals 1", "blocked want - run -"),
            ("approvals 1 by ann", "deploying want v1 run - request v1#1"),
        ],
    );
}

#[test]
fn the_makers_own_yes_counts_where_it_may() {
    with_each(
        "env production 1
         policy gate on production: RULE
         version v1
         yes maker v1 production
         look production-0",
        [
            ("approvals 1", "deploying want v1 run - request v1#1"),
            ("approvals 1 self no", "waiting want - run -"),
        ],
    );
}

#[test]
fn a_yes_counts_until_it_expires() {
    with_each(
        "env production 1
         policy gate on production: RULE
         version v1
         yes ann v1 production
         +10m
         look production-0",
        [
            ("approvals 1", "deploying want v1 run - request v1#1"),
            ("approvals 1 expires 10m", "waiting want - run -"),
            ("approvals 1 expires 11m", "deploying want v1 run - request v1#1"),
        ],
    );
}

#[test]
fn what_counts_as_a_success_of_staging_is_said() {
    for (end, only_success, also_skipped) in [
        ("successful", "deploying want v1 run - request v1#1", "deploying want v1 run - request v1#1"),
        ("skipped", "waiting want - run -", "deploying want v1 run - request v1#1"),
        ("failure", "waiting want - run -", "waiting want - run -"),
    ] {
        let story = format!(
            "env staging 1
             env production 1
             policy gate on production: RULE
             version v1
             look staging-0 = deploying want v1 run - request v1#1
             end staging-0 {end}
             look production-0"
        );
        with_each(
            &story,
            [
                ("after staging", only_success),
                ("after staging counting successful,skipped", also_skipped),
                (
                    "after staging counting failure",
                    match end {
                        "failure" => "deploying want v1 run - request v1#1",
                        _ => "waiting want - run -",
                    },
                ),
            ],
        );
    }
}

#[test]
fn share_soak_age_and_measures_of_staging_each_count() {
    with_each(
        "env staging 2
         env production 1
         policy gate on production: RULE
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         +1h
         look production-0",
        [
            ("after staging", "waiting want - run -"),
            ("after staging 50%", "deploying want v1 run - request v1#1"),
            ("after staging 51%", "waiting want - run -"),
            ("after staging 50% soak 60m", "deploying want v1 run - request v1#1"),
            ("after staging 50% soak 61m", "waiting want - run - next +60s"),
            ("after staging 50% age 1h", "blocked want - run -"),
            ("after staging 50% age 2h", "deploying want v1 run - request v1#1"),
            ("after staging 50% verified", "waiting want - run -"),
        ],
    );
}

#[test]
fn turns_come_by_the_interval_and_its_kind() {
    // The order of the three is by hash: for v1 it is 1, 2, 0.
    with_each(
        "env staging 3
         policy slow on staging: RULE
         version v1
         look staging-0",
        [
            ("rollout 60s", "waiting want - run - next +120s"),
            ("rollout 30s", "waiting want - run - next +60s"),
            ("rollout 60s normalized", "waiting want - run - next +40s"),
            ("rollout 30s normalized", "waiting want - run - next +20s"),
        ],
    );
}

#[test]
fn failures_pause_a_rollout_where_they_are_too_many_and_it_cares() {
    with_each(
        "env staging 3
         policy slow on staging: RULE
         version v1
         look staging-1 = deploying want v1 run - request v1#1
         end staging-1 failure
         +60s
         look staging-2",
        [
            ("rollout 60s", "waiting want - run -"),
            ("rollout 60s max 1", "deploying want v1 run - request v1#1"),
            ("rollout 60s regardless", "deploying want v1 run - request v1#1"),
        ],
    );
}

#[test]
fn a_window_is_open_by_its_rule_its_length_and_its_clock() {
    let noon = "FREQ=DAILY;BYHOUR=12;BYMINUTE=0;BYSECOND=0";
    let eleven = "FREQ=DAILY;BYHOUR=11;BYMINUTE=0;BYSECOND=0";
    let goes = "deploying want v2 run v1 request v2#1";
    let story = "at 2026-06-01T10:00:00Z
         env staging 1
         policy office on *: RULE
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         at 2026-06-01T12:29:59Z
         version v2
         look staging-0";
    for (rule, says) in [
        (format!("window {noon} for 60m"), goes),
        (format!("quiet {noon} for 60m"), "waiting want v1 run v1 next +1800s"),
        (format!("window {noon} for 30m"), "waiting want v1 run v1 next +84600s"),
        (format!("quiet {noon} for 30m"), goes),
        (format!("window {eleven} for 60m"), "waiting want v1 run v1 next +81000s"),
        // Noon in Berlin was two hours ago, in London one.
        (format!("window {noon} for 60m in Europe/Berlin"), "waiting want v1 run v1 next +77400s"),
        (format!("window {noon} for 120m in Europe/London"), goes),
    ] {
        with_each(story, [(&rule, says)]);
    }
}

#[test]
fn a_target_rests_as_long_as_it_says() {
    with_each(
        "env staging 1
         policy rest on *: RULE
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         +4m
         version v2
         look staging-0",
        [
            ("cooldown 4m", "deploying want v2 run v1 request v2#1"),
            ("cooldown 5m", "waiting want v1 run v1 next +59s"),
        ],
    );
}

#[test]
fn what_must_run_on_the_resource_is_what_the_rule_or_the_version_says() {
    with_each(
        "env staging 1
         policy database on *: RULE
         version v1
         db d1 on staging-0
         look staging-0",
        [
            ("needs deployment.slug == 'db'", "deploying want v1 run - request v1#1"),
            ("needs version.tag == 'd2'", "waiting want - run -"),
            ("needs deployment.slug == 'cache'", "waiting want - run -"),
        ],
    );
    check(
        "env staging 2
         version v1
         db d1 on staging-0
         v1 requires d2
         look staging-0 = waiting want - run -
         db d2 on staging-1
         look staging-0 = waiting want - run -
         look staging-1 = deploying want v1 run - request v1#1
         v1 requires d1
         look staging-0 = deploying want v1 run - request v1#1",
    );
}

#[test]
fn retries_go_by_number_pause_growth_cap_and_status() {
    with_each(
        "env staging 1
         policy again on *: RULE
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 failure
         +10s
         look staging-0 = deploying want v1 run - request v1#2
         end staging-0 failure
         look staging-0",
        [
            ("retry 1 pause 10s", "failed want v1 run -"),
            ("retry 2 pause 10s", "waiting want v1 run - next +10s"),
            ("retry 2 pause 5s", "waiting want v1 run - next +5s"),
            ("retry 2 pause 10s doubling", "waiting want v1 run - next +20s"),
            ("retry 2 pause 10s doubling cap 15s", "waiting want v1 run - next +15s"),
        ],
    );
    with_each(
        "env staging 1
         policy again on *: RULE
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 skipped
         look staging-0",
        [
            ("retry 1", "failed want v1 run -"),
            ("retry 1 on failure,skipped", "deploying want v1 run - request v1#2"),
        ],
    );
}

#[test]
fn a_rollback_comes_after_what_the_rule_names() {
    let second = "env staging 1
         policy mend on *: RULE
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         version v2
         look staging-0 = deploying want v2 run v1 request v2#1";
    let back = "deploying want v1 run v1 request v1#2";
    let stays = "failed want v2 run v1";
    for (end, on_failure, on_skipped) in [("failure", back, stays), ("skipped", stays, back)] {
        with_each(
            &format!("{second}\nend staging-0 {end}\nlook staging-0"),
            [
                ("rollback", on_failure),
                ("rollback on skipped", on_skipped),
                ("rollback on failure,skipped", back),
            ],
        );
    }
    with_each(
        "env staging 1
         policy watch on *: verified by sleep ; RULE
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         look staging-0 = upToDate want v1 run v1
         measured staging-0 passed
         version v2
         look staging-0 = deploying want v2 run v1 request v2#1
         end staging-0 successful
         look staging-0 = upToDate want v2 run v2
         measured staging-0 failed
         look staging-0",
        [
            ("rollback", "deploying want v1 run v2 request v1#2"),
            ("rollback unmeasured", "upToDate want v2 run v2"),
        ],
    );
}

#[test]
fn a_skip_holds_in_the_environment_it_names() {
    for (place, staging, production) in [
        ("in staging", "deploying want v1 run - request v1#1", "waiting want - run -"),
        ("in production", "waiting want - run -", "deploying want v1 run - request v1#1"),
    ] {
        check(&format!(
            "env staging 1
             env production 1
             policy gate on *: approvals 1
             version v1
             skip anyApproval of gate for v1 {place}
             look staging-0 = {staging}
             look production-0 = {production}"
        ));
    }
}
