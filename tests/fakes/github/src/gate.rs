//! What every call passes: scripted faults, credentials, rate limits, conditional requests, the call log.
//! Knows nothing of what an endpoint does.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use crate::auth::{self, Call, TokenKind};
use crate::reply::Reply;
use crate::shared::{CALLS_KEPT, Shared, remember};
use misbehaviour::Cord;
use misbehaviour::FaultKind;

/// No answer of the fake comes near this.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The layer around all routes.
pub(crate) async fn gate(
    State(cx): State<Arc<Shared>>,
    ConnectInfo(cord): ConnectInfo<Cord>,
    request: Request,
    next: Next,
) -> Response {
    let mut log = Log::of(&request);
    let fault = cx.stage.lock().faults.take(&log.method, &log.path);
    let after = match fault {
        None => None,
        Some(FaultKind::Delay(by)) => {
            tokio::select! { () = tokio::time::sleep(by) => {}, () = cx.stage.stop().cancelled() => {} }
            None
        }
        Some(FaultKind::Answer { status, headers, body }) => {
            log.write(&cx, Some(status));
            return scripted(status, &headers, body);
        }
        Some(FaultKind::LateEffect(after)) => return late(&cx, request, next, after, log, &cord).await,
        Some(FaultKind::DropBeforeEffect) => {
            log.write(&cx, None);
            cord.cut();
            return StatusCode::NO_CONTENT.into_response();
        }
        Some(after @ (FaultKind::DropAfterEffect | FaultKind::HangAfterEffect)) => Some(after),
    };

    let response = admitted(&cx, request, next, &mut log).await;

    if after.is_none() {
        log.write(&cx, Some(response.status().as_u16()));
        return response;
    }
    log.write(&cx, None);
    if matches!(after, Some(FaultKind::HangAfterEffect)) {
        // Ends when the client gives up (which drops this future) or the fake stops.
        cx.stage.stop().cancelled().await;
    }
    cord.cut();
    response
}

/// Cuts the connection, and lets the call have its effect later.
async fn late(
    cx: &Arc<Shared>,
    request: Request,
    next: Next,
    after: Duration,
    mut log: Log,
    cord: &Cord,
) -> Response {
    log.write(cx, None);
    let request = match misbehaviour::whole(request).await {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    let server = Arc::clone(cx);
    cx.late.put_off(after, cx.stage.stop().clone(), async move {
        drop(admitted(&server, request, next, &mut log).await);
    });
    cord.cut();
    StatusCode::NO_CONTENT.into_response()
}

/// Credentials, then limits, then the endpoint.
async fn admitted(cx: &Arc<Shared>, mut request: Request, next: Next, log: &mut Log) -> Response {
    if !request.headers().contains_key(header::USER_AGENT) {
        return Reply::forbidden("Request forbidden by administrative rules. Please make sure your request has a User-Agent header")
            .into_response();
    }
    let (kind, caller) = auth::identify(cx, request.headers(), &log.path);
    log.token = kind;
    let caller = match caller {
        Ok(caller) => caller,
        Err(refusal) => return dress(cx, refusal.into_response(), "127.0.0.1"),
    };
    let budget = caller.budget();
    let method = request.method().clone();
    if log.path == "/rate_limit" {
        // Asking is free.
        request.extensions_mut().insert(caller);
        return dress(cx, next.run(request).await, &budget);
    }
    let entered = {
        let mut state = cx.stage.lock();
        let now = state.now();
        state.meter.enter(&budget, &method, now)
    };
    if let Err(refusal) = entered {
        return dress(cx, refusal.into_response(), &budget);
    }
    let mut visit = Visit { cx: Arc::clone(cx), budget: budget.clone(), free: false };
    let if_none_match = request.headers().get(header::IF_NONE_MATCH).cloned();
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    if method == Method::GET && response.status() == StatusCode::OK {
        response = conditional(response, if_none_match.as_ref()).await;
        visit.free = response.status() == StatusCode::NOT_MODIFIED;
    }
    drop(visit);
    dress(cx, response, &budget)
}

/// A call that was let in; leaves the meter when dropped, even if the client went away.
struct Visit {
    cx: Arc<Shared>,
    budget: String,
    free: bool,
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut state = self.cx.stage.lock();
        let now = state.now();
        state.meter.leave(&self.budget, self.free, now);
    }
}

/// Tells bodies apart. Pages are long and the fake is built without optimisation: a cryptographic hash would be most of its work.
fn fingerprint(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    hasher.finish()
}

/// Adds the `ETag`, or answers 304 when the client has this body already.
async fn conditional(response: Response, if_none_match: Option<&HeaderValue>) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = match to_bytes(body, BODY_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(error) => {
            return Reply::error(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
        }
    };
    let etag = format!("W/\"{:016x}\"", fingerprint(&bytes));
    let known = if_none_match
        .and_then(|v| v.to_str().ok())
        .is_some_and(|tags| tags.split(',').any(|tag| same_etag(tag, &etag)));
    let value = HeaderValue::from_str(&etag).expect("hex and quotes are header text");
    parts.headers.insert(header::ETAG, value);
    if known {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// Weak comparison, RFC 9110 section 8.8.3.2.
fn same_etag(one: &str, other: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    one.trim() == "*" || opaque(one) == opaque(other)
}

/// The headers every answer of GitHub's carries.
fn dress(cx: &Shared, mut response: Response, budget: &str) -> Response {
    let (limits, id) = {
        let mut state = cx.stage.lock();
        let now = state.now();
        (state.meter.headers(budget, now), state.dice.number())
    };
    let headers = response.headers_mut();
    headers.extend(limits);
    if let Ok(id) = HeaderValue::from_str(&format!("{id:016X}")) {
        headers.insert(HeaderName::from_static("x-github-request-id"), id);
    }
    let media_type = HeaderValue::from_static("github.v3; format=json");
    headers.insert(HeaderName::from_static("x-github-media-type"), media_type);
    response
}

fn scripted(status: u16, headers: &[(String, String)], body: String) -> Response {
    let mut builder = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder.body(Body::from(body)).unwrap_or_else(|error| {
        Reply::error(StatusCode::INTERNAL_SERVER_ERROR, format!("the scripted answer is no HTTP: {error}"))
            .into_response()
    })
}

/// What the call log will say.
struct Log {
    method: String,
    path: String,
    if_none_match: bool,
    token: TokenKind,
}

impl Log {
    fn of(request: &Request) -> Self {
        let path = request.uri().path();
        Self {
            method: request.method().to_string(),
            path: path.strip_prefix("/api/v3").unwrap_or(path).to_owned(),
            if_none_match: request.headers().contains_key(header::IF_NONE_MATCH),
            token: TokenKind::None,
        }
    }

    fn write(&self, cx: &Shared, status: Option<u16>) {
        cx.stage.change(|state| {
            let call = Call {
                method: self.method.clone(),
                path: self.path.clone(),
                status,
                if_none_match: self.if_none_match,
                token: self.token,
                at: state.now(),
            };
            remember(&mut state.calls, call, CALLS_KEPT);
        });
    }
}
