//! The story in numbers: counted from what the platform and the jobs say, never assumed. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use domain::job::JobView;
use fake_github::Run;
use serde::Serialize;

use crate::measure::Latency;

/// A push whose delivery was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Push {
    /// The tag of the version it becomes.
    pub(crate) tag: String,
    /// When the ingester had answered.
    pub(crate) accepted: Instant,
}

/// The result of a demo.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// The story went as it should.
    pub(crate) ok: bool,
    /// Jobs by status.
    pub(crate) jobs: BTreeMap<&'static str, usize>,
    /// Runs on the platform.
    pub(crate) external_runs: usize,
    /// Jobs with more than one run.
    pub(crate) duplicates: usize,
    /// Accepted pushes without a job, and jobs without an end.
    pub(crate) lost: usize,
    /// From an accepted webhook to the first platform call it led to.
    pub(crate) latency_ms: Latency,
}

/// Counts. `jobs` and `runs` may hold more than these pushes led to, from an earlier demo on the same data.
pub(crate) fn summarise<'a>(
    ok: bool,
    pushes: &[Push],
    jobs: impl Iterator<Item = &'a JobView>,
    runs: &[Run],
) -> Summary {
    let tags: BTreeSet<&str> = pushes.iter().map(|push| push.tag.as_str()).collect();
    let jobs: Vec<&JobView> = jobs.filter(|job| tags.contains(job.version.as_str())).collect();
    let mut by_status = BTreeMap::new();
    for job in &jobs {
        *by_status.entry(job.status.as_str()).or_insert(0) += 1;
    }
    let with_job: BTreeSet<&str> = jobs.iter().map(|job| job.version.as_str()).collect();
    let unfinished = jobs.iter().filter(|job| !job.status.is_terminal()).count();
    Summary {
        ok,
        jobs: by_status,
        external_runs: runs.len(),
        duplicates: duplicates(runs),
        lost: tags.difference(&with_job).count() + unfinished,
        latency_ms: latency(pushes, runs),
    }
}

/// Jobs with more than one run. A run without a job's id would be nobody's: it counts as one too many.
pub(crate) fn duplicates(runs: &[Run]) -> usize {
    let mut by_job: BTreeMap<&str, usize> = BTreeMap::new();
    for run in runs {
        *by_job.entry(run.inputs.get("job_id").map_or("", String::as_str)).or_default() += 1;
    }
    by_job.iter().filter(|(job, runs)| job.is_empty() || **runs > 1).count()
}

fn latency(pushes: &[Push], runs: &[Run]) -> Latency {
    let first_call = |push: &Push| {
        let mine = runs.iter().filter(|run| run.inputs.get("version") == Some(&push.tag));
        mine.map(|run| run.dispatch_received).min()
    };
    let samples = pushes.iter().filter_map(|push| {
        // The call may be there before the sender has read its answer: that is no time at all.
        first_call(push).map(|call| call.saturating_duration_since(push.accepted))
    });
    Latency::of(samples.collect())
}
