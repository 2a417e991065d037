//! What holds for every decision, whatever the world looks like.

use super::story::{World, rule, workspace};
use crate::catalog::Catalog;
use crate::decision::{TargetDecision, TargetState, Verdict};
use crate::evaluate::{DeploymentView, Facts, decide_target, same_decision};
use crate::job::{JobEvent, JobFact};
use proptest::prelude::*;

const TARGETS: [&str; 4] = ["staging-0", "staging-1", "production-0", "production-1"];

const RULES: [&str; 9] = [
    "approvals 1",
    "approvals 2 self no",
    "approvals 1 by ann expires 5m",
    "after staging 50%",
    "after staging soak 3m age 1h",
    "after qa",
    "versions version.tag != 'v2'",
    "versions version.nothing.here == 1",
    "versions this is not CEL",
];

fn steps() -> impl Strategy<Value = Vec<String>> {
    let tag = (1..=4).prop_map(|n| format!("v{n}"));
    let target = prop::sample::select(TARGETS.to_vec());
    let status = prop::sample::select(vec!["ready", "ready", "ready", "rejected", "paused", "building"]);
    let end = prop::sample::select(vec![
        "successful",
        "successful",
        "failure",
        "cancelled superseded",
        "cancelled cancelled_by_user",
    ]);
    let environment = prop::sample::select(vec!["staging", "production", "*", "broken"]);
    let step = prop_oneof![
        4 => (tag.clone(), status).prop_map(|(tag, status)| format!("version {tag} {status}")),
        8 => target.clone().prop_map(|target| format!("look {target}")),
        2 => target.clone().prop_map(|target| format!("crash {target}")),
        6 => (target.clone(), end).prop_map(|(target, end)| format!("end {target} {end}")),
        1 => target.prop_map(|target| format!("again {target}")),
        2 => (prop::sample::select(vec!["yes ann", "yes bob", "yes maker", "no cid"]), tag)
            .prop_map(|(word, tag)| format!("{word} {tag} production")),
        2 => (0..3, environment, prop::sample::select(RULES.to_vec()))
            .prop_map(|(n, environment, rule)| format!("policy p{n} on {environment}: {rule}")),
        2 => prop::sample::select(vec!["+1s", "+2m", "+2h"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["supersede", "forget"]).prop_map(str::to_owned),
    ];
    prop::collection::vec(step, 1..60)
}

/// The world after those of the steps that are possible.
fn world(steps: &[String]) -> World {
    let mut world = World::new();
    for step in ["env staging 2", "env production 2", "version v1"] {
        world.step(step);
    }
    for step in steps {
        let words: Vec<&str> = step.split(' ').collect();
        let possible = match words[0] {
            "end" => world.facts.jobs_of(&world.target(words[1])).any(|job| !job.is_over()),
            "again" => {
                let target = world.target(words[1]);
                let jobs = world.facts.jobs_of(&target);
                jobs.max_by_key(|job| job.sequence).is_some_and(|job| job.is_over())
            }
            _ => true,
        };
        if possible {
            world.step(step);
        }
    }
    world
}

fn explained(decision: &TargetDecision, now: crate::Timestamp) {
    assert!(!decision.summary.is_empty());
    assert!(decision.considered.len() <= 10);
    assert!(decision.attempts.len() <= 16);
    let mut waits = false;
    for considered in &decision.considered {
        // What is said of retries comes after the gates.
        let mut gates = considered.rules.iter().filter(|rule| rule.rule != "retry");
        assert_eq!(considered.allowed, gates.all(|rule| rule.verdict.allows()));
        for rule in &considered.rules {
            assert!(!rule.reason.is_empty(), "{rule:?}");
            if let Verdict::Wait { until } = rule.verdict {
                waits = true;
                match until {
                    Some(until) => {
                        assert!(until > now, "{rule:?}");
                        assert!(decision.next_look.is_some_and(|look| look <= until), "{rule:?}");
                    }
                    None => assert!(["anyApproval", "environmentProgression"].contains(&rule.rule.as_str())),
                }
            }
        }
    }
    assert!(decision.next_look.is_none_or(|look| look > now));
    if decision.state == TargetState::Waiting {
        assert!(waits, "{decision:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_decision_explains_itself_and_is_stable(steps in steps()) {
        let world = world(&steps);
        for target in TARGETS {
            let outcome = world.decide(target);
            explained(&outcome.decision, world.now);
            if let Some(job) = &outcome.request {
                let active = outcome.decision.active.as_ref().map(|active| active.job);
                prop_assert_eq!(active, Some(job.id));
                prop_assert!(outcome.supersede.is_none());
                prop_assert!(world.facts.jobs_of(&world.target(target)).all(|job| job.is_over()));
            }
            // Looking at one's own decision again changes nothing.
            let ws = world.catalog.workspace(&workspace()).unwrap();
            let key = world.target(target);
            let mut facts = world.facts.clone();
            if let Some(job) = outcome.request {
                let fact = JobFact::Requested { catalog_revision: 0, grounds: None };
                let event = JobEvent { job, at: world.now, cause: None, traceparent: None, fact };
                facts.apply(&event, facts.sequence() + 1);
            }
            let again = {
                let mut decided = world.decided();
                decided.insert(key, outcome.decision.clone());
                decide_target(ws, &facts, &decided, &key, world.now, None)
            };
            prop_assert!(same_decision(&outcome.decision, &again.decision), "{:?}\n{:?}", outcome.decision, again.decision);
            prop_assert_eq!(again.request, None);
        }
    }

    #[test]
    fn the_order_in_which_things_were_learnt_does_not_matter(
        (steps, seed) in (steps(), any::<u64>())
    ) {
        let world = world(&steps);
        let mut entities: Vec<_> = world.entities.iter().collect();
        let rotation = usize::try_from(seed % 97).unwrap() % entities.len();
        entities.rotate_left(rotation);
        if seed % 2 == 0 {
            entities.reverse();
        }
        let mut catalog = Catalog::default();
        for (revision, (key, entity)) in (1..).zip(entities) {
            catalog.apply(key, Some(&serde_json::to_vec(entity).unwrap()), revision);
        }
        let ws = catalog.workspace(&workspace()).unwrap();
        let decided = world.decided();
        let view = DeploymentView::of(ws, &world.facts, &decided, super::story::deployment(), world.now);
        for target in TARGETS {
            let one = world.decide(target);
            let other = view.decide(&world.target(target), Some("test".into()));
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn newer_versions_that_do_not_pass_change_nothing_for_older_ones_however_many_they_are(
        (steps, more) in (steps(), 1..40_usize)
    ) {
        let mut world = world(&steps);
        world.policy("no-more", "*", rule("versions !version.tag.startsWith('more')"));
        let then = world.now + chrono::TimeDelta::minutes(1);
        let decide = |world: &mut World| {
            world.now = then;
            TARGETS.map(|target| world.decide(target))
        };
        let before = decide(&mut world);
        // When time alone makes another version the desired one, if it does.
        let mut turns = [None; TARGETS.len()];
        for ((turn, target), before) in turns.iter_mut().zip(TARGETS).zip(&before) {
            let Some(look) = before.decision.next_look else { continue };
            world.now = look;
            let desired = |decision: &TargetDecision| decision.desired.as_ref().map(|desired| desired.release);
            *turn = (desired(&world.decide(target).decision) != desired(&before.decision)).then_some(look);
        }
        world.now = then - chrono::TimeDelta::seconds(50);
        for n in 0..more {
            world.step(&format!("version more{n}"));
        }
        for ((before, turn), after) in before.into_iter().zip(turns).zip(decide(&mut world)) {
            prop_assert_eq!((&before.request, &before.supersede), (&after.request, &after.supersede));
            prop_assert_eq!((&before.decision.desired, &before.decision.active), (&after.decision.desired, &after.decision.active));
            let told = |decision: &TargetDecision| decision.considered.len() + decision.left_out as usize;
            prop_assert_eq!(told(&after.decision), told(&before.decision) + more);
            let look = after.decision.next_look;
            prop_assert!(turn.is_none_or(|turn| look.is_some_and(|look| look <= turn)), "{turn:?} {look:?}");
        }
    }

    #[test]
    fn one_more_rule_never_allows_more(
        (steps, more) in (steps(), prop::sample::select(RULES.to_vec()))
    ) {
        let mut world = world(&steps);
        let before: Vec<_> = TARGETS.iter().map(|target| world.decide(target).decision).collect();
        // It was there before every version: none is older than it.
        let now = std::mem::replace(&mut world.now, World::new().now);
        world.policy("one-more", "*", rule(more));
        world.now = now;
        for (target, before) in TARGETS.iter().zip(before) {
            let after = world.decide(target).decision;
            for version in after.considered.iter().filter(|version| version.allowed) {
                let known = before.considered.iter().find(|known| known.version == version.version);
                prop_assert!(known.is_none_or(|known| known.allowed), "{} on {target}", version.tag);
            }
        }
    }
}

#[test]
fn facts_are_the_same_from_a_snapshot_and_from_the_whole_story() {
    let world = world(&["look staging-0", "end staging-0 successful", "again staging-0"].map(str::to_owned));
    let mut snapshot = Facts::default();
    let target = world.target("staging-0");
    for job in world.facts.jobs_of(&target) {
        let fact = JobFact::RetryRequested { by: "ann".into() };
        let event = JobEvent { job: job.job.clone(), at: job.at, cause: None, traceparent: None, fact };
        snapshot.apply(&event, job.sequence);
    }
    let known = |facts: &Facts| facts.jobs_of(&target).cloned().collect::<Vec<_>>();
    assert_eq!(known(&snapshot), known(&world.facts));
    assert_eq!(snapshot.sequence(), world.facts.sequence());
}
