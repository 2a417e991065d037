//! Answers in GitLab's shape. Knows nothing of what is asked.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

/// One answer: status and JSON.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn json(status: StatusCode, body: Value) -> Self {
        Self { status, body }
    }

    pub(crate) fn ok(body: Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    pub(crate) fn created(body: Value) -> Self {
        Self::json(StatusCode::CREATED, body)
    }

    /// What concerns a pipeline as a whole.
    pub(crate) fn base(message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self::json(StatusCode::BAD_REQUEST, json!({ "message": { "base": [message] } }))
    }

    pub(crate) fn message(status: StatusCode, message: &str) -> Self {
        Self::json(status, json!({ "message": message }))
    }

    pub(crate) fn unauthorized() -> Self {
        Self::message(StatusCode::UNAUTHORIZED, "401 Unauthorized")
    }

    pub(crate) fn forbidden(why: &str) -> Self {
        Self::message(StatusCode::FORBIDDEN, &format!("403 Forbidden{why}"))
    }

    pub(crate) fn insufficient_scope() -> Self {
        let body = json!({
            "error": "insufficient_scope",
            "error_description": "The request requires higher privileges than provided by the access token.",
            "scope": "api",
        });
        Self::json(StatusCode::FORBIDDEN, body)
    }

    pub(crate) fn no_project() -> Self {
        Self::message(StatusCode::NOT_FOUND, "404 Project Not Found")
    }

    pub(crate) fn not_found() -> Self {
        Self::message(StatusCode::NOT_FOUND, "404 Not found")
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        (self.status, [(header::CONTENT_TYPE, json)], self.body.to_string()).into_response()
    }
}
