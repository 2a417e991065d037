//! What a rule looked at: the data behind a verdict, so that *why* is data and not prose.

use crate::Timestamp;
use crate::id::{DeploymentId, FreezeId, JobId, PinId, VersionId};
use crate::job::TerminalStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a rule looked at. Absent where it could not look (an expression that cannot be evaluated).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "of", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum RuleInputs {
    /// `anyApproval`
    Approvals {
        /// How many are needed.
        needed: u32,
        /// Whose yes counts, oldest first.
        approved: Vec<Word>,
        /// Whose no counts.
        rejected: Vec<String>,
    },
    /// `environmentProgression`
    Progression {
        /// The environments that match, by name.
        environments: Vec<Progress>,
    },
    /// `gradualRollout`
    Rollout {
        /// The place among the targets of the environment when the rollout started here, from 0; until then the place
        /// that it would be given now.
        position: u32,
        /// How many targets there were then.
        targets: u32,
        /// Seconds after the start of the rollout.
        offset_seconds: u64,
        /// When the rollout started: when the last of the other gates was met. Absent: not all are.
        started_at: Option<Timestamp>,
        /// When this target may start.
        due_at: Option<Timestamp>,
        /// Targets with an earlier place on which the version failed.
        failures: u32,
        /// More than so many pause it.
        max_failures: u32,
    },
    /// `deploymentWindow`
    Window {
        /// Whether a window is open.
        open: bool,
        /// When that changes next.
        changes_at: Option<Timestamp>,
        /// Whether nothing ever ran on the target, so that the window does not matter.
        first_deployment: bool,
    },
    /// `versionCooldown`
    Cooldown {
        /// The last deploy of another version.
        last: Option<LastDeploy>,
        /// When the target has rested.
        rested_at: Option<Timestamp>,
    },
    /// `versionSelector`
    Selector {
        /// The expression.
        expression: String,
        /// What it says.
        matches: bool,
    },
    /// `deploymentDependency` and `versionDependency`
    Dependency {
        /// The expression.
        expression: String,
        /// What runs on the same resource.
        found: Vec<Running>,
    },
    /// `retry`
    Retry {
        /// How many jobs of the release ended badly in a row.
        failed: u32,
        /// How many may be tried again.
        max_retries: u32,
        /// How the last one ended.
        status: TerminalStatus,
        /// When.
        ended_at: Timestamp,
        /// When the next may begin.
        next_at: Option<Timestamp>,
    },
    /// `rollback`
    Rollback {
        /// The job that ended badly.
        job: Option<JobId>,
        /// When the version was held back; absent: it is not.
        held_at: Option<Timestamp>,
    },
    /// `verification`
    Verification {
        /// The jobs that measure, and how they stand.
        jobs: Vec<JobId>,
    },
    /// `freeze`
    Freeze {
        /// Which.
        freeze: FreezeId,
        /// From when.
        from: Timestamp,
        /// Until when.
        until: Option<Timestamp>,
    },
    /// `pin`
    Pin {
        /// Which.
        pin: PinId,
        /// The version that is pinned.
        version: VersionId,
    },
}

/// A person's yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Word {
    /// Whose.
    pub user: String,
    /// When.
    pub at: Timestamp,
}

/// How a version fares in an environment that another one waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The environment's name.
    pub environment: String,
    /// How many targets there are.
    pub targets: u32,
    /// On how many the version succeeded.
    pub succeeded: u32,
    /// On how many it must.
    pub needed: u32,
    /// When enough did.
    pub met_at: Option<Timestamp>,
    /// When it has soaked.
    pub soaked_at: Option<Timestamp>,
    /// When that grows too old.
    pub too_old_at: Option<Timestamp>,
}

/// The last deploy to a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastDeploy {
    /// The version's tag.
    pub tag: String,
    /// When it ended; absent: it is on its way.
    pub ended_at: Option<Timestamp>,
}

/// What runs somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// The deployment.
    pub deployment: DeploymentId,
    /// Its name.
    pub name: String,
    /// The version's tag; absent: nothing runs.
    pub tag: Option<String>,
    /// Whether it will do.
    pub matches: bool,
}
