//! A key-value bucket: get, and writes that say what they expect to replace. Works on the bucket's stream directly,
//! so that it costs one round trip and is the same on every server version.

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MARKER_REASON, NATS_MESSAGE_ID};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::connect::Bus;
use crate::direct;
use crate::error::{BusError, CasError, PublishError, chain};
use crate::publish::inject_trace;
use crate::topology::BucketSpec;

/// The header that marks a deletion, by the key-value convention of NATS.
const OPERATION: &str = "KV-Operation";

/// A bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    bus: Bus,
    spec: &'static BucketSpec,
    stream: String,
}

/// A value and which one it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// Its sequence in the bucket's stream; a later write has a greater one.
    pub revision: u64,
}

impl Bucket {
    pub(crate) fn new(bus: Bus, spec: &'static BucketSpec) -> Self {
        let stream = spec.stream();
        Self { bus, spec, stream }
    }

    /// The value of the key; `None` if there is none, or it was deleted.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub async fn get(&self, key: &str) -> Result<Option<Entry>, BusError> {
        let last = direct::last(&self.bus, &self.stream, &self.spec.subject(key)).await?;
        Ok(last
            .filter(|stored| !is_deletion(&stored.headers))
            .map(|stored| Entry { value: stored.payload, revision: stored.sequence }))
    }

    /// The revision of the last write to any key; 0 where there was none.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub async fn last_revision(&self) -> Result<u64, BusError> {
        Ok(self.bus.stream_info(&self.stream).await?.state.last_sequence)
    }

    /// The keys of the filter that have a value now, each with it, in the order of their last writes. Reads them one by
    /// one; what is written meanwhile is not among them.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub async fn list(&self, filter: &str) -> Result<Vec<(String, Entry)>, BusError> {
        let filter = self.spec.subject(filter);
        let (mut found, mut from, mut end) = (Vec::new(), 1, None);
        while let Some(stored) = direct::next(&self.bus, &self.stream, &filter, from).await? {
            let end = match end {
                Some(end) => end,
                None => *end.insert(self.bus.stream_info(&self.stream).await?.state.last_sequence),
            };
            if stored.sequence > end {
                break;
            }
            from = stored.sequence + 1;
            if is_deletion(&stored.headers) {
                continue;
            }
            let prefix = self.spec.subject("");
            let key = stored.subject.strip_prefix(&prefix).unwrap_or(&stored.subject).to_owned();
            found.push((key, Entry { value: stored.payload, revision: stored.sequence }));
        }
        Ok(found)
    }

    /// Forgets the value of the key that has this revision, and leaves no mark of a deletion: for keys that do not come
    /// back. A key that was written since keeps what was written.
    ///
    /// # Errors
    /// When the bus does not confirm it.
    pub async fn erase(&self, key: &str, revision: u64) -> Result<(), BusError> {
        let doing = || format!("erase {}", self.place(key));
        let stream = self.bus.jetstream().get_stream_no_info(&self.stream).await;
        let stream = stream.map_err(|error| BusError::refused(doing(), chain(&error)))?;
        let purge = stream.purge().filter(self.spec.subject(key)).sequence(revision + 1);
        purge.await.map_err(|error| BusError::unavailable(doing(), chain(&error)))?;
        Ok(())
    }

    /// Writes a key that has no value, and tells its revision.
    ///
    /// # Errors
    /// [`CasError::Conflict`] if it has one.
    pub async fn create(&self, key: &str, value: Bytes) -> Result<u64, CasError> {
        match self.write(key, value.clone(), Expect::Revision(0)).await {
            Err(PublishError::Conflict { .. }) => {}
            settled => return Ok(settled?),
        }
        // A deleted key still has a last message: its deletion.
        let last = direct::last(&self.bus, &self.stream, &self.spec.subject(key)).await?;
        match last {
            Some(deletion) if is_deletion(&deletion.headers) => {
                Ok(self.write(key, value, Expect::Revision(deletion.sequence)).await?)
            }
            Some(_) | None => Err(CasError::Conflict),
        }
    }

    /// Replaces the value that has this revision, and tells the new revision.
    ///
    /// # Errors
    /// [`CasError::Conflict`] if the key has another revision.
    pub async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, CasError> {
        Ok(self.write(key, value, Expect::Revision(revision)).await?)
    }

    /// Writes the value, whatever was there, and tells its revision.
    ///
    /// # Errors
    /// When the bus does not confirm it.
    pub async fn put(&self, key: &str, value: Bytes) -> Result<u64, BusError> {
        Ok(self.write(key, value, Expect::Anything).await?)
    }

    /// Deletes the value, whatever it is, and tells the deletion's revision.
    ///
    /// # Errors
    /// When the bus does not confirm it.
    pub async fn delete(&self, key: &str) -> Result<u64, BusError> {
        Ok(self.publish(key, Bytes::new(), Expect::Anything, deletion()).await?)
    }

    /// Deletes the value that has this revision, and tells the deletion's revision.
    ///
    /// # Errors
    /// [`CasError::Conflict`] if the key has another revision.
    pub async fn delete_at(&self, key: &str, revision: u64) -> Result<u64, CasError> {
        Ok(self.publish(key, Bytes::new(), Expect::Revision(revision), deletion()).await?)
    }

    /// The value of the key, read as JSON, and its revision.
    ///
    /// # Errors
    /// [`BusError::Corrupt`] if it does not read as `T`.
    pub async fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<(T, u64)>, BusError> {
        let Some(entry) = self.get(key).await? else { return Ok(None) };
        let value = serde_json::from_slice(&entry.value)
            .map_err(|error| BusError::Corrupt { what: self.place(key), why: error.to_string() })?;
        Ok(Some((value, entry.revision)))
    }

    /// [`Bucket::create`] with a value written as JSON.
    ///
    /// # Errors
    /// See there.
    pub async fn create_json<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<u64, CasError> {
        self.create(key, self.json(key, value)?).await
    }

    /// [`Bucket::update`] with a value written as JSON.
    ///
    /// # Errors
    /// See there.
    pub async fn update_json<T: Serialize + ?Sized>(
        &self,
        key: &str,
        value: &T,
        revision: u64,
    ) -> Result<u64, CasError> {
        self.update(key, self.json(key, value)?, revision).await
    }

    /// [`Bucket::put`] with a value written as JSON.
    ///
    /// # Errors
    /// See there.
    pub async fn put_json<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<u64, BusError> {
        self.put(key, self.json(key, value)?).await
    }

    fn json<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<Bytes, BusError> {
        serde_json::to_vec(value)
            .map(Bytes::from)
            .map_err(|error| BusError::Corrupt { what: self.place(key), why: error.to_string() })
    }

    fn place(&self, key: &str) -> String {
        format!("{} in bucket {}", key, self.spec.name)
    }

    async fn write(&self, key: &str, value: Bytes, expect: Expect) -> Result<u64, PublishError> {
        self.publish(key, value, expect, HeaderMap::new()).await
    }

    /// The message has an id of its own: when an answer was lost, the repetition is answered as the original was.
    async fn publish(
        &self,
        key: &str,
        value: Bytes,
        expect: Expect,
        mut headers: HeaderMap,
    ) -> Result<u64, PublishError> {
        headers.insert(NATS_MESSAGE_ID, uuid::Uuid::new_v4().to_string());
        match expect {
            Expect::Anything => {}
            Expect::Revision(revision) => {
                headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, revision.to_string())
            }
        }
        inject_trace(&mut headers);
        let published = self.bus.publish_until_confirmed(&self.spec.subject(key), &headers, &value).await?;
        Ok(published.sequence)
    }
}

enum Expect {
    Anything,
    Revision(u64),
}

fn deletion() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(OPERATION, "DEL");
    headers
}

/// Whether a message of a bucket says that its key has no value: deleted, purged, or expired.
pub(crate) fn is_deletion(headers: &HeaderMap) -> bool {
    let operation = headers.get(OPERATION).map(|value| value.as_str());
    matches!(operation, Some("DEL" | "PURGE")) || headers.get(NATS_MARKER_REASON).is_some()
}
