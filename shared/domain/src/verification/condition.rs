//! The conditions of a metric: what a result says. CEL over `result`.

use super::measure::Reading;
use crate::entity::Metric;
use crate::selector::{Scope, Selector, SelectorError, value_of};
use serde_json::Value;

/// The conditions of one metric, compiled.
#[derive(Debug, Clone)]
pub struct Conditions {
    success: Selector,
    failure: Option<Selector>,
}

impl Conditions {
    /// Compiles the conditions of a metric.
    ///
    /// # Errors
    /// When one is no expression over `result`.
    pub fn compile(metric: &Metric) -> Result<Self, SelectorError> {
        let compile = |source: &str| Selector::compile(source, &["result"]);
        Ok(Self {
            success: compile(&metric.success_condition)?,
            failure: metric.failure_condition.as_deref().map(compile).transpose()?,
        })
    }

    /// What the result says, and why, for people. A condition that cannot be evaluated is not true, and not false either.
    /// Nothing of the result is quoted: it is a foreign text, and may hold anything.
    pub fn judge(&self, result: &Value) -> (Reading, String) {
        let Ok(result) = value_of(result) else {
            return (Reading::Unclear, "the result has no form that conditions can see".to_owned());
        };
        let scope = Scope::default().with("result", result);
        let is = |condition: &Selector| condition.matches(&scope).ok();
        let named = |condition: &Selector, word: &str| format!("`{}` {word}", condition.source());
        let success = match is(&self.success) {
            Some(true) => return (Reading::Good, named(&self.success, "is true")),
            success @ (Some(false) | None) => success,
        };
        let not_good = match success {
            Some(_) => named(&self.success, "is not true"),
            None => named(&self.success, "cannot be evaluated on what came"),
        };
        match &self.failure {
            None if success.is_some() => (Reading::Bad, not_good),
            None => (Reading::Unclear, not_good),
            Some(failure) => match is(failure) {
                Some(true) => (Reading::Bad, named(failure, "is true")),
                Some(false) => (Reading::Unclear, not_good),
                None => (Reading::Unclear, named(failure, "cannot be evaluated on what came")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judge(success: &str, failure: Option<&str>, result: &Value) -> Reading {
        let metric = json!({ "name": "m", "successCondition": success, "failureCondition": failure,
            "provider": { "type": "http", "url": "http://x" } });
        let metric: Metric = serde_json::from_value(metric).unwrap();
        Conditions::compile(&metric).unwrap().judge(result).0
    }

    #[test]
    fn a_result_is_good_bad_or_says_nothing() {
        let value = |value: Value| json!({ "value": value });
        for (success, failure, result, reading) in [
            ("result.value < 5", None, value(json!(3)), Reading::Good),
            ("result.value < 5", None, value(json!(7)), Reading::Bad),
            ("result.value < 5", None, value(json!(null)), Reading::Unclear),
            ("result.value < 5.0", None, value(json!(0.25)), Reading::Good),
            // Whole or not, a number compares with a number.
            ("result.value < 0.5", None, value(json!(0)), Reading::Good),
            ("result.value < 5", None, value(json!(0.25)), Reading::Good),
            ("result.value >= 5", None, value(json!(7.5)), Reading::Good),
            ("result.value == 5", None, value(json!(5.0)), Reading::Good),
            ("result.value == 5.0", None, value(json!(5)), Reading::Good),
            ("result.value < 5", Some("result.value > 10"), value(json!(3)), Reading::Good),
            ("result.value < 5", Some("result.value > 10"), value(json!(7)), Reading::Unclear),
            ("result.value < 5", Some("result.value > 10"), value(json!(11)), Reading::Bad),
            ("result.value < 5", Some("result.value > 10"), value(json!(null)), Reading::Unclear),
            // Good first: whoever writes both so that both are true meant the success.
            ("result.value < 5", Some("true"), value(json!(3)), Reading::Good),
            ("result.nothing == 1", Some("result.value > 10"), value(json!(11)), Reading::Bad),
            ("result.nothing == 1", None, value(json!(11)), Reading::Unclear),
            ("1", None, value(json!(11)), Reading::Unclear),
            ("result.json.ok", None, json!({ "json": { "ok": true } }), Reading::Good),
            ("result.json.ok", None, json!({ "json": null }), Reading::Unclear),
        ] {
            assert_eq!(judge(success, failure, &result), reading, "{success} {failure:?} {result}");
        }
    }

    #[test]
    fn nothing_of_the_result_is_quoted() {
        let metric = json!({ "name": "m", "successCondition": "result.body < 5",
            "provider": { "type": "http", "url": "http://x" } });
        let metric: Metric = serde_json::from_value(metric).unwrap();
        let (_, why) = Conditions::compile(&metric).unwrap().judge(&json!({ "body": "hunter2" }));
        assert!(!why.contains("hunter2") && why.contains("result.body < 5"), "{why}");
    }

    #[test]
    fn a_condition_over_anything_else_is_refused() {
        let metric = json!({ "name": "m", "successCondition": "version.tag == 'x'",
            "provider": { "type": "http", "url": "http://x" } });
        let metric: Metric = serde_json::from_value(metric).unwrap();
        assert!(Conditions::compile(&metric).is_err());
    }
}
