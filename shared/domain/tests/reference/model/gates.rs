//! "All rules are asked, so that *why* is complete."

use super::means::{Broken, place, version as version_matches};
use super::rollout::Question;
use super::scene::Scene;
use super::{Says, approvals, cooldown, dependency, freeze, pin, progression, rollout, skip, window};
use domain::entity::{Policy, PolicyRule, Record, Skip, Version};
use domain::target::TargetKey;

/// Which rule.
#[derive(Clone, Copy)]
pub(crate) enum Gate<'a> {
    /// The n-th of a policy.
    Rule(&'a PolicyRule, &'a Record<Policy>, u32),
    /// A policy of which it cannot be told whether it governs the target.
    Unreadable(&'a Record<Policy>),
    /// `versionDependency`, `freeze`, `pin`
    BuiltIn(&'static str),
}

/// A rule and what it says.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) gate: Gate<'a>,
    pub(crate) says: Says,
    pub(crate) skip: Option<&'a Record<Skip>>,
}

impl Asked<'_> {
    /// Policy, index and name, as decisions write them.
    pub(crate) fn name(&self) -> (Option<uuid::Uuid>, u32, &'static str) {
        match self.gate {
            Gate::Rule(rule, policy, index) => (Some(policy.meta.id), index, rule.name()),
            Gate::Unreadable(policy) => (Some(policy.meta.id), 0, "unreadable"),
            Gate::BuiltIn(name) => (None, 0, name),
        }
    }
}

/// "Policies that are disabled or do not match say nothing."
pub(crate) fn policies<'a>(
    scene: &Scene<'a>,
    target: &TargetKey,
) -> Vec<(&'a Record<Policy>, Result<(), Broken>)> {
    let mut all = Vec::new();
    for policy in scene.policies().filter(|policy| policy.spec.enabled) {
        match place(scene, &policy.spec.selector, target) {
            Ok(true) => all.push((policy, Ok(()))),
            Ok(false) => {}
            Err(broken) => all.push((policy, Err(broken))),
        }
    }
    all
}

pub(crate) fn ask<'a>(scene: &Scene<'a>, target: &TargetKey, version: &'a Record<Version>) -> Vec<Asked<'a>> {
    let mut asked = vec![
        Asked { gate: Gate::BuiltIn("freeze"), says: freeze::judge(scene, target), skip: None },
        Asked { gate: Gate::BuiltIn("pin"), says: pin::judge(scene, target, version), skip: None },
    ];
    if !version.spec.dependencies.is_empty() {
        let says = dependency::of_version(scene, target, version);
        asked.push(Asked { gate: Gate::BuiltIn("versionDependency"), says, skip: None });
    }
    let mut rollouts = Vec::new();
    for (policy, readable) in policies(scene, target) {
        if readable.is_err() {
            asked.push(Asked { gate: Gate::Unreadable(policy), says: Says::Deny, skip: None });
            continue;
        }
        for (rule, index) in policy.spec.rules.iter().zip(0..) {
            let gate = Gate::Rule(rule, policy, index);
            let skip = skip::of(scene, policy, index, target, version);
            let says = match rule {
                PolicyRule::Retry(_) | PolicyRule::Rollback(_) | PolicyRule::Verification(_) => continue,
                PolicyRule::GradualRollout(rule) => {
                    rollouts.push((gate, skip, Question { rule, policy, index, version }));
                    continue;
                }
                PolicyRule::AnyApproval(rule) => approvals::judge(scene, rule, policy, target, version),
                PolicyRule::EnvironmentProgression(rule) => progression::judge(scene, rule, target, version),
                PolicyRule::DeploymentWindow(rule) => window::judge(scene, rule, policy, target),
                PolicyRule::VersionCooldown(rule) => cooldown::judge(scene, rule, target, version),
                PolicyRule::VersionSelector(rule) => {
                    match version_matches(scene, &rule.selector, target, version) {
                        Ok(true) => Says::YES,
                        Ok(false) | Err(_) => Says::Deny,
                    }
                }
                PolicyRule::DeploymentDependency(rule) => dependency::of_policy(scene, rule, target),
            };
            asked.push(Asked { gate, says: skip.map_or(says, skip::says), skip });
        }
    }
    // Rollouts do not wait for one another.
    let others = asked.clone();
    for (gate, skip, question) in rollouts {
        let says = match skip {
            Some(skip) => skip::says(skip),
            None => rollout::judge(scene, question, target, &others),
        };
        asked.push(Asked { gate, says, skip });
    }
    asked
}
