//! Takes in what changed, and says what it makes worth a look. Nothing is said before all that was there
//! at the start has been taken in: then everything is looked at once.

use crate::commit::remember;
use crate::dirty::What;
use crate::memory::{Memory, PATIENCE};
use crate::outbox::Outbox;
use crate::timers::hint;
use bus::topology::{CATALOG, JOBS, TARGETS};
use bus::{Bus, BusError, Change, FollowSource, From, HeaderMap, follow};
use domain::catalog::{Affected, Applied};
use domain::entity::Kind;
use domain::evaluate::FactChange;
use domain::id::{DeploymentId, WorkflowRunId};
use domain::job::JobEvent;
use domain::subject::parse_target_key;
use domain::target::TargetKey;
use domain::token::Slug;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::sync::CancellationToken;

/// Takes in what changed.
pub(crate) struct Folds {
    pub(crate) memory: Arc<Memory>,
    pub(crate) outbox: Arc<Outbox>,
    live: AtomicBool,
}

impl Folds {
    pub(crate) fn new(memory: Arc<Memory>, outbox: Arc<Outbox>) -> Self {
        Self { memory, outbox, live: AtomicBool::new(false) }
    }

    /// From here on changes are worth hints. To be called when all folds have caught up, and before everything
    /// is marked, so that no change falls between.
    pub(crate) fn go_live(&self) {
        self.live.store(true, Ordering::SeqCst);
    }

    pub(crate) async fn follow_catalog(&self, bus: &Bus, drain: CancellationToken) -> Result<(), BusError> {
        let source = FollowSource::Bucket(&CATALOG, None);
        follow(bus, source, From::LastPerSubject, |change| self.catalog_changed(change), drain).await
    }

    pub(crate) async fn follow_facts(&self, bus: &Bus, drain: CancellationToken) -> Result<(), BusError> {
        let source = FollowSource::Stream(&JOBS, None);
        follow(bus, source, From::LastPerSubject, |change| self.fact_recorded(change), drain).await
    }

    pub(crate) async fn follow_decisions(&self, bus: &Bus, drain: CancellationToken) -> Result<(), BusError> {
        let source = FollowSource::Bucket(&TARGETS, None);
        follow(bus, source, From::LastPerSubject, |change| self.decision_made(change), drain).await
    }

    fn catalog_changed(&self, change: Change) {
        let progress = &self.memory.reached.catalog;
        let (key, value, revision, trace) = match change {
            Change::Put { key, sequence, payload, headers, .. } => {
                (key, Some(payload), sequence, traceparent(&headers))
            }
            Change::Delete { key, sequence, .. } => (key, None, sequence, None),
            Change::CaughtUp { sequence } => return progress.caught_up(sequence),
        };
        let applied = self.memory.catalog_mut().apply(&key, value.as_deref(), revision);
        if let Some(error) = &applied.broken {
            metrics::counter!("evaluator_unreadable_entities_total").increment(1);
            tracing::error!(key, revision, error, "an entity cannot be read; what depends on it is blocked");
        }
        if let Some(key) = applied.key.as_ref().filter(|key| key.kind == Kind::WorkflowRun && self.is_live())
        {
            self.memory.runs.mark(&key.workspace, WorkflowRunId(key.id));
        }
        let affected = if self.is_live() { self.affected(&applied) } else { Vec::new() };
        let cause = match &applied.key {
            Some(key) => format!("{} {} changed (revision {revision})", key.kind.token(), key.id),
            None => format!("revision {revision} of the catalog"),
        };
        for (workspace, deployment) in &affected {
            self.memory.mark((workspace, *deployment), What::All, &cause, PATIENCE);
        }
        progress.advance(revision);
        for (workspace, deployment) in affected {
            let id = format!("h-{}-{revision}-{deployment}", CATALOG.name);
            self.hint(workspace, deployment, cause.clone(), id, trace.clone());
        }
    }

    /// The deployments a change of the catalog concerns, as far as they are declared or were decided on.
    fn affected(&self, applied: &Applied) -> Vec<(Slug, DeploymentId)> {
        let Some(key) = &applied.key else { return Vec::new() };
        match &applied.affected {
            Affected::Deployments(these) => {
                these.iter().map(|deployment| (key.workspace.clone(), *deployment)).collect()
            }
            Affected::Workspace => {
                let catalog = self.memory.catalog();
                let declared = catalog.workspace(&key.workspace).into_iter().flat_map(|ws| ws.deployments());
                let declared = declared.map(|deployment| DeploymentId(deployment.meta.id));
                let decisions = self.memory.decisions();
                let decided = decisions.deployments().filter(|(workspace, _)| *workspace == key.workspace);
                let all: BTreeSet<DeploymentId> = declared.chain(decided.map(|(_, id)| id)).collect();
                all.into_iter().map(|deployment| (key.workspace.clone(), deployment)).collect()
            }
        }
    }

    fn fact_recorded(&self, change: Change) {
        let progress = &self.memory.reached.facts;
        let (subject, payload, sequence) = match change {
            Change::Put { key, payload, sequence, .. } => (key, payload, sequence),
            // Facts are never deleted, they grow old.
            Change::Delete { sequence, .. } => return progress.advance(sequence),
            Change::CaughtUp { sequence } => {
                self.memory.facts_mut().reached(sequence);
                return progress.caught_up(sequence);
            }
        };
        match serde_json::from_slice::<JobEvent>(&payload) {
            Ok(event) => self.apply(event, sequence),
            Err(error) => {
                metrics::counter!("evaluator_unreadable_facts_total").increment(1);
                tracing::error!(subject, sequence, %error, "a fact cannot be read; its job stays as it was");
            }
        }
        progress.advance(sequence);
    }

    fn apply(&self, event: JobEvent, sequence: u64) {
        let (change, changes_health) = {
            let mut facts = self.memory.facts_mut();
            let change = facts.apply(&event, sequence);
            (change, facts.changes_health(&event.job, change))
        };
        if let Some(run) = event.job.purpose.run() {
            if change != FactChange::Nothing && self.is_live() {
                self.memory.runs.mark(&event.job.workspace, run);
            }
            return;
        }
        let target = event.job.target;
        let what = match change {
            FactChange::Nothing => return,
            // Who asked for it knows it; the others look when they have the time.
            FactChange::Started => BTreeSet::from([target]),
            FactChange::Reopened | FactChange::Ended | FactChange::EndedAgain => {
                let mut decisions = self.memory.decisions_mut();
                // What failed so long ago that the facts have forgotten it is remembered by the decision.
                let changes_health = changes_health || decisions.last_was_bad(&target, event.job.version);
                decisions.turned(&target, sequence, changes_health)
            }
        };
        if !self.is_live() {
            return;
        }
        let cause = format!("job {} {} at {sequence}", event.job.id, event.fact.name());
        let workspace = &event.job.workspace;
        let mut of_deployments: BTreeMap<DeploymentId, BTreeSet<TargetKey>> = BTreeMap::new();
        for target in what {
            of_deployments.entry(target.deployment).or_default().insert(target);
        }
        if change != FactChange::Started {
            self.memory.reached.facts.advance(sequence);
        }
        for (deployment, targets) in of_deployments {
            self.memory.mark((workspace, deployment), What::Targets(targets), &cause, PATIENCE);
            if change != FactChange::Started {
                let id = format!("h-{}-{sequence}-{deployment}", JOBS.name);
                let (workspace, trace) = (workspace.clone(), event.traceparent.clone());
                self.hint(workspace, deployment, cause.clone(), id, trace);
            }
        }
    }

    fn decision_made(&self, change: Change) {
        let progress = &self.memory.reached.decisions;
        match change {
            Change::Put { key, sequence, payload, .. } => {
                match serde_json::from_slice(&payload) {
                    Ok(decision) => remember(&self.memory, decision, sequence),
                    Err(error) => {
                        tracing::error!(key, sequence, %error, "a decision cannot be read; it will be made anew");
                        self.forget(&key, sequence);
                    }
                }
                progress.advance(sequence);
            }
            Change::Delete { key, sequence, .. } => {
                self.forget(&key, sequence);
                progress.advance(sequence);
            }
            Change::CaughtUp { sequence } => progress.caught_up(sequence),
        }
    }

    fn forget(&self, key: &str, sequence: u64) {
        if let Some((_, target)) = parse_target_key(key) {
            self.memory.decisions_mut().delete(target, sequence);
        }
    }

    fn hint(
        &self,
        workspace: Slug,
        deployment: DeploymentId,
        cause: String,
        id: String,
        traceparent: Option<String>,
    ) {
        let mut hint = hint(&self.memory, workspace, deployment, cause);
        hint.traceparent = traceparent;
        self.outbox.put(hint, id);
    }

    fn is_live(&self) -> bool {
        self.live.load(Ordering::SeqCst)
    }
}

fn traceparent(headers: &HeaderMap) -> Option<String> {
    headers.get(telemetry::context::TRACEPARENT).map(|value| value.as_str().to_owned())
}
