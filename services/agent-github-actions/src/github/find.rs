//! Finds the run that carries a job's id in its name. It says "none" only after having seen every run there was to see:
//! a wrong "none" would start a second run.

use super::api::{Api, PAGE_MAX};
use super::config::GithubConfig;
use super::run::Run;
use chrono::{SecondsFormat, TimeDelta};
use domain::Timestamp;
use domain::id::JobId;
use platform::CallError;
use std::collections::BTreeMap;

/// The search begins this long before the first try: what is known of GitHub's clock is rough.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(2);
/// GitHub shows a thousand results of a search.
const PAGES_MAX: usize = 10;
/// How often a search that shows no more is narrowed to what came before.
const ROUNDS_MAX: usize = 5;

/// The runs that carry the job's id, oldest first.
pub(super) async fn runs_of(
    api: &Api,
    config: &GithubConfig,
    job: JobId,
    since: Timestamp,
) -> Result<Vec<Run>, CallError> {
    // Only ever earlier: a wrong `Date` must not hide a run.
    let begin = || api.by_its_clock(config, since).min(since) - CLOCKS_DIFFER;
    let mut from = begin();
    let mut runs = search(api, config, job, from).await?;
    // The search's own answer tells GitHub's clock. If the search began too late by it, it is made again.
    if begin() < from {
        from = begin();
        runs = search(api, config, job, from).await?;
    }
    Ok(runs)
}

async fn search(
    api: &Api,
    config: &GithubConfig,
    job: JobId,
    from: Timestamp,
) -> Result<Vec<Run>, CallError> {
    let from = stamp(from);
    let mut found: BTreeMap<(Option<Timestamp>, u64), Run> = BTreeMap::new();
    let mut created = format!(">={from}");
    for _ in 0..ROUNDS_MAX {
        // New runs push older ones to later pages, so a run may be seen twice; none is missed.
        let mut oldest: Option<Timestamp> = None;
        for page in 1..=PAGES_MAX {
            let runs = api.runs(config, &created, page).await?;
            let is_last = runs.len() < PAGE_MAX;
            for run in runs {
                oldest = [oldest, run.created_at].into_iter().flatten().min();
                if run.carries(job) {
                    found.insert((run.created_at, run.id), run);
                }
            }
            if is_last {
                return Ok(found.into_values().collect());
            }
        }
        let Some(oldest) = oldest else { break };
        created = format!("{from}..{}", stamp(oldest));
    }
    if found.is_empty() {
        let seen = ROUNDS_MAX * PAGES_MAX * PAGE_MAX;
        return Err(CallError::Transient(format!(
            "the run is not among the last {seen} runs of the workflow"
        )));
    }
    Ok(found.into_values().collect())
}

fn stamp(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
