//! What can go wrong on the bus, sorted by what the caller does next.

use std::error::Error;

/// An operation on the bus failed.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The server did not answer, or not in time, or is still starting. Trying again is right.
    #[error("{doing}: the bus does not answer ({why})")]
    Unavailable {
        /// What was tried.
        doing: String,
        /// What the client saw.
        why: String,
    },
    /// The server said no. Trying again will not help; a person must look.
    #[error("{doing}: the bus refused: {why}")]
    Refused {
        /// What was tried.
        doing: String,
        /// The server's words.
        why: String,
    },
    /// A stream, bucket or consumer is not there, and this service may not create it.
    #[error("{what} does not exist: run `ctrlplane setup` with the admin user")]
    Missing {
        /// What is missing.
        what: String,
    },
    /// A stream, bucket or consumer is there with other options than we need.
    #[error("{what} does not fit: {difference}")]
    Misfit {
        /// Which one.
        what: String,
        /// Which option, as it is and as it should be.
        difference: String,
    },
    /// Stored bytes do not read as what they should be.
    #[error("{what} cannot be read: {why}")]
    Corrupt {
        /// Where they are stored.
        what: String,
        /// What is wrong with them.
        why: String,
    },
    /// Too many writers at the same place for too long. Trying again later is right.
    #[error("{what} changes faster than it can be written")]
    Contended {
        /// Which place.
        what: String,
    },
}

impl BusError {
    pub(crate) fn unavailable(doing: impl Into<String>, why: impl ToString) -> Self {
        Self::Unavailable { doing: doing.into(), why: why.to_string() }
    }

    pub(crate) fn refused(doing: impl Into<String>, why: impl ToString) -> Self {
        Self::Refused { doing: doing.into(), why: why.to_string() }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Contended { .. } => true,
            Self::Refused { .. } | Self::Missing { .. } | Self::Misfit { .. } | Self::Corrupt { .. } => false,
        }
    }
}

/// A message could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The expected last sequence is not the last any more: nothing was stored.
    #[error("{subject}: somebody else was first")]
    Conflict {
        /// Where.
        subject: String,
    },
    /// Larger than the server takes: nothing was stored, and never will be.
    #[error("{subject}: {why}")]
    TooLarge {
        /// Where.
        subject: String,
        /// The sizes.
        why: String,
    },
    /// No answer within the bound. The message may be stored: publish again with the same id.
    #[error("{subject}: not confirmed in time ({why})")]
    Unconfirmed {
        /// Where.
        subject: String,
        /// What the client saw last.
        why: String,
    },
    /// The server said no.
    #[error("{subject}: the bus refused: {why}")]
    Refused {
        /// Where.
        subject: String,
        /// The server's words.
        why: String,
    },
}

impl From<PublishError> for BusError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Conflict { subject } => Self::Contended { what: subject },
            PublishError::Unconfirmed { subject, why } => {
                Self::Unavailable { doing: format!("publish {subject}"), why }
            }
            PublishError::TooLarge { subject, why } | PublishError::Refused { subject, why } => {
                Self::Refused { doing: format!("publish {subject}"), why }
            }
        }
    }
}

/// A compare-and-set failed.
#[derive(Debug, thiserror::Error)]
pub enum CasError {
    /// The key has another revision than the caller saw: look again.
    #[error("the key was changed by somebody else")]
    Conflict,
    /// The bus failed.
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl From<PublishError> for CasError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Conflict { .. } => Self::Conflict,
            other @ (PublishError::TooLarge { .. }
            | PublishError::Unconfirmed { .. }
            | PublishError::Refused { .. }) => Self::Bus(other.into()),
        }
    }
}

/// The error and what caused it, in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}
