//! The same worlds, twice: what the model says, and what the evaluator decides.

use crate::model::Says;
use crate::model::choice::{Answer, choose};
use crate::model::scene::{Remembered, Scene};
use crate::worlds::account::{World, deployment};
use crate::worlds::strategies::plan;
use crate::worlds::{Plan, Step};
use domain::Timestamp;
use domain::decision::{RuleVerdict, Verdict};
use domain::evaluate::Outcome;
use domain::id::{JobId, VersionId};
use domain::target::TargetKey;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// So many candidates a decision shows.
const SHOWN_MAX: usize = 10;

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_evaluator_decides_as_the_model_says(plan in plan(60)) {
        tell(&plan).map_err(TestCaseError::fail)?;
    }
}

/// Lives through a world, comparing at every look.
pub(crate) fn tell(plan: &Plan) -> Result<World, String> {
    live(plan, look)
}

/// Lives through a world, with something done at every look.
pub(crate) fn live(
    plan: &Plan,
    mut look: impl FnMut(&mut World, &TargetKey) -> Result<(), String>,
) -> Result<World, String> {
    let mut world = World::of(plan);
    for step in &plan.steps {
        let targets = world.targets();
        let looked_at = match step {
            Step::LookAll => targets,
            Step::Look { target } => {
                targets.get(target % targets.len().max(1)).copied().into_iter().collect()
            }
            _ => {
                world.step(step);
                continue;
            }
        };
        for target in looked_at {
            look(&mut world, &target).map_err(|why| story(plan, &world, &why))?;
        }
    }
    Ok(world)
}

pub(crate) fn story(plan: &Plan, world: &World, why: &str) -> String {
    format!("{why}\n\n{plan}{}\n", world.story.join("\n"))
}

/// Decides on a target by both, compares, and goes on as the evaluator said.
fn look(world: &mut World, target: &TargetKey) -> Result<(), String> {
    let outcome = world.decide(target);
    let name = world.name(target);
    tell_look(world, &name, &outcome);
    let position =
        |target: &TargetKey, version, policy, index| world.position(target, version, policy, index);
    let compared = world.with_scene(&position, |scene| {
        let answer = choose(scene, target);
        let mut found = differences(world, target, &answer, &outcome);
        found.extend(wakes(scene, target, &answer, outcome.decision.next_look));
        (Remembered { held: answer.held, redeployed_at: answer.redeployed_at, placed: Vec::new() }, found)
    });
    let (remembered, found) = compared;
    if !found.is_empty() {
        return Err(format!("{name}:\n{}\n{}", found.join("\n"), verdicts(&outcome)));
    }
    world.keep(target, outcome, remembered);
    Ok(())
}

/// A line of the story.
pub(crate) fn tell_look(world: &mut World, name: &str, outcome: &Outcome) {
    let said = format!(
        "{} look {name} = {:?} want {:?} run {:?} request {:?} supersede {:?} next {:?}",
        world.now.format("%m-%d %H:%M:%S"),
        outcome.decision.state,
        outcome.decision.desired.as_ref().map(|v| &v.tag),
        outcome.decision.current.as_ref().map(|v| &v.tag),
        outcome.request.as_ref().map(|job| format!("{}#{}", job.tag, job.attempt)),
        outcome.supersede.as_ref().map(|job| &job.tag),
        outcome.decision.next_look.map(|at| at.format("%m-%d %H:%M:%S").to_string()),
    );
    world.story.push(said);
}

/// What the two say differently, a line each.
fn differences(world: &World, target: &TargetKey, answer: &Answer<'_>, outcome: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    let decision = &outcome.decision;
    let mut differ = |what: &str, model: String, evaluator: String| {
        if model != evaluator {
            found.push(format!("{what}: the model says {model}, the evaluator {evaluator}"));
        }
    };
    let of = usize::from(target.deployment == deployment(1));
    let tag = |id: VersionId| {
        let all = (0..world.versions[of].len()).filter_map(|nth| world.nth_version(of, nth));
        all.into_iter().find(|(known, _)| *known == id).map(|(_, tag)| tag)
    };
    differ(
        "desired",
        format!("{:?}", answer.desired.and_then(tag)),
        format!("{:?}", decision.desired.as_ref().and_then(|v| tag(v.version))),
    );
    let job = |version: VersionId, attempt: u32| format!("{:?}#{attempt}", tag(version));
    differ(
        "request",
        format!("{:?}", answer.request.map(|(version, _, attempt)| job(version, attempt))),
        format!("{:?}", outcome.request.as_ref().map(|r| job(r.version, r.attempt))),
    );
    differ(
        "release",
        format!("{:?}", answer.request.map(|(_, release, attempt)| JobId::of(release, attempt))),
        format!("{:?}", outcome.request.as_ref().map(|r| r.id)),
    );
    differ(
        "supersede",
        format!("{:?}", answer.supersede),
        format!("{:?}", outcome.supersede.as_ref().map(|job| job.id)),
    );
    differ(
        "held",
        format!("{:?}", answer.held.iter().map(|h| tag(h.version)).collect::<BTreeSet<_>>()),
        format!("{:?}", decision.held.iter().map(|h| tag(h.version)).collect::<BTreeSet<_>>()),
    );
    differ(
        "verifications",
        format!("{:?}", answer.verifications),
        format!("{:?}", outcome.verifications.iter().map(|job| job.id).collect::<BTreeSet<_>>()),
    );
    for (version, asked) in &answer.asked {
        let newer_than_desired = answer.desired.is_none_or(|desired| {
            answer.asked.iter().position(|(v, _)| v.meta.id == desired.0)
                > answer.asked.iter().position(|(v, _)| v.meta.id == version.meta.id)
        });
        let Some(considered) = decision.considered.iter().find(|c| c.version.0 == version.meta.id) else {
            // What the pin denies need not be looked at.
            let pinned_out = asked.iter().any(|asked| asked.name().2 == "pin" && !asked.says.allows());
            // "A decision shows at most ten of them."
            let shows_all = decision.considered.len() < SHOWN_MAX;
            if newer_than_desired && !pinned_out && shows_all {
                differ("considered", version.spec.tag.clone(), "nothing".to_owned());
            }
            continue;
        };
        // What ran here before goes again, gates or not: they need not be asked.
        let built_in = |rule: &&RuleVerdict| rule.rule == "rollback" && rule.policy.is_none();
        if considered.rules.iter().filter(built_in).any(|rule| rule.verdict.allows()) {
            continue;
        }
        differ(
            &format!("allowed {}", version.spec.tag),
            asked.iter().all(|asked| asked.says.allows()).to_string(),
            considered.allowed.to_string(),
        );
        for asked in asked {
            let (policy, index, rule) = asked.name();
            let verdict = considered.rules.iter().find(|verdict| {
                verdict.policy.map(|policy| policy.0) == policy
                    && (rule == "unreadable" || verdict.rule == rule)
                    && (policy.is_none() || rule == "unreadable" || verdict.rule_index == index)
            });
            let evaluator = verdict.map(|verdict| (class(&verdict.verdict), verdict.changes_at));
            let silent = policy.is_none() && asked.says == Says::YES;
            if !(silent && evaluator.is_none()) {
                differ(
                    &format!("{rule} {index} to {}", version.spec.tag),
                    format!("{:?}", Some(says(asked.says))),
                    format!("{:?}", evaluator.map(|(class, _)| class)),
                );
            }
        }
    }
    found
}

/// "Each decision carries the next instant at which time alone can change it": what comes of it does not change before
/// then, and it is one of the instants at which something may.
fn wakes(
    scene: &Scene<'_>,
    target: &TargetKey,
    answer: &Answer<'_>,
    next_look: Option<Timestamp>,
) -> Option<String> {
    let instants: Vec<_> = answer.instants().into_iter().filter(|at| *at > scene.now).collect();
    if next_look.is_some_and(|next| !instants.contains(&next)) {
        return Some(format!(
            "next look: the model knows of no change at {next_look:?}, but at {instants:?}"
        ));
    }
    let before = instants.into_iter().take_while(|at| next_look.is_none_or(|next| *at < next));
    // What would have been asked for by now is on its way by then.
    if answer.request.is_some() || answer.supersede.is_some() {
        return None;
    }
    for at in before {
        let later = choose(&Scene { now: at, ..*scene }, target);
        if later.consequences() != answer.consequences() {
            return Some(format!("next look {next_look:?}, but already at {at} the model says otherwise"));
        }
    }
    None
}

fn says(says: Says) -> String {
    match says {
        Says::Allow { .. } => "allow".to_owned(),
        Says::Deny => "deny".to_owned(),
        Says::Wait(None) => "wait for an event".to_owned(),
        Says::Wait(Some(until)) => format!("wait until {until}"),
    }
}

fn class(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Allow => "allow".to_owned(),
        Verdict::Deny => "deny".to_owned(),
        Verdict::Wait { until: None } => "wait for an event".to_owned(),
        Verdict::Wait { until: Some(until) } => format!("wait until {until}"),
    }
}

/// What the evaluator says to each version, a line each.
fn verdicts(outcome: &Outcome) -> String {
    let mut lines = vec![outcome.decision.summary.clone()];
    for considered in &outcome.decision.considered {
        lines.push(format!("{} allowed {}", considered.tag, considered.allowed));
        lines.extend(considered.rules.iter().map(|rule| {
            format!(
                "    {} {} {}: {:?} {}",
                rule.policy_name, rule.rule_index, rule.rule, rule.verdict, rule.reason
            )
        }));
    }
    lines.join("\n")
}
