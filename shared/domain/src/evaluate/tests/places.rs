//! A target that was given a place in a rollout never moves, whatever comes or goes beside it.

use super::story::{World, check, deployment};
use crate::decision::{ConsideredVersion, RolloutPlace, RuleInputs, TargetDecision};
use crate::evaluate::same_decision;
use crate::id::VersionId;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Of how many targets the environment may consist.
const TARGETS_MAX: usize = 6;

fn steps() -> impl Strategy<Value = Vec<String>> {
    let target = || (0..TARGETS_MAX).prop_map(|n| format!("staging-{n}"));
    let step = prop_oneof![
        4 => Just("version".to_owned()),
        8 => Just("version paused".to_owned()),
        12 => target().prop_map(|target| format!("look {target}")),
        3 => (2..=TARGETS_MAX).prop_map(|count| format!("env staging {count}")),
        1 => target().prop_map(|target| format!("delete resource {target}")),
        2 => (target(), prop::sample::select(vec!["successful", "failure"]))
            .prop_map(|(target, end)| format!("end {target} {end}")),
        2 => prop::sample::select(vec!["+1s", "+1m", "+20m"]).prop_map(str::to_owned),
        1 => (1..40_usize).prop_map(|n| format!("version v{n} rejected")),
        1 => Just("forget".to_owned()),
    ];
    prop::collection::vec(step, 40..120)
}

/// Makes it happen, if it is possible now.
fn step(world: &mut World, versions: &mut usize, step: &str) {
    let words: Vec<&str> = step.split(' ').collect();
    match words.as_slice() {
        ["version", how @ ..] if how.len() < 2 => {
            *versions += 1;
            world.step("+1s");
            world.step(&format!("version v{versions}"));
            if !how.is_empty() {
                world.step(&format!("pause v{versions} in staging"));
            }
        }
        ["version", tag, _] if !is_known(world, tag) => {}
        ["delete", _, name] if !is_known(world, name) => {}
        ["end", target, _] if !world.facts.jobs_of(&world.target(target)).any(|job| !job.is_over()) => {}
        _ => {
            world.step(step);
        }
    }
}

fn is_known(world: &World, name: &str) -> bool {
    world.entities.values().any(|entity| entity.meta().name == name)
}

/// The places that are said of the candidates for a target whose rollouts have started there.
fn told(world: &World, target: &str) -> Vec<(VersionId, (u32, u32, u64))> {
    let considered = world.considered(target);
    let place = |inputs: &Option<RuleInputs>| match inputs {
        Some(RuleInputs::Rollout { position, targets, offset_seconds, .. }) => {
            Some((*position, *targets, *offset_seconds))
        }
        _ => None,
    };
    let places = considered.iter().flat_map(|told| {
        told.rules.iter().filter_map(|rule| place(&rule.inputs)).map(|place| (told.version, place))
    });
    places.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn who_was_placed_never_moves(steps in steps()) {
        let mut world = World::new();
        world.step("env staging 3");
        world.step("policy slow on staging: rollout 3600s");
        let mut versions = 0;
        let mut given: BTreeMap<(String, VersionId), (u32, u32, u64)> = BTreeMap::new();
        for said in &steps {
            step(&mut world, &mut versions, said);
            let Some(target) = said.strip_prefix("look ") else { continue };
            for (version, place) in told(&world, target) {
                if let Some(first) = given.get(&(target.to_owned(), version)) {
                    prop_assert_eq!(&place, first, "{} of {}", target, versions);
                }
            }
            let decision = world.decisions.get(target);
            for place in decision.into_iter().flat_map(TargetDecision::rollout_places) {
                let RolloutPlace { version, position, targets, offset_seconds, .. } = place;
                given.entry((target.to_owned(), version)).or_insert((position, targets, offset_seconds));
            }
        }
    }
}

/// A world in which `count` versions wait on staging-0, paused.
fn waiting(policy: &str, before: &[&str], count: usize) -> World {
    let mut world = World::new();
    for step in [&["env staging 2", policy], before].concat() {
        world.step(step);
    }
    for n in 1..=count {
        world.step("+1s");
        world.step(&format!("version v{n}"));
        world.step(&format!("pause v{n} in staging"));
    }
    world.step("look staging-0");
    world
}

const SLOW: &str = "policy slow on staging: rollout 3600s";
/// Something runs there already.
const RUNS: [&str; 5] =
    ["version v0", "+48h", "look staging-0", "end staging-0 successful", "look staging-0"];

#[track_caller]
fn nothing_moved(world: &mut World, before: &[(VersionId, (u32, u32, u64))]) {
    world.step("env staging 6");
    for _ in 0..2 {
        world.step("look staging-0");
        let after = told(world, "staging-0");
        for place in before {
            assert!(after.contains(place), "{place:?} of {} in {after:?}", before.len());
        }
    }
}

#[test]
fn of_many_versions_that_wait_in_rollouts_each_keeps_its_place_when_targets_are_added() {
    for (policy, places) in [(SLOW, 25), ("policy slow on staging: rollout 3600s ; rollout 60s", 50)] {
        let mut world = waiting(policy, &[], 25);
        let before = told(&world, "staging-0");
        assert_eq!(before.len(), places);
        nothing_moved(&mut world, &before);
    }
}

#[test]
fn what_waits_keeps_its_places_while_something_newer_is_on_its_way() {
    let mut world = waiting(SLOW, &RUNS, 25);
    let before: Vec<_> = told(&world, "staging-0").into_iter().take(25).collect();
    for step in ["version hot", "skip gradualRollout of slow for hot", "look staging-0"] {
        world.step(step);
    }
    for step in ["look staging-0", "end staging-0 failure", "look staging-0", "version hot rejected"] {
        world.step(step);
    }
    nothing_moved(&mut world, &before);
}

#[test]
fn what_cannot_be_read_for_a_moment_costs_no_place() {
    for (name, again) in [("version v0", "version v0"), ("policy slow", "policy slow")] {
        let mut world = waiting(SLOW, &RUNS, 25);
        let before: Vec<_> = told(&world, "staging-0").into_iter().take(25).collect();
        for step in ["redeploy staging-0 v0", "look staging-0", "end staging-0 successful", "look staging-0"]
        {
            world.step(step);
        }
        world.step(&format!("unreadable {name}"));
        world.step("look staging-0");
        world.step(&format!("readable {again}"));
        nothing_moved(&mut world, &before);
    }
}

#[test]
fn a_failure_that_the_facts_forgot_keeps_its_place_until_something_else_ended() {
    let mut world = World::new();
    for step in ["env staging 1", SLOW] {
        world.step(step);
    }
    let bring = |world: &mut World, tag: &str, end: &str| {
        for step in ["+1s", &format!("version {tag}"), "look staging-0"] {
            world.step(step);
        }
        world.step(&format!("end staging-0 {end}"));
        for _ in 0..2 {
            world.step("look staging-0");
            let again = world.decide("staging-0").decision;
            assert!(same_decision(&again, &world.decisions["staging-0"]), "{tag}");
        }
    };
    for n in 1..=12 {
        bring(&mut world, &format!("v{n}"), "successful");
    }
    bring(&mut world, "bad", "failure");
    world.step("forget");
    world.step("look staging-0");
    let bad = VersionId::of(deployment(), "bad");
    assert!(world.decisions["staging-0"].rollout_places().any(|place| place.version == bad));
    bring(&mut world, "v13", "successful");
}

#[test]
fn a_place_is_given_when_the_rollout_starts() {
    let mut world = check(
        "env staging 2
         policy slow on staging: rollout 600s ; approvals 1
         version v1
         look staging-0 = waiting want - run -
         look staging-1 = waiting want - run -",
    );
    let places = |world: &World| {
        let decisions = world.decisions.values();
        decisions.flat_map(TargetDecision::rollout_places).map(|place| place.targets).collect::<Vec<_>>()
    };
    assert_eq!(places(&world), [0; 0], "nothing has started");
    world.step("env staging 4");
    world.step("yes ann v1 staging");
    world.step("look staging-0");
    assert_eq!(places(&world), [4], "those that are there then take part");
    world.step("env staging 5");
    world.step("look staging-0");
    assert_eq!(places(&world), [4]);
}

#[test]
fn a_failure_keeps_its_place_however_many_newer_versions_came() {
    let mut world = check(
        "env staging 1
         policy slow on staging: rollout 600s
         version v1
         look staging-0 = deploying want v1 run - request v1#1
         end staging-0 failure
         look staging-0 = failed want v1 run -",
    );
    let first = world.decisions["staging-0"].rollout_places().next();
    assert!(first.is_some());
    for n in 2..=30 {
        for step in ["+1s", &format!("version v{n}"), "look staging-0", "end staging-0 successful"] {
            world.step(step);
        }
        world.step("look staging-0");
    }
    let places: Vec<_> = world.decisions["staging-0"].rollout_places().collect();
    assert!(first.is_some_and(|first| places.contains(&first)), "{places:?}");
    assert!(places.len() < 18, "of those that went well not all are kept: {}", places.len());
}

#[test]
fn where_all_places_are_given_the_next_rollout_waits_for_one() {
    let mut world = waiting(SLOW, &RUNS, 1_000);
    let before: Vec<_> = told(&world, "staging-0").into_iter().take(1_000).collect();
    for step in ["+1s", "version more", "pause more in staging", "look staging-0"] {
        world.step(step);
    }
    let why = |world: &World, all: &[ConsideredVersion]| {
        let more = all.iter().find(|told| told.tag == "more").unwrap();
        assert_eq!(more.rules, world.decisions["staging-0"].considered[0].rules);
        more.rules[0].reason.clone()
    };
    let told_of = |world: &World| world.considered_of("staging-0", 1_000).0;
    let all = told_of(&world);
    assert!(why(&world, &all).starts_with("the target waits in 1000 rollouts already"), "{:?}", all[0]);
    nothing_moved(&mut world, &before);
    for step in ["version v500 rejected", "look staging-0"] {
        world.step(step);
    }
    let all = told_of(&world);
    assert!(why(&world, &all).contains("paused by"), "{:?}", all[0]);
}
