//! Who calls: the key in the request, before any route sees it.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use domain::token::Slug;

use crate::auth::Role;
use crate::context::App;
use crate::problem::Problem;

const API_KEY: &str = "x-api-key";

/// Whose key it is and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// The only workspace it sees.
    pub(crate) workspace: Option<Slug>,
}

impl Caller {
    /// Whether the caller may do what this role may.
    pub(crate) fn needs(&self, role: Role) -> Result<(), Problem> {
        if self.role >= role {
            return Ok(());
        }
        let detail =
            format!("this needs the role {role}; the key {:?} has the role {}", self.name, self.role);
        Err(Problem::new(StatusCode::FORBIDDEN, detail))
    }

    /// Whether the caller sees the workspace at all.
    pub(crate) fn sees(&self, workspace: &Slug) -> bool {
        self.workspace.as_ref().is_none_or(|only| only == workspace)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Caller>().cloned().ok_or_else(unauthenticated)
    }
}

/// Lets requests with a known key pass, and notes whose it is.
pub(crate) async fn authenticate(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let caller = presented(request.headers()).and_then(|key| app.keys.caller(key));
    let Some(caller) = caller else {
        metrics::counter!("api_unauthenticated_total").increment(1);
        let mut response = unauthenticated().into_response();
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    };
    tracing::debug!(key = caller.name, "authenticated");
    request.extensions_mut().insert(caller);
    next.run(request).await
}

fn unauthenticated() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "send a valid key as X-API-Key or as Authorization: Bearer")
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    if let Some(key) = headers.get(API_KEY) {
        return key.to_str().ok();
    }
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn a_key_comes_in_one_of_two_headers() {
        assert_eq!(presented(&headers("x-api-key", "k")), Some("k"));
        assert_eq!(presented(&headers("authorization", "bearer k")), Some("k"));
        assert_eq!(presented(&headers("authorization", "Basic k")), None);
        assert_eq!(presented(&headers("authorization", "k")), None);
        assert_eq!(presented(&HeaderMap::new()), None);
    }

    #[test]
    fn a_role_may_do_what_lower_roles_may() {
        let caller = |role| Caller { name: "ann".into(), role, workspace: None };
        assert!(caller(Role::Admin).needs(Role::Viewer).is_ok());
        assert_eq!(caller(Role::Viewer).needs(Role::Operator).unwrap_err().status(), StatusCode::FORBIDDEN);
    }
}
