//! All budgets of a process: made at first use, kept up to date with what other replicas write.

use super::decide::{RateLimit, Record};
use super::shared::Budget;
use bus::clock::Clock;
use bus::topology::BUDGETS;
use bus::{Bus, BusError, Change, FollowSource};
use domain::id::derive;
use domain::token::Slug;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// How many budgets a process keeps; beyond, those nobody holds are dropped and read again when needed.
const KEPT_MAX: usize = 4096;
/// How many records are remembered at most of what replicas wrote; beyond, the bucket is asked when somebody must wait.
const HEARD_MAX: usize = 65_536;

/// Whose budget.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BudgetKey {
    /// The platform.
    pub platform: Slug,
    /// The host of its API.
    pub host: String,
    /// What the platform counts by, in words a person knows: `app 12345 on acme`. Metrics and the doctor show it, keys hold
    /// its hash; it is never a secret.
    pub credential: String,
}

impl BudgetKey {
    pub(super) fn bucket_key(&self) -> String {
        let credential = derive(&["budget", &self.credential]);
        format!("{}.{}.{}", self.platform, Slug::of_name(&self.host), credential.simple())
    }
}

impl fmt::Display for BudgetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.bucket_key())
    }
}

/// The budgets of a process.
#[derive(Debug)]
pub struct Budgets {
    bus: Bus,
    clock: Clock,
    concurrent_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    budgets: HashMap<String, Arc<Budget>>,
    /// What replicas last wrote, also of budgets that nobody here used yet: a pause holds for whoever comes first.
    heard: HashMap<String, (Record, u64)>,
}

impl Budgets {
    /// No budget yet. At most `concurrent_max` calls of one credential run at once in this process.
    pub fn new(bus: &Bus, clock: Clock, concurrent_max: usize) -> Arc<Self> {
        Arc::new(Self { bus: bus.clone(), clock, concurrent_max, kept: Mutex::default() })
    }

    /// The budget of that credential, from now on at that pace.
    pub fn of(&self, key: &BudgetKey, limit: RateLimit) -> Arc<Budget> {
        let mut kept = self.kept();
        let name = key.bucket_key();
        if let Some(budget) = kept.budgets.get(&name) {
            budget.pace(limit);
            return Arc::clone(budget);
        }
        if kept.budgets.len() >= KEPT_MAX {
            kept.budgets.retain(|_, budget| Arc::strong_count(budget) > 1);
        }
        let budget = Arc::new(Budget::new(
            key.clone(),
            limit,
            self.concurrent_max,
            self.bus.bucket(&BUDGETS),
            self.clock.clone(),
        ));
        if let Some((record, revision)) = kept.heard.get(&name) {
            budget.follow(record, *revision);
        }
        kept.budgets.insert(name, Arc::clone(&budget));
        budget
    }

    /// Follows what other replicas write, until `drain`.
    ///
    /// # Errors
    /// What [`bus::follow`] cannot heal by itself.
    pub async fn follow(self: Arc<Self>, drain: CancellationToken) -> Result<(), BusError> {
        let source = FollowSource::Bucket(&BUDGETS, None);
        let on = |change| self.on(change);
        bus::follow(&self.bus, source, bus::From::LastPerSubject, on, drain).await
    }

    fn on(&self, change: Change) {
        match change {
            Change::Put { key, sequence, payload, .. } => match serde_json::from_slice::<Record>(&payload) {
                Ok(record) => self.heard(key, record, sequence),
                Err(error) => {
                    tracing::warn!(budget = key, %error, "the budget in the bucket cannot be read")
                }
            },
            // A budget that expired is written anew by whoever needs it.
            Change::Delete { key, .. } => {
                self.kept().heard.remove(&key);
            }
            Change::CaughtUp { .. } => {}
        }
    }

    fn heard(&self, key: String, record: Record, revision: u64) {
        let mut kept = self.kept();
        if let Some(budget) = kept.budgets.get(&key) {
            budget.follow(&record, revision);
        }
        if kept.heard.len() < HEARD_MAX || kept.heard.contains_key(&key) {
            kept.heard.insert(key, (record, revision));
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_of_tokens_and_shows_no_credential() {
        let key = BudgetKey {
            platform: "github-actions".parse().unwrap(),
            host: "api.github.com".to_owned(),
            credential: "installation 42".to_owned(),
        };
        let text = key.bucket_key();
        assert!(text.starts_with("github-actions.api-github-com."), "{text}");
        assert!(!text.contains("installation"), "{text}");
        assert!(text.split('.').all(|token| token.parse::<Slug>().is_ok()), "{text}");
    }
}
