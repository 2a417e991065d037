//! Reads GitHub's webhook deliveries about runs into signals. Pure; who the job is, the handler finds out.

use super::config::{Neutral, host_of};
use super::run::Run;
use super::status::{self, Meaning};
use super::words::Status;
use domain::job::{ExternalRef, Source};
use domain::token::Slug;
use platform::{NotReadable, PlatformEvent, RunKey, Signal};
use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What started the runs that are ours.
const OURS: &str = "workflow_dispatch";

/// The signals of a delivery; none where it is about no run of ours.
///
/// # Errors
/// The payload lacks what names a run.
pub(super) fn read(platform: &Slug, event: &PlatformEvent<'_>) -> Result<Vec<Signal>, NotReadable> {
    match event.event_type {
        "workflow_run" => workflow_run(platform, parse(event.data)?),
        "workflow_job" => workflow_job(parse(event.data)?),
        "deployment_review" => deployment_review(parse(event.data)?),
        "deployment_protection_rule" => deployment_protection_rule(parse(event.data)?),
        _ => Ok(Vec::new()),
    }
}

#[derive(Deserialize)]
struct RunEvent {
    action: Option<String>,
    workflow_run: Run,
    repository: Option<Repository>,
}

#[derive(Deserialize)]
struct JobEvent {
    workflow_job: Job,
}

#[derive(Deserialize)]
struct Job {
    run_url: String,
    status: Option<Status>,
}

#[derive(Deserialize)]
struct ReviewEvent {
    workflow_run: Option<Run>,
    repository: Option<Repository>,
}

#[derive(Deserialize)]
struct RuleEvent {
    event: Option<String>,
    deployment_callback_url: Option<String>,
}

#[derive(Deserialize)]
struct Repository {
    url: Option<String>,
}

/// The one event that says how a run stands.
fn workflow_run(platform: &Slug, event: RunEvent) -> Result<Vec<Signal>, NotReadable> {
    let run = event.workflow_run;
    if is_foreign(run.event.as_deref()) {
        return Ok(Vec::new());
    }
    let key = key_of(&run, event.repository.as_ref())?;
    // GitHub has sent `completed` with a run that is not: then only a read can tell.
    let contradicts =
        event.action.as_deref() == Some("completed") && !matches!(run.status, Some(Status::Completed));
    // What `neutral` means is in the job's config, which a delivery does not carry: a read decides that, too.
    let neutral = matches!(run.conclusion, Some(super::words::Conclusion::Neutral));
    let snapshot = match status::meaning(&run, Neutral::default()) {
        Meaning::Plain(plain) if !contradicts && !neutral && run.order().is_some() => {
            let external = ExternalRef {
                platform: platform.clone(),
                host: key.host.clone(),
                scope: key.scope.clone(),
                id: key.id.clone(),
                attempt: run.attempt(),
                url: run.html_url.clone(),
            };
            Some(status::snapshot(&run, plain, Source::Webhook, Some(external)))
        }
        Meaning::Plain(_) | Meaning::Waiting | Meaning::Unsettled | Meaning::Unknown => None,
    };
    Ok(vec![Signal { run: key, job: run.job(), snapshot }])
}

/// A job of a run says nothing certain about the run: other jobs may stand elsewhere. That it waits or runs is a reason
/// to look, because no `workflow_run` event tells of a run that waits, or goes on after waiting. Queued and completed
/// jobs change no run by themselves, or `workflow_run` says so.
fn workflow_job(event: JobEvent) -> Result<Vec<Signal>, NotReadable> {
    match event.workflow_job.status {
        Some(Status::Waiting | Status::InProgress | Status::Other(_)) | None => {
            look(key_of_url(&event.workflow_job.run_url)?)
        }
        Some(Status::Requested | Status::Queued | Status::Pending | Status::Completed) => Ok(Vec::new()),
    }
}

fn deployment_review(event: ReviewEvent) -> Result<Vec<Signal>, NotReadable> {
    match event.workflow_run {
        Some(run) if !is_foreign(run.event.as_deref()) => look(key_of(&run, event.repository.as_ref())?),
        Some(_) | None => Ok(Vec::new()),
    }
}

fn deployment_protection_rule(event: RuleEvent) -> Result<Vec<Signal>, NotReadable> {
    match event.deployment_callback_url {
        Some(url) if !is_foreign(event.event.as_deref()) => look(key_of_url(&url)?),
        Some(_) | None => Ok(Vec::new()),
    }
}

fn look(run: RunKey) -> Result<Vec<Signal>, NotReadable> {
    Ok(vec![Signal { run, job: None, snapshot: None }])
}

/// Whether a run was started by something else than a dispatch.
fn is_foreign(event: Option<&str>) -> bool {
    event.is_some_and(|event| event != OURS)
}

fn key_of(run: &Run, repository: Option<&Repository>) -> Result<RunKey, NotReadable> {
    if let Some(url) = &run.url {
        return key_of_url(url);
    }
    let repo = repository.and_then(|repository| repository.url.as_deref());
    let repo = repo.ok_or_else(|| unreadable("the run has no url, and neither has its repository"))?;
    key_of_url(&format!("{}/actions/runs/{}", repo.trim_end_matches('/'), run.id))
}

/// `https://<host>[/api/v3]/repos/<owner>/<repo>/actions/runs/<id>[/…]`.
fn key_of_url(url: &str) -> Result<RunKey, NotReadable> {
    let not_a_run = || unreadable("the url of the run is not one of GitHub's API");
    let url = Url::parse(url).map_err(|_| not_a_run())?;
    let host = host_of(&url).ok_or_else(not_a_run)?;
    let segments: Vec<&str> = url.path().split('/').skip_while(|segment| *segment != "repos").collect();
    match segments.as_slice() {
        ["repos", owner, repo, "actions", "runs", id, ..] if id.bytes().all(|b| b.is_ascii_digit()) => {
            let scope = format!("{owner}/{repo}").to_ascii_lowercase();
            Ok(RunKey { host, scope, id: (*id).to_owned() })
        }
        _ => Err(not_a_run()),
    }
}

fn parse<T: DeserializeOwned>(data: &[u8]) -> Result<T, NotReadable> {
    serde_json::from_slice(data).map_err(|error| unreadable(&error.to_string()))
}

fn unreadable(reason: &str) -> NotReadable {
    NotReadable { reason: reason.to_owned() }
}

#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod tests;
