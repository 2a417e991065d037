//! From a record to the facts of its job. The history is the gate: what it does not admit did not happen, and the record
//! goes by it.

use crate::effects::{HELD, STARTED, TOLD};
use crate::record::Record;
use bus::{Base, BusError, JobLog, Known, Recorded};
use domain::job::{HeldWhy, JobFact, Phase};

/// What the history made of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// It says the same, or nothing is to be said yet.
    Yes,
    /// It does not know the record any more: the job was taken back, dispatched anew, cancelled early or ended elsewhere.
    Overtaken,
}

/// Appends what the history does not say yet.
pub(crate) async fn tell(jobs: &JobLog, record: &Record, cause: Option<String>) -> Result<Told, BusError> {
    let Some(mut snapshot) = record.snapshot() else { return Ok(Told::Yes) };
    let job = &record.command.job;
    let Some(mut known) = jobs.load(&job.workspace, job.id).await? else { return Ok(Told::Overtaken) };
    if record.begun && known.state.phase == Phase::Dispatched {
        // The intent: from here on no freeze takes the job back, and a wish to end it comes to us.
        if known.sequence != record.command.after {
            return Ok(Told::Overtaken);
        }
        let fact = JobFact::TriggerStarted { fence: record.fence };
        let base = Base::Known(Box::new(known));
        // Whatever came of it, the history says it: somebody else may have told the same meanwhile.
        STARTED.effect(jobs.record(job, fact, base, cause.clone())).await?;
        let Some(now) = jobs.load(&job.workspace, job.id).await? else { return Ok(Told::Overtaken) };
        known = now;
    }
    if known.state.external_attempt > record.attempt || (is_not_ours(&known) && !record.is_over()) {
        return Ok(Told::Overtaken);
    }
    // An earlier attempt may have run elsewhere: its name stays.
    let same_run = |run: &domain::job::ExternalRef| {
        snapshot.external.as_ref().is_some_and(|ours| (&ours.host, &ours.id) == (&run.host, &run.id))
    };
    if known.state.external.as_ref().is_some_and(|run| !same_run(run)) {
        snapshot.external = None;
    }
    let base = Base::Known(Box::new(known));
    match TOLD.effect(jobs.record(job, snapshot.into_fact(), base, cause)).await? {
        Recorded::Appended { .. } | Recorded::AlreadySo(_) => Ok(Told::Yes),
        Recorded::Refused(..) => Ok(Told::Overtaken),
    }
}

/// Whether nobody may begin the job, or go on with it: its dispatcher has it, or it is over.
fn is_not_ours(known: &Known) -> bool {
    match &known.state.phase {
        Phase::Requested | Phase::Held { .. } | Phase::Finished { .. } => true,
        Phase::Cancelling(cancelling) => cancelling.fence.is_none(),
        Phase::Dispatched | Phase::Triggering { .. } | Phase::Unknown { .. } | Phase::Running { .. } => false,
    }
}

/// Whether a job that waits for its first claim is still to be given out by this record.
pub(crate) fn is_current(known: &Known, record: &Record) -> bool {
    known.state.phase == Phase::Dispatched && known.sequence == record.command.after
}

/// Gives the job back to its dispatcher, who knows the freezes. As long as no claim is recorded, whoever appends first wins.
pub(crate) async fn send_back(
    jobs: &JobLog,
    known: Known,
    reason: &str,
    cause: Option<String>,
) -> Result<(), BusError> {
    let job = known.state.job.clone();
    let why = HeldWhy::Freeze { freeze: None, reason: reason.to_owned(), until: None };
    let base = Base::Known(Box::new(known));
    HELD.effect(jobs.record(&job, JobFact::Held { why }, base, cause)).await?;
    tracing::info!(job = %job.id, reason, "sent back to the dispatcher");
    Ok(())
}
