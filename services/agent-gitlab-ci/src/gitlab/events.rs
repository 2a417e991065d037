//! Reads GitLab's webhook deliveries about pipelines into signals. Pure; who the job is, the handler finds out.
//!
//! A delivery is a reason to look and no more: it carries neither the time of the change nor how often the pipeline was
//! retried, so it cannot be put in order. The look that follows can.

use super::words::Status;
use platform::config::host_of;
use platform::{NotReadable, PlatformEvent, RunKey, Signal};
use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What started the pipelines that are ours.
const OURS: [&str; 2] = ["api", "trigger"];

/// The signals of a delivery; none where it is about no pipeline of ours.
///
/// # Errors
/// The payload lacks what names a pipeline.
pub(super) fn read(event: &PlatformEvent<'_>) -> Result<Vec<Signal>, NotReadable> {
    match event.event_type {
        "Pipeline Hook" => pipeline(parse(event.data)?),
        "Job Hook" => job(parse(event.data)?),
        _ => Ok(Vec::new()),
    }
}

#[derive(Deserialize)]
struct PipelineEvent {
    object_attributes: Attributes,
    project: Project,
}

#[derive(Deserialize)]
struct Attributes {
    id: u64,
    source: Option<String>,
    url: Option<String>,
}

#[derive(Deserialize)]
struct Project {
    id: Option<u64>,
    web_url: Option<String>,
}

/// It has no variables and no source, only the pipeline's id.
#[derive(Deserialize)]
struct JobEvent {
    pipeline_id: u64,
    project_id: u64,
    build_status: Status,
    retries_count: Option<u32>,
    project: Option<Project>,
    repository: Option<Repository>,
}

#[derive(Deserialize)]
struct Repository {
    homepage: Option<String>,
}

fn pipeline(event: PipelineEvent) -> Result<Vec<Signal>, NotReadable> {
    let PipelineEvent { object_attributes: Attributes { id, source, url }, project } = event;
    if source.is_some_and(|source| !OURS.contains(&source.as_str())) {
        return Ok(Vec::new());
    }
    let project_id = project.id.ok_or_else(|| unreadable("the project has no id"))?;
    look(url.or(project.web_url), project_id, id)
}

/// Most of what happens to a job changes its pipeline, or the pipeline's own event tells. What remains: a job that fails or
/// waits for a person while others run on, and one that was retried.
fn job(event: JobEvent) -> Result<Vec<Signal>, NotReadable> {
    let tells = match event.build_status {
        Status::Failed | Status::Manual | Status::Other(_) => true,
        Status::Running => event.retries_count.is_some_and(|retries| retries > 0),
        Status::Created
        | Status::WaitingForResource
        | Status::Preparing
        | Status::WaitingForCallback
        | Status::Pending
        | Status::Success
        | Status::Canceling
        | Status::Canceled
        | Status::Skipped
        | Status::Scheduled => false,
    };
    if !tells {
        return Ok(Vec::new());
    }
    let page = event.project.and_then(|project| project.web_url);
    let page = page.or_else(|| event.repository.and_then(|repository| repository.homepage));
    look(page, event.project_id, event.pipeline_id)
}

fn look(page: Option<String>, project: u64, pipeline: u64) -> Result<Vec<Signal>, NotReadable> {
    let page = page.ok_or_else(|| unreadable("neither the pipeline nor its project has a URL"))?;
    let host = Url::parse(&page).ok().as_ref().and_then(host_of);
    let host = host.ok_or_else(|| unreadable("the URL of the pipeline or its project is none"))?;
    let run = RunKey { host, scope: project.to_string(), id: pipeline.to_string() };
    Ok(vec![Signal { run, job: None, snapshot: None }])
}

fn parse<T: DeserializeOwned>(data: &[u8]) -> Result<T, NotReadable> {
    serde_json::from_slice(data).map_err(|error| unreadable(&error.to_string()))
}

fn unreadable(reason: &str) -> NotReadable {
    NotReadable { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
