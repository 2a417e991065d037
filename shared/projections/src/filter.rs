//! What a list of jobs is asked for, and what it answers.

use domain::Timestamp;
use domain::id::{
    DeploymentId, EnvironmentId, JobAgentId, JobId, ResourceId, VersionId, WorkflowId, WorkflowRunId,
};
use domain::job::{JobStatus, JobView};
use domain::token::Slug;
use std::fmt;
use std::str::FromStr;

/// The most jobs of one page.
pub const LIMIT_MAX: usize = 1_000;
/// The most jobs a page may skip; past that, a cursor must be used.
pub const OFFSET_MAX: u64 = 100_000;
/// A list that several filters narrow is counted up to here.
pub const TOTAL_MAX: u64 = 10_000;

/// Which jobs are listed: those that fit every part that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// In any of these statuses; empty: in any.
    pub statuses: Vec<JobStatus>,
    /// Of this deployment.
    pub deployment: Option<DeploymentId>,
    /// In this environment.
    pub environment: Option<EnvironmentId>,
    /// On this resource. With deployment and environment it names a release target.
    pub resource: Option<ResourceId>,
    /// Of this version.
    pub version: Option<VersionId>,
    /// On this platform.
    pub platform: Option<Slug>,
    /// Of this agent.
    pub agent: Option<JobAgentId>,
    /// Of runs of this workflow.
    pub workflow: Option<WorkflowId>,
    /// Of this run of a workflow.
    pub run: Option<WorkflowRunId>,
}

/// Which part of a list, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How many; at most [`LIMIT_MAX`].
    pub limit: usize,
    /// How many to skip first; at most [`OFFSET_MAX`]. A cursor stays right while jobs are added; this does not.
    pub offset: u64,
    /// After which job.
    pub after: Option<Cursor>,
}

impl Page {
    /// The first that many.
    pub fn first(limit: usize) -> Self {
        Self { limit, offset: 0, after: None }
    }

    /// That many after the cursor.
    pub fn after(limit: usize, cursor: Cursor) -> Self {
        Self { limit, offset: 0, after: Some(cursor) }
    }
}

/// One page of a list, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct JobPage {
    /// The jobs.
    pub items: Vec<JobView>,
    /// How many jobs fit, on all pages.
    pub total: u64,
    /// Whether even more fit: counting stops at [`TOTAL_MAX`] when several filters narrow the list.
    pub total_is_floor: bool,
    /// Where the next page begins; `None` at the end. A page may be short, even empty, before the end: when very many
    /// jobs had to be passed over.
    pub next: Option<Cursor>,
}

/// A place in a list: after this job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// When the job was created, in ms since the epoch.
    pub created_ms: i64,
    /// The job.
    pub job: JobId,
}

impl Cursor {
    /// The place after that job.
    pub fn of(job: JobId, created_at: Timestamp) -> Self {
        Self { created_ms: created_at.timestamp_millis(), job }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_ms, self.job)
    }
}

/// Why a string is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a cursor of a job list")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (created_ms, job) = text.split_once('.').ok_or(CursorError)?;
        Ok(Self {
            created_ms: created_ms.parse().map_err(|_| CursorError)?,
            job: job.parse().map_err(|_| CursorError)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_what_it_prints() {
        let cursor = Cursor { created_ms: 1_763_900_000_123, job: JobId(domain::id::derive(&["j"])) };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in ["", ".", "12", "x.y", "12.not-a-uuid"] {
            assert_eq!(bad.parse::<Cursor>(), Err(CursorError), "{bad:?}");
        }
    }
}
