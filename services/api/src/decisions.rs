//! The decisions on release targets, as the evaluator wrote them: the fold of the `targets` bucket in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use bus::topology::TARGETS;
use bus::{Bus, BusError, Change, FollowSource, From, follow};
use domain::decision::TargetDecision;
use domain::subject::parse_target_key;
use domain::target::TargetKey;
use domain::token::Slug;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Every decision, by workspace and target.
pub(crate) struct Decisions {
    known: RwLock<HashMap<Slug, BTreeMap<TargetKey, Arc<TargetDecision>>>>,
    caught_up: watch::Sender<bool>,
    changed: watch::Sender<()>,
}

impl Default for Decisions {
    fn default() -> Self {
        Self { known: RwLock::default(), caught_up: watch::channel(false).0, changed: watch::channel(()).0 }
    }
}

impl Decisions {
    /// Follows the bucket until the drain.
    pub(crate) async fn follow(&self, bus: &Bus, drain: CancellationToken) -> Result<(), BusError> {
        let source = FollowSource::Bucket(&TARGETS, None);
        follow(bus, source, From::LastPerSubject, |change| self.apply(change), drain).await
    }

    /// Waits until what was there at the start is known.
    pub(crate) async fn caught_up(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _there = self.caught_up.subscribe().wait_for(|there| *there).await.is_ok();
    }

    /// Tells of every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The decision on a target.
    pub(crate) fn get(&self, workspace: &Slug, target: &TargetKey) -> Option<Arc<TargetDecision>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(workspace)?.get(target).cloned()
    }

    /// Every decision of a workspace, in the order of their targets.
    pub(crate) fn of(&self, workspace: &Slug) -> Vec<Arc<TargetDecision>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(workspace).map(|of| of.values().cloned().collect()).unwrap_or_default()
    }

    fn apply(&self, change: Change) {
        let (key, payload) = match change {
            Change::Put { key, payload, .. } => (key, Some(payload)),
            Change::Delete { key, .. } => (key, None),
            Change::CaughtUp { .. } => {
                self.caught_up.send_replace(true);
                return;
            }
        };
        let Some((workspace, target)) = parse_target_key(&key) else {
            tracing::warn!(key, "a key of the targets bucket cannot be read");
            return;
        };
        let decision = payload.map(|bytes| serde_json::from_slice::<TargetDecision>(&bytes)).transpose();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let of = known.entry(workspace).or_default();
        match decision {
            Ok(Some(decision)) => {
                of.insert(target, Arc::new(decision));
            }
            Ok(None) => {
                of.remove(&target);
            }
            // The last one we could read stays: better old than nothing, and the log says so.
            Err(error) => tracing::warn!(key, %error, "a decision cannot be read"),
        }
        drop(known);
        self.changed.send_replace(());
    }
}
