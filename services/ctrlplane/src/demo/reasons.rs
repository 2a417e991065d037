//! What holds a version back, out of the API's explanation of a release target. Pure.

use domain::decision::{ConsideredVersion, RuleVerdict, Verdict};
use serde_json::Value;

/// What the rules say to one version.
#[derive(Debug, PartialEq)]
pub(crate) struct Explanation(ConsideredVersion);

/// What the explanation says of the version with that tag, if it considers it.
pub(crate) fn explanation(answer: &Value, tag: &str) -> Option<Explanation> {
    let considered = find(answer, "considered")?.as_array()?;
    considered
        .iter()
        .filter_map(|version| serde_json::from_value::<ConsideredVersion>(version.clone()).ok())
        .find(|version| version.tag == tag)
        .map(Explanation)
}

impl Explanation {
    /// Whether this rule, and no other, does not allow the version now.
    pub(crate) fn is_only(&self, rule: &str) -> bool {
        let mut against = self.0.rules.iter().filter(|verdict| !verdict.verdict.allows());
        against.next().is_some_and(|first| first.rule == rule) && against.all(|other| other.rule == rule)
    }

    /// Every rule with its word and its reason.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.rules.iter().map(line).collect()
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
