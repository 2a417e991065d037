//! What people say against the ordinary course: skips, freezes, pins, redeployments, pauses of rollouts.

use super::Found;
use super::rules::TARGET_VARIABLES;
use crate::Timestamp;
use crate::entity::{Freeze, Meta, Pin, PolicyRule, Redeploy, RolloutControl, Skip, built_in};
use crate::near::did_you_mean;

impl Found {
    pub(super) fn skip(&mut self, meta: &Meta, spec: &Skip) {
        let gates = || PolicyRule::GATES.iter().copied();
        let rule = spec.rule.as_str();
        if !gates().any(|gate| gate == rule) {
            let all = format!("what can be skipped is {}", gates().collect::<Vec<_>>().join(", "));
            // What happens afterwards holds nothing up: there is nothing to skip.
            let (message, hint) = if PolicyRule::AFTERWARDS.contains(&rule) || built_in::ALL.contains(&rule) {
                (format!("`{rule}` cannot be skipped"), all)
            } else {
                (format!("there is no rule `{rule}`"), did_you_mean(rule, gates()).unwrap_or(all))
            };
            self.say("spec.rule", message, Some(&hint));
        }
        if let Some(expires_at) = spec.expires_at.filter(|expires_at| *expires_at <= meta.created_at) {
            let message = format!("it has expired at {} already", expires_at.to_rfc3339());
            self.say("spec.expiresAt", message, Some("give it a later end, or take it out of the file"));
        }
        self.reason("spec.reason", &spec.reason);
        self.text("spec.createdBy", &spec.created_by);
    }

    pub(super) fn freeze(&mut self, spec: &Freeze) {
        self.expression("spec.selector", &spec.selector, TARGET_VARIABLES);
        self.reason("spec.reason", &spec.reason);
        self.text("spec.owner", &spec.owner);
        if let (Some(from), Some(until)) = (spec.from, spec.until)
            && until <= from
        {
            self.say("spec.until", "it ends before it begins", Some("`until` is later than `from`"));
        }
    }

    pub(super) fn pin(&mut self, spec: &Pin) {
        self.reason("spec.reason", &spec.reason);
        self.text("spec.createdBy", &spec.created_by);
    }

    /// A wish from the future would count for what happens until then.
    fn not_from_the_future(&mut self, meta: &Meta, at: Timestamp) {
        if at > meta.created_at {
            let message = format!("{} is yet to come", at.to_rfc3339());
            self.say("spec.at", message, Some("take it out of the file: it is now where absent"));
        }
    }

    pub(super) fn redeploy(&mut self, meta: &Meta, spec: &Redeploy) {
        self.not_from_the_future(meta, spec.at);
        self.text("spec.by", &spec.by);
        if let Some(reason) = &spec.reason {
            self.reason("spec.reason", reason);
        }
    }

    pub(super) fn rollout_control(&mut self, meta: &Meta, spec: &RolloutControl) {
        self.not_from_the_future(meta, spec.at);
        self.text("spec.by", &spec.by);
        if let Some(reason) = &spec.reason {
            self.reason("spec.reason", reason);
        }
    }
}
