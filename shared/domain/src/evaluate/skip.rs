//! Skips: one rule of one policy bypassed for a version, where and as long as the skip says.

use crate::Timestamp;
use crate::entity::{Policy, Record, Skip};
use crate::id::PolicyId;
use crate::target::TargetKey;

/// The skip of the rule on the target, if one is in force: of several the one that holds longest.
pub(super) fn of_rule<'a>(
    skips: &[&'a Record<Skip>],
    policy: &Record<Policy>,
    index: usize,
    target: &TargetKey,
    now: Timestamp,
) -> Option<&'a Record<Skip>> {
    let in_force = skips.iter().copied().filter(|skip| {
        let spec = &skip.spec;
        spec.policy == PolicyId(policy.meta.id)
            && spec.environment.is_none_or(|id| id == target.environment)
            && spec.resource.is_none_or(|id| id == target.resource)
            && spec.expires_at.is_none_or(|expiry| now < expiry)
            && rule_of(spec, &policy.spec) == Some(index)
    });
    in_force.max_by_key(|skip| (skip.spec.expires_at.is_none(), skip.spec.expires_at, skip.meta.id))
}

/// Which rule of the policy the skip is about. A name that several rules have says nothing without an index.
fn rule_of(skip: &Skip, policy: &Policy) -> Option<usize> {
    let named = |index: &usize| {
        policy.rules.get(*index).is_some_and(|rule| rule.is_gate() && rule.name() == skip.rule)
    };
    match skip.rule_index {
        Some(index) => usize::try_from(index).ok().filter(named),
        None => {
            let mut all = (0..policy.rules.len()).filter(named);
            all.next().filter(|_| all.next().is_none())
        }
    }
}
