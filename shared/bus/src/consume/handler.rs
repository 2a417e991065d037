//! What a handler is, what it is given, and how it says that something went wrong. Does not know the loop.

use std::error::Error;
use std::time::Duration;

use async_nats::HeaderMap;
use async_trait::async_trait;
use bytes::Bytes;
use domain::Timestamp;
use serde::de::DeserializeOwned;

use crate::error::{BusError, CasError, PublishError};

/// Handles the messages of one consumer. A message may come more than once, and after a crash it does:
/// handling it again must lead to the same result.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// What it takes.
    type Event: Decode;

    /// Handles one message. `Ok` means that everything it caused is recorded, so that it may be forgotten.
    async fn handle(&self, event: Self::Event, delivery: &Delivery) -> Result<(), Failure>;
}

/// Reads a message. What cannot be read is dead-lettered at once: it will not become readable.
pub trait Decode: Sized + Send {
    /// Reads it.
    ///
    /// # Errors
    /// Says what is wrong with it, without quoting it.
    fn decode(message: &RawMessage) -> Result<Self, DecodeError>;
}

/// Why a message cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);

/// A message as it came.
#[derive(Debug, Clone)]
pub struct RawMessage {
    /// Its subject.
    pub subject: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its bytes.
    pub payload: Bytes,
}

impl Decode for RawMessage {
    fn decode(message: &RawMessage) -> Result<Self, DecodeError> {
        Ok(message.clone())
    }
}

/// A payload that is JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + Send> Decode for Json<T> {
    fn decode(message: &RawMessage) -> Result<Self, DecodeError> {
        serde_json::from_slice(&message.payload).map(Json).map_err(|error| DecodeError(error.to_string()))
    }
}

/// How a message came.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its subject.
    pub subject: String,
    /// Its sequence in its stream.
    pub sequence: u64,
    /// Which try this is, from 1. Tries that ended with [`Failure::Later`] are not counted.
    pub attempt: u64,
    /// Its headers.
    pub headers: HeaderMap,
    /// When it was stored.
    pub published_at: Timestamp,
    /// The sequence of the message before it on its subject, where its writer said which one that is.
    pub previous: Option<u64>,
}

/// What went wrong with a message, sorted by what is to be done about it.
#[derive(Debug)]
pub enum Failure {
    /// Something that may pass: try again, a limited number of times, ever more slowly.
    Retry(Box<dyn Error + Send + Sync>),
    /// Nothing is wrong, it is only too early: try again then. Is not counted.
    Later {
        /// How long to wait.
        after: Duration,
        /// For what, for people.
        why: String,
    },
    /// It can never succeed: keep it as a dead letter.
    Reject(String),
}

impl Failure {
    /// To be tried again because of this error.
    pub fn retry(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Retry(error.into())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Retry(error) => write!(f, "{}", crate::error::chain(error.as_ref())),
            Self::Later { after, why } => write!(f, "later, in {after:?}: {why}"),
            Self::Reject(why) => write!(f, "rejected: {why}"),
        }
    }
}

impl From<BusError> for Failure {
    fn from(error: BusError) -> Self {
        Self::retry(error)
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        Self::retry(error)
    }
}

impl From<CasError> for Failure {
    fn from(error: CasError) -> Self {
        Self::retry(error)
    }
}
