//! What GitHub's words mean to us: one pure table. Source: GitHub's REST and webhook descriptions of workflow runs.
//! It never guesses an end: words it does not know leave the last status as it is.

use super::config::Neutral;
use super::links;
use super::run::Run;
use super::words::{Conclusion, Status};
use domain::job::{ActiveStatus, ExternalRef, Reason, Snapshot, SnapshotStatus, Source, TerminalStatus};

/// What a run's words mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// This.
    Plain(Plain),
    /// It waits for a protection rule: only its pending deployments tell whether for a person.
    Waiting,
    /// GitHub is between two states: read again.
    Unsettled,
    /// Words we do not know.
    Unknown,
}

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

/// What a run's words mean.
pub(super) fn meaning(run: &Run, neutral_is: Neutral) -> Meaning {
    match (&run.status, &run.conclusion) {
        (None, _) | (Some(Status::Completed), None) => Meaning::Unsettled,
        (Some(Status::Completed), Some(conclusion)) => ended(conclusion, neutral_is),
        (Some(Status::Requested | Status::Queued | Status::Pending), _) => active(ActiveStatus::Queued, None),
        (Some(Status::InProgress), _) => active(ActiveStatus::InProgress, None),
        (Some(Status::Waiting), _) => Meaning::Waiting,
        (Some(Status::Other(_)), _) => Meaning::Unknown,
    }
}

fn ended(conclusion: &Conclusion, neutral_is: Neutral) -> Meaning {
    match conclusion {
        Conclusion::Success => over(TerminalStatus::Successful, None, None),
        Conclusion::Neutral => match neutral_is {
            Neutral::Successful => over(TerminalStatus::Successful, None, None),
            Neutral::Skipped => over(TerminalStatus::Skipped, None, None),
            Neutral::Failure => over(TerminalStatus::Failure, None, Some("ended as neutral")),
        },
        Conclusion::Failure => over(TerminalStatus::Failure, None, None),
        Conclusion::StartupFailure => over(
            TerminalStatus::Failure,
            Some(Reason::StartupFailure),
            Some("GitHub could not start the run: look at the workflow file and at the policies for Actions"),
        ),
        Conclusion::Cancelled => over(TerminalStatus::Cancelled, Some(Reason::CancelledOnPlatform), None),
        Conclusion::Skipped => over(TerminalStatus::Skipped, None, None),
        Conclusion::TimedOut => over(
            TerminalStatus::Failure,
            Some(Reason::TimedOut),
            Some("took longer than its workflow allows"),
        ),
        Conclusion::Stale => over(
            TerminalStatus::Failure,
            Some(Reason::TimedOut),
            Some("GitHub gave up on the unfinished run"),
        ),
        Conclusion::ActionRequired => active(
            ActiveStatus::ActionRequired,
            Some("GitHub holds the run until somebody approves it".to_owned()),
        ),
        Conclusion::Other(_) => Meaning::Unknown,
    }
}

/// What waiting means, once it is known whom a run waits for.
pub(super) fn waiting(reviewed_environments: &[String]) -> Plain {
    if reviewed_environments.is_empty() {
        let message = Some("waits for a deployment protection rule".to_owned());
        return Plain { status: SnapshotStatus::Active(ActiveStatus::Queued), reason: None, message };
    }
    let message = format!("waits for a review of the environment {}", reviewed_environments.join(", "));
    action_required(message)
}

/// What waiting means where GitHub does not let us see for whom: maybe for a person.
pub(super) fn waiting_unseen() -> Plain {
    action_required("waits for a deployment protection rule, maybe for a review".to_owned())
}

/// What a run that was found means while its words mean nothing certain: it exists, and that is all.
pub(super) fn exists(run: &Run) -> Plain {
    let raw = run.raw();
    let words =
        raw.conclusion.map_or(raw.status.clone(), |conclusion| format!("{}/{conclusion}", raw.status));
    Plain {
        status: SnapshotStatus::Active(ActiveStatus::Queued),
        reason: None,
        message: Some(format!("GitHub says {words:?}")),
    }
}

/// A look at a run, with what its words mean.
pub(super) fn snapshot(
    run: &Run,
    plain: Plain,
    source: Source,
    external: Option<ExternalRef>,
) -> Snapshot<SnapshotStatus> {
    let Plain { status, reason, message } = plain;
    Snapshot {
        status,
        order: run.order(),
        raw: Some(run.raw()),
        reason,
        message,
        links: links::of_run(run),
        source,
        external,
    }
}

fn active(status: ActiveStatus, message: Option<String>) -> Meaning {
    Meaning::Plain(Plain { status: SnapshotStatus::Active(status), reason: None, message })
}

fn action_required(message: String) -> Plain {
    let status = SnapshotStatus::Active(ActiveStatus::ActionRequired);
    Plain { status, reason: None, message: Some(message) }
}

fn over(status: TerminalStatus, reason: Option<Reason>, message: Option<&str>) -> Meaning {
    let message = message.map(str::to_owned);
    Meaning::Plain(Plain { status: SnapshotStatus::Terminal(status), reason, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(status: Option<&str>, conclusion: Option<&str>) -> Run {
        serde_json::from_value(json!({ "id": 1, "status": status, "conclusion": conclusion })).unwrap()
    }

    /// `queued`, `failure (timed_out)`, `?waiting`, …
    fn told(status: Option<&str>, conclusion: Option<&str>, neutral_is: Neutral) -> String {
        match meaning(&run(status, conclusion), neutral_is) {
            Meaning::Waiting => "?waiting".to_owned(),
            Meaning::Unsettled => "?unsettled".to_owned(),
            Meaning::Unknown => "?unknown".to_owned(),
            Meaning::Plain(Plain { status, reason, .. }) => {
                let status: domain::job::JobStatus = match status {
                    SnapshotStatus::Active(status) => status.into(),
                    SnapshotStatus::Terminal(status) => status.into(),
                };
                match reason {
                    None => status.to_string(),
                    Some(reason) => format!("{status} ({})", json!(reason).as_str().unwrap()),
                }
            }
        }
    }

    #[test]
    fn every_published_status_has_a_meaning() {
        let meanings =
            Status::PUBLISHED.iter().map(|word| (*word, told(Some(word), None, Neutral::Successful)));
        let expected = [
            ("requested", "queued"),
            ("queued", "queued"),
            ("pending", "queued"),
            ("waiting", "?waiting"),
            ("in_progress", "in_progress"),
            ("completed", "?unsettled"),
        ];
        assert_eq!(meanings.collect::<Vec<_>>(), expected.map(|(word, told)| (word, told.to_owned())));
    }

    #[test]
    fn every_published_conclusion_has_a_meaning() {
        let expected = [
            ("success", "successful"),
            ("failure", "failure"),
            ("neutral", "successful"),
            ("cancelled", "cancelled (cancelled_on_platform)"),
            ("skipped", "skipped"),
            ("timed_out", "failure (timed_out)"),
            ("action_required", "action_required"),
            ("startup_failure", "failure (startup_failure)"),
            ("stale", "failure (timed_out)"),
        ];
        let conclusions = Conclusion::PUBLISHED.iter();
        let meanings =
            conclusions.map(|word| (*word, told(Some("completed"), Some(word), Neutral::Successful)));
        assert_eq!(meanings.collect::<Vec<_>>(), expected.map(|(word, told)| (word, told.to_owned())));
    }

    #[test]
    fn a_conclusion_means_nothing_before_the_run_is_completed() {
        for status in Status::PUBLISHED.iter().filter(|word| **word != "completed") {
            for conclusion in Conclusion::PUBLISHED {
                let with = told(Some(status), Some(conclusion), Neutral::Successful);
                assert_eq!(with, told(Some(status), None, Neutral::Successful), "{status}/{conclusion}");
            }
        }
    }

    #[test]
    fn neutral_means_what_the_config_says() {
        let neutral = |is| told(Some("completed"), Some("neutral"), is);
        assert_eq!(neutral(Neutral::Skipped), "skipped");
        assert_eq!(neutral(Neutral::Failure), "failure");
    }

    #[test]
    fn no_unknown_word_is_an_end() {
        for (status, conclusion) in [
            (Some("brand_new"), None),
            (Some("brand_new"), Some("success")),
            (Some("failure"), None),
            (Some("completed"), Some("brand_new")),
        ] {
            assert_eq!(
                told(status, conclusion, Neutral::Successful),
                "?unknown",
                "{status:?}/{conclusion:?}"
            );
        }
        assert_eq!(told(None, Some("success"), Neutral::Successful), "?unsettled");
    }

    #[test]
    fn waiting_is_for_a_person_only_where_one_is_named() {
        assert_eq!(waiting(&[]).status, SnapshotStatus::Active(ActiveStatus::Queued));
        let waits = waiting(&["production".to_owned()]);
        assert_eq!(waits.status, SnapshotStatus::Active(ActiveStatus::ActionRequired));
        assert_eq!(waits.message.as_deref(), Some("waits for a review of the environment production"));
        assert_eq!(waiting_unseen().status, SnapshotStatus::Active(ActiveStatus::ActionRequired));
    }
}
