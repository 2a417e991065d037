//! How often the handling of a message failed, kept beside the message: the server counts deliveries, and a delivery
//! that only waited is no failure, while one that killed its process is.

use crate::bucket::Bucket;
use crate::connect::Bus;
use crate::error::BusError;
use crate::topology::ATTEMPTS;

/// The counts of one consumer. A message that is delivered for the first time costs nothing here.
#[derive(Debug)]
pub(super) struct Attempts {
    bucket: Bucket,
    consumer: String,
}

impl Attempts {
    pub(super) fn new(bus: &Bus, consumer: &str) -> Self {
        Self { bucket: bus.bucket(&ATTEMPTS), consumer: consumer.to_owned() }
    }

    /// How many tries of the message ended badly before this delivery. A second delivery without a count means that
    /// the first one ended without a word, or with a failure: both are one failure.
    pub(super) async fn failed(&self, sequence: u64, deliveries: u64) -> Result<u64, BusError> {
        if deliveries <= 1 {
            return Ok(0);
        }
        let entry = self.bucket.get(&self.key(sequence)).await?;
        let Some(entry) = entry else { return Ok(1) };
        let count = std::str::from_utf8(&entry.value).ok().and_then(|text| text.parse().ok());
        Ok(count.unwrap_or_else(|| {
            tracing::warn!(
                consumer = self.consumer,
                sequence,
                "the count of attempts cannot be read; it begins anew"
            );
            1
        }))
    }

    /// Keeps the count.
    pub(super) async fn keep(&self, sequence: u64, failed: u64) -> Result<(), BusError> {
        self.bucket.put(&self.key(sequence), failed.to_string().into()).await.map(|_revision| ())
    }

    fn key(&self, sequence: u64) -> String {
        format!("{}.{sequence}", self.consumer)
    }
}
