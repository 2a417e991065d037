//! What the public sees of a job: one document, the same in Redis, on the status stream and over HTTP.

use super::event::{ExternalRef, Links, Purpose};
use super::state::{JobState, Phase};
use super::status::{JobStatus, Reason};
use crate::Timestamp;
use crate::dispatch::HTTP_PULL;
use crate::id::{JobAgentId, JobId, ReleaseId, VersionId};
use crate::target::TargetKey;
use crate::token::Slug;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A job as the public sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobView {
    /// The job.
    pub id: JobId,
    /// The tenant.
    pub workspace: Slug,
    /// The status everybody may see.
    pub status: JobStatus,
    /// Why it is as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// For a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Whether somebody wished it to end and it has not yet.
    #[serde(default)]
    pub cancelling: bool,
    /// The platform; absent before dispatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Slug>,
    /// The agent; absent before dispatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_agent_id: Option<JobAgentId>,
    /// The agent's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_agent: Option<String>,
    /// The deployment's token. Absent where a workflow asks for it.
    #[serde(default = "Slug::workflow", skip_serializing_if = "Slug::is_workflow")]
    pub deployment: Slug,
    /// The environment's token. Absent where a workflow asks for it.
    #[serde(default = "Slug::workflow", skip_serializing_if = "Slug::is_workflow")]
    pub environment: Slug,
    /// Where it brings the release. Absent where a workflow asks for it.
    #[serde(default = "TargetKey::none", skip_serializing_if = "TargetKey::is_none")]
    pub target: TargetKey,
    /// The version it brings. Absent where a workflow asks for it.
    #[serde(default = "VersionId::none", skip_serializing_if = "VersionId::is_none")]
    pub version_id: VersionId,
    /// The version's tag. Absent where a workflow asks for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Its name in the run of the workflow that asks for it. Absent where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Version and variables. Absent where a workflow asks for it.
    #[serde(default = "ReleaseId::none", skip_serializing_if = "ReleaseId::is_none")]
    pub release_id: ReleaseId,
    /// The n-th job of this release, from 1.
    pub attempt: u32,
    /// What it is for; absent: it brings the release.
    #[serde(default, skip_serializing_if = "Purpose::is_deploy")]
    pub purpose: Purpose,
    /// The run on the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalRef>,
    /// Deep links into the platform.
    #[serde(default)]
    pub links: Links,
    /// When it was requested.
    pub created_at: Timestamp,
    /// When it was first seen to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// When the platform last confirmed the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The sequence in `JOBS` of the fact that made it so: a greater one is newer news.
    pub sequence: u64,
}

impl JobView {
    /// What people call it: the tag of its version, or its name in a workflow's run.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.version)
    }

    /// The view of a state whose last fact has that sequence in `JOBS`.
    pub fn of(state: &JobState, sequence: u64) -> Self {
        let assigned = state.assigned.as_ref();
        let (version, name) = match state.job.purpose {
            Purpose::Deploy | Purpose::Verify { .. } => (state.job.tag.clone(), None),
            Purpose::Workflow { .. } => (String::new(), Some(state.job.tag.clone())),
        };
        Self {
            id: state.job.id,
            workspace: state.job.workspace.clone(),
            status: state.status(),
            reason: state.reason,
            message: state.message.clone().or_else(|| unclaimed(state)),
            cancelling: matches!(state.phase, Phase::Cancelling(_)),
            platform: assigned.map(|a| a.dispatch.platform.clone()),
            job_agent_id: assigned.map(|a| a.dispatch.agent),
            job_agent: assigned.map(|a| a.dispatch.agent_name.clone()),
            deployment: state.job.deployment.clone(),
            environment: state.job.environment.clone(),
            target: state.job.target,
            version_id: state.job.version,
            version,
            name,
            release_id: state.job.release,
            attempt: state.job.attempt,
            purpose: state.job.purpose,
            external: state.external.clone(),
            links: state.links.clone(),
            created_at: state.created_at,
            started_at: state.started_at,
            completed_at: state.completed_at,
            confirmed_at: state.confirmed_at,
            updated_at: state.updated_at,
            sequence,
        }
    }
}

/// What is said of a job that stands in a queue for programs: that it waits for one of them, not for us.
fn unclaimed(state: &JobState) -> Option<String> {
    let dispatch = state.assigned.as_ref().map(|assigned| &assigned.dispatch)?;
    let waits = state.phase == Phase::Dispatched && dispatch.platform.as_str() == HTTP_PULL;
    waits.then(|| format!("waits for a puller of {}: none has claimed it yet", dispatch.agent_name))
}

#[cfg(test)]
mod tests {
    use super::super::event::{Dispatch, JobEvent, JobFact, JobRef};
    use super::super::evolve::evolve;
    use super::*;
    use crate::id::derive;
    use serde_json::{Map, Value};

    #[test]
    fn a_job_in_a_queue_says_that_nobody_has_claimed_it_until_somebody_does() {
        let at = Timestamp::UNIX_EPOCH;
        let id = derive(&["view"]);
        let job = JobRef {
            workspace: "acme".parse().unwrap(),
            id: JobId(id),
            target: TargetKey::none(),
            version: VersionId::none(),
            tag: "build".to_owned(),
            release: ReleaseId::none(),
            attempt: 1,
            deployment: Slug::workflow(),
            environment: Slug::workflow(),
            purpose: Purpose::Deploy,
            content: None,
        };
        let said = |platform: &str, more: &[JobFact]| {
            let dispatch = Dispatch {
                agent: JobAgentId(id),
                agent_name: "runner".to_owned(),
                platform: platform.parse().unwrap(),
                config: Map::new(),
                context: Value::Null,
                deadlines: Default::default(),
                secrets: Default::default(),
            };
            let first =
                [JobFact::Requested { catalog_revision: 1, grounds: None }, JobFact::Dispatched(dispatch)];
            let event = |fact| JobEvent { job: job.clone(), at, cause: None, traceparent: None, fact };
            let facts = first.into_iter().chain(more.iter().cloned()).map(event);
            let state = facts.fold(None, |state, event| Some(evolve(state, &event))).unwrap();
            JobView::of(&state, 2).message
        };
        let waits = "waits for a puller of runner: none has claimed it yet".to_owned();
        assert_eq!(said(HTTP_PULL, &[]), Some(waits));
        assert_eq!(said(HTTP_PULL, &[JobFact::TriggerStarted { fence: 1 }]), None);
        assert_eq!(said("gitlab", &[]), None);
    }
}
