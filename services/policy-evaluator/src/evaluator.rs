//! Looks at the marked targets of a deployment, and makes what is decided durable.
//! The only writer of decisions and of `Requested`; any number of replicas may do this at once.

use crate::commit::{Committed, Write, commit};
use crate::dirty::{Marked, What};
use crate::memory::{Memory, PATIENCE};
use bus::clock::Clock;
use bus::topology::TARGETS;
use bus::{Bucket, Bus, BusError};
use chrono::TimeDelta;
use domain::catalog::WorkspaceCatalog;
use domain::decision::TargetDecision;
use domain::evaluate::{DeploymentView, same_but_for_words, same_decision};
use domain::id::DeploymentId;
use domain::target::TargetKey;
use domain::token::Slug;
use futures::StreamExt;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many targets are decided on in one go: so long the folds must wait, and so long no decision is written.
const DECIDED_AT_ONCE: usize = 256;
/// How often a deployment is looked at in a row, because something changed meanwhile.
const ROUNDS_MAX: usize = 8;
/// A decision of which only the words change is written at most this often.
const WORDS_EVERY: TimeDelta = TimeDelta::seconds(1);

/// Looks at targets.
pub(crate) struct Evaluator {
    pub(crate) bus: Bus,
    memory: Arc<Memory>,
    targets: Bucket,
    clock: Clock,
    writes_in_flight: usize,
    locks: Mutex<HashMap<DeploymentId, Arc<tokio::sync::Mutex<()>>>>,
}

impl Evaluator {
    pub(crate) fn new(bus: Bus, memory: Arc<Memory>, clock: Clock, writes_in_flight: usize) -> Self {
        let targets = bus.bucket(&TARGETS);
        Self { bus, memory, targets, clock, writes_in_flight, locks: Mutex::default() }
    }

    /// Looks at everything that is marked in the deployment. What could not be written stays marked.
    #[tracing::instrument(name = "evaluate", skip_all, fields(%workspace, %deployment))]
    pub(crate) async fn look(
        &self,
        workspace: &Slug,
        deployment: DeploymentId,
        cause: Option<&str>,
    ) -> Result<(), BusError> {
        let lock = self.lock_of(deployment);
        let _one_at_a_time = lock.lock().await;
        let started = Instant::now();
        let mut left = Unsettled::new(&self.memory, workspace, deployment);
        for _ in 0..ROUNDS_MAX {
            let Some(marked) = self.memory.take(deployment) else { break };
            self.round(&mut left, &marked, cause).await?;
            left.mark_again();
        }
        metrics::histogram!("evaluator_look_seconds").record(started.elapsed().as_secs_f64());
        Ok(())
    }

    async fn round(
        &self,
        left: &mut Unsettled<'_>,
        marked: &Marked,
        cause: Option<&str>,
    ) -> Result<(), BusError> {
        let targets = self.targets_meant(left.workspace, left.deployment, &marked.what);
        left.targets.extend(targets.iter().copied());
        let cause = cause.unwrap_or(&marked.cause);
        cause.clone_into(&mut left.cause);
        for chunk in targets.chunks(DECIDED_AT_ONCE) {
            let writes = self.decide(chunk, cause, left);
            let mut written = futures::stream::iter(writes)
                .map(|write| async {
                    let target = write.outcome.decision.target;
                    (target, commit(&self.bus, &self.targets, &self.memory, write).await)
                })
                .buffer_unordered(self.writes_in_flight);
            let mut failure = None;
            while let Some((target, committed)) = written.next().await {
                match committed {
                    Ok(Committed::Done) => left.settled(&target),
                    Ok(Committed::LookAgain) => {}
                    Err(error) => {
                        tracing::warn!(%target, %error, "a decision could not be made durable; it stays marked");
                        failure.get_or_insert(error);
                    }
                }
            }
            if let Some(error) = failure {
                return Err(error);
            }
        }
        Ok(())
    }

    fn targets_meant(&self, workspace: &Slug, deployment: DeploymentId, what: &What) -> Vec<TargetKey> {
        match what {
            What::Targets(targets) => targets.iter().copied().collect(),
            What::All => {
                let catalog = self.memory.catalog();
                let now =
                    catalog.workspace(workspace).map(|ws| ws.targets_of(deployment)).unwrap_or_default();
                let decisions = self.memory.decisions();
                let all: BTreeSet<TargetKey> =
                    now.iter().copied().chain(decisions.targets_of(deployment)).collect();
                all.into_iter().collect()
            }
        }
    }

    /// Decides on the targets. What needs no write is settled here; what would only be said in other words
    /// is put off, where the last words are young. So is what somebody decided who has seen more of the catalog:
    /// an older intent must not replace a newer one.
    fn decide(&self, targets: &[TargetKey], cause: &str, left: &mut Unsettled<'_>) -> Vec<Write> {
        let started = Instant::now();
        let mut writes = Vec::new();
        let catalog = self.memory.catalog();
        let facts = self.memory.facts();
        let decisions = self.memory.decisions();
        // Of a workspace in which nothing is declared (any more) every target is gone.
        let empty = WorkspaceCatalog::new(left.workspace.clone());
        let ws = catalog.workspace(left.workspace).unwrap_or(&empty);
        let now = self.clock.now();
        // Up to there everything is taken in, also what left nothing to be folded.
        let revision = catalog.revision().max(self.memory.reached.catalog.sequence());
        let view = DeploymentView::of(ws, &facts, &*decisions, left.deployment, now).at_revision(revision);
        let mut behind = None;
        for target in targets {
            let known = decisions.get(target);
            let previous = known.and_then(|known| known.decision.as_deref());
            if let Some(seen) = previous.map(|previous| previous.catalog_revision)
                && seen > revision
            {
                behind = Some(seen).max(behind);
                left.put_off(*target);
                continue;
            }
            let outcome = view.decide(target, Some(cause.to_owned()));
            count_errors(&outcome.decision);
            let same = previous.is_some_and(|previous| same_decision(previous, &outcome.decision));
            let asks = outcome.asks();
            if same && !asks {
                left.settled(target);
                continue;
            }
            if let Some(previous) = previous
                && !asks
                && (TimeDelta::zero()..WORDS_EVERY).contains(&(now - previous.decided_at))
                && same_but_for_words(previous, &outcome.decision)
            {
                left.put_off(*target);
                continue;
            }
            writes.push(Write {
                outcome,
                decision_changed: !same,
                revision: known.map(|known| known.revision),
                catalog_revision: revision,
                facts_seen: facts.sequence(),
            });
        }
        if let Some(seen) = behind {
            metrics::counter!("evaluator_behind_the_catalog_total").increment(1);
            tracing::warn!(
                seen,
                revision,
                "some was decided on a newer catalog than this replica has; it waits"
            );
        }
        metrics::counter!("evaluator_targets_evaluated_total").increment(targets.len() as u64);
        metrics::histogram!("evaluator_decide_seconds").record(started.elapsed().as_secs_f64());
        writes
    }

    /// One look at a deployment at a time in this replica: two would only meet at the compare-and-set.
    fn lock_of(&self, deployment: DeploymentId) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(deployment).or_default())
    }
}

/// Targets that were taken and are not settled: marked again when this goes, so that whatever ends a look early,
/// a failure, a deadline or a panic, forgets nothing.
struct Unsettled<'a> {
    memory: &'a Memory,
    workspace: &'a Slug,
    deployment: DeploymentId,
    targets: BTreeSet<TargetKey>,
    put_off: BTreeSet<TargetKey>,
    /// Why they are looked at; it stays the reason when they are looked at again.
    cause: String,
}

impl<'a> Unsettled<'a> {
    fn new(memory: &'a Memory, workspace: &'a Slug, deployment: DeploymentId) -> Self {
        let (targets, put_off) = (BTreeSet::new(), BTreeSet::new());
        Self { memory, workspace, deployment, targets, put_off, cause: String::new() }
    }

    fn settled(&mut self, target: &TargetKey) {
        self.targets.remove(target);
    }

    /// To be looked at by the sweep, when the last words are older.
    fn put_off(&mut self, target: TargetKey) {
        self.targets.remove(&target);
        self.put_off.insert(target);
    }

    fn mark_again(&mut self) {
        let targets = std::mem::take(&mut self.targets);
        self.mark(targets);
    }

    fn mark(&self, targets: BTreeSet<TargetKey>) {
        if !targets.is_empty() {
            let of = (self.workspace, self.deployment);
            self.memory.mark(of, What::Targets(targets), &self.cause, PATIENCE);
        }
    }
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        self.mark_again();
        let put_off = std::mem::take(&mut self.put_off);
        self.mark(put_off);
    }
}

/// Rules that deny because they cannot be evaluated: somebody should mend them.
fn count_errors(decision: &TargetDecision) {
    for verdict in decision.considered.iter().flat_map(|told| &told.rules).filter(|verdict| verdict.error) {
        metrics::counter!("evaluator_rule_errors_total", "rule" => verdict.rule.clone()).increment(1);
    }
}

/// How long a look at one deployment may take before it is tried again.
pub(crate) const LOOK_WITHIN: Duration = Duration::from_secs(60);
