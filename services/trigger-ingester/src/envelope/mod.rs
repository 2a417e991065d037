//! Reads a delivery that was already believed: what it is called, where it comes from, and its data, untouched.
//!
//! Knows the wrappings senders use, not what an event means; checks that JSON is JSON, never what it says.

pub mod cloudevents;
mod delivery;
pub mod generic;
pub mod github;
pub mod gitlab;
mod json;
mod percent;
mod read;
pub mod standard_webhooks;
mod trace;

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};

/// `source_attr` of a sender that does not say who it is.
pub const UNNAMED_SENDER: &str = "webhook";

/// The longest attribute that is accepted from a sender, in bytes.
pub const ATTRIBUTE_BYTES_MAX: usize = 4096;

/// One event, taken out of its wrapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The same for every repetition of this delivery, unique within its source.
    /// At most 256 printable ASCII characters; what the sender wrote, or a hash of it where that is longer.
    pub delivery_id: String,
    /// The type as the sender names it. Anything may be in it: [`domain::event_token`] makes a subject token of it.
    pub event_type: String,
    /// The CloudEvents `source`: what the sender says about itself, else [`UNNAMED_SENDER`].
    pub source_attr: String,
    /// The CloudEvents `subject`, if the sender set one.
    pub subject: Option<String>,
    /// When it happened, if the sender says so.
    pub time: Option<DateTime<Utc>>,
    /// The media type of `data`; none only if there is no data. A JSON type guarantees well-formed JSON in UTF-8.
    pub content_type: Option<String>,
    /// The payload as sent, without its wrapping.
    pub data: Bytes,
    /// Further CloudEvents attributes by name, among them `traceparent` and `tracestate` when the sender traces.
    pub extensions: BTreeMap<String, String>,
}

/// Why a believed delivery could not be read; a sentence for the sender. It never repeats what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(crate) String);

impl Incoming {
    /// Whether nothing but its body tells it from others.
    pub(crate) fn is_known_by_body(&self) -> bool {
        self.delivery_id == delivery::body_hash(&self.data)
    }
}

impl Malformed {
    fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}
