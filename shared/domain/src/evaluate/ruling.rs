//! What a rule says, before the policy's name is put to it.

use crate::Timestamp;
use crate::decision::{RuleVerdict, Verdict};
use crate::entity::{Policy, Record};
use crate::id::PolicyId;
use chrono::SecondsFormat;

/// What a rule says of a version on a target, and when time alone may make it say something else.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ruling {
    pub(super) verdict: Verdict,
    pub(super) reason: String,
    pub(super) satisfied_at: Option<Timestamp>,
    /// The instant at which time alone ends a yes (an approval expires, a success grows too old).
    pub(super) ends_at: Option<Timestamp>,
}

impl Ruling {
    pub(super) fn allow(reason: impl Into<String>, satisfied_at: Option<Timestamp>) -> Self {
        Self { verdict: Verdict::Allow, reason: reason.into(), satisfied_at, ends_at: None }
    }

    pub(super) fn deny(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Deny, reason: reason.into(), satisfied_at: None, ends_at: None }
    }

    pub(super) fn wait(reason: impl Into<String>, until: Option<Timestamp>) -> Self {
        let verdict = Verdict::Wait { until };
        Self { verdict, reason: reason.into(), satisfied_at: None, ends_at: None }
    }

    pub(super) fn ending(self, ends_at: Option<Timestamp>) -> Self {
        Self { ends_at, ..self }
    }

    /// The earliest instant at which time alone may change it.
    pub(super) fn next_change(&self) -> Option<Timestamp> {
        match self.verdict {
            Verdict::Allow => self.ends_at,
            Verdict::Deny => None,
            Verdict::Wait { until } => until,
        }
    }

    pub(super) fn of_policy(self, policy: &Record<Policy>, rule: &str) -> RuleVerdict {
        RuleVerdict {
            policy: Some(PolicyId(policy.meta.id)),
            policy_name: policy.meta.name.clone(),
            rule: rule.to_owned(),
            verdict: self.verdict,
            reason: self.reason,
            satisfied_at: self.satisfied_at,
            policy_updated_at: None,
            rule_index: 0,
            changes_at: None,
            skipped_by: None,
            inputs: None,
        }
    }

    pub(super) fn built_in(self, rule: &str) -> RuleVerdict {
        RuleVerdict {
            policy: None,
            policy_name: "built-in".to_owned(),
            rule: rule.to_owned(),
            verdict: self.verdict,
            reason: self.reason,
            satisfied_at: self.satisfied_at,
            policy_updated_at: None,
            rule_index: 0,
            changes_at: None,
            skipped_by: None,
            inputs: None,
        }
    }
}

/// An instant as reasons spell it.
pub(super) fn rfc(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
