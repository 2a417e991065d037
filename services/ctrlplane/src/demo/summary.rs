//! The story in numbers: counted from what the platforms and the jobs say, never assumed. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use domain::job::JobView;
use serde::Serialize;

use super::platforms::{Platform, Run};
use crate::measure::Latency;

/// A push whose delivery was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Push {
    /// The tag of the version it becomes.
    pub(crate) tag: String,
    /// When the ingester had answered.
    pub(crate) accepted: Instant,
}

/// Jobs by status.
pub(crate) type ByStatus = BTreeMap<&'static str, usize>;

/// The result of a demo.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// The story went as it should.
    pub(crate) ok: bool,
    /// Jobs by status.
    pub(crate) jobs: ByStatus,
    /// The same on each platform, by the type of its job agents.
    pub(crate) platforms: BTreeMap<String, OnPlatform>,
    /// Runs on all platforms.
    pub(crate) external_runs: usize,
    /// Jobs with more than one run.
    pub(crate) duplicates: usize,
    /// Accepted pushes without a job, and jobs without an end.
    pub(crate) lost: usize,
    /// From an accepted webhook to the first call of GitHub Actions it led to.
    pub(crate) latency_ms: Latency,
}

/// One platform's part.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct OnPlatform {
    /// Jobs by status.
    pub(crate) jobs: ByStatus,
    /// Runs the platform has.
    pub(crate) runs: usize,
}

/// Counts. `jobs` and `runs` may hold more than these pushes led to, from an earlier demo on the same data or cluster.
pub(crate) fn summarise<'a>(
    ok: bool,
    pushes: &[Push],
    jobs: impl Iterator<Item = &'a JobView>,
    runs: &[Run],
) -> Summary {
    let tags: BTreeSet<&str> = pushes.iter().map(|push| push.tag.as_str()).collect();
    let jobs: Vec<&JobView> = jobs.filter(|job| tags.contains(job.version.as_str())).collect();
    let runs: Vec<&Run> =
        runs.iter().filter(|run| run.job.is_empty() || tags.contains(run.version.as_str())).collect();
    let mut by_status = ByStatus::new();
    let mut platforms: BTreeMap<String, OnPlatform> = BTreeMap::new();
    for platform in Platform::ALL {
        platforms.insert(platform.slug().to_owned(), OnPlatform::default());
    }
    for job in &jobs {
        *by_status.entry(job.status.as_str()).or_insert(0) += 1;
        // A job that was not dispatched is on no platform.
        let platform = job.platform.as_ref().map_or("none", |platform| platform.as_str());
        let part = platforms.entry(platform.to_owned()).or_default();
        *part.jobs.entry(job.status.as_str()).or_insert(0) += 1;
    }
    for run in &runs {
        platforms.entry(run.platform.slug().to_owned()).or_default().runs += 1;
    }
    let with_job: BTreeSet<&str> = jobs.iter().map(|job| job.version.as_str()).collect();
    let unfinished = jobs.iter().filter(|job| !job.status.is_terminal()).count();
    Summary {
        ok,
        jobs: by_status,
        platforms,
        external_runs: runs.len(),
        duplicates: duplicates(runs.iter().map(|run| run.job.as_str())),
        lost: tags.difference(&with_job).count() + unfinished,
        latency_ms: latency(pushes, &runs),
    }
}

/// Jobs with more than one run, by the jobs of all runs. A run without a job's id (empty) would be nobody's: it counts as one
/// too many.
pub(crate) fn duplicates<'a>(jobs_of_runs: impl Iterator<Item = &'a str>) -> usize {
    let mut by_job: BTreeMap<&str, usize> = BTreeMap::new();
    for job in jobs_of_runs {
        *by_job.entry(job).or_default() += 1;
    }
    by_job.iter().filter(|(job, runs)| job.is_empty() || **runs > 1).count()
}

fn latency(pushes: &[Push], runs: &[&Run]) -> Latency {
    let first_call = |push: &Push| {
        let mine = runs.iter().filter(|run| run.version == push.tag);
        mine.filter_map(|run| run.called).min()
    };
    let samples = pushes.iter().filter_map(|push| {
        // The call may be there before the sender has read its answer: that is no time at all.
        first_call(push).map(|call| call.saturating_duration_since(push.accepted))
    });
    Latency::of(samples.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(platform: Platform, job: &str, version: &str) -> Run {
        Run { platform, job: job.to_owned(), version: version.to_owned(), called: None }
    }

    #[test]
    fn runs_are_counted_where_they_are_and_a_second_one_is_noticed() {
        let pushes = [Push { tag: "v1".to_owned(), accepted: Instant::now() }];
        let runs = [
            run(Platform::Github, "a", "v1"),
            run(Platform::Gitlab, "b", "v1"),
            run(Platform::Gitlab, "b", "v1"),
            // Of an earlier story, and nobody's.
            run(Platform::Kubernetes, "c", "v0"),
            run(Platform::Argo, "", "v0"),
        ];
        let summary = summarise(true, &pushes, std::iter::empty(), &runs);
        let counted: Vec<(&str, usize)> =
            summary.platforms.iter().map(|(platform, part)| (platform.as_str(), part.runs)).collect();
        assert_eq!(counted, [("argo-workflow", 1), ("github-app", 1), ("gitlab", 2), ("kubernetes-job", 0)]);
        assert_eq!((summary.external_runs, summary.duplicates, summary.lost), (4, 2, 1));
    }
}
