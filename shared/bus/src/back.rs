//! Reading a stream from its newest message backwards, in pieces: for what people look at, which is mostly the end.

use std::ops::ControlFlow;

use bytes::Bytes;
use futures::TryStreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::connect::Bus;
use crate::error::{BusError, chain};
use crate::follow::{Change, FollowSource, From, follow};
use crate::topology::StreamSpec;

/// How many sequences the first piece spans; each has four times as many as the one before, up to the most.
const PIECE: u64 = 512;
const PIECE_MAX: u64 = 8_192;

/// Whether a stream was read to its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadBack {
    /// Everything that is kept was told.
    Whole,
    /// It was broken off.
    Part,
}

/// Tells the messages whose subject matches the filter, with their sequences, the newest first, until `on` breaks off.
/// What is stored meanwhile is not among them. A lost connection is waited for: give it a deadline.
///
/// # Errors
/// When the bus refuses.
pub async fn read_back(
    bus: &Bus,
    stream: &'static StreamSpec,
    filter: &str,
    mut on: impl FnMut(u64, Bytes) -> ControlFlow<()> + Send,
) -> Result<ReadBack, BusError> {
    let state = bus.stream_info(stream.name).await?.state;
    let (mut end, mut length) = (state.last_sequence, PIECE);
    while end > 0 && end >= state.first_sequence {
        let before = end.saturating_sub(length);
        for (sequence, payload) in piece(bus, stream, filter, before, end).await?.into_iter().rev() {
            if on(sequence, payload).is_break() {
                return Ok(ReadBack::Part);
            }
        }
        (end, length) = (before, (length * 4).min(PIECE_MAX));
    }
    Ok(ReadBack::Whole)
}

/// The messages after `before`, up to and with `end`.
async fn piece(
    bus: &Bus,
    stream: &'static StreamSpec,
    filter: &str,
    before: u64,
    end: u64,
) -> Result<Vec<(u64, Bytes)>, BusError> {
    let (mut found, read) = (Vec::new(), CancellationToken::new());
    let each = |change: Change| match change {
        Change::Put { sequence, payload, .. } if sequence <= end => {
            found.push((sequence, payload));
            if sequence == end {
                read.cancel();
            }
        }
        Change::Put { .. } | Change::Delete { .. } | Change::CaughtUp { .. } => read.cancel(),
    };
    let source = FollowSource::Stream(stream, Some(filter.to_owned()));
    follow(bus, source, From::After(before), each, read.clone()).await?;
    Ok(found)
}

impl Bus {
    /// How many messages the stream keeps whose subject matches the filter.
    ///
    /// # Errors
    /// When the bus does not answer, or there is no such stream.
    pub async fn count_matching(&self, stream: &StreamSpec, filter: &str) -> Result<u64, BusError> {
        let doing = || format!("count {filter} of stream {}", stream.name);
        let handle = self.jetstream().get_stream_no_info(stream.name).await;
        let handle = handle.map_err(|error| BusError::unavailable(doing(), chain(&error)))?;
        let subjects = handle.info_with_subjects(filter).await;
        let subjects = subjects.map_err(|error| BusError::unavailable(doing(), chain(&error)))?;
        let counts = subjects.try_fold(0, async |sum, (_subject, count)| Ok(sum + count as u64)).await;
        counts.map_err(|error| BusError::unavailable(doing(), chain(&error)))
    }
}
