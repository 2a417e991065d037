//! Makes one decision durable: compare-and-set first, then what it asks for. A crash in between is healed by
//! whoever looks next: a decided job that the facts do not know is asked for again, under the same id.

use crate::memory::Memory;
use bus::{Base, Bucket, Bus, BusError, CasError, Recorded, crash_point};
use domain::decision::{Grounds, TargetDecision};
use domain::evaluate::Outcome;
use domain::job::{CancelReason, JobFact, JobRef};
use domain::subject;

/// Who wishes a superseded job to end.
const SERVICE: &str = "policy-evaluator";

/// A decision to be written.
pub(crate) struct Write {
    pub(crate) outcome: Outcome,
    /// Whether it differs from what is stored.
    pub(crate) decision_changed: bool,
    /// The revision it replaces; `None` where there is none.
    pub(crate) revision: Option<u64>,
    /// The revision of the catalog it was decided on.
    pub(crate) catalog_revision: u64,
    /// The sequence of the facts it was decided on.
    pub(crate) facts_seen: u64,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Committed {
    /// It is durable, and so is what it asks for.
    Done,
    /// Somebody else decided meanwhile, or there is more to do: look again.
    LookAgain,
}

pub(crate) async fn commit(
    bus: &Bus,
    targets: &Bucket,
    memory: &Memory,
    write: Write,
) -> Result<Committed, BusError> {
    let Write { outcome, decision_changed, revision, .. } = write;
    let Outcome { decision, request, withdraw, supersede, verifications } = outcome;
    let (cause, target) = (decision.cause.clone(), decision.target);
    let asks_again = request.is_some() && !decision_changed;
    let grounds = request.as_ref().and_then(|job| decision.grounds(job.version));
    if decision_changed && !store(targets, memory, decision, revision).await? {
        return Ok(Committed::LookAgain);
    }
    if let Some(job) = &request {
        // An older job may have begun to run again since the decision was made: then this one waits for it.
        if memory.facts().jobs_of(&target).any(|other| !other.is_over() && other.job.id != job.id) {
            return Ok(Committed::LookAgain);
        }
        ask_for(bus, memory, job, write.catalog_revision, grounds, cause.clone()).await?;
    }
    for job in &verifications {
        ask_for(bus, memory, job, write.catalog_revision, None, cause.clone()).await?;
    }
    if let Some(job) = &withdraw {
        take_back(bus, memory, job, cause).await?;
        return Ok(Committed::LookAgain);
    }
    if let Some(job) = &supersede {
        let fact = JobFact::CancelRequested { by: SERVICE.to_owned(), reason: CancelReason::Superseded };
        crash_point("policy-evaluator.superseded.before");
        let recorded = bus.jobs().record(job, fact, Base::Look, cause).await?;
        crash_point("policy-evaluator.superseded.after");
        tracing::info!(workspace = %job.workspace, job = %job.id, ?recorded, "job → superseded");
    }
    // A job that was lost and is asked for again may be one that must make way.
    if asks_again || memory.decisions().missed_a_turn(&target, write.facts_seen) {
        return Ok(Committed::LookAgain);
    }
    Ok(Committed::Done)
}

/// Whether it was stored; if not, what is stored instead is known now.
async fn store(
    targets: &Bucket,
    memory: &Memory,
    decision: TargetDecision,
    revision: Option<u64>,
) -> Result<bool, BusError> {
    let key = subject::target_key(&decision.workspace, &decision.target);
    let value = serde_json::to_vec(&decision).expect("a decision is JSON");
    crash_point("policy-evaluator.decision.before");
    let written = match revision {
        None => targets.create(&key, value.into()).await,
        Some(revision) => targets.update(&key, value.into(), revision).await,
    };
    crash_point("policy-evaluator.decision.after");
    match written {
        Ok(revision) => {
            metrics::counter!("evaluator_decisions_written_total").increment(1);
            tracing::info!(target_key = key, state = ?decision.state, summary = decision.summary, "decided");
            remember(memory, decision, revision);
            Ok(true)
        }
        Err(CasError::Conflict) => {
            metrics::counter!("evaluator_decision_conflicts_total").increment(1);
            refresh(targets, memory, &decision, &key).await?;
            Ok(false)
        }
        Err(CasError::Bus(error)) => Err(error),
    }
}

/// Takes in what somebody else wrote, without waiting for its echo.
async fn refresh(
    targets: &Bucket,
    memory: &Memory,
    decision: &TargetDecision,
    key: &str,
) -> Result<(), BusError> {
    let Some(entry) = targets.get(key).await? else { return Ok(()) };
    match serde_json::from_slice::<TargetDecision>(&entry.value) {
        Ok(stored) if stored.target == decision.target => {
            remember(memory, stored, entry.revision);
        }
        Ok(_) => tracing::error!(target_key = key, "the decision stored here is of another target"),
        Err(error) => tracing::error!(target_key = key, %error, "the decision stored here cannot be read"),
    }
    Ok(())
}

/// Takes in a decision, and wakes who waits for its next look.
pub(crate) fn remember(memory: &Memory, decision: TargetDecision, revision: u64) {
    let has_timer = decision.next_look.is_some();
    memory.decisions_mut().put(decision, revision);
    if has_timer {
        memory.decided.notify_one();
    }
}

async fn ask_for(
    bus: &Bus,
    memory: &Memory,
    job: &JobRef,
    catalog_revision: u64,
    grounds: Option<Grounds>,
    cause: Option<String>,
) -> Result<(), BusError> {
    let fact = JobFact::Requested { catalog_revision, grounds: grounds.map(Box::new) };
    crash_point("policy-evaluator.requested.before");
    let recorded = bus.jobs().record(job, fact.clone(), Base::New, cause.clone()).await?;
    crash_point("policy-evaluator.requested.after");
    match recorded {
        Recorded::Appended { sequence } => {
            metrics::counter!("evaluator_jobs_requested_total").increment(1);
            tracing::info!(
                workspace = %job.workspace,
                job = %job.id,
                version = job.tag,
                target = %job.target,
                attempt = job.attempt,
                "job → requested"
            );
            memory.anticipate(job, fact, cause, sequence);
        }
        Recorded::AlreadySo(known) => {
            tracing::debug!(job = %job.id, sequence = known.sequence, "the job was requested already");
        }
        Recorded::Refused(refusal, _) => {
            tracing::warn!(job = %job.id, %refusal, "the history of the job does not admit its request");
        }
    }
    Ok(())
}

/// Ends a job that nobody asked for. Where somebody did in the meantime, it is on its way.
async fn take_back(bus: &Bus, memory: &Memory, job: &JobRef, cause: Option<String>) -> Result<(), BusError> {
    let fact = JobFact::withdrawn();
    match bus.jobs().record(job, fact.clone(), Base::Only, cause.clone()).await? {
        Recorded::Appended { sequence } => {
            metrics::counter!("evaluator_jobs_withdrawn_total").increment(1);
            tracing::info!(workspace = %job.workspace, job = %job.id, version = job.tag, "job → withdrawn");
            memory.anticipate(job, fact, cause, sequence);
        }
        Recorded::AlreadySo(known) => {
            tracing::debug!(job = %job.id, sequence = known.sequence, "the job was requested meanwhile");
        }
        Recorded::Refused(refusal, _) => {
            tracing::warn!(job = %job.id, %refusal, "the history of the job does not admit that it is taken back");
        }
    }
    Ok(())
}
