//! A pipeline as GitLab's API shows it. Everything but its id may be missing: lists and answers to writes show less.

use super::words::Status;
use domain::Timestamp;
use domain::id::JobId;
use domain::job::{OrderKey, RawStatus};
use serde::Deserialize;
use uuid::Uuid;

/// A pipeline.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Pipeline {
    /// Its id, unique on its GitLab.
    pub(super) id: u64,
    /// Its project's id.
    pub(super) project_id: Option<u64>,
    /// How it stands.
    pub(super) status: Option<Status>,
    /// What `workflow:name` made of inputs and variables.
    pub(super) name: Option<String>,
    /// What started it; `api` and `trigger` for ours.
    pub(super) source: Option<String>,
    /// When it was asked for.
    pub(super) created_at: Option<Timestamp>,
    /// When its status last changed.
    pub(super) updated_at: Option<Timestamp>,
    /// When it was last over; stays while it runs again.
    pub(super) finished_at: Option<Timestamp>,
    /// Where people look at it.
    pub(super) web_url: Option<String>,
    /// What is wrong with its configuration.
    pub(super) yaml_errors: Option<String>,
    /// The status in words for people.
    pub(super) detailed_status: Option<DetailedStatus>,
}

/// The status in words for people.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct DetailedStatus {
    /// As in `passed with warnings`.
    pub(super) label: Option<String>,
}

impl Pipeline {
    /// Whether it is over, as far as we know its word.
    pub(super) fn is_over(&self) -> bool {
        self.status.as_ref().is_some_and(Status::is_over)
    }

    /// Orders looks at its attempt; `None` where the answer carries no time.
    pub(super) fn order(&self, attempt: u32) -> Option<OrderKey> {
        let version = self.updated_at.or(self.created_at)?.timestamp_millis();
        Some(OrderKey { attempt, version })
    }

    /// GitLab's own word.
    pub(super) fn raw(&self) -> RawStatus {
        RawStatus { status: self.status.as_ref().map_or("", Status::as_str).to_owned(), conclusion: None }
    }

    /// Whether its name shows this job's id.
    pub(super) fn is_named_after(&self, job: JobId) -> bool {
        self.name.as_deref().is_some_and(|name| uuids(name).any(|uuid| uuid == job.0))
    }

    /// Whether its name shows some job's id: then it is no other job's.
    pub(super) fn is_named_after_a_job(&self) -> bool {
        self.name.as_deref().is_some_and(|name| uuids(name).next().is_some())
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

    #[test]
    fn a_job_id_counts_as_a_whole_word_only() {
        let job: JobId = JOB.parse().unwrap();
        for (name, named, after_any) in [
            (JOB.to_owned(), true, true),
            (format!("deploy {JOB}"), true, true),
            (format!("deploy ({}), please", JOB.to_uppercase()), true, true),
            (format!("{OTHER} of {JOB}"), true, true),
            (OTHER.to_owned(), false, true),
            (format!("x{JOB}"), false, false),
            (format!("{JOB}0"), false, false),
            (JOB.replace('-', ""), false, false),
            ("deploy".to_owned(), false, false),
        ] {
            let pipeline: Pipeline =
                serde_json::from_value(serde_json::json!({ "id": 1, "name": name })).unwrap();
            assert_eq!(pipeline.is_named_after(job), named, "{name:?}");
            assert_eq!(pipeline.is_named_after_a_job(), after_any, "{name:?}");
        }
    }

    #[test]
    fn a_pipeline_may_say_next_to_nothing() {
        let pipeline: Pipeline = serde_json::from_str(r#"{"id": 7, "status": "brand_new"}"#).unwrap();
        assert_eq!((pipeline.order(1), pipeline.is_over()), (None, false));
        assert_eq!(pipeline.raw().status, "brand_new");
    }
}
