//! What went wrong, as RFC 9457 problem details. The only form in which this API says no.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bus::{BusError, CasError, PublishError};
use projections::ProjectionError;
use serde::{Serialize, Serializer};

/// Asked of a client when the bus or the views are away.
const RETRY_AFTER_SECONDS: &str = "2";

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    #[schema(value_type = u16)]
    #[serde(serialize_with = "number")]
    status: StatusCode,
    detail: String,
    #[schema(required = false)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
}

/// One thing that is wrong with what was sent, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fault {
    /// The file's name, as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
    /// The document in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) document: Option<usize>,
    /// The line in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<usize>,
    /// The path of the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    /// What is wrong.
    pub(crate) message: String,
    /// What may help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(crate) fn of_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), message: message.into(), ..Self::default() }
    }
}

fn number<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self { kind: "about:blank", title, status, detail: detail.into(), errors: Vec::new() }
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Fields are wrong; the first is told where only one thing is.
    pub(crate) fn invalid_fields(faults: Vec<Fault>) -> Self {
        let first = faults
            .first()
            .map(|fault| format!("{}: {}", fault.field.as_deref().unwrap_or_default(), fault.message));
        Self::invalid(first.unwrap_or_default()).with(faults)
    }

    /// One field is wrong.
    pub(crate) fn invalid_field(field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::invalid(format!("{field}: {message}")).with(vec![Fault::of_field(field, message)])
    }

    /// There is no such thing, or it is another tenant's: nobody can tell which.
    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no {what}"))
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// A fault of ours: the caller gets no more than that, the log gets the reason.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "something is wrong on our side; the log of the api says what",
        )
    }

    /// The same, of another field.
    pub(crate) fn of_field(self, field: &str) -> Self {
        let message = self.into_faults().into_iter().next().map(|fault| fault.message).unwrap_or_default();
        Self::invalid_field(field, message)
    }

    /// What is wrong, field by field; the whole of it where no field is named.
    pub(crate) fn into_faults(self) -> Vec<Fault> {
        if self.errors.is_empty() {
            return vec![Fault { message: self.detail, ..Fault::default() }];
        }
        self.errors
    }

    /// Whether something behind us was away.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE
    }

    pub(crate) fn with(mut self, errors: Vec<Fault>) -> Self {
        self.errors = errors;
        self
    }

    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        response
    }
}

impl From<BusError> for Problem {
    fn from(error: BusError) -> Self {
        if error.is_transient() {
            tracing::warn!(%error, "a request found the bus away");
            return Self::unavailable("the bus does not answer; try again");
        }
        Self::internal(&error)
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::TooLarge { why, .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("larger than the bus takes: {why}"))
            }
            other @ (PublishError::Conflict { .. }
            | PublishError::Unconfirmed { .. }
            | PublishError::Refused { .. }) => BusError::from(other).into(),
        }
    }
}

impl From<CasError> for Problem {
    fn from(error: CasError) -> Self {
        match error {
            CasError::Conflict => Self::conflict("somebody else changed it at the same time; try again"),
            CasError::Bus(error) => error.into(),
        }
    }
}

impl From<ProjectionError> for Problem {
    fn from(error: ProjectionError) -> Self {
        if error.is_transient() {
            tracing::warn!(%error, "a request found the views away");
            return Self::unavailable(
                "the views do not answer; try again (single jobs can be read meanwhile)",
            );
        }
        Self::internal(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_where_and_nothing_it_does_not_know() {
        let fault =
            Fault { file: Some("a.yaml".into()), line: Some(7), ..Fault::of_field("spec.slug", "is empty") };
        let problem = Problem::invalid("1 error").with(vec![fault]);
        assert_eq!(
            serde_json::to_value(problem).unwrap(),
            serde_json::json!({
                "type": "about:blank", "title": "Bad Request", "status": 400, "detail": "1 error",
                "errors": [{"file": "a.yaml", "line": 7, "field": "spec.slug", "message": "is empty"}],
            })
        );
    }

    #[test]
    fn what_may_pass_is_told_apart_from_what_will_not() {
        let away = BusError::Unavailable { doing: "look".into(), why: "timed out".into() };
        assert_eq!(Problem::from(away).status(), StatusCode::SERVICE_UNAVAILABLE);
        let broken = BusError::Corrupt { what: "key".into(), why: "secret stuff".into() };
        let problem = Problem::from(broken);
        assert_eq!(problem.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!problem.detail.contains("secret"));
    }
}
