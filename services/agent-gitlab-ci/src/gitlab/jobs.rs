//! The jobs of a pipeline, and what they tell about it: how often it was retried, what fails, how far it is. Pure.

use super::words::Status;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How many names a message lists.
const NAMES_MAX: usize = 5;

/// A job, or a bridge: the job that starts another pipeline.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Job {
    /// Its id; a retry makes another.
    pub(super) id: u64,
    /// Its name, unique in its pipeline.
    pub(super) name: String,
    /// How it stands.
    pub(super) status: Status,
    /// Whether its pipeline goes on when it fails.
    #[serde(default)]
    pub(super) allow_failure: bool,
    /// Why it failed.
    pub(super) failure_reason: Option<String>,
    /// Where people read its log.
    pub(super) web_url: Option<String>,
    /// The pipeline a bridge has started.
    pub(super) downstream_pipeline: Option<Downstream>,
}

/// A pipeline that another one started.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Downstream {
    /// Its id.
    pub(super) id: u64,
    /// Its project; older servers do not say.
    pub(super) project_id: Option<u64>,
    /// How it stands.
    pub(super) status: Option<Status>,
}

/// Where a job stands, as far as its pipeline's progress is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It will run.
    Waits,
    /// It runs.
    Runs,
    /// A person may start it.
    ForAPerson,
    /// It is over.
    Over,
    /// A word we do not know.
    Unknown,
}

/// Where a job with that word stands.
pub(super) fn standing(status: &Status) -> Standing {
    match status {
        Status::Created
        | Status::WaitingForResource
        | Status::Preparing
        | Status::Pending
        | Status::Scheduled => Standing::Waits,
        Status::Running | Status::WaitingForCallback | Status::Canceling => Standing::Runs,
        Status::Manual => Standing::ForAPerson,
        Status::Success | Status::Failed | Status::Canceled | Status::Skipped => Standing::Over,
        Status::Other(_) => Standing::Unknown,
    }
}

/// The jobs of a pipeline.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Jobs {
    /// The newest of each name, in the order they were made in, which is that of their stages.
    latest: Vec<Job>,
    /// How often jobs were retried, all together: it grows by every retry, whichever job it is of, and never shrinks.
    retries: u32,
    /// The jobs that ran only before others, which had ended well, were run again.
    left_out: Vec<String>,
}

impl Jobs {
    /// Of everything a pipeline has, retried jobs included.
    pub(super) fn of(all: impl IntoIterator<Item = Job>) -> Self {
        let mut by_name: BTreeMap<String, Vec<Job>> = BTreeMap::new();
        for job in all {
            by_name.entry(job.name.clone()).or_default().push(job);
        }
        let retries: usize = by_name.values().map(|jobs| jobs.len() - 1).sum();
        let left_out = left_out(by_name.values().map(Vec::as_slice));
        let first = |jobs: &[Job]| jobs.iter().map(|job| job.id).min();
        let mut of_names: Vec<Vec<Job>> = by_name.into_values().collect();
        of_names.sort_by_key(|jobs| first(jobs));
        let newest = |jobs: Vec<Job>| jobs.into_iter().max_by_key(|job| job.id);
        Self {
            latest: of_names.into_iter().filter_map(newest).collect(),
            retries: u32::try_from(retries).unwrap_or(u32::MAX),
            left_out,
        }
    }

    /// The pipeline's attempt, from 1: GitLab itself does not count them. A retry of several jobs leaves numbers out.
    pub(super) fn attempt(&self) -> u32 {
        self.retries.saturating_add(1)
    }

    /// The newest of each name.
    pub(super) fn latest(&self) -> &[Job] {
        &self.latest
    }

    /// Those for which the pipeline fails.
    pub(super) fn failing(&self) -> impl Iterator<Item = &Job> {
        self.latest.iter().filter(|job| job.status == Status::Failed && !job.allow_failure)
    }

    /// Those that failed and may.
    pub(super) fn tolerated(&self) -> impl Iterator<Item = &Job> {
        self.latest.iter().filter(|job| job.status == Status::Failed && job.allow_failure)
    }

    /// Those that stand there.
    pub(super) fn at(&self, there: Standing) -> impl Iterator<Item = &Job> {
        self.latest.iter().filter(move |job| standing(&job.status) == there)
    }

    /// The jobs that ran only before others, which had ended well, were run again: the last attempt is one of a part of the
    /// pipeline. A retry of what failed leaves out nothing.
    pub(super) fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// The job whose log is of most use: what fails, else what runs, else the last that is over.
    pub(super) fn of_interest(&self) -> Option<&Job> {
        let over = || self.at(Standing::Over).filter(|job| job.status != Status::Skipped).last();
        self.failing().next().or_else(|| self.at(Standing::Runs).next()).or_else(over)
    }

    /// As in `2 of 5 jobs are over, deploy runs`.
    pub(super) fn progress(&self) -> Option<String> {
        let planned = self.latest.iter().filter(|job| standing(&job.status) != Standing::ForAPerson).count();
        if planned == 0 {
            return None;
        }
        let over = self.at(Standing::Over).count();
        let mut text = format!("{over} of {planned} jobs are over");
        let running = names(self.at(Standing::Runs).map(|job| job.name.clone()));
        if !running.is_empty() {
            text.push_str(&format!("; running: {running}"));
        }
        Some(text)
    }
}

fn left_out<'j>(of_names: impl Iterator<Item = &'j [Job]> + Clone) -> Vec<String> {
    let most = of_names.clone().map(<[Job]>::len).max().unwrap_or(0);
    let last_but_one = |jobs: &'j [Job]| {
        let newest = jobs.iter().map(|job| job.id).max();
        jobs.iter().filter(|job| Some(job.id) != newest).max_by_key(|job| job.id)
    };
    let ended_well = |job: &Job| job.status == Status::Success;
    let mut again = of_names.clone().filter(|jobs| jobs.len() == most).filter_map(last_but_one).peekable();
    if again.peek().is_none() || !again.all(ended_well) {
        return Vec::new();
    }
    // Of bridges no retries show.
    let ran = |job: &Job| {
        matches!(job.status, Status::Success | Status::Failed | Status::Canceled)
            && job.downstream_pipeline.is_none()
    };
    of_names
        .filter(|jobs| jobs.len() < most)
        .filter_map(|jobs| jobs.iter().max_by_key(|job| job.id))
        .filter(|job| ran(job))
        .map(|job| job.name.clone())
        .collect()
}

/// As in `deploy (script_failure)`.
pub(super) fn with_reason(job: &Job) -> String {
    match &job.failure_reason {
        Some(reason) => format!("{} ({reason})", job.name),
        None => job.name.clone(),
    }
}

/// A list that does not grow without end.
pub(super) fn names(names: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = names.collect();
    let mut text = all.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    if all.len() > NAMES_MAX {
        text.push_str(&format!(" and {} more", all.len() - NAMES_MAX));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(id: u64, name: &str, status: &str) -> Job {
        serde_json::from_value(json!({ "id": id, "name": name, "status": status })).unwrap()
    }

    #[test]
    fn every_published_word_has_a_standing() {
        use Standing::{ForAPerson, Over, Runs, Waits};
        let expected = [
            ("created", Waits),
            ("waiting_for_resource", Waits),
            ("preparing", Waits),
            ("waiting_for_callback", Runs),
            ("pending", Waits),
            ("running", Runs),
            ("success", Over),
            ("failed", Over),
            ("canceling", Runs),
            ("canceled", Over),
            ("skipped", Over),
            ("manual", ForAPerson),
            ("scheduled", Waits),
        ];
        let told = Status::PUBLISHED.iter().map(|word| (*word, standing(&Status::from((*word).to_owned()))));
        assert_eq!(told.collect::<Vec<_>>(), expected);
        assert_eq!(standing(&Status::Other("dreaming".to_owned())), Standing::Unknown);
        for (word, at) in expected {
            assert_eq!(Status::from(word.to_owned()).is_over(), at == Over, "{word}");
        }
    }

    #[test]
    fn a_retry_is_the_next_attempt_and_the_newest_job_of_a_name_counts() {
        assert_eq!(Jobs::of([]).attempt(), 1);
        let jobs = Jobs::of([
            job(9, "build", "success"),
            job(2, "deploy", "failed"),
            job(1, "build", "failed"),
            job(10, "deploy", "running"),
            job(7, "build", "failed"),
        ]);
        assert_eq!(jobs.attempt(), 4, "two retries of one job, one of another");
        let latest: Vec<(u64, &str)> = jobs.latest().iter().map(|job| (job.id, job.name.as_str())).collect();
        assert_eq!(latest, [(9, "build"), (10, "deploy")], "in the order of their stages");
    }

    #[test]
    fn what_was_not_run_again_with_the_rest_of_a_green_pipeline_is_left_out() {
        let green =
            || vec![job(1, "build", "success"), job(2, "deploy", "success"), job(3, "manual", "manual")];
        let with = |more: Vec<Job>| Jobs::of(green().into_iter().chain(more)).left_out().to_vec();
        assert_eq!(with(vec![]), [""; 0]);
        assert_eq!(with(vec![job(4, "build", "running")]), ["deploy"]);
        assert_eq!(with(vec![job(4, "build", "success"), job(5, "deploy", "success")]), [""; 0]);
        let twice = vec![job(4, "build", "success"), job(5, "deploy", "success"), job(6, "build", "success")];
        assert_eq!(with(twice), ["deploy"]);
        let retried = [job(1, "build", "success"), job(2, "deploy", "failed"), job(4, "deploy", "success")];
        assert_eq!(
            Jobs::of(retried).left_out(),
            [""; 0],
            "what failed was retried, and nothing else was to be"
        );
    }

    #[test]
    fn every_retry_is_a_later_attempt_whichever_job_it_is_of() {
        let mut all = vec![job(1, "build", "failed"), job(2, "deploy", "failed")];
        let mut attempts = vec![Jobs::of(all.clone()).attempt()];
        for (id, name) in [(3, "build"), (4, "build"), (5, "deploy"), (6, "deploy")] {
            all.push(job(id, name, "failed"));
            attempts.push(Jobs::of(all.clone()).attempt());
        }
        assert_eq!(attempts, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn progress_counts_what_will_run_by_itself() {
        assert_eq!(Jobs::of([job(1, "rollback", "manual")]).progress(), None);
        let jobs = Jobs::of([
            job(1, "build", "success"),
            job(2, "deploy", "running"),
            job(3, "check", "created"),
            job(4, "rollback", "manual"),
        ]);
        assert_eq!(jobs.progress().as_deref(), Some("1 of 3 jobs are over; running: deploy"));
        assert_eq!(jobs.of_interest().map(|job| job.id), Some(2));
    }

    #[test]
    fn a_failure_that_is_allowed_does_not_fail_the_pipeline() {
        let mut lint = job(1, "lint", "failed");
        lint.allow_failure = true;
        let jobs = Jobs::of([lint, job(2, "deploy", "failed"), job(3, "after", "skipped")]);
        assert_eq!(jobs.failing().map(|job| job.id).collect::<Vec<_>>(), [2]);
        assert_eq!(jobs.tolerated().map(|job| job.id).collect::<Vec<_>>(), [1]);
        assert_eq!(jobs.of_interest().map(|job| job.id), Some(2));
    }

    #[test]
    fn a_list_of_names_ends() {
        assert_eq!(names((1..=5).map(|n| n.to_string())), "1, 2, 3, 4, 5");
        assert_eq!(names((1..=7).map(|n| n.to_string())), "1, 2, 3, 4, 5 and 2 more");
    }
}
