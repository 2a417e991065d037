//! Finds the run that carries a job's id in its name. It says "none" only after having seen every run there was to see:
//! a wrong "none" would start a second run.

use super::api::{Api, PAGE_MAX};
use super::config::{Credential, GithubConfig};
use super::run::Run;
use super::searches::Searches;
use chrono::{SecondsFormat, TimeDelta};
use domain::Timestamp;
use domain::id::JobId;
use platform::CallError;
use reqwest::Url;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The search begins this long before the first try: what is known of GitHub's clock is rough.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(2);
/// GitHub shows a thousand results of a search.
const PAGES_MAX: usize = 10;
/// How often a search that shows no more is narrowed to what came before.
const ROUNDS_MAX: usize = 5;

/// Finds runs. Those who look for runs of the same workflow at the same time share one listing of them.
pub(super) struct Finder {
    listings: Searches<Listed, Arc<Listing>>,
}

/// What is listed, and as whom.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Listed {
    base: Url,
    credential: Credential,
    scope: String,
    workflow: String,
}

/// The runs of a workflow that carry ids.
struct Listing {
    /// Every run asked for since then was seen.
    since: Timestamp,
    /// Oldest first.
    runs: HashMap<JobId, BTreeMap<(Option<Timestamp>, u64), Run>>,
}

impl Finder {
    pub(super) fn new() -> Self {
        Self { listings: Searches::new() }
    }

    /// The runs that carry the job's id, oldest first.
    pub(super) async fn runs_of(
        &self,
        api: &Arc<Api>,
        config: &GithubConfig,
        job: JobId,
        since: Timestamp,
    ) -> Result<Vec<Run>, CallError> {
        // Only ever earlier: a wrong `Date` must not hide a run.
        let begin = || api.by_its_clock(config, since).min(since) - CLOCKS_DIFFER;
        let mut from = begin();
        let mut listing = self.listing(api, config, from).await?;
        // The listing's own answer tells GitHub's clock. If it began too late by it, it is made again.
        if begin() < from {
            from = begin();
            if from < listing.since {
                listing = self.listing(api, config, from).await?;
            }
        }
        listing.runs_of(job, from)
    }

    /// A listing that began after this call did, and goes back as far as this or as GitHub shows.
    async fn listing(
        &self,
        api: &Arc<Api>,
        config: &GithubConfig,
        from: Timestamp,
    ) -> Result<Arc<Listing>, CallError> {
        let listed = Listed {
            base: config.base.clone(),
            credential: config.credential.clone(),
            scope: config.scope(),
            workflow: config.workflow.clone(),
        };
        let (api, config) = (Arc::clone(api), config.clone());
        let list = move |from| async move { Listing::read(&api, &config, from).await.map(Arc::new) };
        self.listings.answer(listed, from, list).await
    }
}

impl Listing {
    async fn read(api: &Api, config: &GithubConfig, since: Timestamp) -> Result<Self, CallError> {
        let from = stamp(since);
        let mut listing = Self { since, runs: HashMap::new() };
        let mut created = format!(">={from}");
        for _ in 0..ROUNDS_MAX {
            // New runs push older ones to later pages, so a run may be seen twice; none is missed.
            let mut oldest: Option<Timestamp> = None;
            for page in 1..=PAGES_MAX {
                let runs = api.runs(config, &created, page).await?;
                let is_last = runs.len() < PAGE_MAX;
                for run in runs {
                    oldest = [oldest, run.created_at].into_iter().flatten().min();
                    listing.add(run);
                }
                if is_last {
                    listing.since = since;
                    return Ok(listing);
                }
            }
            listing.since = oldest.and_then(second_after).unwrap_or(Timestamp::MAX_UTC);
            let Some(oldest) = oldest else { break };
            created = format!("{from}..{}", stamp(oldest));
        }
        Ok(listing)
    }

    fn add(&mut self, run: Run) {
        for job in run.carried() {
            self.runs.entry(job).or_default().insert((run.created_at, run.id), run.clone());
        }
    }

    /// The runs that carry the job's id; "none" only where every run since `from` was seen.
    fn runs_of(&self, job: JobId, from: Timestamp) -> Result<Vec<Run>, CallError> {
        match self.runs.get(&job) {
            Some(runs) => Ok(runs.values().cloned().collect()),
            None if self.since <= from => Ok(Vec::new()),
            None => {
                let seen = ROUNDS_MAX * PAGES_MAX * PAGE_MAX;
                Err(CallError::Transient(format!(
                    "the run is not among the last {seen} runs of the workflow"
                )))
            }
        }
    }
}

/// Of the second of the oldest run not all may have been seen: GitHub's times are whole seconds.
fn second_after(oldest: Timestamp) -> Option<Timestamp> {
    oldest.checked_add_signed(TimeDelta::seconds(1))
}

fn stamp(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "0b5c4e52-94c1-5d0a-8d2a-6a1f52c05a0e";
    const OTHER: &str = "1b5c4e52-94c1-5d0a-8d2a-6a1f52c05a0e";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(seconds, 0).unwrap()
    }

    fn run(id: u64, created: i64, title: &str) -> Run {
        let run = serde_json::json!({ "id": id, "created_at": at(created), "display_title": title });
        serde_json::from_value(run).unwrap()
    }

    fn ids(listing: &Listing, job: &str, from: i64) -> Result<Vec<u64>, CallError> {
        let runs = listing.runs_of(job.parse().unwrap(), at(from))?;
        Ok(runs.into_iter().map(|run| run.id).collect())
    }

    #[test]
    fn none_is_said_only_where_everything_was_seen() {
        let listing = Listing { since: at(100), runs: HashMap::new() };
        assert_eq!(ids(&listing, JOB, 100), Ok(vec![]));
        assert_eq!(ids(&listing, JOB, 101), Ok(vec![]));
        assert!(matches!(ids(&listing, JOB, 99), Err(CallError::Transient(_))));
    }

    #[test]
    fn a_run_is_found_once_and_the_oldest_first() {
        let mut listing = Listing { since: at(100), runs: HashMap::new() };
        for run in [run(3, 103, JOB), run(1, 102, OTHER), run(2, 101, JOB), run(3, 103, JOB)] {
            listing.add(run);
        }
        listing.add(run(4, 104, &format!("{OTHER} of {JOB}")));
        assert_eq!(ids(&listing, JOB, 0), Ok(vec![2, 3, 4]));
        assert_eq!(ids(&listing, OTHER, 0), Ok(vec![1, 4]));
    }

    #[test]
    fn of_the_oldest_second_not_all_was_seen() {
        assert_eq!(second_after(at(7)), Some(at(8)));
        assert_eq!(second_after(Timestamp::MAX_UTC), None);
    }
}
