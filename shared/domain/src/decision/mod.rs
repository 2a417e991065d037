//! Decisions: per release target, what is desired, what runs, why nothing more happens, and when to look again.

mod inputs;

pub use inputs::{LastDeploy, Progress, RuleInputs, Running, Word};

use crate::Timestamp;
use crate::id::{JobId, PolicyId, ReleaseId, SkipId, VersionId};
use crate::job::{JobStatus, Reason, TerminalStatus};
use crate::target::TargetKey;
use crate::token::Slug;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uuid::Uuid;

/// The decision on one release target: the value behind a key of the `targets` bucket.
/// The policy evaluator alone writes it, by compare-and-set: here two replicas cannot both start a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetDecision {
    /// The tenant.
    pub workspace: Slug,
    /// Which target.
    pub target: TargetKey,
    /// In one word, and one sentence.
    pub state: TargetState,
    /// One sentence for people.
    pub summary: String,
    /// The version that should run: the newest that passes every rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<VersionOnTarget>,
    /// The version that runs: the last that was brought here with success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<VersionOnTarget>,
    /// The job that brings the desired release, from the moment it was decided until it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<JobOnTarget>,
    /// The last job that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<JobOnTarget>,
    /// How often the releases of which a job ended here were tried, the last that ended first. It outlives the facts,
    /// so that a release that comes back gets a job of its own. At most sixteen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<ReleaseAttempts>,
    /// The versions that ran here before, the last first: what a rollback can go back to. At most four.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<VersionOnTarget>,
    /// Versions that failed here and made way for an earlier one: held back until somebody wishes otherwise. At most
    /// sixteen, the last first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldVersion>,
    /// How what runs here was verified; empty where nothing wants it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verifications: Vec<VerificationOnTarget>,
    /// The last wish to bring something once more that a job was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redeployed: Option<Redeployed>,
    /// The candidate versions that were looked at, newest first, with each rule's verdict. At most ten.
    #[serde(default)]
    pub considered: Vec<ConsideredVersion>,
    /// How many more were looked at: `explain` asks every rule about them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u32,
    /// The rules that hold back a candidate, by name: who looks at what they look at is woken by it. Of a candidate that
    /// is not shown, the first.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub waits_for: BTreeSet<String>,
    /// The places in rollouts that the target was given for versions that are not shown: for all that may still come here
    /// or failed here, and for eight others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<RolloutPlace>,
    /// The next instant at which anything can change by time alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_look: Option<Timestamp>,
    /// The revision of the catalog that this was decided on. Who knows only an older one must not decide anew.
    #[serde(default)]
    pub catalog_revision: u64,
    /// When this was decided.
    pub decided_at: Timestamp,
    /// What made the evaluator look: the hint's cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A target in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TargetState {
    /// Nothing to bring.
    NoVersion,
    /// The desired version runs, and no newer one waits.
    UpToDate,
    /// A job is on its way.
    Deploying,
    /// A newer version waits for something that time or people bring.
    Waiting,
    /// A newer version is denied.
    Blocked,
    /// The last job of the desired release ended badly, and nothing will try again by itself.
    Failed,
    /// The target is gone: the deployment, environment or resource does not select it any more.
    Gone,
}

/// A version on a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionOnTarget {
    /// The version.
    pub version: VersionId,
    /// Its tag.
    pub tag: String,
    /// Version and variables.
    pub release: ReleaseId,
    /// Since when.
    pub since: Timestamp,
    /// The content of the version that was brought here, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Uuid>,
}

/// A job on a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobOnTarget {
    /// The job.
    pub job: JobId,
    /// Its release.
    pub release: ReleaseId,
    /// Its version.
    pub version: VersionId,
    /// The version's tag.
    pub tag: String,
    /// The n-th job of this release, from 1.
    pub attempt: u32,
    /// How it stands; for the active job `pending` until it is over.
    pub status: JobStatus,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// When it was decided, or ended.
    pub at: Timestamp,
    /// The content of the version that the rules let go, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Uuid>,
}

/// A version that a rollback holds back on a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldVersion {
    /// The version.
    pub version: VersionId,
    /// Its tag.
    pub tag: String,
    /// The release that failed: with other variables it is another one, and may be tried.
    pub release: ReleaseId,
    /// The job that failed, or whose verification did.
    pub job: JobId,
    /// Why, for people.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// A wish to bring something once more, and the job that was asked for because of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Redeployed {
    /// When it was wished.
    pub at: Timestamp,
    /// The release that was asked for.
    pub release: ReleaseId,
    /// The n-th job of the release, from 1. How those before it ended does not count any more.
    pub attempt: u32,
}

/// How a verification of what runs on a target stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationOnTarget {
    /// The job that measures.
    pub job: JobId,
    /// The job that brought what it measures.
    pub of: JobId,
    /// The policy.
    pub policy: PolicyId,
    /// Which of its rules, from 0.
    pub rule_index: u32,
    /// What came of it.
    pub result: VerificationResult,
    /// Since when.
    pub at: Timestamp,
}

/// What came of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum VerificationResult {
    /// It is being measured.
    Running,
    /// Every metric passed.
    Passed,
    /// Neither: it could not be measured, or the measurements do not tell.
    Inconclusive,
    /// A metric failed.
    Failed,
}

/// How often a release was tried on a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseAttempts {
    /// The release.
    pub release: ReleaseId,
    /// The number of its last job that ended, from 1.
    pub attempt: u32,
    /// How its last jobs fared, where the last of them ended badly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub badly: Option<EndedBadly>,
}

/// How the last jobs of a release on a target ended badly, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndedBadly {
    /// How many in a row: since something last succeeded here, or somebody wished for another try.
    pub failed: u32,
    /// How the last one ended.
    pub status: TerminalStatus,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// When.
    pub at: Timestamp,
}

/// What was decided when a job was asked for: it stays with the job, whatever is decided on the target afterwards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Grounds {
    /// When.
    pub decided_at: Timestamp,
    /// The decision in one sentence.
    pub summary: String,
    /// What every rule said of the job's version.
    pub rules: Vec<RuleVerdict>,
}

/// The place a target was given by one rule when the rollout of a version started there, which it keeps as long as the
/// policy is not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutPlace {
    /// The version.
    pub version: VersionId,
    /// The policy.
    pub policy: PolicyId,
    /// As the policy was then: when it was last changed.
    pub policy_updated_at: Timestamp,
    /// Which of its rules, from 0.
    pub rule_index: u32,
    /// The place, from 0.
    pub position: u32,
    /// Of how many targets.
    pub targets: u32,
    /// Seconds after the rollout's start.
    pub offset_seconds: u64,
}

impl RolloutPlace {
    /// By which rule it was given, in the rollout of which version.
    pub fn rule(&self) -> (VersionId, PolicyId, u32) {
        (self.version, self.policy, self.rule_index)
    }
}

impl ConsideredVersion {
    /// The places the target has in rollouts of the version that have started.
    pub fn places(&self) -> impl Iterator<Item = RolloutPlace> + '_ {
        self.rules.iter().filter_map(|rule| match rule.inputs {
            Some(RuleInputs::Rollout { position, targets, offset_seconds, started_at: Some(_), .. }) => {
                Some(RolloutPlace {
                    version: self.version,
                    policy: rule.policy?,
                    policy_updated_at: rule.policy_updated_at?,
                    rule_index: rule.rule_index,
                    position,
                    targets,
                    offset_seconds,
                })
            }
            _ => None,
        })
    }
}

impl TargetDecision {
    /// Since when the version runs here, or ran before what runs, as far as that is remembered.
    pub fn ran_since(&self, version: VersionId) -> Option<Timestamp> {
        let ran = self.current.iter().chain(&self.earlier).find(|ran| ran.version == version)?;
        Some(ran.since)
    }

    /// Why the job that brings the version may run.
    pub fn grounds(&self, version: VersionId) -> Option<Grounds> {
        let considered = self.considered.iter().find(|considered| considered.version == version)?;
        Some(Grounds {
            decided_at: self.decided_at,
            summary: self.summary.clone(),
            rules: considered.rules.clone(),
        })
    }

    /// The places the target was given in rollouts and keeps.
    pub fn rollout_places(&self) -> impl Iterator<Item = RolloutPlace> + '_ {
        self.considered.iter().flat_map(ConsideredVersion::places).chain(self.places.iter().copied())
    }
}

/// What the rules say to one version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsideredVersion {
    /// The version.
    pub version: VersionId,
    /// Its tag.
    pub tag: String,
    /// Whether every rule allows it.
    pub allowed: bool,
    /// Every rule of every enabled matching policy.
    pub rules: Vec<RuleVerdict>,
}

/// What one rule says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleVerdict {
    /// The policy; absent for built-in rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyId>,
    /// The policy's name; `built-in` for built-in rules.
    pub policy_name: String,
    /// When the policy was last changed; absent for built-in rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_updated_at: Option<Timestamp>,
    /// The rule, as manifests name it.
    pub rule: String,
    /// Which of the policy's rules it is, from 0.
    #[serde(default)]
    pub rule_index: u32,
    /// What it says.
    pub verdict: Verdict,
    /// Why, for people: always there.
    pub reason: String,
    /// Whether it denies because it could not be evaluated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub error: bool,
    /// Since when it is satisfied, where that matters to other rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub satisfied_at: Option<Timestamp>,
    /// When time alone may make it say something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes_at: Option<Timestamp>,
    /// The skip by which it allows what it would not have allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_by: Option<SkipId>,
    /// What it looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<RuleInputs>,
}

/// allow, deny, or wait until.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Verdict {
    /// Yes.
    Allow,
    /// No, until something other than time changes.
    Deny,
    /// Not yet.
    Wait {
        /// The exact instant, where time alone ends it; absent: an event does (an approval, a success).
        until: Option<Timestamp>,
    },
}

impl Verdict {
    /// Whether it lets the version pass now.
    pub fn allows(&self) -> bool {
        match self {
            Verdict::Allow => true,
            Verdict::Deny | Verdict::Wait { .. } => false,
        }
    }
}
