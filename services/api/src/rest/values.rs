//! Values of variables as clients of the field write them, and as the catalog has them: an object is wrapped in `object`,
//! the path of a reference is a list.

use serde_json::{Map, Value, json};

const OBJECT: &str = "object";
const REFERENCE: &str = "reference";
const PATH: &str = "path";

/// The value as the catalog has it.
pub(crate) fn read(value: Value) -> Value {
    let Value::Object(mut map) = value else { return value };
    if map.len() == 1
        && let Some(Value::Object(inner)) = map.get(OBJECT)
    {
        return Value::Object(inner.clone());
    }
    if map.len() == 2
        && map.contains_key(REFERENCE)
        && let Some(Value::Array(steps)) = map.get(PATH)
    {
        let steps: Option<Vec<&str>> = steps.iter().map(Value::as_str).collect();
        if let Some(path) = steps.map(|steps| steps.join(".")) {
            map.insert(PATH.to_owned(), Value::String(path));
        }
    }
    Value::Object(map)
}

/// The value as clients of the field read it.
pub(crate) fn shown(value: &Value) -> Value {
    let Value::Object(map) = value else { return value.clone() };
    match (map.get(REFERENCE), map.get(PATH)) {
        (Some(reference @ Value::String(_)), Some(Value::String(path))) if map.len() == 2 => {
            json!({ REFERENCE: reference, PATH: path.split('.').collect::<Vec<_>>() })
        }
        _ if domain::variables::secret_of(value).is_some() => value.clone(),
        _ => json!({ OBJECT: map }),
    }
}

/// Values by key, from a map or from a list of `{key, value}`.
pub(crate) fn read_all(values: Value) -> Result<Map<String, Value>, String> {
    match values {
        Value::Object(map) => Ok(map.into_iter().map(|(key, value)| (key, read(value))).collect()),
        Value::Array(list) => {
            let mut all = Map::new();
            for (index, entry) in list.into_iter().enumerate() {
                let Value::Object(mut entry) = entry else {
                    return Err(format!("[{index}] is not {{key, value}}"));
                };
                let (Some(Value::String(key)), Some(value)) = (entry.remove("key"), entry.remove("value"))
                else {
                    return Err(format!("[{index}] has not both key and value"));
                };
                if all.contains_key(&key) {
                    return Err(format!("[{index}]: there is a value of {key} already"));
                }
                all.insert(key, read(value));
            }
            Ok(all)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err("is neither a list of {key, value} nor a map".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_writes_it_reads_again() {
        for (theirs, ours) in [
            (json!("a"), json!("a")),
            (json!(3), json!(3)),
            (json!(null), json!(null)),
            (json!({ "object": { "a": 1 } }), json!({ "a": 1 })),
            (
                json!({ "reference": "vpc", "path": ["config", "id"] }),
                json!({ "reference": "vpc", "path": "config.id" }),
            ),
            (json!({ "secretRef": "db" }), json!({ "secretRef": "db" })),
        ] {
            assert_eq!(read(theirs.clone()), ours);
            assert_eq!(shown(&ours), theirs);
        }
        assert_eq!(read(json!({ "a": 1 })), json!({ "a": 1 }), "an object need not be wrapped");
    }

    #[test]
    fn values_come_as_a_list_or_as_a_map() {
        let all =
            read_all(json!([{ "key": "a", "value": 1 }, { "key": "b", "value": { "object": {} } }])).unwrap();
        assert_eq!(Value::Object(all), json!({ "a": 1, "b": {} }));
        assert_eq!(read_all(json!({ "a": 1 })).unwrap().len(), 1);
        for wrong in [
            json!(1),
            json!([1]),
            json!([{ "key": "a" }]),
            json!([{ "key": "a", "value": 1 }, { "key": "a", "value": 2 }]),
        ] {
            assert!(read_all(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
