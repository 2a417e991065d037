//! How runs of workflows ended: kept with the run while its jobs' facts are still there, taken back when it runs again, and
//! forgotten with the run long after.

use bus::topology::{CATALOG, JOBS};
use bus::{Bucket, Bus, BusError, CasError, crash_point};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::entity::{CatalogKey, Entity, Kind, Record, RunEnd, WorkflowRun};
use domain::evaluate::Facts;
use domain::id::WorkflowRunId;
use domain::token::Slug;
use domain::workflow::{JobStep, Plan, RUN_KEPT_DAYS, Step};

/// What is to be made of a run's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ends {
    what: What,
    /// The sequence of `JOBS` up to which it was looked at.
    sequence: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// It is over, so.
    Over(RunEnd),
    /// It runs again.
    Again,
    /// It was over so long ago that nobody asks any more.
    Forgotten,
}

/// What is to be made of the end of a run; nothing where that is as it should be, where these facts know less than whoever
/// kept it or took it back, and where they may be forgotten already, so that nobody can tell any more.
pub(crate) fn ends(
    run: &Record<WorkflowRun>,
    plan: &Plan<'_>,
    facts: &Facts,
    now: Timestamp,
) -> Option<Ends> {
    let (known, sequence) = (run.spec.end.as_ref(), facts.sequence());
    if run.spec.end_sequence > sequence {
        return None;
    }
    let ends = |what| Some(Ends { what, sequence });
    if !plan.status.is_over() {
        return known.and_then(|_| ends(What::Again));
    }
    let over_since = known.map_or(run.spec.at, |known| known.at);
    if over_since + TimeDelta::days(RUN_KEPT_DAYS) < now {
        return ends(What::Forgotten);
    }
    let is_told = |job: &JobStep<'_>| facts.job(job.job.id).is_some();
    if known.is_some() && !plan.jobs.iter().any(is_told) {
        return None;
    }
    let facts_kept = TimeDelta::from_std(JOBS.max_age).unwrap_or(TimeDelta::MAX);
    if known.is_none() && now - run.spec.at > facts_kept {
        return None;
    }
    let mut end = RunEnd {
        status: plan.status,
        at: run.spec.cancel.as_ref().map_or(over_since, |cancel| over_since.max(cancel.at)),
        jobs: Default::default(),
    };
    for job in &plan.jobs {
        let Step::Over(status) = job.step else { continue };
        end.jobs.insert(job.job.id, status);
        end.at = facts.job(job.job.id).map_or(end.at, |fact| fact.at.max(end.at));
    }
    if known.is_some_and(|known| is_same(known, &end)) { None } else { ends(What::Over(end)) }
}

/// Whether both tell the same, whenever it was.
fn is_same(one: &RunEnd, other: &RunEnd) -> bool {
    (one.status, &one.jobs) == (other.status, &other.jobs)
}

/// Makes it so. Who is too late looks again, because the run has changed.
pub(crate) async fn keep(
    bus: &Bus,
    workspace: &Slug,
    run: WorkflowRunId,
    ends: Ends,
) -> Result<(), BusError> {
    let key = CatalogKey { workspace: workspace.clone(), kind: Kind::WorkflowRun, id: run.0 }.to_string();
    let bucket = bus.bucket(&CATALOG);
    let Some((Entity::WorkflowRun(mut known), revision)) = bucket.get_json(&key).await? else {
        return Ok(());
    };
    if known.spec.end_sequence > ends.sequence {
        return Ok(());
    }
    known.spec.end_sequence = ends.sequence;
    let written = match ends.what {
        What::Over(end) => {
            if known.spec.end.as_ref().is_some_and(|known| is_same(known, &end)) {
                return Ok(());
            }
            tracing::info!(%workspace, %run, status = end.status.as_str(), "the run is over");
            known.spec.end = Some(end);
            write(&bucket, &key, known, revision).await
        }
        What::Again if known.spec.end.is_none() => return Ok(()),
        What::Again => {
            tracing::info!(%workspace, %run, "the run runs again");
            known.spec.end = None;
            write(&bucket, &key, known, revision).await
        }
        What::Forgotten => {
            tracing::info!(%workspace, %run, days = RUN_KEPT_DAYS, "the run is forgotten");
            bucket.delete_at(&key, revision).await
        }
    };
    match written {
        Ok(_) | Err(CasError::Conflict) => Ok(()),
        Err(CasError::Bus(error)) => Err(error),
    }
}

async fn write(bucket: &Bucket, key: &str, run: Record<WorkflowRun>, revision: u64) -> Result<u64, CasError> {
    crash_point("policy-evaluator.run-ended.before");
    let written = bucket.update_json(key, &Entity::WorkflowRun(run), revision).await;
    crash_point("policy-evaluator.run-ended.after");
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::seen;
    use domain::job::{JobEvent, JobFact, JobRef, TerminalStatus};
    use domain::workflow::{self, RunStatus};
    use serde_json::json;

    fn at(days: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::days(days)
    }

    fn run() -> Record<WorkflowRun> {
        let meta = json!({ "id": uuid::Uuid::from_u128(7), "workspace": "acme", "name": "ship", "createdAt": at(0), "updatedAt": at(0) });
        let spec = json!({ "workflow": uuid::Uuid::from_u128(1), "workflowName": "ship", "workflowSlug": "ship",
            "jobs": [{ "name": "build", "agent": { "ref": "gh" } }], "begunBy": { "user": "ann" }, "at": at(0) });
        serde_json::from_value(json!({ "meta": meta, "spec": spec })).unwrap()
    }

    /// Facts up to a sequence, of which the last is what happened to the job, if anything did.
    fn facts(run: &Record<WorkflowRun>, sequence: u64, fact: Option<JobFact>) -> Facts {
        let mut facts = Facts::default();
        if let Some(fact) = fact {
            let job: JobRef = workflow::jobs(run)[0].reference(run);
            facts.apply(&JobEvent { job, at: at(1), cause: None, traceparent: None, fact }, sequence);
        }
        facts.reached(sequence);
        facts
    }

    fn asked(run: &Record<WorkflowRun>, facts: &Facts, now: Timestamp) -> Option<Ends> {
        ends(run, &workflow::plan(run, |job| facts.job(job).map(seen), now), facts, now)
    }

    fn over() -> Option<JobFact> {
        Some(JobFact::ended(TerminalStatus::Failure, None, "broken"))
    }

    fn again() -> Option<JobFact> {
        Some(JobFact::RetryRequested { by: "ann".into() })
    }

    #[test]
    fn who_knows_less_leaves_an_end_alone_and_one_that_was_taken_back() {
        let mut run = run();
        let Some(Ends { what: What::Over(end), sequence: 9 }) = asked(&run, &facts(&run, 9, over()), at(1))
        else {
            panic!("it is over")
        };
        assert_eq!((end.status, end.at, end.jobs.len()), (RunStatus::Failure, at(1), 1));
        (run.spec.end, run.spec.end_sequence) = (Some(end), 9);
        assert_eq!(asked(&run, &facts(&run, 9, over()), at(1)), None, "it is as it should be");
        assert_eq!(asked(&run, &facts(&run, 8, again()), at(1)), None, "it knows less");
        let ends = asked(&run, &facts(&run, 10, again()), at(1));
        assert_eq!(ends, Some(Ends { what: What::Again, sequence: 10 }));
        (run.spec.end, run.spec.end_sequence) = (None, 10);
        assert_eq!(asked(&run, &facts(&run, 9, over()), at(1)), None, "it does not know of the retry");
    }

    #[test]
    fn an_end_stays_when_the_facts_are_forgotten_and_none_is_made_up() {
        let mut run = run();
        assert_eq!(asked(&run, &facts(&run, 9, None), at(31)), None, "nobody can tell any more");
        let job = workflow::jobs(&run)[0].id;
        let jobs = [(job, TerminalStatus::Successful)].into_iter().collect();
        run.spec.end = Some(RunEnd { status: RunStatus::Successful, at: at(1), jobs });
        assert_eq!(asked(&run, &facts(&run, 9, None), at(31)), None);
        let ends = asked(&run, &facts(&run, 9, None), at(RUN_KEPT_DAYS + 2));
        assert_eq!(ends, Some(Ends { what: What::Forgotten, sequence: 9 }));
    }
}
