//! The catalog in memory: every replica follows the bucket, and waits for a revision where a message names one.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use domain::catalog::{Applied, Catalog};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::connect::Bus;
use crate::error::BusError;
use crate::follow::{Change, FollowSource, From, follow};
use crate::topology::CATALOG;

/// The fold of the `catalog` bucket. Readers hold it for as short as they can.
#[derive(Debug)]
pub struct CatalogFold {
    catalog: RwLock<Catalog>,
    reached: watch::Sender<Reached>,
}

/// How far a fold has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reached {
    /// The revision up to which everything has been applied.
    pub revision: u64,
    /// Whether all that was there at the start has been applied.
    pub caught_up: bool,
}

impl Default for CatalogFold {
    fn default() -> Self {
        Self { catalog: RwLock::new(Catalog::default()), reached: watch::channel(Reached::default()).0 }
    }
}

impl CatalogFold {
    /// The catalog as it is now.
    pub fn read(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it has come, to watch.
    pub fn reached(&self) -> watch::Receiver<Reached> {
        self.reached.subscribe()
    }

    /// Waits until the revision has been applied; `false` when that takes longer than `within`.
    pub async fn wait_for(&self, revision: u64, within: Duration) -> bool {
        let mut reached = self.reached.subscribe();
        let there = reached.wait_for(|reached| reached.caught_up && reached.revision >= revision);
        matches!(tokio::time::timeout(within, there).await, Ok(Ok(_)))
    }

    /// Follows the bucket until the drain, and tells `on` what each change was, after it has been applied.
    ///
    /// # Errors
    /// When the bucket cannot be followed.
    pub async fn follow(
        &self,
        bus: &Bus,
        drain: CancellationToken,
        mut on: impl FnMut(&Applied, u64) + Send,
    ) -> Result<(), BusError> {
        let source = FollowSource::Bucket(&CATALOG, None);
        follow(bus, source, From::LastPerSubject, |change| self.apply(change, &mut on), drain).await
    }

    fn apply(&self, change: Change, on: &mut (impl FnMut(&Applied, u64) + Send)) {
        let (key, value, revision) = match change {
            Change::Put { key, sequence, payload, .. } => (key, Some(payload), sequence),
            Change::Delete { key, sequence, .. } => (key, None, sequence),
            Change::CaughtUp { sequence } => {
                self.reached.send_modify(|reached| {
                    reached.caught_up = true;
                    reached.revision = reached.revision.max(sequence);
                });
                return;
            }
        };
        let applied = {
            let mut catalog = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
            catalog.apply(&key, value.as_deref(), revision)
        };
        self.reached.send_modify(|reached| reached.revision = reached.revision.max(revision));
        on(&applied, revision);
    }
}
