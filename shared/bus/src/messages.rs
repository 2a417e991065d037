//! Single messages of a stream, to look at: the last of a subject, the next of a subject.

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use bytes::Bytes;
use domain::Timestamp;

use crate::connect::Bus;
use crate::direct;
use crate::error::BusError;
use crate::topology::StreamSpec;

/// A message as a stream keeps it.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// Its place in the stream.
    pub sequence: u64,
    /// The id it was published with.
    pub message_id: Option<String>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its bytes.
    pub payload: Bytes,
    /// When it was stored.
    pub published_at: Timestamp,
}

impl Bus {
    /// The last message of a subject.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub async fn last_of_subject(
        &self,
        stream: &StreamSpec,
        subject: &str,
    ) -> Result<Option<StoredMessage>, BusError> {
        Ok(direct::last(self, stream.name, subject).await?.map(StoredMessage::of))
    }

    /// The first message of a subject at or after a sequence.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub async fn next_of_subject(
        &self,
        stream: &StreamSpec,
        subject: &str,
        from: u64,
    ) -> Result<Option<StoredMessage>, BusError> {
        Ok(direct::next(self, stream.name, subject, from).await?.map(StoredMessage::of))
    }
}

impl StoredMessage {
    fn of(stored: direct::Stored) -> Self {
        let direct::Stored { subject: _, sequence, headers, payload, published_at } = stored;
        let message_id = headers.get(NATS_MESSAGE_ID).map(|id| id.as_str().to_owned());
        Self { sequence, message_id, headers, payload, published_at }
    }
}
