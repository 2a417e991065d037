//! Forgetting old jobs that are over.

use crate::error::ProjectionError;
use crate::read::value;
use crate::store::Projections;
use crate::{keys, script};
use domain::Timestamp;
use domain::job::JobStatus;
use domain::token::Slug;
use redis::Value;

/// Redis does nothing else meanwhile: a few ms for this many jobs.
const STEP: usize = 200;

impl Projections {
    /// Drops the jobs of a workspace that are over and were created before that moment, in bounded steps.
    /// Answers how many.
    ///
    /// # Errors
    /// When Redis does not answer; what is dropped until then stays dropped.
    pub async fn forget_before(&self, workspace: &Slug, before: Timestamp) -> Result<u64, ProjectionError> {
        let mut forgotten = 0;
        for status in JobStatus::ALL.into_iter().filter(|status| status.is_terminal()) {
            loop {
                let answers = self
                    .write(|generation, pipe| {
                        let prefix = keys::prefix(generation, workspace);
                        let index = keys::index(&prefix, &keys::by_status(status));
                        let mut call = script::FORGET.call(&[index]);
                        call.arg(&prefix).arg(before.timestamp_millis()).arg(STEP);
                        pipe.add_command(call);
                    })
                    .await?;
                let dropped: u64 = value(answers.into_iter().next().unwrap_or(Value::Int(0)))?;
                forgotten += dropped;
                if dropped < STEP as u64 {
                    break;
                }
            }
        }
        Ok(forgotten)
    }
}
