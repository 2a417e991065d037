//! Answers in the shape of Argo's gateway, and the `fields` that leave parts of them out. Knows nothing of what is asked.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Value, json};

/// An answer: a body, or a refusal.
pub(crate) type Answer = Result<Value, Refusal>;

/// Why not, as gRPC codes become HTTP.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: u8,
    message: String,
}

impl Refusal {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: 3, message: message.into() }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, code: 5, message: message.into() }
    }

    pub(crate) fn exists(message: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, code: 6, message: message.into() }
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, code: 7, message: message.into() }
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: 13, message: message.into() }
    }

    pub(crate) fn unauthenticated() -> Self {
        let message = "token not valid. see https://argo-workflows.readthedocs.io/en/latest/faq/".to_owned();
        Self { status: StatusCode::UNAUTHORIZED, code: 16, message }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { status, code, message } = self;
        json_response(status, &json!({ "code": code, "message": message, "error": message }))
    }
}

pub(crate) fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// Keeps only the fields that are asked for, by their paths; all where none is.
pub(crate) fn only(mut object: Value, fields: &str) -> Value {
    if !fields.is_empty() {
        let wanted: Vec<&str> = fields.split(',').collect();
        keep(&mut object, "", &wanted);
    }
    object
}

fn keep(value: &mut Value, path: &str, wanted: &[&str]) {
    let Value::Object(map) = value else { return };
    map.retain(|key, value| {
        let here = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if wanted.contains(&here.as_str()) {
            return true;
        }
        let below = format!("{here}.");
        let leads = wanted.iter().any(|field| field.starts_with(&below));
        if leads {
            keep(value, &here, wanted);
        }
        leads
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_leave_out_the_rest() {
        let object = json!({ "metadata": { "name": "a", "uid": "b" }, "spec": { "x": 1 }, "status": { "nodes": { "n": 1 } } });
        assert_eq!(
            only(object.clone(), "metadata.name,status.nodes"),
            json!({ "metadata": { "name": "a" }, "status": { "nodes": { "n": 1 } } })
        );
        assert_eq!(only(object.clone(), ""), object);
    }
}
