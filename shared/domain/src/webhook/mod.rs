//! What a platform tells of its webhook deliveries, and the account that is kept of them: sent, accepted, missing. Pure: how a
//! platform is asked is its agent's business, when is the runner's.

mod account;
mod health;
#[cfg(test)]
mod tests;

pub use account::{Account, Counts, GivenUp, HookUser, Missing, Trouble, TroubleKind, Unread};
pub use health::Health;

use crate::Timestamp;
use crate::id::derive;
use crate::token::Slug;
use serde::{Deserialize, Serialize};

/// A webhook of a platform, as its platform keeps a log of deliveries for it: an App's, a repository's, a project's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// The platform's token, e.g. `github-app`.
    pub platform: Slug,
    /// The host of its API, e.g. `api.github.com`.
    pub host: String,
    /// Whose webhook it is, in words a person knows: `app 12345`, `acme/shop`.
    pub scope: String,
}

impl Hook {
    /// The key of its account in the bucket `webhooks`: `<platform>.<host>.<hash of the scope>`.
    pub fn key(&self) -> String {
        let host = Slug::of_name(&self.host.to_ascii_lowercase());
        let scope = derive(&["webhook", &self.scope.to_lowercase()]);
        format!("{}.{host}.{}", self.platform, scope.simple())
    }
}

/// One attempt of a platform to deliver an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What the platform calls this attempt.
    pub id: String,
    /// What all attempts for one event have in common: the delivery id that the ingester recognises repetitions by.
    pub delivery: String,
    /// The event as the platform names it, e.g. `workflow_run`.
    pub event: String,
    /// When it was made, by the platform's clock.
    pub at: Timestamp,
    /// What came of it.
    pub answer: Answer,
    /// Whether somebody asked for it: it is not a new event.
    pub is_repeat: bool,
}

/// What came of an attempt to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Answer {
    /// We have it.
    Accepted,
    /// We said no, and would say so again: a bad signature, an unknown source.
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// Nobody was there, or not able to take it: the same delivery will do later.
    Unanswered {
        /// The HTTP status, where there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
    },
}

impl Answer {
    /// By the HTTP status of the answer; 0 where there was none. A proxy's redirect is no acceptance.
    pub fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Accepted,
            408 | 425 | 429 => Self::Unanswered { status: Some(status) },
            400..=499 => Self::Refused { status },
            0 => Self::Unanswered { status: None },
            other => Self::Unanswered { status: Some(other) },
        }
    }

    /// Whether we have it.
    pub fn is_accepted(self) -> bool {
        match self {
            Self::Accepted => true,
            Self::Refused { .. } | Self::Unanswered { .. } => false,
        }
    }
}
