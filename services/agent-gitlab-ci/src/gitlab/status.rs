//! What GitLab's words mean to us: one pure table. Source: GitLab's API documentation of pipelines and jobs.
//! It never guesses an end: words it does not know leave the last status as it is.

use super::jobs::{Job, Jobs, Standing, names, with_reason};
use super::look::Child;
use super::pipeline::Pipeline;
use super::words::Status;
use domain::job::{ActiveStatus, Reason, SnapshotStatus, TerminalStatus};

/// Why GitLab ends a job that takes too long, or that no runner takes.
const TOO_LONG: [&str; 2] = ["job_execution_timeout", "stuck_or_timeout_failure"];

/// A status with what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plain {
    /// What it means to us.
    pub(super) status: SnapshotStatus,
    /// Why.
    pub(super) reason: Option<Reason>,
    /// For a person.
    pub(super) message: Option<String>,
}

/// What a pipeline's word means, its jobs considered; `None`: a word we do not know.
pub(super) fn meaning(pipeline: &Pipeline, jobs: &Jobs, children: &[Child]) -> Option<Plain> {
    let queued = |message: Option<&str>| {
        let message = message.map(str::to_owned).or_else(|| jobs.progress());
        Some(active(ActiveStatus::Queued, message))
    };
    match pipeline.status.as_ref()? {
        Status::Created | Status::Pending => queued(None),
        Status::WaitingForResource => queued(Some("waits for its resource group")),
        Status::Preparing => queued(Some("GitLab prepares it")),
        Status::Scheduled => queued(Some("waits for the time its delayed job starts at")),
        Status::Running => Some(active(ActiveStatus::InProgress, jobs.progress())),
        Status::WaitingForCallback => {
            Some(active(ActiveStatus::InProgress, Some("waits for a report from outside".to_owned())))
        }
        Status::Canceling => Some(active(ActiveStatus::InProgress, Some("cancelling".to_owned()))),
        Status::Manual => Some(active(ActiveStatus::ActionRequired, Some(for_a_person(jobs)))),
        Status::Success => Some(over(TerminalStatus::Successful, None, cautions(pipeline, jobs))),
        Status::Failed => Some(failed(pipeline, jobs, children)),
        Status::Canceled => Some(over(TerminalStatus::Cancelled, Some(Reason::CancelledOnPlatform), None)),
        Status::Skipped => Some(over(TerminalStatus::Skipped, None, None)),
        Status::Other(_) => None,
    }
}

/// What a pipeline that was found means while its word means nothing to us: it exists, and that is all.
pub(super) fn exists(pipeline: &Pipeline) -> Plain {
    active(ActiveStatus::Queued, Some(format!("GitLab says {:?}", pipeline.raw().status)))
}

fn for_a_person(jobs: &Jobs) -> String {
    let waiting = names(jobs.at(Standing::ForAPerson).map(|job| job.name.clone()));
    if waiting.is_empty() {
        "waits for somebody to start a job".to_owned()
    } else {
        format!("waits for somebody to start {waiting}")
    }
}

fn cautions(pipeline: &Pipeline, jobs: &Jobs) -> Option<String> {
    let in_part = (!jobs.left_out().is_empty()).then(|| {
        let left_out = names(jobs.left_out().iter().cloned());
        format!("run again only in part; not run again: {left_out}")
    });
    let cautions: Vec<String> = [in_part, warnings(pipeline, jobs)].into_iter().flatten().collect();
    (!cautions.is_empty()).then(|| cautions.join("; "))
}

fn warnings(pipeline: &Pipeline, jobs: &Jobs) -> Option<String> {
    let tolerated = names(jobs.tolerated().map(with_reason));
    if !tolerated.is_empty() {
        return Some(format!("passed with warnings; failed and may: {tolerated}"));
    }
    let label = pipeline.detailed_status.as_ref()?.label.as_deref()?;
    label.contains("warning").then(|| label.to_owned())
}

fn failed(pipeline: &Pipeline, jobs: &Jobs, children: &[Child]) -> Plain {
    if let Some(errors) = &pipeline.yaml_errors {
        let message = format!("GitLab could not start it: {errors}");
        return over(TerminalStatus::Failure, Some(Reason::StartupFailure), Some(message));
    }
    let failing: Vec<&Job> = jobs.failing().collect();
    if failing.is_empty() {
        let message = "GitLab says that the pipeline failed, and shows no job that did";
        return over(TerminalStatus::Failure, None, Some(message.to_owned()));
    }
    let took_too_long = |job: &Job| job.failure_reason.as_deref().is_some_and(|why| TOO_LONG.contains(&why));
    // A bridge fails with its child: what counts is why the child's jobs failed.
    let causes: Vec<&Job> = failing
        .iter()
        .flat_map(|job| match children.iter().find(|child| child.bridge == job.name) {
            Some(child) if !child.failing.is_empty() => child.failing.iter().collect::<Vec<&Job>>(),
            Some(_) | None => vec![*job],
        })
        .collect();
    let reason = causes.iter().all(|job| took_too_long(job)).then_some(Reason::TimedOut);
    let told = failing.iter().map(|job| match children.iter().find(|child| child.bridge == job.name) {
        Some(child) if !child.failing.is_empty() => {
            let inside = names(child.failing.iter().map(with_reason));
            format!("{} (in its pipeline {}: {inside})", job.name, child.pipeline)
        }
        Some(_) | None => with_reason(job),
    });
    over(TerminalStatus::Failure, reason, Some(format!("failed: {}", names(told))))
}

fn active(status: ActiveStatus, message: Option<String>) -> Plain {
    Plain { status: SnapshotStatus::Active(status), reason: None, message }
}

fn over(status: TerminalStatus, reason: Option<Reason>, message: Option<String>) -> Plain {
    Plain { status: SnapshotStatus::Terminal(status), reason, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pipeline(status: &str) -> Pipeline {
        serde_json::from_value(json!({ "id": 1, "status": status })).unwrap()
    }

    fn jobs(jobs: Value) -> Jobs {
        Jobs::of(serde_json::from_value::<Vec<Job>>(jobs).unwrap())
    }

    /// `queued`, `failure (timed_out)`, `?`, …
    fn told(pipeline: &Pipeline, jobs: &Jobs, children: &[Child]) -> String {
        let Some(Plain { status, reason, .. }) = meaning(pipeline, jobs, children) else {
            return "?".to_owned();
        };
        let status: domain::job::JobStatus = match status {
            SnapshotStatus::Active(status) => status.into(),
            SnapshotStatus::Terminal(status) => status.into(),
        };
        match reason {
            None => status.to_string(),
            Some(reason) => format!("{status} ({})", json!(reason).as_str().unwrap()),
        }
    }

    fn message(pipeline: &Pipeline, jobs: &Jobs, children: &[Child]) -> String {
        meaning(pipeline, jobs, children).unwrap().message.unwrap()
    }

    #[test]
    fn every_published_word_has_a_meaning() {
        let expected = [
            ("created", "queued"),
            ("waiting_for_resource", "queued"),
            ("preparing", "queued"),
            ("waiting_for_callback", "in_progress"),
            ("pending", "queued"),
            ("running", "in_progress"),
            ("success", "successful"),
            ("failed", "failure"),
            ("canceling", "in_progress"),
            ("canceled", "cancelled (cancelled_on_platform)"),
            ("skipped", "skipped"),
            ("manual", "action_required"),
            ("scheduled", "queued"),
        ];
        let none = Jobs::default();
        let meanings = Status::PUBLISHED.iter().map(|word| (*word, told(&pipeline(word), &none, &[])));
        assert_eq!(meanings.collect::<Vec<_>>(), expected.map(|(word, told)| (word, told.to_owned())));
    }

    #[test]
    fn no_unknown_word_means_anything() {
        assert_eq!(told(&pipeline("brand_new"), &Jobs::default(), &[]), "?");
        let silent: Pipeline = serde_json::from_value(json!({ "id": 1 })).unwrap();
        assert_eq!(told(&silent, &Jobs::default(), &[]), "?");
        assert_eq!(exists(&pipeline("brand_new")).status, SnapshotStatus::Active(ActiveStatus::Queued));
    }

    #[test]
    fn a_failure_names_the_jobs_that_failed_and_why() {
        let some = jobs(json!([
            { "id": 1, "name": "lint", "status": "failed", "allow_failure": true },
            { "id": 2, "name": "build", "status": "success" },
            { "id": 3, "name": "deploy", "status": "failed", "failure_reason": "script_failure" },
            { "id": 4, "name": "check", "status": "failed", "failure_reason": "job_execution_timeout" },
        ]));
        assert_eq!(told(&pipeline("failed"), &some, &[]), "failure");
        let said = message(&pipeline("failed"), &some, &[]);
        assert_eq!(said, "failed: deploy (script_failure), check (job_execution_timeout)");
        let none = message(&pipeline("failed"), &Jobs::default(), &[]);
        assert!(none.contains("no job"), "{none}");
    }

    #[test]
    fn a_pipeline_timed_out_when_every_failing_job_did() {
        for (reasons, expected) in [
            (["job_execution_timeout", "stuck_or_timeout_failure"], "failure (timed_out)"),
            (["job_execution_timeout", "script_failure"], "failure"),
            (["runner_system_failure", "script_failure"], "failure"),
        ] {
            let failing = jobs(json!([
                { "id": 1, "name": "a", "status": "failed", "failure_reason": reasons[0] },
                { "id": 2, "name": "b", "status": "failed", "failure_reason": reasons[1] },
                { "id": 3, "name": "c", "status": "failed", "failure_reason": "script_failure", "allow_failure": true },
            ]));
            assert_eq!(told(&pipeline("failed"), &failing, &[]), expected, "{reasons:?}");
        }
    }

    #[test]
    fn a_child_pipeline_says_what_failed_in_it() {
        let bridge = jobs(json!([{ "id": 1, "name": "regions", "status": "failed" }]));
        let failing =
            json!([{ "id": 8, "name": "eu", "status": "failed", "failure_reason": "job_execution_timeout" }]);
        let child = Child {
            bridge: "regions".to_owned(),
            pipeline: 77,
            failing: serde_json::from_value(failing).unwrap(),
        };
        let children = [child];
        assert_eq!(told(&pipeline("failed"), &bridge, &children), "failure (timed_out)");
        let said = message(&pipeline("failed"), &bridge, &children);
        assert_eq!(said, "failed: regions (in its pipeline 77: eu (job_execution_timeout))");
    }

    #[test]
    fn a_broken_configuration_is_told() {
        let mut broken = pipeline("failed");
        broken.yaml_errors = Some("jobs config should contain at least one visible job".to_owned());
        assert_eq!(told(&broken, &Jobs::default(), &[]), "failure (startup_failure)");
        assert!(message(&broken, &Jobs::default(), &[]).contains("at least one visible job"));
    }

    #[test]
    fn what_people_need_to_know_is_said() {
        let manual = jobs(json!([{ "id": 1, "name": "deploy-prod", "status": "manual" }]));
        assert_eq!(message(&pipeline("manual"), &manual, &[]), "waits for somebody to start deploy-prod");
        let warned = jobs(json!([{ "id": 1, "name": "lint", "status": "failed", "allow_failure": true }]));
        assert_eq!(message(&pipeline("success"), &warned, &[]), "passed with warnings; failed and may: lint");
        assert_eq!(message(&pipeline("canceling"), &manual, &[]), "cancelling");
    }
}
