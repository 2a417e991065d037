//! What a write changed, small enough to keep for a year: of the states before and after only what differs, without what
//! looks like a secret.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::manifest::is_secret;

/// Longer texts are cut.
const TEXT_BYTES_MAX: usize = 1_024;
/// Longer names of members are cut.
const NAME_BYTES_MAX: usize = 256;
/// Each of the two states has at most about so many bytes of names and values.
const STATE_BYTES_MAX: usize = 16 * 1_024;
/// What stands for a value that is not kept.
const HIDDEN: &str = "(not shown)";
const CUT: &str = "…";

/// The two states of the object, reduced to what differs between them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Documents {
    /// What was there and is not there any more as it was; absent for something new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is there instead; absent for something deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// Whether texts or fields were left out because they were too large.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

impl Documents {
    /// Of a change from one state to the other. Members of objects that are the same are left out; lists are kept whole.
    pub fn between(before: Option<Value>, after: Option<Value>) -> Self {
        let (before, after) = match (before, after) {
            (Some(before), Some(after)) => match differing(before, after) {
                Some((before, after)) => (Some(before), Some(after)),
                None => (None, None),
            },
            one_sided => one_sided,
        };
        let mut cut = false;
        let mut kept = |state: Value| {
            let mut left = STATE_BYTES_MAX;
            bounded("", state, &mut left, &mut cut)
        };
        let before = before.map(&mut kept);
        let after = after.map(&mut kept);
        Self { before, after, cut }
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.before.is_none() && self.after.is_none()
    }
}

/// Both sides without what is the same; nothing where all is.
fn differing(before: Value, after: Value) -> Option<(Value, Value)> {
    if before == after {
        return None;
    }
    let (Value::Object(before), Value::Object(mut after)) = (&before, after.clone()) else {
        return Some((before, after));
    };
    let (mut was, mut is) = (Map::new(), Map::new());
    for (key, value) in before {
        match after.remove(key) {
            None => {
                was.insert(key.clone(), value.clone());
            }
            Some(other) => {
                if let Some((before, after)) = differing(value.clone(), other) {
                    was.insert(key.clone(), before);
                    is.insert(key.clone(), after);
                }
            }
        }
    }
    is.extend(after);
    Some((Value::Object(was), Value::Object(is)))
}

/// Cuts a text that has more bytes, and tells whether it had.
fn shortened(text: &mut String, bytes_max: usize) -> bool {
    if text.len() <= bytes_max {
        return false;
    }
    let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or(0));
    text.push_str(CUT);
    true
}

/// The value without secrets, and no larger than what is left.
fn bounded(key: &str, value: Value, left: &mut usize, cut: &mut bool) -> Value {
    match value {
        Value::String(text) if is_secret(key, &text) => {
            *left = left.saturating_sub(HIDDEN.len());
            json!(HIDDEN)
        }
        Value::String(mut text) => {
            let most = TEXT_BYTES_MAX.min(*left);
            *left = left.saturating_sub(text.len());
            *cut |= shortened(&mut text, most);
            Value::String(text)
        }
        Value::Array(items) => {
            let mut kept = Vec::new();
            for item in items {
                if *left == 0 {
                    *cut = true;
                    kept.push(json!(CUT));
                    break;
                }
                *left = left.saturating_sub(1);
                kept.push(bounded(key, item, left, cut));
            }
            Value::Array(kept)
        }
        Value::Object(members) => {
            let mut kept = Map::new();
            for (mut name, member) in members {
                if *left == 0 {
                    *cut = true;
                    break;
                }
                *left = left.saturating_sub(name.len() + 1);
                let member = bounded(&name, member, left, cut);
                *cut |= shortened(&mut name, NAME_BYTES_MAX);
                kept.insert(name, member);
            }
            Value::Object(kept)
        }
        small @ (Value::Null | Value::Bool(_) | Value::Number(_)) => {
            *left = left.saturating_sub(8);
            small
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_kept() {
        let before =
            json!({ "meta": { "id": 1, "name": "a" }, "spec": { "x": [1], "gone": true, "same": {} } });
        let after =
            json!({ "meta": { "id": 1, "name": "a" }, "spec": { "x": [1, 2], "new": "n", "same": {} } });
        let told = Documents::between(Some(before.clone()), Some(after.clone()));
        assert_eq!(told.before, Some(json!({ "spec": { "x": [1], "gone": true } })));
        assert_eq!(told.after, Some(json!({ "spec": { "x": [1, 2], "new": "n" } })));
        assert!(!told.cut);
        assert!(Documents::between(Some(before.clone()), Some(before.clone())).is_empty());
        assert_eq!(Documents::between(None, Some(after.clone())).after, Some(after));
        assert_eq!(Documents::between(Some(before.clone()), None).before, Some(before));
    }

    #[test]
    fn what_looks_like_a_secret_is_not_kept() {
        let state = json!({ "metadata": { "apiToken": "hush-1", "note": "ghp_hush-2" }, "tokenSecret": "name",
            "keys": [{ "password": "hush-3" }], "password": ["hush-4"] });
        let told = serde_json::to_string(&Documents::between(None, Some(state))).unwrap();
        assert!(!told.contains("hush") && told.contains("name") && told.contains(HIDDEN), "{told}");
        let (one, other) = (json!({ "token": "hush-1" }), json!({ "token": "hush-2" }));
        let told = Documents::between(Some(one), Some(other));
        assert_eq!(
            (told.before, told.after),
            (Some(json!({ "token": HIDDEN })), Some(json!({ "token": HIDDEN })))
        );
    }

    #[test]
    fn what_is_large_is_cut_and_says_so() {
        let long = Documents::between(None, Some(json!({ "text": "ü".repeat(5_000), "n": 1 })));
        assert!(long.cut);
        let text = long.after.as_ref().unwrap()["text"].as_str().unwrap();
        assert!(text.len() <= TEXT_BYTES_MAX + CUT.len() && text.ends_with(CUT));
        assert_eq!(long.after.unwrap()["n"], 1);

        let many: Map<String, Value> =
            (0..10_000).map(|n| (format!("key-{n}"), json!("v".repeat(50)))).collect();
        let items: Vec<Value> = (0..10_000).map(|n| json!({ "n": n })).collect();
        let long_name = json!({ "metadata": { "ü".repeat(400_000): "v" }, "n": 1 });
        for state in [Value::Object(many), Value::Array(items), long_name] {
            let told = Documents::between(Some(state), None);
            let size = serde_json::to_string(&told).unwrap().len();
            assert!(told.cut && size < 4 * STATE_BYTES_MAX, "{size}");
        }
    }
}
