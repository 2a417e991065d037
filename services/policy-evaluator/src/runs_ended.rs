//! How runs of workflows ended: kept with the run while its jobs' facts are still there, taken back when it runs again, and
//! forgotten with the run long after.

use bus::topology::CATALOG;
use bus::{Bus, BusError, CasError, crash_point};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::entity::{CatalogKey, Entity, Kind, Record, RunEnd, WorkflowRun};
use domain::evaluate::Facts;
use domain::id::WorkflowRunId;
use domain::token::Slug;
use domain::workflow::{Plan, RUN_KEPT_DAYS, Step};

/// What is to be made of a run's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ends {
    /// It is over, so.
    Over(RunEnd),
    /// It runs again.
    Again {
        /// The end that was kept.
        before: u64,
    },
    /// It was over so long ago that nobody asks any more.
    Forgotten,
}

/// What is to be made of the end of a run; nothing where that is as it should be, or where these facts know less than
/// whoever kept it.
pub(crate) fn ends(
    run: &Record<WorkflowRun>,
    plan: &Plan<'_>,
    facts: &Facts,
    now: Timestamp,
) -> Option<Ends> {
    let known = run.spec.end.as_ref();
    if known.is_some_and(|known| known.sequence > facts.sequence()) {
        return None;
    }
    if !plan.status.is_over() {
        return known.map(|known| Ends::Again { before: known.sequence });
    }
    if known.is_some_and(|known| known.at + TimeDelta::days(RUN_KEPT_DAYS) < now) {
        return Some(Ends::Forgotten);
    }
    let mut end = RunEnd {
        status: plan.status,
        at: run.spec.at.max(run.spec.cancel.as_ref().map_or(run.spec.at, |cancel| cancel.at)),
        jobs: Default::default(),
        sequence: facts.sequence(),
    };
    let mut forgotten = false;
    for job in &plan.jobs {
        let Step::Over(status) = job.step else { continue };
        end.jobs.insert(job.job.id, status);
        match facts.job(job.job.id) {
            Some(known) => end.at = end.at.max(known.at),
            None => forgotten = true,
        }
    }
    match known {
        Some(known) if (known.status, &known.jobs) == (end.status, &end.jobs) => None,
        Some(known) if forgotten => Some(Ends::Over(RunEnd { at: known.at.max(end.at), ..end })),
        Some(_) | None => Some(Ends::Over(end)),
    }
}

/// Makes it so. Who is too late looks again, because the run has changed.
pub(crate) async fn keep(bus: &Bus, workspace: &Slug, run: WorkflowRunId, end: Ends) -> Result<(), BusError> {
    let key = CatalogKey { workspace: workspace.clone(), kind: Kind::WorkflowRun, id: run.0 }.to_string();
    let bucket = bus.bucket(&CATALOG);
    let Some((Entity::WorkflowRun(mut known), revision)) = bucket.get_json(&key).await? else {
        return Ok(());
    };
    let kept = known.spec.end.as_ref().map(|end| end.sequence);
    let written = match end {
        Ends::Over(end) if kept.is_some_and(|kept| kept > end.sequence) => return Ok(()),
        Ends::Again { before } if kept != Some(before) => return Ok(()),
        Ends::Over(end) => {
            tracing::info!(%workspace, %run, status = end.status.as_str(), "the run is over");
            known.spec.end = Some(end);
            write(&bucket, &key, known, revision).await
        }
        Ends::Again { .. } => {
            tracing::info!(%workspace, %run, "the run runs again");
            known.spec.end = None;
            write(&bucket, &key, known, revision).await
        }
        Ends::Forgotten => {
            tracing::info!(%workspace, %run, days = RUN_KEPT_DAYS, "the run is forgotten");
            bucket.delete_at(&key, revision).await
        }
    };
    match written {
        Ok(_) | Err(CasError::Conflict) => Ok(()),
        Err(CasError::Bus(error)) => Err(error),
    }
}

async fn write(
    bucket: &bus::Bucket,
    key: &str,
    run: Record<WorkflowRun>,
    revision: u64,
) -> Result<u64, CasError> {
    crash_point("policy-evaluator.run-ended.before");
    let written = bucket.update_json(key, &Entity::WorkflowRun(run), revision).await;
    crash_point("policy-evaluator.run-ended.after");
    written
}
