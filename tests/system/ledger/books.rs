//! The books of three sides: what the system recorded, what the platform did, what everybody may see. They must agree to
//! the last job. The comparison is pure.

use super::facts::Histories;
use bus::topology::STATUS;
use bus::{Bus, Change, FollowSource, replay};
use domain::id::JobId;
use domain::job::{JobStatus, JobView, evolve};
use domain::subject;
use domain::token::Slug;
use projections::{HISTORY_MAX, HistoryEntry, ProjectionError, Projections};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;
use system_tests::eventually;

/// Redis answers within this, on a busy machine too.
const SOON: Duration = Duration::from_secs(20);

/// A run in the books of the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// What the platform calls it.
    pub(crate) id: String,
    /// The job whose id it carries.
    pub(crate) job: String,
    /// How it ended.
    pub(crate) ended: JobStatus,
}

/// What is known of every job.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// By the system's own word.
    pub(crate) histories: Histories,
    /// By the platform's word.
    pub(crate) runs: Vec<Run>,
    /// What Redis shows.
    pub(crate) views: BTreeMap<JobId, (Option<JobView>, Vec<HistoryEntry>)>,
    /// How many jobs Redis counts, by how they ended.
    pub(crate) counted: BTreeMap<JobStatus, u64>,
    /// What was told of it, by subject, oldest first.
    pub(crate) statuses: BTreeMap<String, Vec<JobView>>,
}

impl Books {
    /// Reads what everybody may see.
    pub(crate) async fn read(bus: &Bus, redis: &str, histories: Histories, runs: Vec<Run>) -> Self {
        let workspace: Slug = "acme".parse().unwrap();
        let projections = Projections::connect(redis).unwrap();
        let mut views = BTreeMap::new();
        for job in histories.keys() {
            let shown = eventually("Redis shows a job", SOON, || async {
                let view = projections.job(&workspace, *job).await?;
                Ok::<_, ProjectionError>((view, projections.history(&workspace, *job).await?))
            });
            views.insert(*job, shown.await);
        }
        let mut counted = eventually("Redis counts jobs", SOON, || projections.counts(&workspace)).await;
        counted.retain(|_, count| *count > 0);
        let mut statuses: BTreeMap<String, Vec<JobView>> = BTreeMap::new();
        let on = |change: Change| {
            if let Change::Put { key, payload, .. } = change {
                statuses.entry(key).or_default().push(serde_json::from_slice(&payload).unwrap());
            }
            ControlFlow::Continue(())
        };
        replay(bus, FollowSource::Stream(&STATUS, None), on).await.unwrap();
        Self { histories, runs, views, counted, statuses }
    }

    /// Where the books do not agree, when there should be so many jobs, each of which ended as its run did.
    pub(crate) fn disagreements(&self, jobs: usize) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.histories.len() != jobs {
            wrong.push(format!("{} jobs instead of {jobs}", self.histories.len()));
        }
        if self.runs.len() != jobs {
            wrong.push(format!("{} runs instead of {jobs}", self.runs.len()));
        }
        let mut ended: BTreeMap<JobStatus, u64> = BTreeMap::new();
        let mut runs: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
        for run in &self.runs {
            *ended.entry(run.ended).or_default() += 1;
            runs.entry(&run.job).or_default().push(run);
        }
        if self.counted != ended {
            wrong.push(format!("Redis counts {:?}, the platform {ended:?}", self.counted));
        }
        for job in self.histories.keys() {
            let runs = runs.remove(job.to_string().as_str()).unwrap_or_default();
            wrong.extend(self.of_job(*job, &runs).into_iter().map(|why| format!("job {job}: {why}")));
        }
        wrong.extend(
            runs.into_iter().map(|(job, runs)| format!("runs {runs:?} of job {job:?}, which is none")),
        );
        for (subject, told) in &self.statuses {
            if let Some(pair) = told.windows(2).find(|pair| pair[0].sequence >= pair[1].sequence) {
                let (first, then) = (pair[0].sequence, pair[1].sequence);
                wrong.push(format!("{subject}: {then} was told after {first}"));
            }
        }
        wrong
    }

    fn of_job(&self, job: JobId, runs: &[&Run]) -> Vec<String> {
        let mut wrong = Vec::new();
        let (mut state, mut timeline, mut last) = (None, Vec::new(), 0);
        for (sequence, event) in &self.histories[&job] {
            let next = evolve(state.take(), event);
            timeline.push(HistoryEntry::of(*sequence, event, &next));
            (state, last) = (Some(next), *sequence);
        }
        let state = state.unwrap();
        let view = JobView::of(&state, last);
        for run in runs.iter().filter(|run| run.ended != view.status) {
            wrong.push(format!("is {:?}, its run {:?}: {:?}", view.status, run.ended, view.message));
        }
        let ours = state.external.as_ref().map(|run| run.id.as_str());
        let ids: Vec<&str> = runs.iter().map(|run| run.id.as_str()).collect();
        if ids != ours.as_slice() {
            wrong.push(format!("the platform has the runs {ids:?}, its history says {ours:?}"));
        }
        let (shown, entries) = &self.views[&job];
        if !shown.as_ref().is_some_and(|shown| says(shown, &view)) {
            wrong.push(format!("Redis shows {shown:?}, its history says {view:?}"));
        }
        let kept = timeline.len().saturating_sub(HISTORY_MAX);
        if *entries != timeline[kept..] {
            wrong.push(format!("Redis' timeline is {entries:?}, its history says {:?}", &timeline[kept..]));
        }
        let subject = subject::status(
            &view.workspace,
            view.platform.as_ref(),
            &view.deployment,
            &view.environment,
            job,
        );
        let told = self.statuses.get(&subject).and_then(|told| told.last());
        if told != Some(&view) {
            wrong.push(format!("{subject} last told {told:?}, its history says {view:?}"));
        }
        wrong
    }
}

/// Whether a view says what the history says. Looks that found nothing new are no facts: it may be confirmed later than that.
fn says(shown: &JobView, view: &JobView) -> bool {
    shown.confirmed_at >= view.confirmed_at
        && *view == JobView { confirmed_at: view.confirmed_at, ..shown.clone() }
}
