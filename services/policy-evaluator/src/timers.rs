//! What time alone brings: decisions whose next look is due, targets for which no hint came, and the slow full pass.
//! Timers are derived from decisions, so that a restart finds them again.

use crate::dirty::What;
use crate::evaluator::Evaluator;
use crate::memory::{Memory, PATIENCE};
use crate::runs;
use bus::clock::Clock;
use bus::topology::JOBS;
use chrono::TimeDelta;
use domain::Timestamp;
use domain::hint::Hint;
use domain::id::DeploymentId;
use domain::token::Slug;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// A timer sleeps no longer than this, so that a clock that was set is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// How many deployments this replica looks at by itself at once.
const LOOKS_MAX: usize = 8;

/// Marks what is due for this replica to look at by itself, at the very instant. All replicas do, and compare-and-set
/// lets one win: a hint could come to one whose clock or whose decisions are behind, who would find nothing due.
pub(crate) async fn ring(memory: Arc<Memory>, clock: Clock, drain: CancellationToken) {
    loop {
        let due = memory.decisions_mut().take_due(clock.now());
        for (deployment, due) in due {
            let cause = format!("its time came: {}", due.instant.to_rfc3339());
            memory.mark((&due.workspace, deployment), What::Targets(due.targets), &cause, Duration::ZERO);
        }
        let next = memory.decisions().next_look();
        tokio::select! {
            () = drain.cancelled() => return,
            () = memory.decided.notified() => {}
            () = clock.until(next.unwrap_or(Timestamp::MAX_UTC), SLEEP_MAX) => {}
        }
    }
}

/// Looks at what is marked and overdue: whatever becomes of hints, nothing stays marked for long.
pub(crate) async fn sweep(memory: Arc<Memory>, evaluator: Arc<Evaluator>, drain: CancellationToken) {
    let mut looking = JoinSet::new();
    let mut busy: HashMap<Id, DeploymentId> = HashMap::new();
    loop {
        let (overdue, next) = memory.overdue();
        for (workspace, deployment) in overdue {
            if looking.len() == LOOKS_MAX || busy.values().any(|looked_at| *looked_at == deployment) {
                continue;
            }
            let evaluator = Arc::clone(&evaluator);
            let span = tracing::info_span!(parent: None, "sweep", %workspace, %deployment);
            let look = async move {
                metrics::counter!("evaluator_sweeps_total").increment(1);
                if let Err(error) = evaluator.look(&workspace, deployment, None).await {
                    tracing::warn!(%error, "what is marked could not be looked at; it stays marked");
                }
            };
            let task = looking.spawn(look.instrument(span));
            busy.insert(task.id(), deployment);
        }
        let full = looking.len() == LOOKS_MAX;
        let sleep = next.map_or(SLEEP_MAX, |next| next.saturating_duration_since(Instant::now()));
        // What is overdue and already being looked at is looked at when that ends.
        let sleep = if sleep.is_zero() { PATIENCE } else { sleep };
        tokio::select! {
            () = drain.cancelled() => break,
            () = memory.marked.notified(), if !full => {}
            () = tokio::time::sleep(sleep), if !full => {}
            Some(done) = looking.join_next_with_id() => ended(&mut busy, done),
        }
    }
    while let Some(done) = looking.join_next_with_id().await {
        ended(&mut busy, done);
    }
}

fn ended(busy: &mut HashMap<Id, DeploymentId>, done: Result<(Id, ()), JoinError>) {
    let id = match &done {
        Ok((id, ())) => *id,
        Err(error) => error.id(),
    };
    let deployment = busy.remove(&id);
    if let Err(error) = done {
        // What it had taken is marked again.
        tracing::error!(?deployment, %error, "a look panicked");
    }
}

/// Marks everything, now and again: the slow, regular truth.
pub(crate) async fn full_pass(memory: Arc<Memory>, every: Duration, clock: Clock, drain: CancellationToken) {
    loop {
        mark_everything(&memory);
        runs::mark_open(&memory, clock.now());
        // What the stream has forgotten, a replica that starts now would not know either.
        let kept = TimeDelta::from_std(JOBS.max_age).unwrap_or(TimeDelta::MAX);
        if let Some(before) = clock.now().checked_sub_signed(kept) {
            memory.facts_mut().forget_over_before(before);
        }
        tokio::select! {
            () = drain.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

fn mark_everything(memory: &Memory) {
    let declared: BTreeSet<(Slug, DeploymentId)> = memory
        .catalog()
        .workspaces()
        .flat_map(|ws| {
            ws.deployments().map(|deployment| (ws.slug().clone(), DeploymentId(deployment.meta.id)))
        })
        .collect();
    let decided: BTreeSet<(Slug, DeploymentId)> = memory.decisions().deployments().collect();
    for (workspace, deployment) in declared.union(&decided) {
        memory.mark((workspace, *deployment), What::All, "full pass", Duration::ZERO);
    }
}

/// A hint that asks the one who works it to have seen what this replica has.
pub(crate) fn hint(memory: &Memory, workspace: Slug, deployment: DeploymentId, cause: String) -> Hint {
    Hint {
        workspace,
        deployment,
        catalog_revision: memory.reached.catalog.sequence(),
        jobs_sequence: memory.reached.facts.sequence(),
        cause,
        traceparent: None,
    }
}
