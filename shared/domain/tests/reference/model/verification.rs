//! "When a job of a release succeeds, each verification rule (of policies that are not newer than the success) becomes a
//! job of its own." A policy is as new as its last change.

use super::gates::policies;
use super::scene::{End, Job, Scene};
use domain::entity::PolicyRule;
use domain::id::{JobId, PolicyId};
use domain::job::{Reason, TerminalStatus};
use domain::target::TargetKey;
use std::collections::BTreeSet;

/// The verification jobs of what runs that nobody asked for yet.
pub(crate) fn wanted(scene: &Scene<'_>, target: &TargetKey) -> BTreeSet<JobId> {
    let Some((job, end)) = scene.current(target) else { return BTreeSet::new() };
    let mut wanted = BTreeSet::new();
    for (policy, readable) in policies(scene, target) {
        if readable.is_err() || policy.meta.updated_at > end.at {
            continue;
        }
        for (rule, index) in policy.spec.rules.iter().zip(0..) {
            if matches!(rule, PolicyRule::Verification(_)) {
                let policy = PolicyId(policy.meta.id);
                wanted.insert(JobId::of_verification(job.job.id, end.at, policy, index));
            }
        }
    }
    wanted.retain(|id| scene.jobs.iter().all(|job| job.job.id != *id));
    wanted
}

/// When a verification of what the job brought failed: "inconclusive … is not a failed verification".
pub(crate) fn failed(scene: &Scene<'_>, job: &Job) -> Option<End> {
    scene
        .verifications(job)
        .into_iter()
        .filter_map(|verification| verification.end)
        .find(|end| end.status == TerminalStatus::Failure && end.reason != Some(Reason::Inconclusive))
}
