//! Whether a webhook can be relied on, so that looking may be slow.

use super::Account;
use crate::Timestamp;
use chrono::TimeDelta;

/// An account that was not brought up to date for so long says nothing.
const STALE_AFTER: TimeDelta = TimeDelta::minutes(15);
/// A webhook that brought what the agent reads within this time is subscribed to it.
const TRUSTED_FOR: TimeDelta = TimeDelta::hours(24);

/// Whether a webhook can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// What is sent arrives, and what we read is sent.
    Arriving,
    /// Something that was sent is missing.
    Failing,
    /// The platform's log says nothing of it.
    Unknown,
}

impl Account {
    /// Whether the webhook can be relied on at `now`.
    pub fn health(&self, now: Timestamp) -> Health {
        let is_current = self.looked_at.is_some_and(|at| now - at < STALE_AFTER);
        if !is_current || self.trouble.is_some() {
            return Health::Unknown;
        }
        if self.open() > 0 || self.last.is_some_and(|(_, answer)| !answer.is_accepted()) {
            return Health::Failing;
        }
        if self.unread.is_some() {
            return Health::Unknown;
        }
        match self.heard_at {
            Some(at) if now - at < TRUSTED_FOR => Health::Arriving,
            Some(_) | None => Health::Unknown,
        }
    }
}
