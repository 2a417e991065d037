//! The reference model: docs/policies.md again, as naive functions over plain lists. It shares no code with the
//! evaluator; where the two differ, one of them does not say what the page says.

pub(crate) mod approvals;
pub(crate) mod choice;
pub(crate) mod cooldown;
pub(crate) mod dependency;
pub(crate) mod freeze;
pub(crate) mod gates;
pub(crate) mod means;
pub(crate) mod pin;
pub(crate) mod progression;
pub(crate) mod retry;
pub(crate) mod rollback;
pub(crate) mod rollout;
pub(crate) mod scene;
pub(crate) mod skip;
#[cfg(test)]
mod tables;
pub(crate) mod verification;
pub(crate) mod window;

use domain::Timestamp;

/// What one rule says to one version on one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    /// Yes; since when, where it says so, and until when by time alone.
    Allow { since: Option<Timestamp>, until: Option<Timestamp> },
    /// No, until something but time changes.
    Deny,
    /// Not before that instant; without one, not before an event.
    Wait(Option<Timestamp>),
}

impl Says {
    /// Yes, for good, since nobody asks when.
    pub(crate) const YES: Says = Says::Allow { since: None, until: None };

    pub(crate) fn allows(self) -> bool {
        match self {
            Says::Allow { .. } => true,
            Says::Deny | Says::Wait(_) => false,
        }
    }

    /// When time alone may make it say something else.
    pub(crate) fn changes(self) -> Option<Timestamp> {
        match self {
            Says::Allow { until, .. } | Says::Wait(until) => until,
            Says::Deny => None,
        }
    }
}
