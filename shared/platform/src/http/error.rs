//! What a failed request means to the caller: was it sent, and may it have had its effect?

use crate::platform::CallError;
use std::error::Error;

/// What a request does on the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it may be repeated whatever happened.
    Read,
    /// Something that must not happen twice.
    Write,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The request never left: no connection, no name, no valid request.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It left, and no whole answer came: time-out, reset, or a body over the limit.
    #[error("{0}")]
    Ambiguous(String),
}

impl SendError {
    /// What the caller does next.
    pub fn for_effect(self, effect: Effect) -> CallError {
        match (self, effect) {
            (SendError::NotSent(why), Effect::Read | Effect::Write) => CallError::Transient(why),
            (SendError::Ambiguous(why), Effect::Read) => CallError::Transient(why),
            (SendError::Ambiguous(why), Effect::Write) => CallError::Ambiguous(why),
        }
    }

    pub(super) fn of(error: reqwest::Error) -> Self {
        let not_sent = error.is_connect() || error.is_builder();
        let timed_out = error.is_timeout();
        let text = chain(&error.without_url());
        let text = telemetry::redact(&text).into_owned();
        match (not_sent, timed_out) {
            (true, _) => SendError::NotSent(text),
            (false, true) => SendError::Ambiguous(format!("no answer in time: {text}")),
            (false, false) => SendError::Ambiguous(text),
        }
    }
}

/// The client cannot be built: TLS roots or settings.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be built: {0}")]
pub struct BuildError(pub(super) String);

/// An error and its causes, in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
