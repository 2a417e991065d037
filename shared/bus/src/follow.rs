//! stub
use async_nats::HeaderMap;
use bytes::Bytes;
use domain::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::connect::Bus;
use crate::error::BusError;
use crate::topology::{BucketSpec, StreamSpec};

/// What is followed.
#[derive(Debug, Clone)]
pub enum FollowSource {
    /// A bucket; the keys that match the filter (`None`: all).
    Bucket(&'static BucketSpec, Option<String>),
    /// A stream; the subjects that match the filter (`None`: all).
    Stream(&'static StreamSpec, Option<String>),
}

/// Where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// With the last message of every subject.
    LastPerSubject,
    /// With the message after this sequence.
    After(u64),
    /// With the oldest.
    All,
}

/// One thing that changed.
#[derive(Debug, Clone)]
pub enum Change {
    /// A value or message.
    Put {
        /// The key of a bucket, else the subject.
        key: String,
        /// Its sequence; in a bucket this is the revision.
        sequence: u64,
        /// Its bytes.
        payload: Bytes,
        /// Its headers.
        headers: HeaderMap,
        /// When it was stored.
        published_at: Timestamp,
    },
    /// A key of a bucket has no value any more.
    Delete {
        /// The key.
        key: String,
        /// The sequence of its deletion.
        sequence: u64,
    },
    /// All that was there when the fold began has been told. Comes once, also when nothing was there.
    CaughtUp {
        /// Everything up to this sequence has been told.
        sequence: u64,
    },
}

/// Follows
pub async fn follow(
    bus: &Bus,
    source: FollowSource,
    from: From,
    on: impl FnMut(Change) + Send,
    drain: CancellationToken,
) -> Result<(), BusError> {
    let _ = (bus, source, from, on, drain);
    unimplemented!()
}
