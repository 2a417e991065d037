//! The accounts of one platform's webhooks as the bucket has them, whoever wrote them; and what they say as metrics, so that
//! every replica shows the same.

use bus::topology::WEBHOOKS;
use bus::{Bus, BusError, Change, FollowSource, From, follow};
use domain::Timestamp;
use domain::token::Slug;
use domain::webhook::{Account, Hook};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Default)]
pub(super) struct Accounts {
    known: Mutex<BTreeMap<String, Known>>,
    caught_up: watch::Sender<bool>,
}

#[derive(Debug)]
struct Known {
    /// `None`: it cannot be read, and is to be begun anew.
    account: Option<(Hook, Timestamp)>,
    revision: u64,
}

impl Accounts {
    /// When a webhook is to be looked at next; `None`: now.
    pub(super) fn next_look_at(&self, key: &str) -> Option<Timestamp> {
        self.lock().get(key).and_then(|known| known.account.as_ref()).map(|(_, at)| *at)
    }

    /// The accounts of other webhooks than these, and their revisions.
    pub(super) fn others(&self, keys: BTreeSet<String>) -> Vec<(String, u64)> {
        let known = self.lock();
        let others = known.iter().filter(|(key, _)| !keys.contains(*key));
        others.map(|(key, known)| (key.clone(), known.revision)).collect()
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
        let source = FollowSource::Bucket(&WEBHOOKS, Some(format!("{platform}.>")));
        follow(bus, source, From::LastPerSubject, |change| self.on(change), drain).await
    }

    /// What a replica wrote, perhaps we: the newest counts.
    pub(super) fn note(&self, key: &str, account: &Account, revision: u64) {
        let mut known = self.lock();
        if known.get(key).is_none_or(|known| known.revision < revision) {
            show(&account.hook, account.missing.len());
            let account = Some((account.hook.clone(), account.next_look_at));
            known.insert(key.to_owned(), Known { account, revision });
        }
    }

    fn on(&self, change: Change) {
        match change {
            Change::Put { key, sequence, payload, .. } => match serde_json::from_slice::<Account>(&payload) {
                Ok(account) => self.note(&key, &account, sequence),
                Err(error) => {
                    tracing::warn!(webhook = key, %error, "an account that cannot be read is begun anew");
                    self.lock().insert(key, Known { account: None, revision: sequence });
                }
            },
            Change::Delete { key, .. } => {
                if let Some(Known { account: Some((hook, _)), .. }) = self.lock().remove(&key) {
                    show(&hook, 0);
                }
            }
            Change::CaughtUp { .. } => {
                self.caught_up.send_replace(true);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        // Every statement leaves the map whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn show(hook: &Hook, missing: usize) {
    #[allow(clippy::cast_precision_loss, reason = "a gauge")]
    metrics::gauge!("platform_webhook_deliveries_missing", &labels(hook)).set(missing as f64);
}

/// How metrics name a webhook.
pub(super) fn labels(hook: &Hook) -> [(&'static str, String); 3] {
    [("platform", hook.platform.to_string()), ("host", hook.host.clone()), ("hook", hook.scope.clone())]
}
