//! What a rule says, before the policy's name is put to it.

use crate::Timestamp;
use crate::decision::{RuleInputs, RuleVerdict, Verdict};
use crate::entity::{Policy, Record, Skip};
use crate::id::{PolicyId, SkipId};
use chrono::{SecondsFormat, TimeDelta};

/// What a rule says of a version on a target, and when time alone may make it say something else.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ruling {
    pub(super) verdict: Verdict,
    pub(super) reason: String,
    pub(super) satisfied_at: Option<Timestamp>,
    /// The instant at which time alone ends a yes (an approval expires, a success grows too old).
    pub(super) ends_at: Option<Timestamp>,
    /// What it looked at.
    pub(super) inputs: Option<RuleInputs>,
    pub(super) skipped_by: Option<SkipId>,
    /// Whether it could not be evaluated.
    pub(super) error: bool,
}

/// Whose rule it is.
#[derive(Clone, Copy)]
pub(super) enum Owner<'a> {
    /// It is built in.
    BuiltIn,
    /// The n-th rule of a policy; 0 for what is about the policy as a whole.
    Policy(&'a Record<Policy>, usize),
}

/// A ruling with whose and which rule it is of.
pub(super) struct Named<'a> {
    pub(super) owner: Owner<'a>,
    pub(super) rule: &'static str,
    pub(super) ruling: Ruling,
}

impl Ruling {
    pub(super) fn allow(reason: impl Into<String>, satisfied_at: Option<Timestamp>) -> Self {
        Self { satisfied_at, ..Self::new(Verdict::Allow, reason.into()) }
    }

    pub(super) fn deny(reason: impl Into<String>) -> Self {
        Self::new(Verdict::Deny, reason.into())
    }

    /// It cannot be evaluated: no, to be on the safe side.
    pub(super) fn error(reason: impl Into<String>) -> Self {
        Self { error: true, ..Self::deny(reason) }
    }

    pub(super) fn wait(reason: impl Into<String>, until: Option<Timestamp>) -> Self {
        Self::new(Verdict::Wait { until }, reason.into())
    }

    fn new(verdict: Verdict, reason: String) -> Self {
        Self {
            verdict,
            reason,
            satisfied_at: None,
            ends_at: None,
            inputs: None,
            skipped_by: None,
            error: false,
        }
    }

    pub(super) fn ending(self, ends_at: Option<Timestamp>) -> Self {
        Self { ends_at, ..self }
    }

    pub(super) fn on(self, inputs: RuleInputs) -> Self {
        Self { inputs: Some(inputs), ..self }
    }

    /// The same rule, bypassed.
    pub(super) fn skipped(self, skip: &Record<Skip>) -> Self {
        let who = &skip.spec.created_by;
        let reason = format!("skipped by {who}: {} ({})", skip.spec.reason, self.reason);
        let skipped_by = Some(SkipId(skip.meta.id));
        Self { skipped_by, inputs: self.inputs, ..Self::allow(reason, Some(skip.meta.created_at)) }
            .ending(skip.spec.expires_at)
    }

    /// The earliest instant at which time alone may change it.
    pub(super) fn next_change(&self) -> Option<Timestamp> {
        match self.verdict {
            Verdict::Allow => self.ends_at,
            Verdict::Deny => None,
            Verdict::Wait { until } => until,
        }
    }
}

impl<'a> Named<'a> {
    pub(super) fn built_in(rule: &'static str, ruling: Ruling) -> Self {
        Self { owner: Owner::BuiltIn, rule, ruling }
    }

    pub(super) fn of(policy: &'a Record<Policy>, index: usize, rule: &'static str, ruling: Ruling) -> Self {
        Self { owner: Owner::Policy(policy, index), rule, ruling }
    }

    /// Whether it gives the target a place in a rollout, which has started.
    pub(super) fn gives_place(&self) -> bool {
        matches!(self.ruling.inputs, Some(RuleInputs::Rollout { started_at: Some(_), .. }))
    }

    pub(super) fn into_verdict(self) -> RuleVerdict {
        let changes_at = self.ruling.next_change();
        let (policy, policy_name, policy_updated_at, rule_index) = match self.owner {
            Owner::BuiltIn => (None, "built-in".to_owned(), None, 0),
            Owner::Policy(Record { meta, .. }, index) => {
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                (Some(PolicyId(meta.id)), meta.name.clone(), Some(meta.updated_at), index)
            }
        };
        let Ruling { verdict, reason, satisfied_at, ends_at: _, inputs, skipped_by, error } = self.ruling;
        RuleVerdict {
            policy,
            policy_name,
            policy_updated_at,
            rule: self.rule.to_owned(),
            rule_index,
            verdict,
            reason,
            error,
            satisfied_at,
            changes_at,
            skipped_by,
            inputs,
        }
    }
}

/// An instant as reasons spell it: to the second.
pub(super) fn rfc(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// So long after an instant; the end of time where the calendar ends before.
pub(super) fn after(at: Timestamp, span: TimeDelta) -> Timestamp {
    at.checked_add_signed(span).unwrap_or(Timestamp::MAX_UTC)
}

/// The later of two instants, where there is any.
pub(super) fn latest(instants: impl IntoIterator<Item = Option<Timestamp>>) -> Option<Timestamp> {
    instants.into_iter().flatten().max()
}
