//! Another attempt of a pipeline that is over. GitLab retries what failed or was cancelled, under the same id; of what
//! ended well each job is retried by itself, in the order of the stages, so that later ones wait for earlier ones.

use super::api::{Api, Asked};
use super::config::GitlabConfig;
use super::jobs::{Job, Jobs};
use super::look::Look;
use super::words::Status;
use domain::job::ExternalRef;
use platform::CallError;

/// So many jobs of a pipeline that ended well are retried one by one at most: the requests must fit into one call.
const EACH_MAX: usize = 20;

/// A pipeline that runs again.
#[derive(Debug)]
pub(super) struct Again {
    /// As it was seen before.
    pub(super) seen: Look,
    /// Its attempt from now on.
    pub(super) attempt: u32,
}

/// Asks for the attempt after the one of `run`, unless it is under way already: an answer that was lost is not asked for
/// twice.
pub(super) async fn rerun(api: &Api, config: &GitlabConfig, run: &ExternalRef) -> Result<Again, CallError> {
    let gone = || CallError::Invalid(format!("GitLab does not know the pipeline {} any more", run.id));
    let seen = Look::at(api, config, &run.id).await?.ok_or_else(gone)?;
    let next = run.attempt.saturating_add(1);
    if seen.jobs.attempt() > run.attempt {
        return Ok(Again { attempt: seen.jobs.attempt(), seen });
    }
    if !seen.pipeline.is_over() {
        // It was over before, so this is another attempt: of bridges no retries show.
        if seen.pipeline.finished_at.is_some() {
            return Ok(Again { seen, attempt: next });
        }
        return Err(CallError::Transient("the pipeline is not over yet on GitLab".to_owned()));
    }
    if matches!(seen.pipeline.status, Some(Status::Failed | Status::Canceled)) {
        match api.retry(config, &run.id).await? {
            Asked::Accepted(_) => {}
            Asked::Gone => return Err(gone()),
        }
    } else {
        each_job(api, config, seen.jobs.latest()).await?;
    }
    let attempt = begun(api, config, &run.id).await.unwrap_or(next).max(next);
    Ok(Again { seen, attempt })
}

/// The attempt by all jobs that are retried now, so that none of them is taken for another attempt later on. Where it cannot
/// be seen, the next look says it.
async fn begun(api: &Api, config: &GitlabConfig, id: &str) -> Option<u32> {
    match api.jobs(config, id).await {
        Ok(jobs) => Some(Jobs::of(jobs).attempt()),
        Err(error) => {
            let why = telemetry::redact(&error.to_string()).into_owned();
            tracing::debug!(host = config.host, pipeline = id, "retried jobs are not counted yet: {why}");
            None
        }
    }
}

/// Retries every job that has run. What is refused after the first is said by the run itself.
async fn each_job(api: &Api, config: &GitlabConfig, jobs: &[Job]) -> Result<(), CallError> {
    let ran = |job: &&Job| matches!(job.status, Status::Success | Status::Failed | Status::Canceled);
    let count = jobs.iter().filter(ran).count();
    if count > EACH_MAX {
        return Err(CallError::Invalid(format!(
            "the pipeline ended well, and GitLab retries such a one only job by job: {count} jobs are more than the \
             {EACH_MAX} that fit into one call; start a new pipeline instead"
        )));
    }
    let mut begun = false;
    for job in jobs.iter().filter(ran) {
        match api.retry_job(config, job.id).await {
            Ok(()) => begun = true,
            Err(error) if begun => {
                let why = telemetry::redact(&error.to_string()).into_owned();
                tracing::warn!(host = config.host, job = job.id, "a job of a pipeline is not retried: {why}");
            }
            Err(error) => return Err(error),
        }
    }
    if begun {
        return Ok(());
    }
    Err(CallError::Invalid("no job of the pipeline has run, so none can run again".to_owned()))
}
