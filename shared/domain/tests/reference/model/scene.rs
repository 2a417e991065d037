//! What the model looks at: lists of what is declared, of what happened, of what is remembered; and the instant.

use domain::Timestamp;
use domain::entity::{
    Approval, Deployment, Entity, Environment, Freeze, Pin, Policy, Record, Redeploy, Resource,
    RolloutControl, Skip, Version, VersionStatus,
};
use domain::id::{DeploymentId, EnvironmentId, JobId, PolicyId, ReleaseId, VersionId};
use domain::job::{JobRef, Purpose, Reason, TerminalStatus};
use domain::target::{TargetKey, release_id};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Everything a decision may depend on.
pub(crate) struct Scene<'a> {
    pub(crate) entities: &'a BTreeMap<String, Entity>,
    /// Every job that was ever requested, oldest first.
    pub(crate) jobs: &'a [Job],
    pub(crate) remembered: &'a BTreeMap<TargetKey, Remembered>,
    /// The place by hash of a target that was not placed yet.
    pub(crate) position: &'a dyn Fn(&TargetKey, VersionId, PolicyId, u32) -> Option<u32>,
    pub(crate) now: Timestamp,
}

/// A job, from its request to its (last) end.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) job: JobRef,
    pub(crate) requested_at: Timestamp,
    pub(crate) end: Option<End>,
    pub(crate) cancelling: bool,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) at: Timestamp,
    pub(crate) status: TerminalStatus,
    pub(crate) reason: Option<Reason>,
}

/// What the last decision on a target remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) held: Vec<Held>,
    pub(crate) redeployed_at: Option<Timestamp>,
    pub(crate) placed: Vec<Placed>,
}

/// A version held back by a rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) version: VersionId,
    pub(crate) release: ReleaseId,
    pub(crate) job: JobId,
    pub(crate) since: Timestamp,
}

/// The offset of a target in the rollout of a version by one rule of a policy, as the policy was then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) version: VersionId,
    pub(crate) policy: PolicyId,
    pub(crate) rule_index: u32,
    pub(crate) policy_updated_at: Timestamp,
    pub(crate) offset_seconds: u64,
    pub(crate) position: u32,
}

/// The creation of a version, as rules count it: "Where a version is said to have been created before we were told of it,
/// … rules count from when we were told."
pub(crate) fn creation(version: &Record<Version>) -> Timestamp {
    version.spec.known_since.unwrap_or(version.meta.created_at)
}

macro_rules! lists {
    ($($name:ident: $kind:ident),+ $(,)?) => {$(
        pub(crate) fn $name(&self) -> impl Iterator<Item = &'a Record<$kind>> + use<'a> {
            self.entities.values().filter_map(|entity| match entity {
                Entity::$kind(record) => Some(record),
                _ => None,
            })
        }
    )+};
}

impl<'a> Scene<'a> {
    lists! {
        deployments: Deployment, environments: Environment, resources: Resource, policies: Policy,
        versions: Version, approvals: Approval, skips: Skip, freezes: Freeze, pins: Pin,
        redeploys: Redeploy, controls: RolloutControl,
    }

    pub(crate) fn deployment(&self, id: DeploymentId) -> &'a Record<Deployment> {
        self.deployments().find(|deployment| deployment.meta.id == id.0).unwrap()
    }

    pub(crate) fn environment(&self, id: EnvironmentId) -> &'a Record<Environment> {
        self.environments().find(|environment| environment.meta.id == id.0).unwrap()
    }

    pub(crate) fn resource(&self, target: &TargetKey) -> &'a Record<Resource> {
        self.resources().find(|resource| resource.meta.id == target.resource.0).unwrap()
    }

    pub(crate) fn version(&self, id: VersionId) -> Option<&'a Record<Version>> {
        self.versions().find(|version| version.meta.id == id.0)
    }

    /// "The versions of status `ready`, newest first (by creation, then id)."
    pub(crate) fn ready(&self, deployment: DeploymentId) -> Vec<&'a Record<Version>> {
        let mut ready: Vec<_> = self
            .versions()
            .filter(|v| v.spec.deployment == deployment && v.spec.status == VersionStatus::Ready)
            .collect();
        ready.sort_by_key(|version| Reverse((version.meta.created_at, version.meta.id)));
        ready
    }

    /// "The version with its variables on a target: same content, same release."
    pub(crate) fn release(&self, target: &TargetKey, version: VersionId) -> ReleaseId {
        let variables = &self.resource(target).spec.variables;
        release_id(target, version, &variables.clone().into_iter().collect())
    }

    /// The jobs that were to bring something to the target, oldest first.
    pub(crate) fn deploys(&self, target: &TargetKey) -> Vec<&'a Job> {
        self.jobs.iter().filter(|job| job.job.target == *target && job.job.purpose.is_deploy()).collect()
    }

    /// The jobs that verify what a job brought when it ended.
    pub(crate) fn verifications(&self, of: &Job) -> Vec<&'a Job> {
        let Some(end) = of.end else { return Vec::new() };
        let verifies = |job: &&Job| match job.job.purpose {
            Purpose::Deploy | Purpose::Workflow { .. } => false,
            Purpose::Verify { of: id, .. } => id == of.job.id && job.requested_at >= end.at,
        };
        self.jobs.iter().filter(verifies).collect()
    }

    /// The job on its way.
    pub(crate) fn active(&self, target: &TargetKey) -> Option<&'a Job> {
        self.deploys(target).into_iter().find(|job| job.end.is_none())
    }

    /// The last job that ended.
    pub(crate) fn last(&self, target: &TargetKey) -> Option<(&'a Job, End)> {
        self.ended(target).into_iter().next_back()
    }

    /// The job that brought what runs: "the last that was brought here with success".
    pub(crate) fn current(&self, target: &TargetKey) -> Option<(&'a Job, End)> {
        let good = |(_, end): &(&Job, End)| end.status == TerminalStatus::Successful;
        self.ended(target).into_iter().rfind(good)
    }

    /// The jobs that ended, in the order in which they did.
    pub(crate) fn ended(&self, target: &TargetKey) -> Vec<(&'a Job, End)> {
        let mut ended: Vec<_> =
            self.deploys(target).into_iter().filter_map(|job| job.end.map(|end| (job, end))).collect();
        ended.sort_by_key(|(_, end)| end.at);
        ended
    }
}

impl End {
    /// Ended because a newer version took its place.
    pub(crate) fn superseded(&self) -> bool {
        self.status == TerminalStatus::Cancelled && self.reason == Some(Reason::Superseded)
    }

    /// Ended otherwise than well, and not because a newer version took its place.
    pub(crate) fn badly(&self) -> bool {
        self.status != TerminalStatus::Successful && !self.superseded()
    }
}
