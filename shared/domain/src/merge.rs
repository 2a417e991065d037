//! Config merge: maps merge, everything else replaces.

use serde_json::{Map, Value};

/// `over` laid over `base`: maps merge key by key, everything else replaces. The inputs stay as they are.
pub fn deep(base: &Map<String, Value>, over: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = base.clone();
    for (key, new) in over {
        let value = match (merged.get(key), new) {
            (Some(Value::Object(below)), Value::Object(above)) => Value::Object(deep(below, above)),
            _ => new.clone(),
        };
        merged.insert(key.clone(), value);
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn maps_merge_and_the_rest_replaces() {
        for (base, over, merged) in [
            (json!({"a": 1}), json!({"b": 2}), json!({"a": 1, "b": 2})),
            (json!({"a": {"x": 1, "y": 2}}), json!({"a": {"y": 3}}), json!({"a": {"x": 1, "y": 3}})),
            (json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
            (json!({"a": {"x": 1}}), json!({"a": "s"}), json!({"a": "s"})),
            (json!({"a": "s"}), json!({"a": {"x": 1}}), json!({"a": {"x": 1}})),
            (json!({"a": 1}), json!({"a": null}), json!({"a": null})),
        ] {
            assert_eq!(deep(&map(base), &map(over)), map(merged));
        }
    }

    fn any_map() -> impl Strategy<Value = Map<String, Value>> {
        let leaf =
            prop_oneof![Just(Value::Null), any::<i8>().prop_map(Value::from), "[ab]".prop_map(Value::from)];
        let value = leaf.prop_recursive(3, 16, 3, |inner| {
            proptest::collection::btree_map("[abc]", inner, 0..3)
                .prop_map(|m| Value::Object(m.into_iter().collect()))
        });
        proptest::collection::btree_map("[abc]", value, 0..3).prop_map(|m| m.into_iter().collect())
    }

    proptest! {
        #[test]
        fn nothing_changes_nothing_and_twice_is_once(a in any_map(), b in any_map()) {
            prop_assert_eq!(deep(&a, &Map::new()), a.clone());
            prop_assert_eq!(deep(&Map::new(), &a), a.clone());
            let once = deep(&a, &b);
            prop_assert_eq!(deep(&once, &b), once);
        }
    }
}
