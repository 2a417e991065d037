//! What skips, freezes, pins and the like must be beyond their types.

use super::Found;
use crate::entity::{Freeze, Pin, PolicyRule, Redeploy, RolloutControl, Skip};

/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 1000;

impl Found {
    pub(super) fn skip(&mut self, spec: &Skip) {
        if !PolicyRule::GATES.contains(&spec.rule.as_str()) {
            let message = match PolicyRule::NAMES.contains(&spec.rule.as_str()) {
                true => format!("`{}` holds nothing back, so that it cannot be skipped", spec.rule),
                false => format!("there is no rule `{}`", spec.rule),
            };
            let hint = format!("what can be skipped is {}", PolicyRule::GATES.join(", "));
            self.say("spec.rule", message, Some(&hint));
        }
        self.reason(Some(&spec.reason));
        self.text("spec.createdBy", &spec.created_by);
    }

    pub(super) fn freeze(&mut self, spec: &Freeze) {
        self.expression("spec.selector", &spec.selector, &["environment", "deployment", "resource"]);
        self.reason(Some(&spec.reason));
        self.text("spec.owner", &spec.owner);
        if let (Some(from), Some(until)) = (spec.from, spec.until)
            && until <= from
        {
            let hint = Some("it is when the freeze ends; without it, it lasts until it is deleted");
            self.say("spec.until", "is not after `from`", hint);
        }
    }

    pub(super) fn pin(&mut self, spec: &Pin) {
        self.reason(Some(&spec.reason));
        self.text("spec.createdBy", &spec.created_by);
    }

    pub(super) fn redeploy(&mut self, spec: &Redeploy) {
        self.reason(spec.reason.as_deref());
        self.text("spec.by", &spec.by);
    }

    pub(super) fn rollout_control(&mut self, spec: &RolloutControl) {
        self.reason(spec.reason.as_deref());
        self.text("spec.by", &spec.by);
    }

    /// A reason that is given says something.
    fn reason(&mut self, reason: Option<&str>) {
        let Some(reason) = reason else { return };
        let length = reason.chars().count();
        if reason.trim().is_empty() {
            self.say("spec.reason", "is empty", Some("say why, for those who find it later"));
        } else if length > REASON_CHARS_MAX {
            let message = format!("has {length} characters; {REASON_CHARS_MAX} are allowed");
            self.say("spec.reason", message, None);
        }
    }
}
