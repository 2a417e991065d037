//! Why a puller does not get what it asks for: one list for HTTP and for the bus, with a code for programs.

use crate::record::No;
use crate::store::StoreError;
use bus::{BusError, CasError};
use domain::id::JobId;
use serde_json::{Value, json};

/// A refusal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// No key, or one that nobody has.
    #[error("send the key of the job agent as Authorization: Bearer or as X-API-Key")]
    Unauthenticated,
    /// There is no such thing, or it is somebody else's: nobody can tell which.
    #[error("there is no {0}")]
    NotFound(String),
    /// What was sent does not fit.
    #[error("{field}: {why}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// Why.
        why: String,
    },
    /// The job is not as the puller thinks.
    #[error("{detail}")]
    Conflict {
        /// For programs.
        code: &'static str,
        /// For people.
        detail: String,
    },
    /// It asks too often.
    #[error("{why}; try again in {seconds} s")]
    TooMany {
        /// Which limit.
        why: &'static str,
        /// When it may again.
        seconds: u64,
    },
    /// The bus is away: the same request may succeed later.
    #[error("the bus does not answer; try again")]
    Unavailable,
    /// A fault of ours; the log says which.
    #[error("something is wrong on our side; the log of agent-http-pull says what")]
    Internal,
}

impl Refusal {
    pub(crate) fn no_job(job: JobId) -> Self {
        Self::NotFound(format!("job {job} of this agent"))
    }

    pub(crate) fn invalid(field: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid { field, why: why.into() }
    }

    pub(crate) fn frozen(why: impl Into<String>) -> Self {
        Self::Conflict { code: "frozen", detail: why.into() }
    }

    /// The status by the words of HTTP.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Unauthenticated => 401,
            Self::NotFound(_) => 404,
            Self::Invalid { .. } => 400,
            Self::Conflict { .. } => 409,
            Self::TooMany { .. } => 429,
            Self::Unavailable => 503,
            Self::Internal => 500,
        }
    }

    /// For programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::NotFound(_) => "notFound",
            Self::Invalid { .. } => "invalid",
            Self::Conflict { code, .. } => code,
            Self::TooMany { .. } => "tooMany",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// Problem details (RFC 9457).
    pub(crate) fn problem(&self) -> Value {
        let title = match self {
            Self::Unauthenticated => "Unauthorized",
            Self::NotFound(_) => "Not Found",
            Self::Invalid { .. } => "Bad Request",
            Self::Conflict { .. } => "Conflict",
            Self::TooMany { .. } => "Too Many Requests",
            Self::Unavailable => "Service Unavailable",
            Self::Internal => "Internal Server Error",
        };
        json!({
            "type": "about:blank", "title": title, "status": self.status(), "detail": self.to_string(),
            "code": self.code(),
        })
    }
}

impl From<No> for Refusal {
    fn from(no: No) -> Self {
        let code = match &no {
            No::Taken { .. } => "claimed",
            No::Stale { .. } => "staleFence",
            No::Over { .. } => "over",
            No::Gone => "notQueued",
        };
        Self::Conflict { code, detail: no.to_string() }
    }
}

impl From<BusError> for Refusal {
    fn from(error: BusError) -> Self {
        if error.is_transient() {
            tracing::warn!(%error, "a puller's request found the bus away");
            return Self::Unavailable;
        }
        tracing::error!(%error, "a puller's request failed");
        Self::Internal
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Bus(error) => error.into(),
            StoreError::Contended(_) => {
                tracing::warn!(%error, "a puller's request lost every race");
                Self::Unavailable
            }
        }
    }
}

impl From<CasError> for Refusal {
    fn from(error: CasError) -> Self {
        match error {
            CasError::Conflict => Self::Unavailable,
            CasError::Bus(error) => error.into(),
        }
    }
}
