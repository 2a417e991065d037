//! What looks like a secret in a config: the catalog keeps names of secrets, never secrets.

use super::Problem;
use serde_json::{Map, Value};

/// Ends of keys under which secrets are kept, in lower case without separators.
const KEYS: [&str; 10] = [
    "token",
    "password",
    "passwd",
    "passphrase",
    "privatekey",
    "apikey",
    "accesskey",
    "secretkey",
    "credential",
    "credentials",
];

/// Beginnings of secrets that people know by sight.
const BEGINNINGS: [&str; 12] = [
    "-----BEGIN",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "AKIA",
    "xoxb-",
    "whsec_",
    "eyJhbGciOi",
];

/// Every value in the map that looks like a secret, by its field. The value itself is not repeated.
pub fn find(map: &Map<String, Value>, field: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (key, value) in map {
        look(key, value, &format!("{field}.{key}"), &mut problems);
    }
    problems
}

fn look(key: &str, value: &Value, field: &str, problems: &mut Vec<Problem>) {
    match value {
        Value::String(text) => {
            let is_template = text.contains("{{");
            if looks_like_a_secret(text) {
                problems.push(secret(field, key, "this looks like a secret"));
            } else if is_key_of_secret(key) && !text.is_empty() && !is_template {
                problems.push(secret(field, key, &format!("`{key}` would keep a secret in the catalog")));
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                look(key, item, &format!("{field}[{n}]"), problems);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                look(key, value, &format!("{field}.{key}"), problems);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether the text, kept under that key, is or looks like a secret.
pub(crate) fn is_secret(key: &str, text: &str) -> bool {
    looks_like_a_secret(text) || (is_key_of_secret(key) && !text.is_empty())
}

fn looks_like_a_secret(text: &str) -> bool {
    BEGINNINGS.iter().any(|beginning| text.trim_start().starts_with(beginning))
}

fn is_key_of_secret(key: &str) -> bool {
    let flat: String =
        key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    KEYS.iter().any(|end| flat.ends_with(end))
}

fn secret(field: &str, key: &str, message: &str) -> Problem {
    let stem = key.strip_suffix("Secret").unwrap_or(key);
    Problem {
        field: field.to_owned(),
        message: message.to_owned(),
        hint: Some(format!("name a secret instead, as in `{stem}Secret: name-of-the-secret`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_looks_like_a_secret_is_found_and_never_repeated() {
        for (value, field) in [
            (json!({"token": "abc"}), "c.token"),
            (json!({"github": {"accessToken": "abc"}}), "c.github.accessToken"),
            (json!({"PASSWORD": "abc"}), "c.PASSWORD"),
            (json!({"db-password": "abc"}), "c.db-password"),
            (json!({"private_key": "abc"}), "c.private_key"),
            (json!({"keys": ["x", "-----BEGIN RSA PRIVATE KEY-----\nabc"]}), "c.keys[1]"),
            (json!({"header": "ghp_abc"}), "c.header"),
            (json!({"tokenSecret": "ghp_abc"}), "c.tokenSecret"),
        ] {
            let found = find(value.as_object().unwrap(), "c");
            assert_eq!(found.len(), 1, "{value}: {found:?}");
            assert_eq!(found[0].field, field);
            assert!(!format!("{found:?}").contains("abc"), "{found:?}");
        }
    }

    #[test]
    fn names_of_secrets_and_harmless_values_are_let_through() {
        for value in [
            json!({"tokenSecret": "github-token", "privateKeySecret": "app-key", "secret": "name"}),
            json!({"token": ""}),
            json!({"token": null, "password": 3, "tokens": {"a": 1}}),
            json!({"token": "{{ resource.config.tokenName }}"}),
            json!({"tokenizer": "x", "passwordPolicy": "strict", "workflow": "deploy.yml"}),
        ] {
            assert_eq!(find(value.as_object().unwrap(), "c"), [], "{value}");
        }
    }
}
