//! What can go wrong with the views, sorted by what the caller does next.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// An operation on the views failed.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// Redis does not answer, or is loading, or is full. Trying again later is right; a reader answers 503.
    #[error("the views do not answer ({why})")]
    Unavailable {
        /// What the client saw.
        why: String,
    },
    /// Redis said no: credentials, permissions, or a command it does not know. A person must look.
    #[error("the views refused: {why}")]
    Refused {
        /// The server's words.
        why: String,
    },
    /// What is stored does not read as what it should be: rebuild.
    #[error("{what} cannot be read: {why}")]
    Corrupt {
        /// Which document.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// Another process rebuilds the views right now.
    #[error("the views are being rebuilt already")]
    Busy,
    /// The rebuild lost its place: it took too long, or Redis was emptied. Begin again.
    #[error("the rebuild was interrupted")]
    Interrupted,
}

impl ProjectionError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Busy | Self::Interrupted => true,
            Self::Refused { .. } | Self::Corrupt { .. } => false,
        }
    }

    pub(crate) fn corrupt(what: impl Into<String>, why: impl ToString) -> Self {
        Self::Corrupt { what: what.into(), why: why.to_string() }
    }
}

impl From<RedisError> for ProjectionError {
    fn from(error: RedisError) -> Self {
        let why = telemetry::redact(&error.to_string()).to_string();
        let refused = matches!(
            error.kind(),
            ErrorKind::AuthenticationFailed
                | ErrorKind::InvalidClientConfig
                | ErrorKind::UnexpectedReturnType
                | ErrorKind::RESP3NotSupported
                | ErrorKind::Server(
                    ServerErrorKind::NoPerm | ServerErrorKind::ResponseError | ServerErrorKind::CrossSlot
                )
        );
        if refused { Self::Refused { why } } else { Self::Unavailable { why } }
    }
}
