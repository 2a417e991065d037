//! The rules of a policy: expressions, windows, and numbers that contradict each other.

use super::Found;
use crate::Timestamp;
use crate::entity::{
    AnyApproval, DeploymentWindow, EnvironmentProgression, GradualRollout, Meta, Policy, PolicyRule, Retry,
    Rollback,
};
use crate::job::TerminalStatus;
use crate::window::Calendar;

/// What selects release targets sees this.
pub(super) const TARGET_VARIABLES: &[&str] = &["environment", "deployment", "resource"];

/// Where a rule's field is.
pub(super) struct At<'a> {
    n: usize,
    rule: &'a str,
}

impl At<'_> {
    pub(super) fn field(&self, field: &str) -> String {
        format!("spec.rules[{}].{}.{field}", self.n, self.rule)
    }
}

impl Found {
    pub(super) fn policy(&mut self, meta: &Meta, spec: &Policy) {
        self.expression("spec.selector", &spec.selector, TARGET_VARIABLES);
        let mut rolls_out = false;
        for (n, rule) in spec.rules.iter().enumerate() {
            let at = At { n, rule: rule.name() };
            match rule {
                PolicyRule::AnyApproval(rule) => self.any_approval(&at, rule),
                PolicyRule::EnvironmentProgression(rule) => self.environment_progression(&at, rule),
                PolicyRule::GradualRollout(rule) => {
                    if std::mem::replace(&mut rolls_out, true) {
                        let hint = Some("keep one; two policies may each have one");
                        self.say(
                            format!("spec.rules[{n}].gradualRollout"),
                            "a policy rolls out in one way",
                            hint,
                        );
                    }
                    self.gradual_rollout(&at, rule);
                }
                PolicyRule::DeploymentWindow(rule) => self.deployment_window(&at, rule, meta.created_at),
                PolicyRule::VersionCooldown(rule) => {
                    self.at_least_one(&at.field("intervalSeconds"), rule.interval_seconds);
                }
                PolicyRule::VersionSelector(rule) => {
                    let variables = ["version", "environment", "resource", "deployment"];
                    self.expression(&at.field("selector"), &rule.selector, &variables);
                }
                PolicyRule::DeploymentDependency(rule) => {
                    self.expression(&at.field("dependsOn"), &rule.depends_on, &["deployment", "version"]);
                }
                PolicyRule::Retry(rule) => self.retry(&at, rule),
                PolicyRule::Rollback(rule) => self.rollback(&at, rule),
                PolicyRule::Verification(rule) => self.verification(&at, rule),
            }
        }
    }

    fn any_approval(&mut self, at: &At<'_>, rule: &AnyApproval) {
        self.at_least_one(&at.field("minApprovals"), rule.min_approvals);
        self.at_least_one_if_any(&at.field("expiresAfterSeconds"), rule.expires_after_seconds);
        if let Some(approvers) = &rule.approvers {
            self.expression(&at.field("approvers"), approvers, &["user"]);
        }
    }

    fn environment_progression(&mut self, at: &At<'_>, rule: &EnvironmentProgression) {
        let selector = &rule.depends_on_environment_selector;
        self.expression(&at.field("dependsOnEnvironmentSelector"), selector, &["environment"]);
        if !(0.0..=100.0).contains(&rule.minimum_success_percentage) {
            let message = format!("a percentage is 0 to 100, not {}", rule.minimum_success_percentage);
            self.say(at.field("minimumSuccessPercentage"), message, Some("write 80 for four of five"));
        }
        self.at_least_one_if_any(&at.field("maximumAgeHours"), rule.maximum_age_hours);
        let soak = u64::from(rule.minimum_soak_time_minutes);
        if let Some(hours) = rule.maximum_age_hours.filter(|hours| (1..).contains(hours))
            && u64::from(hours) * 60 < soak
        {
            let message =
                format!("a success is too old after {hours} h, before it has soaked for {soak} min");
            self.say(at.field("maximumAgeHours"), message, Some("allow more hours than the soak takes"));
        }
        self.some(
            &at.field("successStatuses"),
            &rule.success_statuses,
            "without a status nothing is a success; leave it out for `successful`",
        );
    }

    fn gradual_rollout(&mut self, at: &At<'_>, rule: &GradualRollout) {
        if rule.max_failures > 0 && !rule.pause_on_failure {
            let message = "with `pauseOnFailure: false` no number of failures pauses it";
            self.say(at.field("maxFailures"), message, Some("leave out one of them"));
        }
    }

    fn deployment_window(&mut self, at: &At<'_>, rule: &DeploymentWindow, created_at: Timestamp) {
        let calendar = match Calendar::new(rule, created_at) {
            Err(error) => return self.say(at.field(error.field), error.problem, error.hint.as_deref()),
            Ok(calendar) => calendar,
        };
        if !rule.allow_window && calendar.is_open_for_good(created_at) {
            let message = "it opens again before it closes: nothing would ever pass";
            let hint = "a window of quiet is shorter than the time between two of its openings; a day has 1440 minutes";
            self.say(at.field("durationMinutes"), message, Some(hint));
        }
    }

    /// A policy that is kept without effect may have such windows.
    pub(super) fn windows_over(&mut self, meta: &Meta, spec: &Policy, now: Timestamp) {
        for (n, rule) in spec.rules.iter().enumerate().filter(|_| spec.enabled) {
            let at = At { n, rule: rule.name() };
            if let PolicyRule::DeploymentWindow(rule) = rule
                && rule.allow_window
                && Calendar::new(rule, meta.created_at).is_ok_and(|calendar| calendar.is_over(now))
            {
                let message = "all of its openings are over: nothing would ever pass";
                let hint = "give UNTIL or COUNT a later end; or take the rule out, or say `enabled: false`";
                self.say(at.field("rrule"), message, Some(hint));
            }
        }
    }

    fn retry(&mut self, at: &At<'_>, rule: &Retry) {
        self.at_least_one_if_any(&at.field("maxBackoffSeconds"), rule.max_backoff_seconds);
        if let Some(most) = rule.max_backoff_seconds.filter(|most| *most > 0 && *most < rule.backoff_seconds)
        {
            let message = format!(
                "the longest pause of {most} s is shorter than the first of {} s",
                rule.backoff_seconds
            );
            let hint = Some("raise `maxBackoffSeconds`, or lower `backoffSeconds`");
            self.say(at.field("maxBackoffSeconds"), message, hint);
        }
        if rule.max_retries == 0 && (rule.backoff_seconds > 0 || rule.max_backoff_seconds.is_some()) {
            let message = "with 0 retries there is no pause before one";
            self.say(at.field("maxRetries"), message, Some("say how many retries, e.g. `maxRetries: 3`"));
        }
        let why = "without a status nothing is tried again; leave it out for the default";
        self.some(&at.field("retryOnStatuses"), &rule.retry_on_statuses, why);
        self.no_success(&at.field("retryOnStatuses"), &rule.retry_on_statuses, "is never run again");
    }

    fn rollback(&mut self, at: &At<'_>, rule: &Rollback) {
        if rule.on_job_statuses.is_empty() && !rule.on_verification_failure {
            self.say(
                at.field("onJobStatuses"),
                "nothing would roll back",
                Some("name a status, or allow `onVerificationFailure`"),
            );
        }
        self.no_success(&at.field("onJobStatuses"), &rule.on_job_statuses, "is nothing to roll back from");
    }

    fn no_success(&mut self, field: &str, statuses: &[TerminalStatus], why: &str) {
        if let Some(n) = statuses.iter().position(|status| *status == TerminalStatus::Successful) {
            self.say(format!("{field}[{n}]"), format!("a success {why}"), Some("take it out of the list"));
        }
    }
}
