//! "`minApprovals` distinct people said yes to the version in the environment, of those that `approvers` lets count."

use super::Says;
use super::means::means;
use super::scene::{Scene, creation};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::audit::Role;
use domain::entity::{AnyApproval, Approval, ApprovalStatus, Policy, Record, Version};
use domain::target::TargetKey;

/// "CEL over `user.name` and `user.role`"; a role that is not known is not there.
fn person(word: &Approval) -> Vec<(&'static str, &str)> {
    let role = word.role.map(|role| match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Approver => "approver",
        Role::Admin => "admin",
    });
    [Some(("user.name", word.user.as_str())), role.map(|role| ("user.role", role))]
        .into_iter()
        .flatten()
        .collect()
}

/// "its last change, or, where nothing was changed, its creation"
fn changed(version: &Record<Version>) -> Timestamp {
    version.spec.content_since.map_or(creation(version), |changed| changed.max(creation(version)))
}

pub(crate) fn judge(
    scene: &Scene<'_>,
    rule: &AnyApproval,
    policy: &Record<Policy>,
    target: &TargetKey,
    version: &Record<Version>,
) -> Says {
    let creator = version.meta.metadata.get("createdBy");
    let makers: Vec<&String> = creator.into_iter().chain(&version.spec.edited_by).collect();
    // "since when it is what it is: … its last change"
    let as_it_is = changed(version);
    let mut yes: Vec<Timestamp> = Vec::new();
    let mut veto = false;
    for word in scene.approvals().map(|word| &word.spec) {
        if word.version.0 != version.meta.id || word.environment != target.environment {
            continue;
        }
        let counts = match &rule.approvers {
            None => true,
            Some(approvers) => match means(approvers, &person(word)) {
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
            // "with `allowSelfApproval: false` not the version's makers"
            ApprovalStatus::Approved if !rule.allow_self_approval && makers.contains(&&word.user) => {}
            // "A yes counts for the version as it was when it was said"
            ApprovalStatus::Approved if word.at < as_it_is => {}
            ApprovalStatus::Approved => yes.push(word.at),
        }
    }
    if veto {
        return Says::Deny;
    }
    // "for a version older than the policy (grandfathered): the version's last change"
    if as_it_is < policy.meta.created_at {
        return Says::Allow { since: Some(as_it_is), until: None };
    }
    // "where the creator is not known, nobody's counts, and the rule denies"
    if !rule.allow_self_approval && creator.is_none() {
        return Says::Deny;
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
