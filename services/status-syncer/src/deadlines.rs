//! Deadlines: sleeps until the next one passes, reads the job again, and does what its passing means. Every replica does
//! so; the history takes the first word, and message ids make one command of several.

use crate::active::Passed;
use crate::breaker::Ruling;
use crate::settings::Deadlines;
use crate::watch::Watch;
use bus::{Base, BusError, Known, Recorded, clock, crash_point};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::command::{AgentCommand, Verb};
use domain::job::{CancelReason, Due, JobFact, JobRef, Overdue, Phase, Reason, TerminalStatus, due};
use domain::subject;
use futures::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Who wishes an overdue job to end, in its history.
const US: &str = "status-syncer";
/// How many jobs are worked at once.
const JOBS_AT_ONCE: usize = 16;
/// How many jobs one round takes.
const ROUND: usize = 256;
/// When a deadline that has been acted on is looked at again, unless a fact comes of it first.
const AGAIN_AFTER: TimeDelta = TimeDelta::seconds(60);
/// When a deadline is looked at again that could not be acted on.
const FAILED_AGAIN_AFTER: TimeDelta = TimeDelta::seconds(5);
/// How soon a passed deadline is looked at again that cannot be ruled on yet.
const MOMENT: Duration = Duration::from_millis(50);
/// A timer sleeps at most so long, so that a changed clock is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(300);

/// Watches deadlines until the drain.
pub(crate) async fn run(
    watch: Arc<Watch>,
    settings: Deadlines,
    drain: CancellationToken,
) -> anyhow::Result<()> {
    if !watch.is_caught_up(&drain).await {
        return Ok(());
    }
    loop {
        let now = clock::now();
        let (overdue, next) = {
            let mut actives = watch.actives();
            (actives.overdue(now, &settings, ROUND), actives.next_due())
        };
        if overdue.is_empty() {
            let sleep = next.map_or(SLEEP_MAX, |at| until(at, now));
            tokio::select! {
                () = drain.cancelled() => return Ok(()),
                () = watch.due_changed.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
            continue;
        }
        let acted = futures::stream::iter(overdue)
            .for_each_concurrent(JOBS_AT_ONCE, |passed| pass(watch.clone(), passed));
        if drain.run_until_cancelled(acted).await.is_none() {
            return Ok(());
        }
    }
}

/// Rounded up, so that the deadline has passed when we wake. One that has passed, and waits until every job is known,
/// is looked at again in a moment.
fn until(at: Timestamp, now: Timestamp) -> Duration {
    match (at - now).to_std() {
        Ok(ahead) => ahead.saturating_add(Duration::from_millis(1)).min(SLEEP_MAX),
        Err(_passed) => MOMENT,
    }
}

async fn pass(watch: Arc<Watch>, Passed { job, ruling }: Passed) {
    let again_after = match act(&watch, &job, ruling).await {
        Ok(()) => AGAIN_AFTER,
        Err(error) => {
            tracing::warn!(job = %job.id, %error, "cannot act on a deadline, trying again");
            FAILED_AGAIN_AFTER
        }
    };
    let now = clock::now();
    watch.change(|actives| {
        // A fact or a read has given it another deadline, or the same one must not be found again at once.
        if actives.is_overdue(job.id, now) {
            actives.postpone(job.id, now + again_after);
        }
    });
}

async fn act(watch: &Watch, job: &JobRef, ruling: Option<Ruling>) -> Result<(), BusError> {
    if let Some(Ruling::Refuse { first }) = ruling {
        refused(watch, first);
        return Ok(());
    }
    let Some(known) = watch.jobs.load(&job.workspace, job.id).await? else {
        watch.change(|actives| actives.remove(job.id));
        return Ok(());
    };
    let now = clock::now();
    watch.change(|actives| actives.learn(known.clone()));
    let Some(Due { at, then }) = due(&known.state).filter(|due| due.at <= now) else { return Ok(()) };
    metrics::histogram!("syncer_deadline_lateness_seconds").record((now - at).as_seconds_f64().max(0.0));
    match then {
        Overdue::Cancel => cancel(watch, job, known).await,
        Overdue::ForceCancel => force_cancel(watch, job, known, at, now).await,
        Overdue::GiveUp => {
            let message = "the platform did not confirm the cancellation, not even a forced one: \
                           what it started may still be running there";
            finish(watch, job, known, JobFact::ended(TerminalStatus::Cancelled, None, message), then).await
        }
        Overdue::Lost => match ruling {
            Some(Ruling::Mark) => lost(watch, job, known).await,
            // It was not known to be a question of that; the next round rules.
            Some(Ruling::Refuse { .. }) | None => Ok(()),
        },
    }
}

async fn cancel(watch: &Watch, job: &JobRef, known: Known) -> Result<(), BusError> {
    let fact = JobFact::CancelRequested { by: US.to_owned(), reason: CancelReason::TimedOut };
    crash_point("status-syncer.timed-out.before");
    let recorded =
        watch.jobs.record(job, fact, Base::Known(Box::new(known)), Some(cause(Overdue::Cancel))).await?;
    crash_point("status-syncer.timed-out.after");
    told(job, Overdue::Cancel, &recorded);
    Ok(())
}

async fn force_cancel(
    watch: &Watch,
    job: &JobRef,
    known: Known,
    at: Timestamp,
    now: Timestamp,
) -> Result<(), BusError> {
    let Phase::Cancelling(cancelling) = &known.state.phase else { return Ok(()) };
    let assigned = known.state.assigned.as_ref().filter(|_| cancelling.fence.is_some());
    let Some(assigned) = assigned else {
        let message = "cancelled before it reached a platform";
        let fact = JobFact::ended(TerminalStatus::Cancelled, None, message);
        return finish(watch, job, known, fact, Overdue::ForceCancel).await;
    };
    let dispatch = &assigned.dispatch;
    let command = AgentCommand {
        verb: Verb::Cancel,
        job: job.clone(),
        agent: dispatch.agent,
        platform: dispatch.platform.clone(),
        config: dispatch.config.clone(),
        after: known.sequence,
        rerun_of: None,
        force: true,
        freezes_seen: Default::default(),
        freeze_begins_at: None,
        secrets: Default::default(),
    };
    let turn = (now - at).num_seconds() / AGAIN_AFTER.num_seconds();
    let id = format!("f-{}-{}-{turn}", job.id, known.sequence);
    let subject = subject::command(&command.platform, command.agent, command.verb, job.id);
    crash_point("status-syncer.force-cancel.before");
    watch.bus.publish_json(subject, &command, Some(&id)).await?;
    crash_point("status-syncer.force-cancel.after");
    counted(Overdue::ForceCancel);
    tracing::info!(job = %job.id, platform = %dispatch.platform, "not cancelled in time: asked by force");
    Ok(())
}

async fn lost(watch: &Watch, job: &JobRef, known: Known) -> Result<(), BusError> {
    let unknown = "nobody could say what became of it: the call to the platform may have arrived or not";
    let message = match &known.state.message {
        Some(last) => format!("{unknown}; last: {last}"),
        None => unknown.to_owned(),
    };
    let fact = JobFact::ended(TerminalStatus::ExternalRunNotFound, Some(Reason::Lost), message);
    finish(watch, job, known, fact, Overdue::Lost).await
}

fn refused(watch: &Watch, first: bool) {
    metrics::counter!("syncer_lost_refused_total").increment(1);
    if first {
        tracing::error!(
            active = watch.actives().len(),
            "many jobs seem lost at once: none more is called lost. Look at the agents and at their platforms"
        );
    }
}

async fn finish(
    watch: &Watch,
    job: &JobRef,
    known: Known,
    fact: JobFact,
    why: Overdue,
) -> Result<(), BusError> {
    crash_point("status-syncer.over.before");
    let recorded = watch.jobs.record(job, fact, Base::Known(Box::new(known)), Some(cause(why))).await?;
    crash_point("status-syncer.over.after");
    told(job, why, &recorded);
    Ok(())
}

fn told(job: &JobRef, why: Overdue, recorded: &Recorded) {
    match recorded {
        Recorded::Appended { sequence } => {
            counted(why);
            tracing::info!(job = %job.id, sequence, deadline = name(why), "a deadline has passed");
        }
        // Another replica, or the platform, was first.
        Recorded::AlreadySo(_) | Recorded::Refused(..) => {}
    }
}

fn counted(why: Overdue) {
    metrics::counter!("syncer_deadlines_total", "deadline" => name(why)).increment(1);
}

fn cause(why: Overdue) -> String {
    format!("deadline/{}", name(why))
}

fn name(why: Overdue) -> &'static str {
    match why {
        Overdue::Cancel => "cancel",
        Overdue::ForceCancel => "forceCancel",
        Overdue::GiveUp => "giveUp",
        Overdue::Lost => "lost",
    }
}
