//! What holds in every world, whatever is declared in it.

use crate::compare::{live, story, tell_look};
use crate::model::scene::Remembered;
use crate::subject;
use crate::worlds::Plan;
use crate::worlds::account::{World, rollouts, workspace};
use crate::worlds::strategies::{afterwards, gate, plan, policy, rule};
use chrono::TimeDelta;
use domain::catalog::Catalog;
use domain::decision::{ConsideredVersion, RuleInputs, RuleVerdict, Verdict, VerificationResult};
use domain::entity::{
    AnyApproval, DeploymentDependency, DeploymentVariable, DeploymentWindow, Entity, EnvironmentProgression,
    Freeze, GradualRollout, Pin, Policy, PolicyRule, Record, Retry, Rollback, RolloutAction, Skip,
    Verification, VersionCooldown, VersionDependency, built_in,
};
use domain::evaluate::{DeploymentView, Facts, Outcome, same_decision};
use domain::id::{FreezeId, JobId, PinId, PolicyId, SkipId, VersionId};
use domain::job::{JobRef, TerminalStatus};
use domain::target::TargetKey;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;

fn config() -> ProptestConfig {
    let all = ProptestConfig::default();
    ProptestConfig { cases: all.cases.div_ceil(8), max_shrink_iters: 2000, failure_persistence: None, ..all }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_look_is_lawful(plan in plan(60)) {
        live(&plan, lawful_look).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn the_order_in_which_things_became_known_does_not_matter(plan in plan(40)) {
        at_the_end(&plan, |world, target| {
            let mut catalog = Catalog::default();
            for (key, entity) in world.entities.iter().rev() {
                catalog.apply(key, Some(&serde_json::to_vec(entity).unwrap()), 1);
            }
            let mut facts = Facts::default();
            for (event, sequence) in world.events.values().rev() {
                facts.apply(event, *sequence);
            }
            let ws = catalog.workspace(&workspace()).unwrap();
            let otherwise = subject::decide(ws, &facts, &world.decided, target, world.now);
            same(&world.decide(target), &otherwise)
        })?;
    }

    #[test]
    fn a_policy_that_is_disabled_or_does_not_match_changes_nothing(
        plan in plan(40), more in policy(), rules in prop::collection::vec(rule(), 1..4), disabled in any::<bool>()
    ) {
        at_the_end(&plan, |world, target| {
            let before = world.decide(target);
            let selector = if disabled { more.selector.clone() } else { "environment.name == 'nowhere'".to_owned() };
            let spec = Policy {
                description: None, selector, priority: 0, enabled: !disabled, rules: rules.clone()
            };
            put_policy(world, spec);
            same(&before, &world.decide(target))
        })?;
    }

    #[test]
    fn one_more_gate_never_allows_more(plan in plan(40), gate in gate()) {
        at_the_end(&plan, |world, target| {
            let before = world.decide(target);
            let open = let_go(world, target);
            put_rule(world, gate.clone());
            let after = world.decide(target);
            no_more(&before, &after)?;
            nothing_else(&open, &after)?;
            nothing_older(&after)
        })?;
    }

    #[test]
    fn a_freeze_or_a_pin_never_allows_more(plan in plan(40), pinned in 0usize..9, freeze in any::<bool>()) {
        at_the_end(&plan, |world, target| {
            // A pin lets go what a rollback holds back: that is what it is for.
            let before = world.decide(target);
            if !freeze && !before.decision.held.is_empty() {
                return Ok(());
            }
            if freeze { put_freeze(world) } else { put_pin(world, target, pinned) }
            no_more(&before, &world.decide(target))
        })?;
    }

    #[test]
    fn a_dependency_of_a_version_or_a_variable_without_a_value_never_allows_more(
        plan in plan(40), needs in any::<bool>()
    ) {
        at_the_end(&plan, |world, target| {
            let before = world.decide(target);
            if needs { put_dependencies(world, target) } else { put_variable(world, target) }
            let after = world.decide(target);
            no_more(&before, &after)?;
            let name = if needs { built_in::VERSION_DEPENDENCY } else { built_in::VARIABLES };
            let asked = |told: &ConsideredVersion| told.rules.iter().any(|rule| rule.rule == name);
            // Of what lies below a hold no gate is asked.
            let is_below = |told: &ConsideredVersion| {
                told.rules.len() == 1 && told.rules.iter().all(|rule| rule.rule == Rollback::RULE)
            };
            let exempt = |told: &ConsideredVersion| comes_back(told) || is_below(told);
            match after.decision.considered.iter().find(|told| !asked(told) && !exempt(told)) {
                Some(told) => Err(format!("{name} says nothing to {told:?}")),
                None => Ok(()),
            }
        })?;
    }

    #[test]
    fn a_rule_for_after_a_job_lets_nothing_pass_but_what_ran_before(plan in plan(40), rule in afterwards()) {
        at_the_end(&plan, |world, target| {
            let before = world.decide(target);
            put_rule(world, rule.clone());
            let mut after = world.decide(target);
            // A rollback brings back what ran here, gates or not. One more retry may put a rollback off.
            after.decision.considered.retain(|told| !comes_back(told));
            let mut was = before.clone();
            if rule.retry().is_some() {
                was.decision.considered.retain(|told| holds_of(told).next().is_none());
            }
            no_more(&was, &after)?;
            no_sooner(&before, &after, &rule)
        })?;
    }

    #[test]
    fn a_skip_of_one_rule_leaves_the_others(plan in plan(40), nth in 0usize..99) {
        at_the_end(&plan, |world, target| skip_one(world, target, nth))?;
    }
}

/// Laws about rules that no world has hold for nothing.
#[test]
fn every_rule_has_its_say_in_the_worlds() {
    const WORLDS_MAX: usize = 400;
    // What rules say: their names, and in one word what. A verification says nothing to a version: it measures.
    let gates_and_more = PolicyRule::NAMES.iter().copied().filter(|name| *name != Verification::RULE);
    let all = gates_and_more.chain([built_in::VERSION_DEPENDENCY, built_in::FREEZE, built_in::PIN]);
    let mut missing: BTreeSet<(String, &str)> =
        all.flat_map(|name| [(name.to_owned(), "allow"), (name.to_owned(), "no")]).collect();
    let timed = [
        EnvironmentProgression::RULE,
        GradualRollout::RULE,
        DeploymentWindow::RULE,
        VersionCooldown::RULE,
        Retry::RULE,
        built_in::FREEZE,
    ];
    missing.extend(timed.map(|name| (name.to_owned(), "wait until")));
    missing.insert(("a skipped rule".to_owned(), "allow"));
    missing.extend(
        ["running", "passed", "failed", "inconclusive"].map(|what| ("verification".to_owned(), what)),
    );
    let (mut runner, worlds) = (TestRunner::deterministic(), plan(60));
    for _ in 0..WORLDS_MAX {
        let plan = worlds.new_tree(&mut runner).unwrap().current();
        let look = |world: &mut World, target: &TargetKey| {
            let outcome = world.decide(target);
            for rule in outcome.decision.considered.iter().flat_map(|told| &told.rules) {
                let what = if rule.verdict.allows() { "allow" } else { "no" };
                missing.remove(&(rule.rule.clone(), what));
                if matches!(rule.verdict, Verdict::Wait { until: Some(_) }) {
                    missing.remove(&(rule.rule.clone(), "wait until"));
                }
                if rule.skipped_by.is_some() {
                    missing.remove(&("a skipped rule".to_owned(), what));
                }
            }
            for known in &outcome.decision.verifications {
                let what = match known.result {
                    VerificationResult::Running => "running",
                    VerificationResult::Passed => "passed",
                    VerificationResult::Inconclusive => "inconclusive",
                    VerificationResult::Failed => "failed",
                };
                missing.remove(&("verification".to_owned(), what));
            }
            world.keep(target, outcome, Remembered::default());
            Ok(())
        };
        live(&plan, look).unwrap();
        if missing.is_empty() {
            return;
        }
    }
    panic!("what no rule ever says in {WORLDS_MAX} worlds: {missing:?}");
}

/// Lives through a world without looking closely, then holds something against each of its targets.
fn at_the_end(
    plan: &Plan,
    mut law: impl FnMut(&mut World, &TargetKey) -> Result<(), String>,
) -> Result<(), TestCaseError> {
    let mut world = live(plan, plain_look).map_err(TestCaseError::fail)?;
    for target in world.targets() {
        law(&mut world, &target).map_err(|why| {
            let name = world.name(&target);
            TestCaseError::fail(story(plan, &world, &format!("{name}: {why}")))
        })?;
    }
    Ok(())
}

fn plain_look(world: &mut World, target: &TargetKey) -> Result<(), String> {
    let outcome = world.decide(target);
    let name = world.name(target);
    tell_look(world, &name, &outcome);
    world.keep(target, outcome, Remembered::default());
    Ok(())
}

fn lawful_look(world: &mut World, target: &TargetKey) -> Result<(), String> {
    let outcome = world.decide(target);
    let name = world.name(target);
    tell_look(world, &name, &outcome);
    same(&outcome, &world.decide(target)).map_err(|why| format!("the same, asked twice, says {why}"))?;
    reasons(&outcome)?;
    waits(world, &outcome)?;
    if let Some(before) = world.decided.get(target) {
        unmoved(before, &outcome)?;
    }
    world.keep(target, outcome.clone(), Remembered::default());
    let again = world.decide(target);
    if again.request.is_some() || again.supersede.is_some() || !again.verifications.is_empty() {
        return Err(format!("what was asked for is asked for again: {again:?}"));
    }
    // What was asked for changes what is said: it is on its way.
    let asked = outcome.request.is_some() || !outcome.verifications.is_empty();
    if !asked && !same_decision(&outcome.decision, &again.decision) {
        return Err(format!("a second look says otherwise:\n{:?}\n{:?}", outcome.decision, again.decision));
    }
    Ok(())
}

/// Nothing is said without a reason.
fn reasons(outcome: &Outcome) -> Result<(), String> {
    let silent =
        outcome.decision.considered.iter().flat_map(|c| &c.rules).find(|rule| rule.reason.is_empty());
    match silent {
        Some(rule) => Err(format!("no reason: {rule:?}")),
        None if outcome.decision.summary.is_empty() => Err("no summary".to_owned()),
        None => Ok(()),
    }
}

/// Whoever waits waits for an instant to come, and is woken by then; or for an event that the rule waits for.
fn waits(world: &World, outcome: &Outcome) -> Result<(), String> {
    let decision = &outcome.decision;
    if decision.next_look.is_some_and(|next| next <= world.now) {
        return Err("the next look is not in the future".to_owned());
    }
    let desired = decision.desired.as_ref().map(|desired| desired.version);
    let newer = decision.considered.iter().take_while(|considered| Some(considered.version) != desired);
    for considered in newer {
        if considered.allowed != considered.rules.iter().all(|rule| rule.verdict.allows()) {
            return Err(format!("allowed although a rule says no, or the reverse: {considered:?}"));
        }
        for rule in &considered.rules {
            let Verdict::Wait { until } = rule.verdict else { continue };
            match until {
                Some(until) if until <= world.now => return Err(format!("it waits for the past: {rule:?}")),
                Some(until) if decision.next_look.is_none_or(|next| next > until) => {
                    return Err(format!("nobody is woken when this ends: {rule:?}"));
                }
                Some(_) => {}
                None => waits_for_an_event(world, &decision.target, considered, rule)
                    .map_err(|why| format!("it waits for nothing, {why}: {rule:?}\n{considered:?}"))?,
            }
        }
    }
    let chosen = decision.considered.iter().find(|told| Some(told.version) == desired);
    let retries: Vec<_> = chosen.into_iter().flat_map(|told| verdicts_of(told, Retry::RULE)).collect();
    let again_at = retries.iter().filter_map(|rule| match rule.verdict {
        Verdict::Wait { until } => Some(until),
        Verdict::Allow | Verdict::Deny => None,
    });
    let denied = retries.iter().any(|rule| rule.verdict == Verdict::Deny);
    match again_at.max().filter(|_| !denied) {
        Some(None) => Err("a retry waits for nothing".to_owned()),
        Some(Some(at)) if decision.next_look.is_none_or(|next| next > at) => {
            Err(format!("nobody is woken for the retry at {at}"))
        }
        Some(Some(_)) | None => Ok(()),
    }
}

fn verdicts_of<'a>(told: &'a ConsideredVersion, name: &str) -> impl Iterator<Item = &'a RuleVerdict> {
    told.rules.iter().filter(move |rule| rule.rule == name)
}

/// Whether a rollback brings it back.
fn comes_back(told: &ConsideredVersion) -> bool {
    holds_of(told).any(|rule| rule.verdict.allows())
}

/// What a hold, or the end of one, says; the rules of policies say beside it what they would do.
fn holds_of(told: &ConsideredVersion) -> impl Iterator<Item = &RuleVerdict> {
    verdicts_of(told, Rollback::RULE).filter(|rule| rule.policy.is_none())
}

/// "Where several policies have the rule, all must allow": one more asks for no job that was not asked for.
fn no_sooner(before: &Outcome, after: &Outcome, rule: &PolicyRule) -> Result<(), String> {
    let governed = before
        .decision
        .considered
        .iter()
        .any(|told| verdicts_of(told, Retry::RULE).any(|rule| rule.policy.is_some()));
    let as_held = before.decision.held == after.decision.held;
    if rule.retry().is_some() && governed && as_held && before.request.is_none() && after.request.is_some() {
        return Err(format!("it is tried sooner:\n{before:?}\n{after:?}"));
    }
    Ok(())
}

/// Whoever waits without an instant waits for something that can still come: a word, a success, an end, a thaw.
fn waits_for_an_event(
    world: &World,
    target: &TargetKey,
    told: &ConsideredVersion,
    rule: &RuleVerdict,
) -> Result<(), String> {
    let jobs = || world.jobs.iter().filter(|job| job.job.purpose.is_deploy());
    let entities = || world.entities.values();
    let (can_come, why) = match (rule.rule.as_str(), &rule.inputs) {
        (AnyApproval::RULE, Some(RuleInputs::Approvals { needed, approved, rejected })) => {
            let lacks = approved.len() < *needed as usize && rejected.is_empty();
            (lacks, "all have said yes, or one no")
        }
        (EnvironmentProgression::RULE, Some(RuleInputs::Progression { environments })) => {
            let lacks = environments.iter().any(|there| there.succeeded < there.needed);
            (lacks, "no environment lacks a success")
        }
        (
            DeploymentDependency::RULE | built_in::VERSION_DEPENDENCY,
            Some(RuleInputs::Dependency { found, .. }),
        ) => (found.iter().all(|running| !running.matches), "what it needs runs"),
        (VersionCooldown::RULE, _) => {
            let mut here = jobs().filter(|job| job.job.target == *target && job.end.is_none());
            (here.any(|job| job.job.version != told.version), "no other version is on its way")
        }
        (built_in::FREEZE, _) => {
            let lasts = |entity: &Entity| match entity {
                Entity::Freeze(freeze) => {
                    freeze.spec.until.is_none() && freeze.spec.from.is_none_or(|from| from <= world.now)
                }
                _ => false,
            };
            (entities().any(lasts), "every freeze has an end")
        }
        (Verification::RULE, Some(RuleInputs::Verification { jobs: measuring })) => {
            let ended = |id: &JobId| world.jobs.iter().any(|job| job.job.id == *id && job.end.is_some());
            (!measuring.is_empty() && !measuring.iter().all(ended), "no job measures")
        }
        (GradualRollout::RULE, _) => {
            let mut others = told.rules.iter().filter(|other| other.rule != GradualRollout::RULE);
            // What is said of retries, and of a hold, is said after the gates.
            let gate = |other: &RuleVerdict| !PolicyRule::AFTERWARDS.contains(&other.rule.as_str());
            let not_started = others.any(|other| gate(other) && !other.verdict.allows());
            let is_paused = entities().any(|entity| match entity {
                Entity::RolloutControl(control) => {
                    let spec = &control.spec;
                    (spec.version, spec.environment) == (told.version, target.environment)
                        && spec.action == RolloutAction::Pause
                }
                _ => false,
            });
            let beside = |job: &TargetKey| *job != *target && job.environment == target.environment;
            let of_version = |job: &JobRef| job.version == told.version && beside(&job.target);
            // Of those that measure as well as of those that bring.
            let mut ended = world.jobs.iter().filter(|job| of_version(&job.job)).filter_map(|job| job.end);
            let failed = ended.any(|end| end.status != TerminalStatus::Successful);
            (not_started || is_paused || failed, "nothing holds the rollout up")
        }
        _ => (false, "no event is known that would end it"),
    };
    if can_come { Ok(()) } else { Err(why.to_owned()) }
}

/// "its offset is kept in its decision, so that targets that come or go do not move it"
fn unmoved(before: &domain::decision::TargetDecision, outcome: &Outcome) -> Result<(), String> {
    for old in rollouts(before) {
        for new in rollouts(&outcome.decision) {
            let same = (old.version, old.policy, old.rule_index, old.policy_updated_at)
                == (new.version, new.policy, new.rule_index, new.policy_updated_at);
            if same && old.offset_seconds != new.offset_seconds {
                return Err(format!("moved from {old:?} to {new:?}"));
            }
        }
    }
    Ok(())
}

fn same(one: &Outcome, other: &Outcome) -> Result<(), String> {
    let asked = |o: &Outcome| {
        let ids: Vec<_> = o.verifications.iter().map(|job| job.id).collect();
        (o.request.clone(), o.supersede.clone(), ids)
    };
    if same_decision(&one.decision, &other.decision) && asked(one) == asked(other) {
        return Ok(());
    }
    Err(format!("otherwise:\n{one:?}\n{other:?}"))
}

fn no_more(before: &Outcome, after: &Outcome) -> Result<(), String> {
    for now in &after.decision.considered {
        let was = before.decision.considered.iter().find(|was| was.version == now.version);
        if let Some(was) = was
            && now.allowed
            && !was.allowed
        {
            return Err(format!("{} is allowed now:\n{was:?}\n{now:?}", now.tag));
        }
    }
    Ok(())
}

/// The versions that the gates of all policies let go to the target, also those that lie behind what was chosen.
fn let_go(world: &World, target: &TargetKey) -> BTreeSet<VersionId> {
    let ws = world.ws();
    let policies = ws.policies().map(|policy| PolicyId(policy.meta.id)).collect();
    let view = DeploymentView::of(ws, &world.facts, &world.decided, target.deployment, world.now);
    let versions = ws.versions_of(target.deployment).map(|version| VersionId(version.meta.id));
    let lets_go = |version: &VersionId| {
        let said = view.verdicts(target, *version, &policies);
        said.is_some_and(|said| said.iter().all(|rule| rule.verdict.allows()))
    };
    versions.filter(lets_go).collect()
}

/// What comes next where one more gate holds something back is something that could have gone before.
fn nothing_else(open: &BTreeSet<VersionId>, after: &Outcome) -> Result<(), String> {
    let mut allowed = after.decision.considered.iter().filter(|told| told.allowed && !comes_back(told));
    match allowed.find(|told| !open.contains(&told.version)) {
        Some(told) => Err(format!("the other gates did not let it go: {told:?}")),
        None => Ok(()),
    }
}

/// A gate that lets everything pass because it came later would be one more only in name.
fn nothing_older(after: &Outcome) -> Result<(), String> {
    let mut added = after
        .decision
        .considered
        .iter()
        .flat_map(|told| &told.rules)
        .filter(|rule| rule.policy_name == "more");
    match added.find(|rule| rule.reason.starts_with("grandfathered")) {
        Some(rule) => Err(format!("the version is older than the gate: {rule:?}")),
        None => Ok(()),
    }
}

/// A policy that was there before everything, so that no version is older than it.
fn put_policy(world: &mut World, spec: Policy) {
    let mut meta = world.meta("more", PolicyId::of(&workspace(), "more").0);
    let first = world.entities.values().map(|entity| entity.meta().created_at).min();
    meta.created_at = first.unwrap_or(world.now) - TimeDelta::seconds(1);
    world.put(Entity::Policy(Record { meta, spec }));
}

fn put_rule(world: &mut World, rule: PolicyRule) {
    let selector = "true".to_owned();
    put_policy(world, Policy { description: None, selector, priority: 0, enabled: true, rules: vec![rule] });
}

/// Every version of the deployment needs one thing more on the resource.
fn put_dependencies(world: &mut World, target: &TargetKey) {
    let other = [0, 1].map(crate::worlds::account::deployment).into_iter().find(|d| *d != target.deployment);
    let needs =
        VersionDependency { deployment: other.unwrap(), version_selector: "version.tag == 'v2'".to_owned() };
    let versions = world.entities.values().filter_map(|entity| match entity {
        Entity::Version(version) if version.spec.deployment == target.deployment => Some(version.clone()),
        _ => None,
    });
    let versions: Vec<_> = versions.collect();
    for mut version in versions {
        version.spec.dependencies.push(needs.clone());
        world.put(Entity::Version(version));
    }
}

/// The deployment declares a variable that has a value nowhere.
fn put_variable(world: &mut World, target: &TargetKey) {
    let deployment = world.entities.values().find_map(|entity| match entity {
        Entity::Deployment(known) if known.meta.id == target.deployment.0 => Some(known.clone()),
        _ => None,
    });
    let mut deployment = deployment.unwrap();
    let key = "lacking".to_owned();
    deployment.spec.variables.push(DeploymentVariable {
        key,
        description: None,
        default: None,
        values: vec![],
    });
    world.put(Entity::Deployment(deployment));
}

fn put_freeze(world: &mut World) {
    let (reason, owner) = ("because".to_owned(), "ann".to_owned());
    let spec =
        Freeze { selector: "true".to_owned(), reason, owner, from: None, until: None, thawed_by: None };
    let meta = world.meta("more", FreezeId::of(&workspace(), "more").0);
    world.put(Entity::Freeze(Record { meta, spec }));
}

fn put_pin(world: &mut World, target: &TargetKey, nth: usize) {
    let of = usize::from(target.deployment != crate::worlds::account::deployment(0));
    let Some((version, _)) = world.nth_version(of, nth) else { return };
    let spec = Pin {
        deployment: target.deployment,
        environment: Some(target.environment),
        resource: Some(target.resource),
        version,
        reason: "because".to_owned(),
        created_by: "ann".to_owned(),
    };
    // A pin there already is replaced: then it is not one gate more.
    let id = PinId::of(spec.deployment, spec.environment, spec.resource);
    if world.entities.values().all(|entity| !matches!(entity, Entity::Pin(_))) {
        let meta = world.meta("more", id.0);
        world.put(Entity::Pin(Record { meta, spec }));
    }
}

/// Skips the n-th rule of the n-th version that is considered.
fn skip_one(world: &mut World, target: &TargetKey, nth: usize) -> Result<(), String> {
    let before = world.decide(target);
    let considered = &before.decision.considered;
    let Some(version) = considered.get(nth % considered.len().max(1)) else { return Ok(()) };
    let gates: Vec<&RuleVerdict> = version
        .rules
        .iter()
        .filter(|rule| rule.policy.is_some() && PolicyRule::NAMES.contains(&rule.rule.as_str()))
        .filter(|rule| !PolicyRule::AFTERWARDS.contains(&rule.rule.as_str()))
        .collect();
    let Some(gate) = gates.get(nth % gates.len().max(1)) else { return Ok(()) };
    if gate.skipped_by.is_some() {
        return Ok(());
    }
    let spec = Skip {
        policy: gate.policy.unwrap(),
        rule: gate.rule.clone(),
        rule_index: Some(gate.rule_index),
        version: version.version,
        environment: Some(target.environment),
        resource: Some(target.resource),
        expires_at: None,
        reason: "because".to_owned(),
        created_by: "ann".to_owned(),
    };
    let id = SkipId::of(&spec);
    let mut meta = world.meta("skip", id.0);
    meta.created_at = world.now;
    world.put(Entity::Skip(Record { meta, spec }));
    let after = world.decide(target);
    let Some(now) = after.decision.considered.iter().find(|now| now.version == version.version) else {
        return Err("the version is not considered any more".to_owned());
    };
    let skipped = verdict(now, gate);
    if !skipped.is_some_and(|verdict| verdict.verdict.allows() && verdict.skipped_by == Some(id)) {
        return Err(format!("skipped, but {skipped:?}"));
    }
    // A rollout starts when the last of the others is met: it alone may say otherwise.
    let others = version.rules.iter().filter(|rule| rule.rule != GradualRollout::RULE);
    for other in others.filter(|rule| (rule.policy, rule.rule_index) != (gate.policy, gate.rule_index)) {
        if PolicyRule::AFTERWARDS.contains(&other.rule.as_str()) {
            continue;
        }
        let now = verdict(now, other);
        if now.map(|now| &now.verdict) != Some(&other.verdict) {
            return Err(format!("another rule says otherwise:\n{other:?}\n{now:?}"));
        }
    }
    world.delete(id.0);
    Ok(())
}

fn verdict<'a>(considered: &'a ConsideredVersion, of: &RuleVerdict) -> Option<&'a RuleVerdict> {
    let same = |rule: &&RuleVerdict| {
        (&rule.rule, rule.policy, rule.rule_index) == (&of.rule, of.policy, of.rule_index)
    };
    considered.rules.iter().find(same)
}
