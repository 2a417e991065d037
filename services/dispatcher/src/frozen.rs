//! The jobs that freezes hold, or may hold yet: each has a key of its own in the `slots` bucket, so that many are no burden
//! to one record, and writing one never waits for another.
//!
//! A job is noted before it is held, and forgotten only at the revision that was read: one that was noted anew stays.

use crate::queue::QueueError;
use bus::{Bucket, crash_point};
use domain::Timestamp;
use domain::id::JobId;
use domain::token::Slug;
use serde::Serialize;
use tracing::error;

/// The list of frozen jobs of every workspace.
#[derive(Clone)]
pub(crate) struct FrozenJobs {
    bucket: Bucket,
}

/// What is kept of a job, for people: the key alone says which.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    since: Timestamp,
}

/// A job as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) job: JobId,
    revision: u64,
}

impl FrozenJobs {
    pub(crate) fn new(bucket: Bucket) -> Self {
        Self { bucket }
    }

    /// Notes that a freeze holds the job, since now. Whoever else notes it at the same time: the last one counts.
    pub(crate) async fn put(&self, workspace: &Slug, job: JobId, now: Timestamp) -> Result<(), QueueError> {
        crash_point("dispatcher.noted.before");
        self.bucket.put_json(&key(workspace, job), &Note { since: now }).await?;
        crash_point("dispatcher.noted.after");
        Ok(())
    }

    /// Sees to it that a job is noted of which the history says already that it is held.
    pub(crate) async fn keep(&self, workspace: &Slug, job: JobId, now: Timestamp) -> Result<(), QueueError> {
        match self.bucket.get(&key(workspace, job)).await? {
            Some(_noted) => Ok(()),
            None => self.put(workspace, job, now).await,
        }
    }

    /// The jobs of the workspace, the one noted first first. A key that names no job is told, and left alone.
    pub(crate) async fn of(&self, workspace: &Slug) -> Result<Vec<Noted>, QueueError> {
        let listed = self.bucket.list(&format!("{workspace}.{FROZEN}.*")).await?;
        let noted = listed.into_iter().filter_map(|(key, entry)| {
            let job = key.rsplit('.').next().and_then(|job| job.parse().ok());
            if job.is_none() {
                error!(key, "a key of the slots bucket names no job");
            }
            Some(Noted { job: job?, revision: entry.revision })
        });
        Ok(noted.collect())
    }

    /// Forgets a job that no freeze can hold any more, but not one that was noted anew since it was read.
    pub(crate) async fn forget(&self, workspace: &Slug, noted: Noted) -> Result<(), QueueError> {
        crash_point("dispatcher.noted.before");
        self.bucket.erase(&key(workspace, noted.job), noted.revision).await?;
        crash_point("dispatcher.noted.after");
        Ok(())
    }
}

/// No agent's: theirs are the workspace and a uuid.
const FROZEN: &str = "frozen";

fn key(workspace: &Slug, job: JobId) -> String {
    format!("{workspace}.{FROZEN}.{job}")
}
