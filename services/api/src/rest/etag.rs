//! Revisions of the catalog as entity tags (RFC 9110): `ETag` with what is read and written, `If-Match` before a write.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Required, Type};

use crate::problem::Problem;

/// What must be there for a write to happen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Precondition {
    /// One of these revisions.
    matches: Option<Tags>,
    /// Nothing.
    is_new: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    Any,
    These(Vec<u64>),
}

impl Precondition {
    /// Whether what is there (its revision; nothing: `None`) is what the client expects.
    pub(crate) fn check(&self, revision: Option<u64>) -> Result<(), Problem> {
        let fits = match (&self.matches, revision) {
            (None, _) => true,
            (Some(Tags::Any), revision) => revision.is_some(),
            (Some(Tags::These(these)), Some(revision)) => these.contains(&revision),
            (Some(Tags::These(_)), None) => false,
        };
        let is_new = !self.is_new || revision.is_none();
        if fits && is_new {
            return Ok(());
        }
        let there = revision
            .map_or_else(|| "is not there".to_owned(), |revision| format!("is of revision \"{revision}\""));
        Err(Problem::new(
            StatusCode::PRECONDITION_FAILED,
            format!("it {there}; read it again, and decide again"),
        ))
    }

    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut matches: Option<Tags> = None;
        for value in headers.get_all(IF_MATCH) {
            let text = value.to_str().map_err(|_| Problem::invalid_field("If-Match", "is not text"))?;
            let tags = match matches.take() {
                Some(Tags::Any) => Tags::Any,
                Some(Tags::These(these)) => with(these, text),
                None => with(Vec::new(), text),
            };
            matches = Some(tags);
        }
        // Only the form that means "create it" has a use before a write.
        let is_new = headers.get(IF_NONE_MATCH).is_some_and(|value| value.as_bytes().trim_ascii() == b"*");
        Ok(Self { matches, is_new })
    }
}

/// A tag that is none of ours matches nothing, as does a weak one.
fn with(mut these: Vec<u64>, text: &str) -> Tags {
    for tag in text.split(',').map(str::trim) {
        if tag == "*" {
            return Tags::Any;
        }
        let revision: Option<u64> =
            tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).and_then(|tag| tag.parse().ok());
        these.extend(revision);
    }
    Tags::These(these)
}

impl<S: Sync> FromRequestParts<S> for Precondition {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Self::of(&parts.headers)
    }
}

impl IntoParams for Precondition {
    fn into_params(_place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let header = |name: &str, description: &str| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(description))
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                .build()
        };
        vec![
            header("If-Match", "It happens only to one of these revisions, as an `ETag` told them."),
            header("If-None-Match", "`*`: it happens only where nothing is there."),
        ]
    }
}

/// An answer with the revision of what it shows.
pub(crate) struct Tagged {
    pub(crate) status: StatusCode,
    pub(crate) revision: Option<u64>,
    pub(crate) body: Value,
}

impl Tagged {
    pub(crate) fn new(status: StatusCode, revision: impl Into<Option<u64>>, body: Value) -> Self {
        Self { status, revision: revision.into(), body }
    }
}

impl IntoResponse for Tagged {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        let tag = self.revision.and_then(|revision| HeaderValue::from_str(&format!("\"{revision}\"")).ok());
        if let Some(tag) = tag {
            response.headers_mut().insert(ETAG, tag);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_happens_only_to_what_the_client_has_seen() {
        let of = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            Precondition::of(&headers).unwrap()
        };
        for (precondition, revision, fits) in [
            (Precondition::default(), None, true),
            (of("if-match", "\"7\""), Some(7), true),
            (of("if-match", "\"6\", \"7\""), Some(7), true),
            (of("if-match", "\"7\""), Some(8), false),
            (of("if-match", "\"7\""), None, false),
            (of("if-match", "*"), Some(8), true),
            (of("if-match", "*"), None, false),
            (of("if-match", "W/\"7\""), Some(7), false),
            (of("if-match", "nonsense"), Some(7), false),
            (of("if-none-match", "*"), None, true),
            (of("if-none-match", "*"), Some(7), false),
        ] {
            let outcome = precondition.check(revision);
            assert_eq!(outcome.is_ok(), fits, "{precondition:?} {revision:?}");
            assert!(outcome.err().is_none_or(|problem| problem.status() == StatusCode::PRECONDITION_FAILED));
        }
    }
}
