//! A pipeline and its jobs as GitLab knows them. Statuses are GitLab's words as they are: a test may invent some.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

/// A pipeline, with all its jobs.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub id: u64,
    pub iid: u64,
    pub project_id: u64,
    /// `group/project`.
    pub project: String,
    pub git_ref: String,
    /// `api` or `trigger`; `parent_pipeline` for a child.
    pub source: &'static str,
    /// What `workflow:name` made of the job's id.
    pub name: Option<String>,
    pub status: String,
    pub variables: BTreeMap<String, String>,
    pub inputs: Map<String, Value>,
    /// Retried ones included, oldest first.
    pub jobs: Vec<Job>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    /// Stays while it runs again.
    pub finished_at: Option<DateTime<Utc>>,
    /// `traceparent` header of the call that started it.
    pub traceparent: Option<String>,
}

impl Pipeline {
    /// Whether GitLab calls it over.
    pub fn is_over(&self) -> bool {
        is_over(&self.status)
    }

    /// From 1: how often the most retried job was made.
    pub fn attempt(&self) -> usize {
        let made = |name: &str| self.jobs.iter().filter(|job| job.name == name).count();
        self.jobs.iter().map(|job| made(&job.name)).max().unwrap_or(1)
    }

    /// The jobs that count.
    pub fn latest(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(|job| !job.retried)
    }
}

/// A job, or a bridge to another pipeline.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: u64,
    pub name: String,
    pub stage: String,
    pub status: String,
    pub allow_failure: bool,
    pub failure_reason: Option<String>,
    /// Another one took its place.
    pub retried: bool,
    pub is_bridge: bool,
    /// The pipeline a bridge has started.
    pub downstream: Option<u64>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

pub(crate) fn is_over(status: &str) -> bool {
    matches!(status, "success" | "failed" | "canceled" | "skipped")
}
