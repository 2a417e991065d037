//! All this replica knows: catalog, facts and decisions in memory, how far each has come, and what to look at again.
//! Locks are held for single steps and never across an await; where several are needed, in the order of the fields.

use crate::decisions::Decisions;
use crate::dirty::{Dirty, Marked, What};
use crate::runs::Runs;
use bus::clock;
use domain::catalog::Catalog;
use domain::evaluate::Facts;
use domain::id::DeploymentId;
use domain::job::{JobEvent, JobFact, JobRef};
use domain::token::Slug;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// How long a target may wait for a hint before this replica looks at it by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// All this replica knows.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    catalog: RwLock<Catalog>,
    facts: RwLock<Facts>,
    decisions: RwLock<Decisions>,
    dirty: Mutex<Dirty>,
    /// Woken when something was marked.
    pub(crate) marked: Notify,
    /// Woken when decisions changed, and with them the next look.
    pub(crate) decided: Notify,
    pub(crate) reached: Reached,
    /// Runs of workflows to be looked at again.
    pub(crate) runs: Runs,
}

/// How far each fold has come.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    pub(crate) catalog: Progress,
    pub(crate) facts: Progress,
    pub(crate) decisions: Progress,
}

/// How far one fold has come.
#[derive(Debug)]
pub(crate) struct Progress(watch::Sender<At>);

/// A place in a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct At {
    sequence: u64,
    caught_up: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self(watch::channel(At::default()).0)
    }
}

impl Progress {
    pub(crate) fn advance(&self, sequence: u64) {
        self.0.send_modify(|at| at.sequence = at.sequence.max(sequence));
    }

    pub(crate) fn caught_up(&self, sequence: u64) {
        self.0.send_modify(|at| *at = At { sequence: at.sequence.max(sequence), caught_up: true });
    }

    /// Up to which sequence everything has been taken in.
    pub(crate) fn sequence(&self) -> u64 {
        self.0.borrow().sequence
    }

    /// Waits until all that was there at the start has been taken in.
    pub(crate) async fn until_caught_up(&self) {
        let caught_up = self.0.subscribe().wait_for(|at| at.caught_up).await.is_ok();
        debug_assert!(caught_up, "the sender lives as long as self");
    }

    /// Waits until the sequence has been taken in.
    pub(crate) async fn until(&self, sequence: u64) {
        if self.sequence() < sequence {
            let there = self.0.subscribe().wait_for(|at| at.sequence >= sequence).await.is_ok();
            debug_assert!(there, "the sender lives as long as self");
        }
    }
}

impl Memory {
    pub(crate) fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        read(&self.catalog)
    }

    pub(crate) fn facts(&self) -> RwLockReadGuard<'_, Facts> {
        read(&self.facts)
    }

    pub(crate) fn decisions(&self) -> RwLockReadGuard<'_, Decisions> {
        read(&self.decisions)
    }

    pub(crate) fn catalog_mut(&self) -> RwLockWriteGuard<'_, Catalog> {
        write(&self.catalog)
    }

    pub(crate) fn facts_mut(&self) -> RwLockWriteGuard<'_, Facts> {
        write(&self.facts)
    }

    /// Takes in a fact that we appended before its echo comes, which is no news then: so the next look does not ask again.
    pub(crate) fn anticipate(&self, job: &JobRef, fact: JobFact, cause: Option<String>, sequence: u64) {
        let event = JobEvent { job: job.clone(), at: clock::now(), cause, traceparent: None, fact };
        self.facts_mut().anticipate(&event, sequence);
    }

    pub(crate) fn decisions_mut(&self) -> RwLockWriteGuard<'_, Decisions> {
        write(&self.decisions)
    }

    /// Whether all three folds have taken in what was there at the start.
    pub(crate) async fn until_caught_up(&self) {
        let Reached { catalog, facts, decisions } = &self.reached;
        tokio::join!(catalog.until_caught_up(), facts.until_caught_up(), decisions.until_caught_up());
    }

    /// Marks targets to be looked at again.
    pub(crate) fn mark(&self, of: (&Slug, DeploymentId), what: What, cause: &str, patience: Duration) {
        self.dirty_mut().mark(of, what, cause, Instant::now(), patience);
        self.marked.notify_one();
    }

    /// Takes what is marked in a deployment.
    pub(crate) fn take(&self, deployment: DeploymentId) -> Option<Marked> {
        let mut dirty = self.dirty_mut();
        let marked = dirty.take(deployment);
        metrics::gauge!("evaluator_dirty_deployments").set(dirty.len() as f64);
        marked
    }

    /// Deployments for which no hint came in time, and when there will be the next such.
    pub(crate) fn overdue(&self) -> (Vec<(Slug, DeploymentId)>, Option<Instant>) {
        let dirty = self.dirty_mut();
        (dirty.overdue(Instant::now()), dirty.next_overdue())
    }

    fn dirty_mut(&self) -> MutexGuard<'_, Dirty> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// Every statement on the data under these locks leaves it whole, so a poisoned lock can be used.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
