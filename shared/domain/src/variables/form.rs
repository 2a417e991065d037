//! What a value means: itself, a secret, or a property of a related resource.

use serde_json::Value;

const SECRET: &str = "secretRef";
const REFERENCE: &str = "reference";
const PATH: &str = "path";

/// What a value means. Only the whole value of a variable can mean more than itself, never a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form<'a> {
    /// Itself.
    Literal,
    /// The secret of that name.
    Secret(&'a str),
    /// What is at `path` of the resource that is related by `relation`.
    Reference { relation: &'a str, path: &'a str },
}

impl<'a> Form<'a> {
    pub(super) fn of(value: &'a Value) -> Self {
        let Value::Object(map) = value else { return Form::Literal };
        let text = |key: &str| map.get(key).and_then(Value::as_str);
        match (map.len(), text(SECRET), text(REFERENCE), text(PATH)) {
            (1, Some(name), None, None) => Form::Secret(name),
            (2, None, Some(relation), Some(path)) => Form::Reference { relation, path },
            _ => Form::Literal,
        }
    }
}

/// The name of the secret that a resolved variable is, if it is one.
pub fn secret_of(value: &Value) -> Option<&str> {
    match Form::of(value) {
        Form::Secret(name) => Some(name),
        Form::Literal | Form::Reference { .. } => None,
    }
}

/// Whether the name can be one of a secret: it becomes part of a file's name.
pub(super) fn is_name_of_secret(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    !name.is_empty() && name.len() <= 100 && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_exact_forms_mean_more_than_themselves() {
        assert_eq!(Form::of(&json!({ "secretRef": "db" })), Form::Secret("db"));
        let reference = json!({ "reference": "vpc", "path": "config.id" });
        assert_eq!(Form::of(&reference), Form::Reference { relation: "vpc", path: "config.id" });
        for literal in [
            json!("db"),
            json!(["secretRef", "db"]),
            json!({}),
            json!({ "secretRef": 1 }),
            json!({ "secretRef": "db", "more": 1 }),
            json!({ "secretref": "db" }),
            json!({ "reference": "vpc" }),
            json!({ "reference": "vpc", "path": "a", "default": 1 }),
            json!({ "reference": "vpc", "path": ["a"] }),
            json!({ "secretRef": "db", "path": "a" }),
            json!([{ "secretRef": "db" }]),
            json!({ "inner": { "secretRef": "db" } }),
        ] {
            assert_eq!(Form::of(&literal), Form::Literal, "{literal}");
            assert_eq!(secret_of(&literal), None);
        }
    }
}
