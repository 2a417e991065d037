//! Events from outside, as `TRIGGERS` keeps them: CloudEvents 1.0 in binary mode, the payload untouched.

use crate::Timestamp;
use crate::token::Slug;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The attributes of an event from outside. The payload travels beside them, byte for byte as it came:
/// in the message body, or, when larger than the bus takes, in the object store under `dataref`.
/// On the bus each attribute is a header `ce-<name>` (CloudEvents NATS protocol binding, binary mode).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub struct TriggerAttributes {
    /// Always `1.0`.
    pub specversion: String,
    /// The delivery id; with `source` unique.
    pub id: String,
    /// Who sent it, e.g. `https://github.com/acme/shop`.
    pub source: String,
    /// The event type as the sender names it, e.g. `push`, `dev.cdevents.artifact.published.0.2.0`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What it is about, where the sender says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it happened by the sender's clock, else when it came in.
    pub time: Timestamp,
    /// The payload's media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    /// Where the payload is, when it is not in the body: `object:<name>` in the `payloads` object store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataref: Option<String>,
    /// Extension: the tenant.
    pub workspace: Slug,
    /// Extension: the name of the trigger source that let it in.
    pub triggersource: Slug,
    /// Extension: the kind of the trigger source, e.g. `github`: what its events mean is told by it.
    pub sourcekind: Slug,
    /// Extension: W3C trace context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}
