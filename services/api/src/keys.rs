//! API keys made over the API: records in the bucket `keys`, folded in memory, so that every replica knows at once of a
//! new one and of a revoked one. A record holds a hash, never a key.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bus::topology::KEYS;
use bus::{Bucket, Bus, BusError, Change, FollowSource, From, crash_point, follow};
use domain::Timestamp;
use domain::access::KeyRecord;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::auth::{digest, fresh};
use crate::problem::Problem;

/// What every key of ours begins with, so that people and scanners of repositories know one when they see it.
pub(crate) const BEGINNING: &str = "cpk_";
/// How long an answer waits for our own fold to see the write.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

/// The keys.
pub(crate) struct ManagedKeys {
    bucket: Bucket,
    known: RwLock<Known>,
    told: watch::Sender<Told>,
}

#[derive(Default)]
struct Known {
    by_id: HashMap<Uuid, Arc<KeyRecord>>,
    by_hash: HashMap<[u8; 32], Arc<KeyRecord>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Told {
    caught_up: bool,
    sequence: u64,
}

impl ManagedKeys {
    pub(crate) fn new(bus: &Bus) -> Self {
        Self { bucket: bus.bucket(&KEYS), known: RwLock::default(), told: watch::channel(Told::default()).0 }
    }

    /// Follows the bucket until the drain.
    pub(crate) async fn follow(&self, bus: &Bus, drain: CancellationToken) -> Result<(), BusError> {
        let source = FollowSource::Bucket(&KEYS, None);
        follow(bus, source, From::LastPerSubject, |change| self.apply(change), drain).await
    }

    /// Waits until what was there at the start is known.
    pub(crate) async fn caught_up(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _there = self.told.subscribe().wait_for(|told| told.caught_up).await.is_ok();
    }

    /// The record of the key with this hash, unless its time is over.
    pub(crate) fn find(&self, sha256: &[u8; 32], now: Timestamp) -> Option<Arc<KeyRecord>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.by_hash.get(sha256).filter(|record| !record.is_over(now)).cloned()
    }

    /// The record of the key of this id.
    pub(crate) fn get(&self, id: Uuid) -> Option<Arc<KeyRecord>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).by_id.get(&id).cloned()
    }

    /// Every record, the newest first.
    pub(crate) fn all(&self) -> Vec<Arc<KeyRecord>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = known.by_id.values().cloned().collect();
        all.sort_by_key(|key| std::cmp::Reverse((key.created_at, key.id)));
        all
    }

    /// Makes a key of the record, whose hash is filled in, and tells it: this once.
    pub(crate) async fn create(&self, record: KeyRecord) -> Result<(KeyRecord, SecretString, u64), Problem> {
        let key = fresh(BEGINNING);
        let record = KeyRecord { sha256: hex::encode(digest(key.expose_secret())), ..record };
        crash_point("api.key.before");
        let created = self.bucket.create_json(&name(record.id), &record).await;
        crash_point("api.key.after");
        let revision = created?;
        self.seen(revision).await;
        Ok((record, key, revision))
    }

    /// Makes the key of this id open nothing any more.
    pub(crate) async fn revoke(&self, id: Uuid) -> Result<u64, Problem> {
        crash_point("api.key.before");
        let deleted = self.bucket.delete(&name(id)).await;
        crash_point("api.key.after");
        let revision = deleted?;
        self.seen(revision).await;
        Ok(revision)
    }

    /// Waits until this replica knows of the write.
    async fn seen(&self, revision: u64) {
        let mut told = self.told.subscribe();
        let seen = told.wait_for(|told| told.sequence >= revision);
        if tokio::time::timeout(SEEN_WITHIN, seen).await.is_err() {
            tracing::warn!(revision, "the fold of the keys lags behind our own write");
        }
    }

    fn apply(&self, change: Change) {
        let (key, sequence, record) = match change {
            Change::Put { key, sequence, payload, .. } => (key, sequence, Some(payload)),
            Change::Delete { key, sequence, .. } => (key, sequence, None),
            Change::CaughtUp { sequence } => {
                self.told.send_replace(Told { caught_up: true, sequence });
                return;
            }
        };
        if let Ok(id) = Uuid::parse_str(&key) {
            // Also where the new value cannot be read: better no key than an old one.
            self.forget(id);
            if let Some(payload) = record {
                match read(&payload) {
                    Ok((hash, record)) if record.id == id => self.remember(hash, record),
                    Ok(_another) => tracing::error!(key, "the record of an API key says another id"),
                    Err(why) => tracing::error!(key, why, "the record of an API key cannot be read"),
                }
            }
        } else {
            tracing::error!(key, "a key of the bucket of API keys cannot be read");
        }
        self.told.send_modify(|told| told.sequence = sequence);
    }

    fn remember(&self, hash: [u8; 32], record: KeyRecord) {
        let record = Arc::new(record);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.by_id.insert(record.id, Arc::clone(&record));
        known.by_hash.insert(hash, record);
    }

    fn forget(&self, id: Uuid) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.by_id.remove(&id);
        known.by_hash.retain(|_, record| record.id != id);
    }
}

fn name(id: Uuid) -> String {
    id.simple().to_string()
}

fn read(payload: &[u8]) -> Result<([u8; 32], KeyRecord), String> {
    let record: KeyRecord = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    let mut hash = [0; 32];
    hex::decode_to_slice(&record.sha256, &mut hash).map_err(|error| error.to_string())?;
    Ok((hash, record))
}
