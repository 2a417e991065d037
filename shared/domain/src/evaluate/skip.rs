//! Skips: one rule of one policy bypassed for a version, where and as long as the skip says, and the policy stays as it was.

use super::ruling::{Ruling, rfc};
use crate::Timestamp;
use crate::entity::{Policy, Record, Skip};
use crate::id::PolicyId;
use crate::target::TargetKey;

/// What skips say of a rule on a target.
#[derive(Clone, Copy)]
pub(super) enum Skipped<'a> {
    /// It is bypassed.
    By(&'a Record<Skip>),
    /// It would be, but the policy was changed since: what was meant may be another rule now, or have another sense.
    NoMore(&'a Record<Skip>),
}

impl Skipped<'_> {
    /// What the rule says, seen to by the skip.
    pub(super) fn apply(self, policy: &Record<Policy>, ruling: Ruling) -> Ruling {
        match self {
            Skipped::By(skip) => ruling.skipped(skip),
            Skipped::NoMore(_) if ruling.verdict.allows() => ruling,
            Skipped::NoMore(skip) => {
                let (who, changed) = (&skip.spec.created_by, rfc(policy.meta.updated_at));
                let more = format!("the skip by {who} holds no more: the policy was changed at {changed}");
                Ruling { reason: format!("{}; {more}", ruling.reason), ..ruling }
            }
        }
    }
}

/// The skip of the rule on the target, if there is one that has not expired: of several that are in force the one that
/// holds longest.
pub(super) fn of_rule<'a>(
    skips: &[&'a Record<Skip>],
    policy: &Record<Policy>,
    index: usize,
    target: &TargetKey,
    now: Timestamp,
) -> Option<Skipped<'a>> {
    let unexpired = skips.iter().copied().filter(|skip| {
        let spec = &skip.spec;
        spec.policy == PolicyId(policy.meta.id)
            && spec.environment.is_none_or(|id| id == target.environment)
            && spec.resource.is_none_or(|id| id == target.resource)
            && spec.expires_at.is_none_or(|expiry| now < expiry)
            && rule_of(spec, &policy.spec) == Some(index)
    });
    let is_of_now = |skip: &Record<Skip>| policy.meta.updated_at <= skip.meta.created_at;
    let longest = unexpired.max_by_key(|skip| {
        (is_of_now(skip), skip.spec.expires_at.is_none(), skip.spec.expires_at, skip.meta.id)
    })?;
    Some(if is_of_now(longest) { Skipped::By(longest) } else { Skipped::NoMore(longest) })
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
