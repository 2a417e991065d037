//! What people say against the ordinary course: skips, freezes, pins, redeployments, pauses of rollouts.

use crate::Timestamp;
use crate::id::{DeploymentId, EnvironmentId, PolicyId, ResourceId, VersionId};
use crate::target::TargetKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bypasses exactly one rule for one version, where it applies, until it expires.
/// Its natural key is all of that; another one for the same replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Skip {
    /// The policy.
    pub policy: PolicyId,
    /// The rule, as manifests name it.
    pub rule: String,
    /// Which of the policy's rules it is, counted from 0. Absent: the only one of that name; where there are several, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_index: Option<u32>,
    /// The version.
    pub version: VersionId,
    /// Only in this environment. Absent: in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
    /// Only on this resource. Absent: on all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceId>,
    /// Until when. Absent: for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Why.
    pub reason: String,
    /// Who.
    pub created_by: String,
}

/// Nothing new starts where it applies, from then until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Freeze {
    /// CEL over `environment`, `deployment`, `resource`: where. Default everywhere.
    #[serde(default = "everywhere")]
    pub selector: String,
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// From when. Absent: from its creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Until when; it thaws by itself then. Absent: until it is thawed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Who thawed it: it is over since `until`. Kept by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thawed_by: Option<String>,
}

fn everywhere() -> String {
    "true".to_owned()
}

/// Only this version may go there. The narrowest pin counts: resource and environment before environment or resource
/// before the deployment as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pin {
    /// The deployment.
    pub deployment: DeploymentId,
    /// Only in this environment. Absent: in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
    /// Only on this resource. Absent: on all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceId>,
    /// The version.
    pub version: VersionId,
    /// Why.
    pub reason: String,
    /// Who.
    pub created_by: String,
}

/// A wish that what is desired on a target is brought there once more. Its natural key is the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Redeploy {
    /// The target.
    pub target: TargetKey,
    /// The version it is about: one that a rollback holds back here may be tried again. Absent: whatever is desired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionId>,
    /// When it was wished. A job that began after that fulfils it.
    pub at: Timestamp,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who.
    pub by: String,
}

/// A person's word on the gradual rollout of a version in an environment; its natural key is both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolloutControl {
    /// The version.
    pub version: VersionId,
    /// Where.
    pub environment: EnvironmentId,
    /// What it does from now on.
    pub action: RolloutAction,
    /// When it was said.
    pub at: Timestamp,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who.
    pub by: String,
    /// The pauses that are over, the last 32, oldest first: the clock of the rollout stood still meanwhile.
    /// They follow from the words before this one; what a client sends is not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<Pause>,
}

/// How many pauses of a rollout are remembered.
const PAUSES_MAX: usize = 32;

/// From when to when a rollout was paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pause {
    /// The instant of the pause.
    pub from: Timestamp,
    /// The instant of the word after it.
    pub until: Timestamp,
}

impl RolloutControl {
    /// The word as the one that comes after another (none: the first).
    #[must_use]
    pub fn following(mut self, before: Option<&RolloutControl>) -> Self {
        self.pauses = before.map(|before| before.pauses.clone()).unwrap_or_default();
        if let Some(before) = before.filter(|before| before.action == RolloutAction::Pause) {
            self.pauses.push(Pause { from: before.at, until: self.at });
            let over = self.pauses.len().saturating_sub(PAUSES_MAX);
            self.pauses.drain(..over);
        }
        self
    }
}

/// What a person makes of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RolloutAction {
    /// No further target starts.
    Pause,
    /// It goes on; failures before this count no more.
    Resume,
}
