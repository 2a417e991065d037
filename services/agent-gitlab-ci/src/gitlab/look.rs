//! One look at a pipeline: its jobs, its children, then itself. In this order, so that an attempt that begins in between
//! is not taken to be as far as the one before it.

use super::api::Api;
use super::config::GitlabConfig;
use super::jobs::{Job, Jobs};
use super::pipeline::Pipeline;
use super::status::{self, Plain};
use super::words::Status;
use domain::job::{ExternalRef, Links, Snapshot, SnapshotStatus, Source};
use platform::CallError;

/// How many failed children of one pipeline are looked into.
const CHILDREN_MAX: usize = 3;

/// What was seen.
#[derive(Debug)]
pub(super) struct Look {
    /// The pipeline.
    pub(super) pipeline: Pipeline,
    /// Its jobs, bridges among them.
    pub(super) jobs: Jobs,
    /// Its failed children.
    pub(super) children: Vec<Child>,
}

/// A pipeline that a bridge started, and that failed.
#[derive(Debug)]
pub(super) struct Child {
    /// The bridge's name.
    pub(super) bridge: String,
    /// The child's id.
    pub(super) pipeline: u64,
    /// Its jobs that failed.
    pub(super) failing: Vec<Job>,
}

impl Look {
    /// Looks; `None`: GitLab does not know the pipeline.
    pub(super) async fn at(api: &Api, config: &GitlabConfig, id: &str) -> Result<Option<Self>, CallError> {
        let (jobs, bridges) =
            futures::future::try_join(api.jobs(config, id), api.bridges(config, id)).await?;
        let Some(pipeline) = api.pipeline(config, id).await? else { return Ok(None) };
        let jobs = Jobs::of(jobs.into_iter().chain(bridges));
        let children = if pipeline.status == Some(Status::Failed) {
            children(api, config, &jobs).await
        } else {
            Vec::new()
        };
        Ok(Some(Self { pipeline, jobs, children }))
    }

    /// The attempt: what the jobs show, or what is known already, for retried bridges do not show.
    pub(super) fn attempt(&self, known: u32) -> u32 {
        self.jobs.attempt().max(known)
    }

    /// What it means; `None`: GitLab uses a word we do not know.
    pub(super) fn meaning(&self) -> Option<Plain> {
        status::meaning(&self.pipeline, &self.jobs, &self.children)
    }

    /// The look as it is recorded.
    pub(super) fn snapshot(&self, plain: Plain, external: ExternalRef) -> Snapshot<SnapshotStatus> {
        let Plain { status, reason, message } = plain;
        Snapshot {
            status,
            order: self.pipeline.order(external.attempt),
            raw: Some(self.pipeline.raw()),
            reason,
            message,
            links: links(&self.pipeline, &self.jobs),
            source: Source::Read,
            external: Some(external),
        }
    }
}

/// Deep links for people, as GitLab itself gives them.
pub(super) fn links(pipeline: &Pipeline, jobs: &Jobs) -> Links {
    let logs = jobs.of_interest().and_then(|job| job.web_url.clone());
    [("run", pipeline.web_url.clone()), ("logs", logs)]
        .into_iter()
        .filter_map(|(name, url)| Some((name.to_owned(), url?)))
        .collect()
}

/// What failed in the pipelines that failed with their bridges. Only the message is poorer where it cannot be seen.
async fn children(api: &Api, config: &GitlabConfig, jobs: &Jobs) -> Vec<Child> {
    let mut children = Vec::new();
    let failed = jobs.failing().filter_map(|job| Some((job.name.clone(), job.downstream_pipeline.as_ref()?)));
    for (bridge, downstream) in failed.take(CHILDREN_MAX) {
        let project = downstream.project_id.map(|id| id.to_string());
        let id = downstream.id.to_string();
        match api.failed_jobs(config, project.as_deref().unwrap_or(&config.project), &id).await {
            Ok(jobs) => {
                let failing = Jobs::of(jobs).failing().cloned().collect();
                children.push(Child { bridge, pipeline: downstream.id, failing });
            }
            Err(error) => {
                let why = telemetry::redact(&error.to_string()).into_owned();
                tracing::debug!(host = config.host, pipeline = id, "a child pipeline is not seen: {why}");
            }
        }
    }
    children
}
