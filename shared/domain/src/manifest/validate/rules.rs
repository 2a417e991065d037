//! What the rules of a policy must be beyond their types.

use super::Found;
use crate::entity::{DeploymentWindow, EnvironmentProgression, Meta, Policy, PolicyRule, Retry, Rollback};
use crate::job::TerminalStatus;
use crate::manifest::Problem;
use crate::window::Calendar;

impl Found {
    pub(super) fn policy(&mut self, meta: &Meta, spec: &Policy) {
        self.expression("spec.selector", &spec.selector, &["environment", "deployment", "resource"]);
        let mut rollouts = 0;
        for (n, rule) in spec.rules.iter().enumerate() {
            let field = format!("spec.rules[{n}].{}", rule.name());
            let at = |name: &str| format!("{field}.{name}");
            match rule {
                PolicyRule::AnyApproval(rule) => {
                    self.at_least_one(&at("minApprovals"), Some(rule.min_approvals));
                    self.at_least_one(&at("expiresAfterSeconds"), rule.expires_after_seconds);
                    if let Some(approvers) = &rule.approvers {
                        self.expression(&at("approvers"), approvers, &["user"]);
                    }
                }
                PolicyRule::EnvironmentProgression(rule) => self.progression(&field, rule),
                PolicyRule::VersionSelector(rule) => {
                    let variables = ["version", "environment", "resource", "deployment"];
                    self.expression(&at("selector"), &rule.selector, &variables);
                }
                PolicyRule::GradualRollout(_) => {
                    rollouts += 1;
                    if rollouts > 1 {
                        let hint = Some("put the second into a policy of its own");
                        self.say(field, "a policy has one gradual rollout", hint);
                    }
                }
                PolicyRule::DeploymentWindow(rule) => self.window(meta, &field, rule),
                PolicyRule::VersionCooldown(rule) => {
                    self.at_least_one(&at("intervalSeconds"), Some(rule.interval_seconds));
                }
                PolicyRule::DeploymentDependency(rule) => {
                    self.expression(&at("dependsOn"), &rule.depends_on, &["deployment", "version"]);
                }
                PolicyRule::Retry(rule) => self.retry(&field, rule),
                PolicyRule::Rollback(rule) => self.rollback(&field, rule),
                PolicyRule::Verification(rule) => self.verification(&field, rule),
            }
        }
    }

    fn progression(&mut self, field: &str, rule: &EnvironmentProgression) {
        let at = |name: &str| format!("{field}.{name}");
        let selector = &rule.depends_on_environment_selector;
        self.expression(&at("dependsOnEnvironmentSelector"), selector, &["environment"]);
        if !(0.0..=100.0).contains(&rule.minimum_success_percentage) {
            let found = rule.minimum_success_percentage;
            let message = format!("a percentage is 0 to 100, not {found}");
            self.say(at("minimumSuccessPercentage"), message, None);
        }
        self.some(
            &at("successStatuses"),
            &rule.success_statuses,
            "without any no job ever counts as a success",
        );
        self.at_least_one(&at("maximumAgeHours"), rule.maximum_age_hours);
        if let Some(hours) = rule.maximum_age_hours.filter(|hours| *hours > 0)
            && u64::from(hours) * 60 < u64::from(rule.minimum_soak_time_minutes)
        {
            let soak = rule.minimum_soak_time_minutes;
            let message =
                format!("after {hours} hours a success is too old, before it soaked for {soak} minutes");
            let hint = Some("make it longer than `minimumSoakTimeMinutes`");
            self.say(at("maximumAgeHours"), message, hint);
        }
    }

    fn window(&mut self, meta: &Meta, field: &str, rule: &DeploymentWindow) {
        if let Err(error) = Calendar::new(rule, meta.created_at) {
            let field = format!("{field}.{}", error.field);
            self.0.push(Problem { field, message: error.problem, hint: error.hint });
        }
    }

    fn retry(&mut self, field: &str, rule: &Retry) {
        let at = |name: &str| format!("{field}.{name}");
        self.at_least_one(&at("maxBackoffSeconds"), rule.max_backoff_seconds);
        if let Some(most) = rule.max_backoff_seconds.filter(|most| *most > 0)
            && most < rule.backoff_seconds
        {
            let first = rule.backoff_seconds;
            let message = format!("is {most}, less than `backoffSeconds`, which is {first}");
            let hint = Some("the longest pause is not shorter than the first");
            self.say(at("maxBackoffSeconds"), message, hint);
        }
        let hint = "leave it out: a success is never run again";
        self.no_success(&at("retryOnStatuses"), &rule.retry_on_statuses, hint);
    }

    fn rollback(&mut self, field: &str, rule: &Rollback) {
        let hint = "leave it out: what succeeded stays, unless its verification fails";
        self.no_success(&format!("{field}.onJobStatuses"), &rule.on_job_statuses, hint);
    }

    fn no_success(&mut self, field: &str, statuses: &[TerminalStatus], hint: &str) {
        if let Some(n) = statuses.iter().position(|status| *status == TerminalStatus::Successful) {
            self.say(format!("{field}[{n}]"), "`successful` is no failure", Some(hint));
        }
    }
}
