//! A workflow run as REST and webhooks show it. Everything but its id may be missing: webhook payloads of old servers
//! leave fields out.

use super::words::{Conclusion, Status};
use domain::Timestamp;
use domain::id::JobId;
use domain::job::{OrderKey, RawStatus};
use serde::Deserialize;
use uuid::Uuid;

/// A workflow run at its latest attempt.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Run {
    /// Its id, the same for all attempts.
    pub(super) id: u64,
    /// How it stands.
    pub(super) status: Option<Status>,
    /// How it ended.
    pub(super) conclusion: Option<Conclusion>,
    /// Which attempt, from 1.
    pub(super) run_attempt: Option<u32>,
    /// What `run-name` made of the inputs.
    pub(super) display_title: Option<String>,
    /// The commit it runs at.
    pub(super) head_sha: Option<String>,
    /// What started it; `workflow_dispatch` for ours.
    pub(super) event: Option<String>,
    /// The workflow's file, maybe followed by `@` and a ref.
    pub(super) path: Option<String>,
    /// When it was asked for.
    pub(super) created_at: Option<Timestamp>,
    /// When it last changed, in whole seconds.
    pub(super) updated_at: Option<Timestamp>,
    /// Where people look at it.
    pub(super) html_url: Option<String>,
    /// Where programs look at it.
    pub(super) url: Option<String>,
}

impl Run {
    /// Which attempt, from 1.
    pub(super) fn attempt(&self) -> u32 {
        self.run_attempt.unwrap_or(1).max(1)
    }

    /// Orders looks at this run; `None` where the payload carries no time.
    pub(super) fn order(&self) -> Option<OrderKey> {
        let version = self.updated_at?.timestamp_millis();
        Some(OrderKey { attempt: self.attempt(), version })
    }

    /// GitHub's own words.
    pub(super) fn raw(&self) -> RawStatus {
        RawStatus {
            status: self.status.as_ref().map_or("", Status::as_str).to_owned(),
            conclusion: self.conclusion.as_ref().map(|c| c.as_str().to_owned()),
        }
    }

    /// The ids that `run-name` shows, of jobs or of anything else.
    pub(super) fn carried(&self) -> impl Iterator<Item = JobId> {
        uuids(self.display_title.as_deref().unwrap_or_default()).map(JobId)
    }

    /// The job id that `run-name` shows; `None` where it shows none or several.
    pub(super) fn job(&self) -> Option<JobId> {
        let mut found = self.carried();
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    }
}

/// The uuids that stand in a text as whole words, hyphenated.
fn uuids(text: &str) -> impl Iterator<Item = Uuid> {
    const HYPHENATED: usize = 36;
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
        .filter(|word| word.len() == HYPHENATED)
        .filter_map(|word| Uuid::try_parse(word).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "0b5c4e52-94c1-5d0a-8d2a-6a1f52c05a0e";
    const OTHER: &str = "1b5c4e52-94c1-5d0a-8d2a-6a1f52c05a0e";

    fn titled(title: &str) -> Run {
        serde_json::from_value(serde_json::json!({ "id": 1, "display_title": title })).unwrap()
    }

    #[test]
    fn a_job_id_counts_as_a_whole_word_only() {
        let job: JobId = JOB.parse().unwrap();
        for (title, carries) in [
            (JOB.to_owned(), true),
            (format!("deploy {JOB}"), true),
            (format!("deploy ({}), please", JOB.to_uppercase()), true),
            (format!("{OTHER} of {JOB}"), true),
            (format!("x{JOB}"), false),
            (format!("{JOB}0"), false),
            (format!("{JOB}-1"), false),
            (JOB.replace('-', ""), false),
            (OTHER.to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(titled(&title).carried().any(|carried| carried == job), carries, "{title:?}");
        }
    }

    #[test]
    fn a_title_with_two_ids_names_no_job() {
        assert_eq!(titled(&format!("deploy {JOB}")).job(), JOB.parse().ok());
        assert_eq!(titled(&format!("{OTHER} {JOB}")).job(), None);
        assert_eq!(titled("deploy").job(), None);
    }

    #[test]
    fn a_run_may_say_next_to_nothing() {
        let run: Run =
            serde_json::from_str(r#"{"id": 7, "conclusion": null, "status": "brand_new"}"#).unwrap();
        assert_eq!((run.attempt(), run.order()), (1, None));
        assert_eq!(run.raw().status, "brand_new");
    }
}
