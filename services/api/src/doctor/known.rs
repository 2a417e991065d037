//! What agents keep on the bus about their platforms, folded in memory: the accounts of webhooks and the API budgets.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bus::topology::{BUDGETS, WEBHOOKS};
use bus::{Bus, BusError, Change, FollowSource, From, follow};
use domain::Timestamp;
use domain::budget::SharedBudget;
use domain::webhook::Account;
use tokio_util::sync::CancellationToken;

/// An account, and when the bus stored it.
#[derive(Debug, Clone)]
pub(crate) struct KnownAccount {
    pub(crate) account: Account,
    pub(crate) stored_at: Timestamp,
}

/// The folds.
#[derive(Debug, Default)]
pub(crate) struct Known {
    accounts: Mutex<BTreeMap<String, KnownAccount>>,
    budgets: Mutex<BTreeMap<String, SharedBudget>>,
}

impl Known {
    /// Every account, in the order of their keys.
    pub(crate) fn accounts(&self) -> Vec<KnownAccount> {
        lock(&self.accounts).values().cloned().collect()
    }

    /// Every budget, in the order of their keys.
    pub(crate) fn budgets(&self) -> Vec<SharedBudget> {
        lock(&self.budgets).values().cloned().collect()
    }

    /// Follows both buckets until the drain.
    pub(crate) async fn follow(&self, bus: &Bus, drain: CancellationToken) -> Result<(), BusError> {
        let accounts = follow(
            bus,
            FollowSource::Bucket(&WEBHOOKS, None),
            From::LastPerSubject,
            |change| put(&self.accounts, change, |account, stored_at| KnownAccount { account, stored_at }),
            drain.clone(),
        );
        let budgets = follow(
            bus,
            FollowSource::Bucket(&BUDGETS, None),
            From::LastPerSubject,
            |change| put(&self.budgets, change, |budget, _stored_at| budget),
            drain,
        );
        let (accounts, budgets) = futures::future::join(accounts, budgets).await;
        accounts.and(budgets)
    }
}

fn put<T: serde::de::DeserializeOwned, V>(
    known: &Mutex<BTreeMap<String, V>>,
    change: Change,
    value: impl Fn(T, Timestamp) -> V,
) {
    match change {
        Change::Put { key, payload, published_at, .. } => match serde_json::from_slice(&payload) {
            Ok(read) => {
                lock(known).insert(key, value(read, published_at));
            }
            Err(error) => tracing::warn!(key, %error, "what an agent keeps cannot be read"),
        },
        Change::Delete { key, .. } => {
            lock(known).remove(&key);
        }
        Change::CaughtUp { .. } => {}
    }
}

fn lock<V>(known: &Mutex<BTreeMap<String, V>>) -> MutexGuard<'_, BTreeMap<String, V>> {
    // Every statement leaves the map whole.
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
