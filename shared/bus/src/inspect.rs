//! Looking at how others get on: how far a consumer is, how much a stream keeps, when something last came. Changes nothing.

use domain::Timestamp;

use crate::connect::Bus;
use crate::direct;
use crate::error::BusError;
use crate::topology::{ConsumerSpec, StreamSpec};

/// How far the workers of a durable consumer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerState {
    /// Messages that were not given to a worker yet.
    pub pending: u64,
    /// Messages in the hands of workers, or waiting for their next try.
    pub in_hand: u64,
    /// Requests of workers for more: with none, nobody is there, or all are busy.
    pub asking: u64,
}

/// What a stream keeps, by sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamEnds {
    /// The oldest message it keeps; one more than `last` when it keeps none.
    pub first: u64,
    /// The newest it ever had; 0 if it never had one.
    pub last: u64,
}

impl Bus {
    /// Where the stream begins and ends.
    ///
    /// # Errors
    /// When the bus does not answer, or there is no such stream.
    pub async fn ends_of(&self, stream: &StreamSpec) -> Result<StreamEnds, BusError> {
        let state = self.stream_info(stream.name).await?.state;
        Ok(StreamEnds { first: state.first_sequence, last: state.last_sequence })
    }

    /// How far the consumer is; `None`: there is none of that name.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub async fn consumer_state(&self, consumer: &ConsumerSpec) -> Result<Option<ConsumerState>, BusError> {
        match self.consumer_info(consumer.stream.name, &consumer.name).await {
            Ok(info) => Ok(Some(ConsumerState {
                pending: info.num_pending,
                in_hand: u64::try_from(info.num_ack_pending).unwrap_or(u64::MAX),
                asking: u64::try_from(info.num_waiting).unwrap_or(u64::MAX),
            })),
            Err(BusError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How many messages the stream keeps.
    ///
    /// # Errors
    /// When the bus does not answer, or there is no such stream.
    pub async fn message_count(&self, stream: &StreamSpec) -> Result<u64, BusError> {
        Ok(self.stream_info(stream.name).await?.state.messages)
    }

    /// When the last message came whose subject matches the filter; `None`: the stream keeps none.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub async fn last_came_at(
        &self,
        stream: &StreamSpec,
        filter: &str,
    ) -> Result<Option<Timestamp>, BusError> {
        let last = direct::last_matching(self, stream.name, filter).await?;
        Ok(last.map(|stored| stored.published_at))
    }
}
