//! "`minApprovals` distinct people said yes to the version in the environment, of those that `approvers` lets count."

use super::Says;
use super::means::means;
use super::scene::Scene;
use chrono::TimeDelta;
use domain::Timestamp;
use domain::entity::{AnyApproval, ApprovalStatus, Policy, Record, Version};
use domain::target::TargetKey;

pub(crate) fn judge(
    scene: &Scene<'_>,
    rule: &AnyApproval,
    policy: &Record<Policy>,
    target: &TargetKey,
    version: &Record<Version>,
) -> Says {
    let creator = version.meta.metadata.get("createdBy");
    let mut yes: Vec<Timestamp> = Vec::new();
    let mut veto = false;
    for word in scene.approvals().map(|word| &word.spec) {
        if word.version.0 != version.meta.id || word.environment != target.environment {
            continue;
        }
        let counts = match &rule.approvers {
            None => true,
            Some(approvers) => match means(approvers, &[("user.name", &word.user)]) {
                Ok(counts) => counts,
                Err(_) => return Says::Deny,
            },
        };
        if !counts {
            continue;
        }
        match word.status {
            // "One no of a person who counts is a veto, also of the creator"
            ApprovalStatus::Rejected => veto = true,
            // "with `allowSelfApproval: false` not the version's creator"
            ApprovalStatus::Approved if !rule.allow_self_approval && creator == Some(&word.user) => {}
            ApprovalStatus::Approved => yes.push(word.at),
        }
    }
    if veto {
        return Says::Deny;
    }
    // "for a version older than the policy (grandfathered): the version's creation"
    if version.meta.created_at < policy.meta.created_at {
        return Says::Allow { since: Some(version.meta.created_at), until: None };
    }
    // "A yes expires after `expiresAfterSeconds`."
    let end = |at: Timestamp| rule.expires_after_seconds.map(|s| at + TimeDelta::seconds(i64::from(s)));
    yes.retain(|at| end(*at).is_none_or(|end| scene.now < end));
    yes.sort();
    let needed = rule.min_approvals as usize;
    if yes.len() < needed {
        return Says::Wait(None);
    }
    // "the n-th approval"; one too few are left when the (k-n+1)-th oldest of k expires.
    Says::Allow { since: Some(yes[needed - 1]), until: end(yes[yes.len() - needed]) }
}
