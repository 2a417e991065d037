//! What holds a version back, out of the API's explanation of a release target. Pure.

use std::collections::BTreeSet;

use domain::Timestamp;
use domain::decision::{ConsideredVersion, RuleVerdict, Verdict};
use serde_json::Value;

/// What the rules say to one version.
#[derive(Debug, PartialEq)]
pub(crate) struct Explanation {
    version: ConsideredVersion,
    decided_at: Timestamp,
}

/// What the explanation says of the version with that tag, if it considers it.
pub(crate) fn explanation(answer: &Value, tag: &str) -> Option<Explanation> {
    let decided_at = serde_json::from_value(find(answer, "decidedAt")?.clone()).ok()?;
    let considered = find(answer, "considered")?.as_array()?;
    considered
        .iter()
        .filter_map(|version| serde_json::from_value::<ConsideredVersion>(version.clone()).ok())
        .find(|version| version.tag == tag)
        .map(|version| Explanation { version, decided_at })
}

impl Explanation {
    /// Whether it is these rules, and no others, that do not allow the version now.
    pub(crate) fn is_held_by(&self, rules: &[&str]) -> bool {
        let against = self.version.rules.iter().filter(|verdict| !verdict.verdict.allows());
        against.map(|verdict| verdict.rule.as_str()).collect::<BTreeSet<_>>()
            == rules.iter().copied().collect()
    }

    /// Whether it was decided at that time or later.
    pub(crate) fn is_since(&self, time: Timestamp) -> bool {
        self.decided_at >= time
    }

    /// Every rule with its word and its reason.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.version.rules.iter().map(line).collect()
    }
}

fn line(rule: &RuleVerdict) -> String {
    let word = match &rule.verdict {
        Verdict::Allow => "✓ allow".to_owned(),
        Verdict::Deny => "✗ deny".to_owned(),
        Verdict::Wait { until: None } => "… wait".to_owned(),
        Verdict::Wait { until: Some(until) } => format!("… wait until {until}"),
    };
    format!("  {word:<8} {} / {}: {}", rule.policy_name, rule.rule, rule.reason)
}

/// The member of that name, at the top or one level below.
fn find<'a>(answer: &'a Value, name: &str) -> Option<&'a Value> {
    let object = answer.as_object()?;
    object.get(name).or_else(|| object.values().find_map(|value| value.as_object()?.get(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_holds_a_version_is_read_out_of_an_explanation() {
        let rule = |rule: &str, is: &str| json!({ "policyName": "gate", "rule": rule, "verdict": { "is": is, "until": null }, "reason": "because" });
        let id = uuid::Uuid::nil();
        let answer = json!({ "target": {}, "decision": { "decidedAt": "2026-01-01T00:00:00Z", "considered": [
            { "version": id, "tag": "v2", "allowed": false, "rules": [rule("a", "deny"), rule("b", "wait")] },
            { "version": id, "tag": "v1", "allowed": false, "rules": [rule("a", "allow"), rule("b", "wait")] },
        ] } });
        let found = |tag| explanation(&answer, tag).expect("considered");
        assert!(found("v1").is_held_by(&["b"]) && !found("v1").is_held_by(&["a", "b"]));
        assert!(found("v2").is_held_by(&["b", "a"]) && !found("v2").is_held_by(&["a"]));
        assert_eq!(explanation(&answer, "v3"), None);
        assert_eq!(found("v1").lines(), ["  ✓ allow  gate / a: because", "  … wait   gate / b: because"]);
    }
}
