//! The agents of one platform as the catalog has them: a fold of their part of the bucket, and nothing of the rest.

use crate::config::of_workspace;
use bus::topology::CATALOG;
use bus::{Bus, BusError, Change, FollowSource, From, follow};
use domain::entity::{CatalogKey, Entity, Kind};
use domain::id::JobAgentId;
use domain::token::Slug;
use domain::webhook::HookUser;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Agents with their own layers of config, by the keys of the catalog.
type Users = BTreeMap<String, (HookUser, Map<String, Value>)>;

#[derive(Debug, Default)]
pub(super) struct Agents {
    all: Mutex<Users>,
    caught_up: watch::Sender<bool>,
}

impl Agents {
    /// Every agent and its own layer of config, in the same order in every replica.
    pub(super) fn all(&self) -> Vec<(HookUser, Map<String, Value>)> {
        self.lock().values().cloned().collect()
    }

    /// Resolves once what was there at the start is known.
    pub(super) async fn caught_up(&self) {
        let mut caught_up = self.caught_up.subscribe();
        // The sender lives as long as we do.
        let _closed = caught_up.wait_for(|there| *there).await;
    }

    pub(super) async fn follow(
        &self,
        bus: &Bus,
        platform: &Slug,
        drain: CancellationToken,
    ) -> Result<(), BusError> {
        let filter = format!("*.{}.>", Kind::JobAgent.token());
        let on = |change| self.on(change, platform);
        follow(bus, FollowSource::Bucket(&CATALOG, Some(filter)), From::LastPerSubject, on, drain).await
    }

    fn on(&self, change: Change, platform: &Slug) {
        match change {
            Change::Put { key, payload, .. } => match read(&key, &payload, platform) {
                Some(agent) => {
                    self.lock().insert(key, agent);
                }
                None => {
                    self.lock().remove(&key);
                }
            },
            Change::Delete { key, .. } => {
                self.lock().remove(&key);
            }
            Change::CaughtUp { .. } => {
                self.caught_up.send_replace(true);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Users> {
        // Every statement leaves the map whole.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The agent behind a key, if it is of this platform. What cannot be read is said by those who fold the whole catalog.
fn read(key: &str, payload: &[u8], platform: &Slug) -> Option<(HookUser, Map<String, Value>)> {
    let CatalogKey { workspace, id, .. } = key.parse().ok()?;
    let Ok(Entity::JobAgent(record)) = serde_json::from_slice(payload) else { return None };
    let config = of_workspace(record.spec.config, &workspace);
    let user = HookUser { workspace, agent: JobAgentId(id), name: record.meta.name };
    (&record.spec.platform == platform).then_some((user, config))
}
