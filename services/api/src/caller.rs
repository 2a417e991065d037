//! Who calls: the key or the session in the request, before any route sees it. Here it ends for whom we do not know, who
//! calls too often, whose browser was made to write by another site, and who asks for another's workspace.

use std::net::IpAddr;

use axum::RequestExt as _;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use domain::access::Grants;
use domain::token::Slug;
use service::FORWARDED_FOR;
use service::rate::Verdict;
use uuid::Uuid;

use crate::access::{Access, Counted, Tried};
use crate::auth::Role;
use crate::context::App;
use crate::cookie;
use crate::problem::Problem;
use crate::sessions::Token;

const API_KEY: &str = "x-api-key";
/// What a write by cookie repeats.
pub(crate) const CSRF: &str = "x-csrf-token";
/// The part of a path that names its workspace.
const WORKSPACE: &str = "w";

/// Who it is and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The user: whose key or session it is.
    pub(crate) name: String,
    /// In the workspace that the path names. Where it names none, the role in every workspace; for who has none, the
    /// lowest of theirs.
    pub(crate) role: Role,
    pub(crate) grants: Grants,
    pub(crate) means: Means,
}

/// What lets them in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Means {
    /// Of a key that was made over the API.
    pub(crate) key_id: Option<Uuid>,
    /// Whether a browser is logged in.
    pub(crate) session: bool,
    pub(crate) counted: Counted,
}

impl Caller {
    pub(crate) fn new(name: &str, grants: Grants, means: Means) -> Self {
        let role = grants.everywhere().or(grants.lowest()).unwrap_or(Role::Viewer);
        Self { name: name.to_owned(), role, grants, means }
    }

    /// Whether the caller may do what this role may.
    pub(crate) fn needs(&self, role: Role) -> Result<(), Problem> {
        self.has(self.role, role)
    }

    /// Whether the caller may do in the workspace what this role may.
    pub(crate) fn needs_in(&self, workspace: &Slug, role: Role) -> Result<(), Problem> {
        let held = self.grants.role_in(workspace);
        let held = held.ok_or_else(|| Problem::not_found(format_args!("workspace {workspace}")))?;
        self.has(held, role)
    }

    fn has(&self, held: Role, needed: Role) -> Result<(), Problem> {
        if held >= needed {
            return Ok(());
        }
        let detail = format!("this needs the role {needed}; {:?} has the role {held}", self.name);
        Err(Problem::new(StatusCode::FORBIDDEN, detail))
    }

    /// Whether the caller sees the workspace at all.
    pub(crate) fn sees(&self, workspace: &Slug) -> bool {
        self.grants.role_in(workspace).is_some()
    }

    /// Whether the caller sees what belongs to all workspaces.
    pub(crate) fn sees_all(&self) -> bool {
        self.grants.everywhere().is_some()
    }

    /// As a caller of that workspace; `None`: it does not exist for them.
    fn within(self, workspace: &Slug) -> Option<Self> {
        let role = self.grants.role_in(workspace)?;
        Some(Self { role, ..self })
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Caller>().cloned().ok_or_else(unauthenticated)
    }
}

/// What a request presents.
enum Presented<'a> {
    Key(&'a str),
    Session(Token),
    Nothing,
}

/// Lets requests pass of whom we know, and notes who it is.
pub(crate) async fn authenticate(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let path = match request.extract_parts::<RawPathParams>().await {
        Ok(path) => path,
        Err(misread) => return Problem::invalid(misread.body_text()).into_response(),
    };
    let from = address_of(&app.access, request.headers(), request.extensions());
    let caller = match known(&app, request.headers(), from).await {
        Ok(caller) => caller,
        Err(refused) => return refused,
    };
    let verdict = app.access.limits.request(&caller.means.counted);
    let mut response = match verdict.filter(|verdict| !verdict.allowed) {
        Some(verdict) => {
            metrics::counter!("api_rate_limited_total").increment(1);
            too_many(verdict, "this key calls more often than it may")
        }
        None => match admitted(&app, caller, &path, &request) {
            Ok(caller) => {
                tracing::debug!(key = caller.name, "authenticated");
                request.extensions_mut().insert(caller);
                next.run(request).await
            }
            Err(problem) => problem.into_response(),
        },
    };
    if let Some(verdict) = verdict {
        tell(response.headers_mut(), verdict);
    }
    response
}

async fn known(app: &App, headers: &HeaderMap, from: IpAddr) -> Result<Caller, Response> {
    let access = &app.access;
    let found = match presented(headers, access) {
        Presented::Nothing => return Err(refused()),
        Presented::Key(key) => try_key(access, from, key)?,
        Presented::Session(token) => {
            access.by_session(&token).await.map_err(|problem| problem.into_response())?
        }
    };
    found.ok_or_else(refused)
}

/// Whose key it is. Where too many wrong ones came from, only keys are tried that nobody can guess.
#[allow(clippy::result_large_err, reason = "an answer is what it is")]
pub(crate) fn try_key(access: &Access, from: IpAddr, key: &str) -> Result<Option<Caller>, Response> {
    let exhausted = access.limits.failures(from);
    let tried = if exhausted.is_some() { Tried::Generated } else { Tried::All };
    let found = access.by_key(key, tried);
    if found.is_some() {
        return Ok(found);
    }
    if let Some(verdict) = exhausted {
        metrics::counter!("api_failures_limited_total").increment(1);
        return Err(too_many(verdict, "too many wrong keys came from this address"));
    }
    access.limits.failed(from);
    Ok(None)
}

/// What the caller may not do whatever the route is.
fn admitted(app: &App, caller: Caller, path: &RawPathParams, request: &Request) -> Result<Caller, Problem> {
    if caller.means.session && presents_no_key(request.headers()) && !is_read(request.method()) {
        check_csrf(request.headers(), &app.access)?;
    }
    let Some((_, text)) = path.iter().find(|(name, _)| *name == WORKSPACE) else { return Ok(caller) };
    let found = app.catalog.workspace(text).and_then(|slug| caller.within(&slug));
    found.ok_or_else(|| Problem::not_found(format_args!("workspace {text}")))
}

pub(crate) fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn check_csrf(headers: &HeaderMap, access: &Access) -> Result<(), Problem> {
    let token = cookie::session(headers, access.https);
    let repeated = headers.get(CSRF).and_then(|value| value.to_str().ok());
    match (token, repeated) {
        (Some(token), Some(repeated)) if token.is_csrf(repeated) => Ok(()),
        (_, None) => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "a write with a session needs the header X-CSRF-Token, with what GET /api/v1/session tells as csrf",
        )),
        (_, Some(_)) => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "X-CSRF-Token is not the one of this session; GET /api/v1/session tells it as csrf",
        )),
    }
}

fn unauthenticated() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "send a valid key as X-API-Key or as Authorization: Bearer, or log in at the console",
    )
}

pub(crate) fn refused() -> Response {
    metrics::counter!("api_unauthenticated_total").increment(1);
    let mut response = unauthenticated().into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

pub(crate) fn too_many(verdict: Verdict, why: &str) -> Response {
    let seconds = verdict.retry_seconds;
    let detail = format!("{why}; try again in {seconds} s");
    let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    tell(response.headers_mut(), verdict);
    response
}

/// How often one may at once, how often more now, and in how many seconds as often as at most again.
fn tell(headers: &mut HeaderMap, verdict: Verdict) {
    let Verdict { limit, remaining, reset_seconds, .. } = verdict;
    for (name, value) in [
        ("ratelimit-limit", u64::from(limit)),
        ("ratelimit-remaining", u64::from(remaining)),
        ("ratelimit-reset", reset_seconds),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}

fn presented<'a>(headers: &'a HeaderMap, access: &Access) -> Presented<'a> {
    if let Some(key) = key_of(headers) {
        return Presented::Key(key.unwrap_or_default());
    }
    match cookie::session(headers, access.https) {
        Some(token) => Presented::Session(token),
        None => Presented::Nothing,
    }
}

fn presents_no_key(headers: &HeaderMap) -> bool {
    key_of(headers).is_none()
}

/// The key of the headers; `Some(None)`: there is one, and it cannot be read.
fn key_of(headers: &HeaderMap) -> Option<Option<&str>> {
    if let Some(key) = headers.get(API_KEY) {
        return Some(key.to_str().ok());
    }
    let Ok(text) = headers.get(AUTHORIZATION)?.to_str() else { return Some(None) };
    let bearer = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Some(bearer.map(|(_, key)| key.trim()))
}

/// Where the request comes from: the connection, or what the outermost proxy of ours saw.
pub(crate) fn address_of(access: &Access, headers: &HeaderMap, extensions: &Extensions) -> IpAddr {
    let hops = access.limits.forwarded_hops;
    if hops == 0 && headers.contains_key(FORWARDED_FOR) {
        access.limits.came_through_a_proxy();
    }
    service::address_of(headers, extensions, hops)
}

#[cfg(test)]
pub(crate) fn test_caller(name: &str, role: Role) -> Caller {
    let means = Means { key_id: None, session: false, counted: Counted::User(name.to_owned()) };
    Caller::new(name, Grants::one(None, role), means)
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
        assert_eq!(key_of(&headers("x-api-key", "k")), Some(Some("k")));
        assert_eq!(key_of(&headers("authorization", "bearer k")), Some(Some("k")));
        assert_eq!(key_of(&headers("authorization", "Basic k")), Some(None));
        assert_eq!(key_of(&headers("authorization", "k")), Some(None));
        assert_eq!(key_of(&HeaderMap::new()), None);
    }

    #[test]
    fn a_role_may_do_what_lower_roles_may() {
        assert!(test_caller("ann", Role::Admin).needs(Role::Viewer).is_ok());
        let refused = test_caller("ann", Role::Viewer).needs(Role::Operator).unwrap_err();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    }
}
