//! Runs of workflows: asks for the jobs that are next, wishes to end what a cancelled run has on its way, and keeps how a
//! run ended.
//!
//! What is next is a function of the run and of the facts of its jobs, and a job's id is one of the run and the job's place
//! in it. So nothing is stored on the way: every replica looks when something changed, and the first to append has asked.

use crate::memory::Memory;
use crate::runs_ended::{self, Ends};
use bus::clock::Clock;
use bus::{Base, Bus, BusError, Recorded, crash_point};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::entity::{Record, RunCancel, WorkflowRun};
use domain::evaluate::{JobStanding, Standing};
use domain::id::WorkflowRunId;
use domain::job::{CancelReason, JobFact, JobRef};
use domain::token::Slug;
use domain::workflow::{self, RUN_KEPT_DAYS, Seen, Step};
use futures::StreamExt as _;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// So many runs are looked at at once: each look is a few round trips.
const LOOKS_AT_ONCE: usize = 8;
/// A run that could not be looked at is tried again this soon.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Runs to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    marked: Mutex<BTreeSet<(Slug, WorkflowRunId)>>,
    wake: Notify,
}

impl Runs {
    /// Something of the run changed.
    pub(crate) fn mark(&self, workspace: &Slug, run: WorkflowRunId) {
        self.marked().insert((workspace.clone(), run));
        self.wake.notify_one();
    }

    fn take(&self) -> BTreeSet<(Slug, WorkflowRunId)> {
        std::mem::take(&mut *self.marked())
    }

    fn marked(&self) -> MutexGuard<'_, BTreeSet<(Slug, WorkflowRunId)>> {
        self.marked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is to be done for a run.
struct Next {
    due: Vec<JobRef>,
    unwanted: Vec<JobRef>,
    cancel: Option<RunCancel>,
    end: Option<Ends>,
    catalog_revision: u64,
}

/// Looks at runs of which something changed, until the drain. All that may have something left to do are looked at first.
pub(crate) async fn follow(bus: Bus, memory: Arc<Memory>, clock: Clock, drain: CancellationToken) {
    // One that is over may run again since the last replica went.
    mark_where(&memory, |_run| true);
    loop {
        let looks = futures::stream::iter(memory.runs.take()).map(|(workspace, run)| {
            let (bus, memory, clock) = (&bus, &memory, &clock);
            async move {
                let looked = look(bus, memory, clock, &workspace, run).await;
                looked.err().map(|error| (workspace, run, error))
            }
        });
        let failed: Vec<_> = looks.buffer_unordered(LOOKS_AT_ONCE).filter_map(async |it| it).collect().await;
        for (workspace, run, error) in &failed {
            tracing::warn!(%workspace, %run, %error, "a run could not be looked at; it is tried again");
            memory.runs.marked().insert((workspace.clone(), *run));
        }
        tokio::select! {
            () = drain.cancelled() => return,
            () = memory.runs.wake.notified() => {}
            () = tokio::time::sleep(TRY_AGAIN), if !failed.is_empty() => {}
        }
    }
}

/// Marks the runs that have something left to do, or are to be forgotten.
pub(crate) fn mark_open(memory: &Memory, now: Timestamp) {
    let kept_since = now - TimeDelta::days(RUN_KEPT_DAYS);
    mark_where(memory, |run| run.spec.end.as_ref().is_none_or(|end| end.at < kept_since));
}

fn mark_where(memory: &Memory, which: impl Fn(&Record<WorkflowRun>) -> bool) {
    let catalog = memory.catalog();
    for workspace in catalog.workspaces() {
        for run in workspace.workflow_runs().filter(|run| which(run)) {
            memory.runs.mark(workspace.slug(), WorkflowRunId(run.meta.id));
        }
    }
}

async fn look(
    bus: &Bus,
    memory: &Memory,
    clock: &Clock,
    workspace: &Slug,
    run: WorkflowRunId,
) -> Result<(), BusError> {
    let Some(next) = next(memory, clock, workspace, run) else { return Ok(()) };
    let cause = format!("workflow run {run}");
    for job in &next.due {
        ask_for(bus, memory, job, next.catalog_revision, &cause).await?;
    }
    if let Some(cancel) = &next.cancel {
        cancel_all(bus, &next.unwanted, run, cancel, &cause).await?;
    }
    match next.end {
        Some(end) => runs_ended::keep(bus, workspace, run, end).await,
        None => Ok(()),
    }
}

async fn cancel_all(
    bus: &Bus,
    jobs: &[JobRef],
    run: WorkflowRunId,
    cancel: &RunCancel,
    cause: &str,
) -> Result<(), BusError> {
    for job in jobs {
        let fact = JobFact::CancelRequested { by: cancel.by.clone(), reason: CancelReason::User };
        crash_point("policy-evaluator.run-cancelled.before");
        let recorded = bus.jobs().record(job, fact, Base::Look, Some(cause.to_owned())).await?;
        crash_point("policy-evaluator.run-cancelled.after");
        tracing::info!(workspace = %job.workspace, job = %job.id, %run, ?recorded, "job → cancelling");
    }
    Ok(())
}

/// What is next of a run, by what this replica knows; `None` where the run is not there.
fn next(memory: &Memory, clock: &Clock, workspace: &Slug, run: WorkflowRunId) -> Option<Next> {
    let catalog = memory.catalog();
    let run = catalog.workspace(workspace)?.workflow_run(run)?;
    let facts = memory.facts();
    let plan = workflow::plan(run, |job| facts.job(job).map(seen), clock.now());
    let is_unwanted =
        |step: &Step| run.spec.cancel.is_some() && *step == (Step::Active { cancelling: false });
    let active = plan.jobs.iter().filter(|job| is_unwanted(&job.step));
    Some(Next {
        due: plan.due().map(|job| job.reference(run)).collect(),
        unwanted: active.map(|job| job.job.reference(run)).collect(),
        cancel: run.spec.cancel.clone(),
        end: runs_ended::ends(run, &plan, &facts, clock.now()),
        catalog_revision: catalog.revision(),
    })
}

pub(crate) fn seen(job: &JobStanding) -> Seen {
    match job.standing {
        Standing::Active { cancelling } => Seen::Active { cancelling },
        Standing::Over { status, .. } => Seen::Over(status),
    }
}

async fn ask_for(
    bus: &Bus,
    memory: &Memory,
    job: &JobRef,
    catalog_revision: u64,
    cause: &str,
) -> Result<(), BusError> {
    let fact = JobFact::Requested { catalog_revision, grounds: None };
    crash_point("policy-evaluator.run-job.before");
    let recorded = bus.jobs().record(job, fact.clone(), Base::New, Some(cause.to_owned())).await?;
    crash_point("policy-evaluator.run-job.after");
    match recorded {
        Recorded::Appended { sequence } => {
            metrics::counter!("evaluator_workflow_jobs_requested_total").increment(1);
            tracing::info!(workspace = %job.workspace, job = %job.id, name = job.tag, cause, "job → requested");
            memory.anticipate(job, fact, Some(cause.to_owned()), sequence);
        }
        Recorded::AlreadySo(known) => {
            tracing::debug!(job = %job.id, sequence = known.sequence, "the job was requested already");
        }
        Recorded::Refused(refusal, _) => {
            tracing::debug!(job = %job.id, %refusal, "the job was requested already, and has gone on");
        }
    }
    Ok(())
}
