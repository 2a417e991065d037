//! How the API spells the statuses of jobs: in lower camel case, as clients of the field do. Facts, decisions, the stream
//! of statuses and files keep snake case.

use domain::job::JobStatus;
use serde::Serialize;
use serde_json::{Value, json};

/// The fields of our own documents that hold a status.
const STATUS: [&str; 2] = ["status", "seen"];
/// The fields of rules that list statuses.
const LISTS: [&str; 3] = ["retryOnStatuses", "onJobStatuses", "successStatuses"];

/// One of our own documents, with its statuses respelt. It must hold nothing that users could have called `status`.
pub(crate) fn spelt(ours: impl Serialize) -> Value {
    let mut value = json!(ours);
    respell_all(&mut value);
    value
}

/// The rules of a policy, with the statuses they list respelt.
pub(crate) fn respell_rules(rules: &mut Value) {
    let rules = rules.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut);
    for field in rules.flat_map(serde_json::Map::values_mut).filter_map(Value::as_object_mut) {
        for list in LISTS {
            field.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().for_each(respell);
        }
    }
}

fn respell_all(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                if STATUS.contains(&field.as_str()) {
                    respell(value);
                }
                respell_all(value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(respell_all),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn respell(word: &mut Value) {
    let status = word.as_str().and_then(|word| JobStatus::ALL.into_iter().find(|it| it.as_str() == word));
    if let Some(status) = status {
        *word = json!(status.as_camel());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_respelt_wherever_they_stand_and_other_words_are_not() {
        let ours = json!({
            "status": "invalid_integration", "phase": { "running": { "status": "in_progress" }, "seen": "action_required" },
            "reason": "in_progress", "rules": [{ "inputs": { "of": "retry", "status": "external_run_not_found" } }],
        });
        assert_eq!(
            spelt(ours),
            json!({
                "status": "invalidIntegration", "phase": { "running": { "status": "inProgress" }, "seen": "actionRequired" },
                "reason": "in_progress", "rules": [{ "inputs": { "of": "retry", "status": "externalRunNotFound" } }],
            })
        );
        assert_eq!(spelt(json!({ "status": "ok" })), json!({ "status": "ok" }));
    }

    #[test]
    fn what_rules_list_is_respelt_and_nothing_else_of_them() {
        let mut rules = json!([{ "id": "in_progress", "retry": { "retryOnStatuses": ["failure", "invalid_job_agent"], "x": ["in_progress"] } }]);
        respell_rules(&mut rules);
        assert_eq!(
            rules,
            json!([{ "id": "in_progress", "retry": { "retryOnStatuses": ["failure", "invalidJobAgent"], "x": ["in_progress"] } }])
        );
    }
}
