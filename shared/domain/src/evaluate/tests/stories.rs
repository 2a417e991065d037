//! Decisions told as stories; the vocabulary is in `story`.

use super::story::{World, check, workspace};
use crate::decision::{ConsideredVersion, TargetDecision, Verdict};
use crate::entity::{CatalogKey, Kind};

#[test]
fn the_first_version_goes_everywhere_it_may() {
    check(
        "env staging 1
         look staging-0 = noVersion want - run -
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         look staging-0 = deploying want v1 run -
         end staging-0 successful
         look staging-0 = upToDate want v1 run v1
         version v2
         look staging-0 = deploying want v2 run v1 request v2#1",
    );
}

#[test]
fn only_ready_versions_are_candidates() {
    check(
        "env staging 1
         version v1
         version v2 building
         version v3 failed
         version v4 paused
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         version v2
         look staging-0 = deploying want v2 run v1 request v2#1",
    );
}

#[test]
fn a_blocked_newest_version_does_not_hold_back_an_older_one() {
    check(
        "env staging 1
         policy no2 on *: versions version.tag != 'v2'
         version v1
         version v2
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         look staging-0 = blocked want v1 run v1",
    );
}

#[test]
fn what_runs_is_never_replaced_by_an_older_version() {
    check(
        "env staging 1
         version v1
         version v2
         look staging-0 = deploying want v2 run - request v2#1
         policy no2 on *: versions version.tag != 'v2'
         look staging-0 = deploying want v2 run -
         end staging-0 successful
         look staging-0 = upToDate want v2 run v2
         version v2 paused
         look staging-0 = upToDate want v2 run v2",
    );
}

#[test]
fn a_rejected_version_goes_back_to_the_newest_passing_older_one() {
    check(
        "env staging 1
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         version v2
         look staging-0 = deploying want v2 run v1 request v2#1
         end staging-0 successful
         look staging-0 = upToDate want v2 run v2
         version v2 rejected
         look staging-0 = deploying want v1 run v2 request v1#2
         end staging-0 successful
         look staging-0 = upToDate want v1 run v1
         version v2
         look staging-0 = deploying want v2 run v1 request v2#2",
    );
}

#[test]
fn a_rejected_version_without_a_passing_older_one_stays_and_says_so() {
    let world = check(
        "env staging 1
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         version v1 rejected
         look staging-0 = blocked want - run v1",
    );
    let summary = &world.decisions["staging-0"].summary;
    assert_eq!(summary, "v1 runs although it is rejected: no older version passes");
}

#[test]
fn a_deleted_version_is_replaced_only_by_what_came_after_it() {
    check(
        "env staging 1
         version v1
         version v2
         look staging-0 = deploying want v2 run - request v2#1
         end staging-0 successful
         delete version v2
         look staging-0 = upToDate want v2 run v2
         version v3
         look staging-0 = deploying want v3 run v2 request v3#1",
    );
}

#[test]
fn a_release_that_comes_back_after_the_stream_forgot_it_gets_a_job_of_its_own() {
    check(
        "env staging 1
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         look staging-0 = upToDate want v1 run v1
         forget
         version v2
         look staging-0 = deploying want v2 run v1 request v2#1
         end staging-0 successful
         look staging-0 = upToDate want v2 run v2
         forget
         version v3
         look staging-0 = deploying want v3 run v2 request v3#1
         end staging-0 successful
         look staging-0 = upToDate want v3 run v3
         forget
         version v3 rejected
         version v2 rejected
         look staging-0 = deploying want v1 run v3 request v1#2
         end staging-0 successful
         look staging-0 = upToDate want v1 run v1
         forget
         version v2
         look staging-0 = deploying want v2 run v1 request v2#2",
    );
}

#[test]
fn the_attempts_of_the_last_sixteen_releases_are_remembered() {
    let mut story = String::from("env staging 1\n");
    for n in 1..=20 {
        let run = if n == 1 { "-".to_owned() } else { format!("v{}", n - 1) };
        story.push_str(&format!(
            "version v{n}
             look staging-0 = deploying want v{n} run {run} request v{n}#1
             end staging-0 successful
             look staging-0 = upToDate want v{n} run v{n}
             forget\n"
        ));
    }
    let decision = &check(&story).decisions["staging-0"];
    assert_eq!(decision.attempts.len(), 16);
    let current = decision.current.as_ref().unwrap().release;
    assert_eq!((decision.attempts[0].release, decision.attempts[0].attempt), (current, 1), "newest first");
    let mut before = serde_json::to_value(decision).unwrap();
    let fields = before.as_object_mut().unwrap();
    assert!(fields.remove("attempts").is_some() && fields.remove("catalogRevision").is_some());
    let before: TargetDecision = serde_json::from_value(before).unwrap();
    assert!(before.attempts.is_empty() && before.catalog_revision == 0, "older decisions can be read");
}

#[test]
fn a_failed_job_is_not_tried_again_until_something_newer_comes() {
    let world = check(
        "env staging 1
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         version v2
         look staging-0 = deploying want v2 run v1 request v2#1
         end staging-0 failure timed_out
         look staging-0 = failed want v2 run v1
         +1h
         look staging-0 = failed want v2 run v1",
    );
    let summary = &world.decisions["staging-0"].summary;
    assert_eq!(summary, "the last job of v2 ended as failure, timed out; v1 runs");
    check(
        "env staging 1
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 cancelled cancelled_by_user
         look staging-0 = failed want v1 run -
         version v2
         look staging-0 = deploying want v2 run - request v2#1
         end staging-0 failure
         version v2 rejected
         look staging-0 = failed want v1 run -",
    );
}

#[test]
fn a_failure_is_forgiven_once_something_else_succeeded() {
    check(
        "env staging 1
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 failure
         version v2
         look staging-0 = deploying want v2 run - request v2#1
         end staging-0 successful
         version v2 rejected
         look staging-0 = deploying want v1 run v2 request v1#2
         end staging-0 failure
         look staging-0 = failed want v1 run v2",
    );
}

#[test]
fn a_job_that_runs_again_is_active_again() {
    check(
        "env staging 1
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 failure
         look staging-0 = failed want v1 run -
         again staging-0
         look staging-0 = deploying want v1 run -
         version v2
         look staging-0 = deploying want v2 run -
         end staging-0 successful
         look staging-0 = deploying want v2 run v1 request v2#1
         end staging-0 successful
         look staging-0 = upToDate want v2 run v2
         again staging-0
         look staging-0 = deploying want v2 run v2
         end staging-0 failure
         look staging-0 = upToDate want v2 run v2",
    );
}

#[test]
fn one_job_at_a_time_and_the_next_version_waits_for_it() {
    check(
        "env staging 1
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         version v2
         look staging-0 = deploying want v2 run -
         version v3
         look staging-0 = deploying want v3 run -
         end staging-0 failure
         look staging-0 = deploying want v3 run - request v3#1",
    );
}

#[test]
fn a_newer_version_supersedes_where_the_deployment_says_so() {
    check(
        "env staging 1
         supersede
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         version v2
         look staging-0 = deploying want v2 run - supersede v1#1
         look staging-0 = deploying want v2 run -
         end staging-0 cancelled superseded
         look staging-0 = deploying want v2 run - request v2#1
         version v2 rejected
         look staging-0 = deploying want v1 run - supersede v2#1
         end staging-0 cancelled superseded
         look staging-0 = deploying want v1 run - request v1#2",
    );
}

#[test]
fn a_job_that_was_decided_and_never_requested_is_requested_again() {
    check(
        "env staging 1
         version v1
         crash staging-0 = deploying want v1 run - request v1#1
         look staging-0 = deploying want v1 run - request v1#1
         look staging-0 = deploying want v1 run -",
    );
    check(
        "env staging 1
         supersede
         version v1
         crash staging-0 = deploying want v1 run - request v1#1
         version v2
         look staging-0 = deploying want v2 run - next +9s
         +9s
         crash staging-0 = deploying want v2 run - withdraw v1#1
         look staging-0 = deploying want v2 run - withdraw v1#1
         look staging-0 = deploying want v2 run - request v2#1",
    );
    check(
        "env staging 1
         supersede
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         version v2
         crash staging-0 = deploying want v2 run - supersede v1#1
         look staging-0 = deploying want v2 run - supersede v1#1
         look staging-0 = deploying want v2 run -",
    );
}

#[test]
fn a_job_that_was_decided_waits_while_an_older_one_runs_again() {
    let world = check(
        "env production 1
         version v1
         look production-0 = deploying want v1 run - request v1#1
         end production-0 successful
         version v2
         crash production-0 = deploying want v2 run v1 request v2#1
         again production-0
         look production-0 = deploying want v2 run v1
         look production-0 = deploying want v2 run v1",
    );
    let decision = &world.decisions["production-0"];
    assert_eq!(decision.summary, "v2 comes when the job of v1 (attempt 1) is over");
    assert_eq!(decision.active.as_ref().map(|active| active.tag.as_str()), Some("v2"));
    for end in ["successful", "failure"] {
        let story = "env production 1
         version v1
         look production-0 = deploying want v1 run - request v1#1
         end production-0 successful
         version v2
         crash production-0 = deploying want v2 run v1 request v2#1
         again production-0
         look production-0 = deploying want v2 run v1
         version v3
         look production-0 = deploying want v3 run v1 next +9s
         end production-0 END
         look production-0 = deploying want v3 run v1 next +9s
         +9s
         look production-0 = deploying want v3 run v1 withdraw v2#1
         look production-0 = deploying want v3 run v1 request v3#1";
        check(&story.replace("END", end));
    }
    check(
        "env production 1
         supersede
         version v1
         look production-0 = deploying want v1 run - request v1#1
         end production-0 successful
         version v2
         crash production-0 = deploying want v2 run v1 request v2#1
         again production-0
         look production-0 = deploying want v2 run v1 supersede v1#1
         look production-0 = deploying want v2 run v1
         end production-0 cancelled superseded
         look production-0 = deploying want v2 run v1 request v2#1",
    );
    let gone = check(
        "env production 1
         version v1
         look production-0 = deploying want v1 run - request v1#1
         end production-0 failure
         version v2
         crash production-0 = deploying want v2 run - request v2#1
         again production-0
         delete resource production-0
         look production-0 = gone want - run -",
    );
    let active = gone.decisions["production-0"].active.as_ref();
    assert_eq!(active.map(|active| active.tag.as_str()), Some("v1"), "what runs, runs");
}

#[test]
fn changed_variables_make_a_new_release() {
    check(
        "env staging 1
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 successful
         vars staging-0 region=eu
         look staging-0 = deploying want v1 run v1 request v1#1
         end staging-0 successful
         look staging-0 = upToDate want v1 run v1",
    );
}

#[test]
fn a_target_that_is_gone_asks_for_nothing_and_remembers() {
    check(
        "env staging 2
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         crash staging-1 = deploying want v1 run - request v1#1
         delete resource staging-0
         delete resource staging-1
         look staging-0 = gone want - run -
         look staging-1 = gone want - run -
         end staging-0 successful
         look staging-0 = gone want - run v1
         env staging 1
         version v2
         look staging-0 = deploying want v2 run v1 request v2#1",
    );
}

#[test]
fn a_target_of_which_the_selection_cannot_be_told_says_so_and_keeps_its_job() {
    use crate::entity::{Entity, Environment, Record};
    let mut world = check(
        "env staging 1
         version v1
         look staging-0 = deploying want v1 run - request v1#1",
    );
    let staging = world.entities.values().find_map(|entity| {
        if let Entity::Environment(record) = entity { Some(record.clone()) } else { None }
    });
    let Record { meta, spec } = staging.unwrap();
    let resource_selector = "resource.metadata.nothing.here == 'x'".to_owned();
    world.put(Entity::Environment(Record { meta, spec: Environment { resource_selector, ..spec } }));
    let outcome = world.decide("staging-0");
    assert!(outcome.decision.summary.contains("cannot be told"), "{}", outcome.decision.summary);
    assert!(outcome.decision.active.is_some() && outcome.supersede.is_none());
}

#[test]
fn what_cannot_be_read_blocks() {
    let after = "after staging 50%";
    for (gate, kind) in [
        ("approvals 1", "policy"),
        ("approvals 1", "approval"),
        ("approvals 1", "freeze"),
        ("approvals 1", "pin"),
        ("rollout 60s", "rolloutControl"),
        ("rollout 60s", "resource"),
        (after, "resource"),
        (after, "environment"),
    ] {
        let world = check(&format!(
            "env staging 2
             env production 1
             policy gate on production: {gate}
             version v1
             yes ann v1 production
             look staging-0 = deploying want v1 run - request v1#1
             end staging-0 successful"
        ));
        let allowed = world.decide("production-0").decision;
        assert!(allowed.considered[0].allowed, "{gate}: {}", allowed.summary);
        let mut world = world;
        let kind = Kind::parse(kind).unwrap();
        let key = CatalogKey { workspace: workspace(), kind, id: uuid::Uuid::nil() };
        world.catalog.apply(&key.to_string(), Some(b"{}"), 1_000);
        let decision = world.decide("production-0").decision;
        assert!(!decision.considered[0].allowed, "{gate}: {kind:?}");
        assert!(decision.considered[0].rules.iter().any(|rule| rule.error), "{gate}: {kind:?}");
        assert!(decision.summary.contains("cannot be read"), "{kind:?}: {}", decision.summary);
    }
}

#[test]
fn a_target_that_cannot_be_read_is_missed_and_opens_no_gate() {
    for what in ["resource staging-0", "resource staging-1", "environment staging"] {
        let world = check(&format!(
            "env staging 2
             env production 1
             policy gate on production: after staging
             version v1
             look staging-0 = deploying want v1 run - request v1#1
             end staging-0 successful
             look production-0 = waiting want - run -
             unreadable {what}
             look production-0 = blocked want - run -
             readable {what}
             look production-0 = waiting want - run -"
        ));
        assert!(world.decisions["production-0"].summary.contains("waits"));
    }
}

#[test]
fn approvals_are_waited_for_count_once_and_can_be_vetoed() {
    let world = check(
        "env production 1
         policy gate on production: approvals 2
         version v1
         look production-0 = waiting want - run -
         yes ann v1 production
         yes ann v1 production
         look production-0 = waiting want - run -
         yes bob v1 production
         look production-0 = deploying want v1 run - request v1#1
         end production-0 successful
         version v2
         yes ann v2 production
         yes bob v2 production
         no cid v2 production
         look production-0 = blocked want v1 run v1
         yes cid v2 production
         look production-0 = deploying want v2 run v1 request v2#1",
    );
    assert_eq!(world.decisions["production-0"].summary, "v2 is on its way (attempt 1)");
}

#[test]
fn a_version_older_than_the_policy_is_grandfathered() {
    check(
        "env production 1
         version v1
         +1m
         policy gate on production: approvals 1
         look production-0 = deploying want v1 run - request v1#1
         end production-0 successful
         version v2
         look production-0 = waiting want v1 run v1",
    );
}

#[test]
fn an_approval_expires_at_its_instant() {
    check(
        "env production 1
         policy gate on production: approvals 2 expires 10m
         version v1
         yes ann v1 production
         +10m
         yes bob v1 production
         look production-0 = waiting want - run -
         yes ann v1 production
         look production-0 = deploying want v1 run - request v1#1
         version v2
         yes ann v2 production
         yes bob v2 production
         +1m
         look production-0 = deploying want v2 run - next +540s
         +9m
         look production-0 = deploying want v1 run -",
    );
}

#[test]
fn production_follows_staging_after_the_exact_soak() {
    let world = check(
        "env staging 2
         env production 1
         policy gate on production: after staging soak 10m
         version v1
         look production-0 = waiting want - run -
         look staging-0 = deploying want v1 run - request v1#1
         look staging-1 = deploying want v1 run - request v1#1
         end staging-0 successful
         look production-0 = waiting want - run -
         +5m
         end staging-1 successful
         look production-0 = waiting want - run - next +600s
         +599s
         look production-0 = waiting want - run - next +1s
         +1s
         look production-0 = deploying want v1 run - request v1#1",
    );
    assert!(world.decisions["staging-0"].next_look.is_none());
}

#[test]
fn half_of_staging_may_be_enough_and_old_news_is_not() {
    check(
        "env staging 2
         env production 1
         policy gate on production: after staging 50% age 2h
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         look staging-1 = deploying want v1 run - request v1#1
         end staging-0 failure
         look production-0 = waiting want - run -
         end staging-1 successful
         +2h
         look production-0 = blocked want - run -",
    );
}

#[test]
fn an_empty_environment_lets_pass_and_no_environment_does_not() {
    check(
        "env staging 0
         env production 1
         policy gate on production: after staging
         version v1
         look production-0 = deploying want v1 run - request v1#1",
    );
    check(
        "env production 2
         policy gate on production: after production
         version v1
         look production-0 = blocked want - run -",
    );
}

#[test]
fn what_cannot_be_evaluated_blocks_and_says_so() {
    for gate in [
        "policy gate on broken: approvals 1",
        "policy gate on production: versions version.nothing.here == 1",
        "policy gate on production: versions this is not CEL",
        "policy gate on production: after broken",
    ] {
        let world = check(&format!(
            "env staging 1
             env production 1
             {gate}
             version v1
             look production-0 = blocked want - run -"
        ));
        let summary = &world.decisions["production-0"].summary;
        assert!(summary.contains("cannot be evaluated"), "{gate}: {summary}");
        let rules = &world.decisions["production-0"].considered[0].rules;
        assert!(rules.iter().all(|rule| rule.error == (rule.verdict == Verdict::Deny)), "{rules:?}");
    }
}

#[test]
fn a_policy_that_is_deleted_lets_go() {
    check(
        "env production 1
         policy gate on production: approvals 1
         version v1
         look production-0 = waiting want - run -
         delete policy gate
         look production-0 = deploying want v1 run - request v1#1",
    );
}

#[test]
fn at_most_ten_versions_are_shown_and_the_chosen_one_is_among_them() {
    let mut story = String::from("env staging 1\npolicy only on *: versions version.tag == 'v1'\n");
    for n in 1..=15 {
        story.push_str(&format!("version v{n}\n"));
    }
    story.push_str("look staging-0 = deploying want v1 run - request v1#1");
    let world = check(&story);
    let tags: Vec<&str> =
        world.decisions["staging-0"].considered.iter().map(|version| version.tag.as_str()).collect();
    assert_eq!(tags, ["v15", "v14", "v13", "v12", "v11", "v10", "v9", "v8", "v7", "v1"]);
}

#[test]
fn every_candidate_that_was_asked_can_be_told_with_its_verdicts() {
    let mut world = World::new();
    for step in ["env production 1", "policy gate on production: approvals 1 ; versions version.tag != 'v3'"]
    {
        world.step(step);
    }
    for n in 0..15 {
        world.step("+1m");
        world.step(&format!("version v{n}"));
    }
    world.step("look production-0");
    let decision = world.decisions["production-0"].clone();
    let tags = |considered: &[ConsideredVersion]| -> Vec<String> {
        considered.iter().map(|told| told.tag.clone()).collect()
    };
    assert_eq!((decision.considered.len(), decision.left_out), (10, 5));
    let all = world.considered("production-0");
    let newest_first: Vec<String> = (0..15).rev().map(|n| format!("v{n}")).collect();
    assert_eq!(tags(&all), newest_first);
    for told in &all {
        assert_eq!(told.rules.iter().filter(|rule| rule.policy.is_some()).count(), 2, "{told:?}");
        assert!(told.rules.iter().all(|rule| !rule.reason.is_empty()));
    }
    assert_eq!(tags(&decision.considered), newest_first[..10]);
}

#[test]
fn an_older_version_that_passes_is_found_behind_any_number_of_newer_ones() {
    let mut world = World::new();
    for step in [
        "env production 1",
        "policy gate on production: approvals 1 expires 10m ; versions version.tag != 'v7'",
        "version v0",
        "yes ann v0 production",
    ] {
        world.step(step);
    }
    for n in 1..=1000 {
        world.step(&format!("version v{n}"));
    }
    world.step("yes ann v5 production");
    world.step("yes ann v7 production");
    world.step("yes ann v0 production");
    let look = world.step("look production-0");
    assert_eq!(look.as_deref(), Some("deploying want v5 run - request v5#1"));
    let decision = &world.decisions["production-0"];
    let tags: Vec<&str> = decision.considered.iter().map(|told| told.tag.as_str()).collect();
    assert_eq!(tags, ["v1000", "v999", "v998", "v997", "v996", "v995", "v994", "v993", "v992", "v5"]);
    assert_eq!((decision.left_out, decision.considered[9].allowed), (986, true));
    assert_eq!(decision.waits_for.iter().collect::<Vec<_>>(), ["anyApproval", "versionSelector"]);
    assert_eq!(world.considered("production-0").len(), 996, "all of them can be told");
    let (told, untold) = world.considered_of("production-0", 20);
    let tags: Vec<&str> = told.iter().map(|told| told.tag.as_str()).collect();
    assert_eq!((tags.len(), tags[19], tags[20], untold), (21, "v981", "v5", 975), "and the one that passes");
    world.step("version v5 rejected");
    let desired = world.decide("production-0").decision.desired.map(|desired| desired.tag);
    assert_eq!(desired.as_deref(), Some("v0"));
}

#[test]
fn of_what_is_not_shown_the_rule_that_holds_it_back_wakes_the_target() {
    // v0 soaks behind what is not shown.
    let mut world = check(
        "env staging 1
         env production 1
         policy soak on production: after staging soak 10m
         version v0
         look staging-0 = deploying want v0 run - request v0#1
         end staging-0 successful
         policy only on staging: versions version.tag == 'v0'",
    );
    for n in 1..=30 {
        world.step(&format!("version v{n}"));
    }
    let first = world.step("look production-0");
    assert_eq!(first.as_deref(), Some("waiting want - run - next +570s"));
    let decision = &world.decisions["production-0"];
    assert_eq!((decision.considered.len(), decision.left_out), (10, 21));
    world.step("+570s");
    assert_eq!(world.step("look production-0").as_deref(), Some("deploying want v0 run - request v0#1"));
}
