//! Answers in GitHub's shape. Knows nothing of what is asked.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

const DOCUMENTATION: &str = "https://docs.github.com/rest";

/// One answer: status, headers, and a JSON body unless it is empty.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Option<Value>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    pub(crate) fn ok(body: Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    pub(crate) fn json(status: StatusCode, body: Value) -> Self {
        Self { status, body: Some(body), headers: Vec::new() }
    }

    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, body: None, headers: Vec::new() }
    }

    pub(crate) fn error(status: StatusCode, message: impl Into<String>) -> Self {
        let message: String = message.into();
        let status_text = status.as_u16().to_string();
        Self::json(
            status,
            json!({ "message": message, "documentation_url": DOCUMENTATION, "status": status_text }),
        )
    }

    pub(crate) fn not_found() -> Self {
        Self::error(StatusCode::NOT_FOUND, "Not Found")
    }

    pub(crate) fn bad_credentials() -> Self {
        Self::error(StatusCode::UNAUTHORIZED, "Bad credentials")
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::error(StatusCode::FORBIDDEN, message)
    }

    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        Self::error(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            None => self.status.into_response(),
            Some(body) => {
                let json = HeaderValue::from_static("application/json; charset=utf-8");
                (self.status, [(header::CONTENT_TYPE, json)], body.to_string()).into_response()
            }
        };
        response.headers_mut().extend(self.headers);
        response
    }
}
