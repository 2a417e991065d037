//! When the platform last confirmed a job's status: a look that found nothing new is no fact, so it stands beside the
//! document. The later of both is shown. It is not rebuilt; the next look brings it back.

use crate::error::ProjectionError;
use crate::read::{parse, value};
use crate::store::Projections;
use crate::{keys, script};
use domain::Timestamp;
use domain::id::JobId;
use domain::job::JobView;
use domain::token::Slug;
use redis::Value;

/// A look at a job's run that found nothing new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    /// The tenant.
    pub workspace: Slug,
    /// The job.
    pub job: JobId,
    /// When the look began.
    pub at: Timestamp,
}

impl Projections {
    /// Notes looks that found nothing new. Older ones change nothing, nor do those of jobs that are not shown.
    ///
    /// # Errors
    /// When Redis does not answer. Noting them again does no harm.
    pub async fn confirm(&self, looks: &[Confirmed]) -> Result<(), ProjectionError> {
        if looks.is_empty() {
            return Ok(());
        }
        let commands = |generation: &_, pipe: &mut redis::Pipeline| {
            for Confirmed { workspace, job, at } in looks {
                let key = keys::job(&keys::prefix(generation, workspace), *job);
                let mut call = script::CONFIRM.call(&[key]);
                call.arg(at.timestamp_millis());
                pipe.add_command(call);
            }
        };
        self.write(commands).await.map(|_| ())
    }

    /// When the job's status was last confirmed by a look that found nothing new; `None` when none is known.
    ///
    /// # Errors
    /// When Redis does not answer, or what it holds is no moment.
    pub async fn confirmed_at(
        &self,
        workspace: &Slug,
        job: JobId,
    ) -> Result<Option<Timestamp>, ProjectionError> {
        let answers = self
            .read(|generation, pipe| {
                let key = keys::job(&keys::prefix(generation, workspace), job);
                pipe.cmd("HGET").arg(key).arg("confirmed");
            })
            .await?;
        let stored: Option<i64> = value(answers.into_iter().next().unwrap_or(Value::Nil))?;
        Ok(stored.and_then(Timestamp::from_timestamp_millis))
    }
}

/// The document with what stands beside it.
pub(crate) fn view(document: &str, confirmed: Option<i64>) -> Result<JobView, ProjectionError> {
    let mut view: JobView = parse(document)?;
    view.confirmed_at = view.confirmed_at.max(confirmed.and_then(Timestamp::from_timestamp_millis));
    Ok(view)
}
