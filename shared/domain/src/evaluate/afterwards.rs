//! What the rules about what comes after a job say: `rollback` and `verification`. They let nothing go and keep nothing
//! back: a hold does that, and it is a verdict of its own. `retry` has its say where a release ended badly.

use super::history::{History, speaks_against};
use super::review::Review;
use super::rollback::Holds;
use super::ruling::{Named, Ruling, rfc};
use super::verification::Verified;
use super::view::{DeploymentView, Place};
use crate::decision::{RuleInputs, VerificationOnTarget, VerificationResult};
use crate::entity::{Policy, PolicyRule, Record, Rollback};
use crate::id::{PolicyId, VersionId};
use crate::job::{JobStatus, Purpose};

impl<'a> DeploymentView<'a> {
    /// Tells of the versions that are held here what the rollback rules say, and of the one that runs or is to come what
    /// the verification rules say as well.
    pub(super) fn tell_afterwards(
        &self,
        place: &Place<'a>,
        history: &History<'a>,
        holds: &Holds,
        verified: &Verified,
        review: &mut Review<'a>,
    ) {
        let runs = history.current.as_ref().map(|current| current.version);
        for (policy, index, rule) in place.rules() {
            match rule {
                PolicyRule::Rollback(rollback) => review.tell(|version, chosen| {
                    let about = chosen || runs == Some(version) || holds.of(version).is_some();
                    let ruling = about.then(|| rolled_back(rollback, version, history, holds))?;
                    Some(Named::of(policy, index, rule.name(), ruling))
                }),
                PolicyRule::Verification(_) => review.tell(|version, chosen| {
                    let ruling = if runs == Some(version) {
                        measured(policy, index, verified)
                    } else if chosen {
                        Ruling::allow("it is measured when a job has brought it here", None)
                    } else {
                        return None;
                    };
                    Some(Named::of(policy, index, rule.name(), ruling))
                }),
                PolicyRule::AnyApproval(_)
                | PolicyRule::EnvironmentProgression(_)
                | PolicyRule::GradualRollout(_)
                | PolicyRule::DeploymentWindow(_)
                | PolicyRule::VersionCooldown(_)
                | PolicyRule::VersionSelector(_)
                | PolicyRule::DeploymentDependency(_)
                | PolicyRule::Retry(_) => {}
            }
        }
    }
}

fn rolled_back(rule: &Rollback, version: VersionId, history: &History<'_>, holds: &Holds) -> Ruling {
    if let Some(held) = holds.of(version) {
        return super::rollback::judge(held);
    }
    let last = history.last_known().filter(|last| last.job.version == version);
    let failed = last.filter(|last| {
        let (status, reason) = last.status();
        speaks_against(status, reason)
    });
    let Some(failed) = failed else {
        return Ruling::allow("its last job here did not fail", None)
            .on(RuleInputs::Rollback { job: None, held_at: None });
    };
    let (status, _) = failed.status();
    let counts = rule.on_job_statuses.iter().any(|on| JobStatus::from(*on) == status);
    let reason = match (counts, history.has_run(version)) {
        (false, _) => format!("its last job ended as {status}, after which nothing is rolled back"),
        (true, true) => format!("its last job ended as {status}, but it had succeeded here before"),
        (true, false) => format!("its last job ended as {status}; it is held when its retries are used up"),
    };
    Ruling::allow(reason, None).on(RuleInputs::Rollback { job: Some(failed.job.id), held_at: None })
}

/// How the rule's measurements of what runs stand.
fn measured(policy: &Record<Policy>, index: usize, verified: &Verified) -> Ruling {
    let policy = PolicyId(policy.meta.id);
    let is_it = |of: PolicyId, rule_index: u32| of == policy && usize::try_from(rule_index) == Ok(index);
    let to_come = verified.missing.iter().find(|job| match job.purpose {
        Purpose::Verify { policy, rule_index, .. } => is_it(policy, rule_index),
        Purpose::Deploy | Purpose::Workflow { .. } => false,
    });
    let known = verified.known.iter().find(|known| is_it(known.policy, known.rule_index));
    let ruling = match known {
        None if to_come.is_some() => Ruling::wait("its verification is asked for now", None),
        None => Ruling::allow("nothing measures it: the rule is younger than what runs", None),
        Some(VerificationOnTarget { result, at, .. }) => match result {
            VerificationResult::Running => Ruling::wait(format!("it is measured since {}", rfc(*at)), None),
            VerificationResult::Passed => Ruling::allow(format!("it passed at {}", rfc(*at)), Some(*at)),
            VerificationResult::Inconclusive => {
                Ruling::deny(format!("the measurements up to {} do not tell", rfc(*at)))
            }
            VerificationResult::Failed => Ruling::deny(format!("it failed at {}", rfc(*at))),
        },
    };
    let jobs = known.map(|known| known.job).or(to_come.map(|job| job.id));
    ruling.on(RuleInputs::Verification { jobs: jobs.into_iter().collect() })
}
