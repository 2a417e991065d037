//! `verification`: the jobs that measure what a job brought, and what came of them.

use super::facts::{Facts, JobStanding, Standing};
use crate::Timestamp;
use crate::decision::{VerificationOnTarget, VerificationResult};
use crate::entity::{Policy, PolicyRule, Record};
use crate::id::{JobId, PolicyId};
use crate::job::{JobRef, Purpose, Reason, TerminalStatus};

/// How what a job brought stands with those who measure it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verified {
    /// Every verification that began.
    pub(super) known: Vec<VerificationOnTarget>,
    /// Those that have yet to be asked for.
    pub(super) missing: Vec<JobRef>,
}

impl Verified {
    /// What became of the success under the rules of these policies. A policy that was changed after the success has no
    /// say in it, so that a new rule does not measure everything that runs.
    pub(super) fn of<'a>(
        facts: &Facts,
        success: &JobStanding,
        policies: impl Iterator<Item = &'a Record<Policy>>,
    ) -> Self {
        let mut known: Vec<VerificationOnTarget> =
            facts.verifications_of(success.job.id).filter_map(|job| standing(success, job)).collect();
        known.sort_unstable_by_key(|verification| (verification.policy, verification.rule_index));
        let mut missing = Vec::new();
        for policy in policies.filter(|policy| policy.meta.updated_at <= success.at) {
            let rules = policy.spec.rules.iter().enumerate();
            for (index, _) in rules.filter(|(_, rule)| matches!(rule, PolicyRule::Verification(_))) {
                let job =
                    job_for(success, PolicyId(policy.meta.id), u32::try_from(index).unwrap_or(u32::MAX));
                if facts.job(job.id).is_none() {
                    missing.push(job);
                }
            }
        }
        Self { known, missing }
    }

    /// Since when all have passed; `None` where nothing verified it, or something has not passed.
    pub(super) fn passed_at(&self) -> Option<Timestamp> {
        let passed = |verification: &VerificationOnTarget| verification.result == VerificationResult::Passed;
        if !self.missing.is_empty() || !self.known.iter().all(passed) {
            return None;
        }
        self.known.iter().map(|verification| verification.at).max()
    }

    /// Since when the last of those that failed has.
    pub(super) fn failed_at(&self) -> Option<Timestamp> {
        let failed = self.known.iter().filter(|known| known.result == VerificationResult::Failed);
        failed.map(|verification| verification.at).max()
    }

    /// One that failed.
    pub(super) fn failed(&self) -> Option<&VerificationOnTarget> {
        self.known.iter().find(|verification| verification.result == VerificationResult::Failed)
    }
}

fn job_for(success: &JobStanding, policy: PolicyId, rule_index: u32) -> JobRef {
    let of = success.job.id;
    JobRef {
        id: JobId::of_verification(of, success.at, policy, rule_index),
        purpose: Purpose::Verify { of, policy, rule_index },
        ..success.job.clone()
    }
}

/// Of this success, and not of an earlier one of the same job.
fn standing(success: &JobStanding, job: &JobStanding) -> Option<VerificationOnTarget> {
    let Purpose::Verify { of, policy, rule_index } = job.job.purpose else { return None };
    if job.job.id != JobId::of_verification(of, success.at, policy, rule_index) {
        return None;
    }
    let result = match job.standing {
        Standing::Active { .. } => VerificationResult::Running,
        Standing::Over { status: TerminalStatus::Successful, .. } => VerificationResult::Passed,
        Standing::Over { status: TerminalStatus::Failure, reason: Some(Reason::Inconclusive) } => {
            VerificationResult::Inconclusive
        }
        Standing::Over { status: TerminalStatus::Failure, reason: None } => VerificationResult::Failed,
        // It timed out, was cancelled or could not be dispatched: that says nothing about what it was to measure.
        Standing::Over { .. } => VerificationResult::Inconclusive,
    };
    Some(VerificationOnTarget { job: job.job.id, of, policy, rule_index, result, at: job.at })
}
