//! From a request to what is to be stored: chooses scheme and envelope by configuration, believes first, reads then.
//!
//! Knows neither the path a request came in on nor where events go; `now` is an argument.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};
use secrecy::SecretString;

use crate::envelope::{self, Incoming, Malformed};
use crate::verify::{self, Rejected, Verdict};
use domain::entity::{CloudEventsAuth, SourceKind, TriggerSource};

/// What becomes of a delivery that is authentic and readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// To be stored, then answered with 2xx. Never empty.
    Events(Vec<Incoming>),
    /// Nobody asked for it: not stored, and answered with 202 all the same, for senders switch hooks off that answer 4xx.
    Uninteresting,
}

/// Why a delivery is turned away; nothing of it is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not believed.
    #[error("unauthorized: {0}")]
    Unauthorized(#[from] Rejected),
    /// Believed, and unreadable.
    #[error("malformed: {0}")]
    Malformed(#[from] Malformed),
}

impl Refusal {
    /// The status to answer with: 401 or 400.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Believes, then reads one delivery to the source `config`, with the values of its `secretRefs` in `secrets`.
///
/// # Errors
/// [`Refusal::Unauthorized`] before anything is parsed; [`Refusal::Malformed`] for what is authentic but unreadable.
pub fn accept(
    config: &TriggerSource,
    headers: &HeaderMap,
    body: &Bytes,
    secrets: &[SecretString],
    now: DateTime<Utc>,
) -> Result<Accepted, Refusal> {
    believe(&config.sender, headers, body, secrets, now)?;
    let mut events = open(&config.sender, headers, body)?;
    events.retain(|event| is_wanted(config, event));
    Ok(if events.is_empty() { Accepted::Uninteresting } else { Accepted::Events(events) })
}

fn believe(
    kind: &SourceKind,
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[SecretString],
    now: DateTime<Utc>,
) -> Verdict {
    match kind {
        SourceKind::Github {} => verify::github::verify(headers, body, secrets),
        SourceKind::Gitlab {} => verify::gitlab::verify(headers, body, secrets, now),
        SourceKind::Hmac { scheme, .. }
        | SourceKind::CloudEvents { auth: CloudEventsAuth::Hmac { scheme } } => {
            verify::hmac::verify(scheme, headers, body, secrets)
        }
        SourceKind::Token { scheme, .. }
        | SourceKind::CloudEvents { auth: CloudEventsAuth::Token { scheme } } => {
            verify::token::verify(scheme, headers, secrets)
        }
        SourceKind::StandardWebhooks {}
        | SourceKind::CloudEvents { auth: CloudEventsAuth::StandardWebhooks {} } => {
            verify::standard_webhooks::verify(headers, body, secrets, now)
        }
    }
}

fn open(kind: &SourceKind, headers: &HeaderMap, body: &Bytes) -> Result<Vec<Incoming>, Malformed> {
    match kind {
        SourceKind::Github {} => Ok(vec![envelope::github::open(headers, body)?]),
        SourceKind::Gitlab {} => Ok(vec![envelope::gitlab::open(headers, body)?]),
        SourceKind::Hmac { naming, .. } | SourceKind::Token { naming, .. } => {
            Ok(vec![envelope::generic::open(naming, headers, body)?])
        }
        SourceKind::CloudEvents { .. } => envelope::cloudevents::open(headers, body),
        SourceKind::StandardWebhooks {} => Ok(vec![envelope::standard_webhooks::open(headers, body)?]),
    }
}

fn is_wanted(config: &TriggerSource, event: &Incoming) -> bool {
    let greeting =
        matches!(config.sender, SourceKind::Github {}) && event.event_type == envelope::github::PING;
    let listed = config.events.as_ref().is_none_or(|events| events.contains(&event.event_type));
    listed && !greeting
}

#[cfg(test)]
mod tests;
