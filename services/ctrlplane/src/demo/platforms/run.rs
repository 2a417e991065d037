//! A run as the story counts it, whichever platform it is on. Pure.

use std::time::Instant;

use serde_json::Value;

/// The label by which the agents for Argo and Kubernetes mark what they make.
pub(super) const JOB_LABEL: &str = "ctrlplane.dev/job-id";
/// The label by which the story's manifest says which version a Job brings.
const VERSION_LABEL: &str = "version";

/// A platform of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Platform {
    Github,
    Gitlab,
    Kubernetes,
    Argo,
}

impl Platform {
    /// All four.
    pub(crate) const ALL: [Self; 4] = [Self::Github, Self::Gitlab, Self::Kubernetes, Self::Argo];

    /// The type of its job agents.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::Github => bus::topology::GITHUB_ACTIONS,
            Self::Gitlab => bus::topology::GITLAB_CI,
            Self::Kubernetes => bus::topology::KUBERNETES_JOBS,
            Self::Argo => bus::topology::ARGO_WORKFLOWS,
        }
    }

    /// As people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Github => "GitHub Actions",
            Self::Gitlab => "GitLab CI/CD",
            Self::Kubernetes => "Kubernetes Jobs",
            Self::Argo => "Argo Workflows",
        }
    }

    /// The part of the shop that is deployed by it.
    pub(crate) fn region(self) -> &'static str {
        match self {
            Self::Github => "eu-1",
            Self::Gitlab => "us-1",
            Self::Kubernetes => "ap-1",
            Self::Argo => "sa-1",
        }
    }
}

/// A run on a platform.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) platform: Platform,
    /// The id of the job it is for; empty: nobody's.
    pub(crate) job: String,
    /// The tag of the version it brings.
    pub(crate) version: String,
    /// When the platform was called, where it keeps that to the microsecond.
    pub(crate) called: Option<Instant>,
}

impl Run {
    /// A run of a workflow.
    pub(super) fn of_github(run: &fake_github::Run) -> Self {
        let input = |name: &str| run.inputs.get(name).cloned().unwrap_or_default();
        let called = Some(run.dispatch_received);
        Self { platform: Platform::Github, job: input("job_id"), version: input("version"), called }
    }

    /// A pipeline, which carries the job's id in that input.
    pub(super) fn of_gitlab(pipeline: &fake_gitlab::Pipeline, job_id: &str) -> Self {
        let input = |name: &str| text(pipeline.inputs.get(name));
        Self { platform: Platform::Gitlab, job: input(job_id), version: input("version"), called: None }
    }

    /// A workflow.
    pub(super) fn of_argo(workflow: &fake_argo::Workflow) -> Self {
        let owned = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let (job, version) = (owned(workflow.label(JOB_LABEL)), owned(workflow.parameter("version")));
        Self { platform: Platform::Argo, job, version, called: None }
    }

    /// A Job, as the API server shows it.
    pub(super) fn of_kubernetes(job: &Value) -> Self {
        let label = |name: &str| text(job["metadata"]["labels"].get(name));
        let (job, version) = (label(JOB_LABEL), label(VERSION_LABEL));
        Self { platform: Platform::Kubernetes, job, version, called: None }
    }
}

fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}
