//! Finds the pipeline that carries a job's id: by its name, else by its variables. It says "none" only after having seen
//! every pipeline there was to see: a wrong "none" would start a second one.

use super::api::{Api, PAGE_MAX};
use super::config::GitlabConfig;
use super::pipeline::Pipeline;
use chrono::TimeDelta;
use domain::Timestamp;
use domain::id::JobId;
use platform::CallError;
use std::collections::BTreeMap;

/// The search begins this long before the first try: GitLab's clock may be behind ours.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(10);
/// How many pages are looked through.
const PAGES_MAX: usize = 20;
/// How many pipelines' variables are read at most.
const VARIABLES_MAX: usize = 100;

/// The pipelines that carry the job's id, oldest first.
pub(super) async fn pipelines_of(
    api: &Api,
    config: &GitlabConfig,
    job: JobId,
    since: Timestamp,
) -> Result<Vec<Pipeline>, CallError> {
    let (mut named, unnamed) = search(api, config, job, since - CLOCKS_DIFFER).await?;
    let Some(variable) = config.job_id_variable.as_deref().filter(|_| named.is_empty()) else {
        return Ok(named);
    };
    if unnamed.len() > VARIABLES_MAX {
        return Err(CallError::Transient(format!(
            "{} pipelines show no job's id in their names: too many to read the variables of each",
            unnamed.len()
        )));
    }
    let mut hidden = Vec::new();
    for pipeline in unnamed {
        let Some(variables) = api.variables(config, &pipeline.id.to_string()).await? else {
            hidden.push(pipeline.id);
            continue;
        };
        if variables.get(variable).is_some_and(|value| value.trim().parse::<JobId>().ok() == Some(job)) {
            named.push(pipeline);
        }
    }
    // One of these may be the one.
    if let (true, Some(id)) = (named.is_empty(), hidden.first()) {
        return Err(CallError::Transient(format!(
            "GitLab does not show this credential the variables of pipeline {id}{}: whether one carries the job's id cannot \
             be told yet",
            if hidden.len() > 1 { format!(" and {} more", hidden.len() - 1) } else { String::new() }
        )));
    }
    Ok(named)
}

/// Those that show the id in their names, and those that show none at all.
async fn search(
    api: &Api,
    config: &GitlabConfig,
    job: JobId,
    from: Timestamp,
) -> Result<(Vec<Pipeline>, Vec<Pipeline>), CallError> {
    // New pipelines push older ones to later pages, so one may be seen twice; none is missed.
    let mut named: BTreeMap<u64, Pipeline> = BTreeMap::new();
    let mut unnamed: BTreeMap<u64, Pipeline> = BTreeMap::new();
    for page in 1..=PAGES_MAX {
        let pipelines = api.pipelines(config, from, page).await?;
        let is_last = pipelines.len() < PAGE_MAX;
        for pipeline in pipelines {
            let is_old = pipeline.created_at.is_some_and(|created| created < from);
            if pipeline.is_named_after(job) {
                named.insert(pipeline.id, pipeline);
            } else if !is_old && !pipeline.is_named_after_a_job() {
                unnamed.insert(pipeline.id, pipeline);
            }
        }
        if is_last {
            return Ok((named.into_values().collect(), unnamed.into_values().collect()));
        }
    }
    if named.is_empty() {
        let seen = PAGES_MAX * PAGE_MAX;
        return Err(CallError::Transient(format!(
            "the pipeline is not among the last {seen} of its project"
        )));
    }
    Ok((named.into_values().collect(), Vec::new()))
}
