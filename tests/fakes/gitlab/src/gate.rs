//! What every call passes: scripted faults, tokens, rate limits, the call log. Knows nothing of what an endpoint does.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::options::Token;
use crate::reply::Reply;
use crate::shared::{CALLS_KEPT, Shared, remember};
use misbehaviour::Cord;
use misbehaviour::FaultKind;

/// One API call as the server saw it; never the token itself.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    /// Below `/api/v4`, escaped as it came.
    pub path: String,
    pub query: String,
    /// `None`: the connection was cut, or no answer was ever sent.
    pub status: Option<u16>,
    /// Whether a token came with it in a header.
    pub with_token: bool,
    pub at: DateTime<Utc>,
}

/// Who calls: nobody in particular where a trigger token in the body says it.
#[derive(Clone)]
pub(crate) struct Caller(pub(crate) Option<Token>);

/// The layer around all routes.
pub(crate) async fn gate(
    State(cx): State<Arc<Shared>>,
    ConnectInfo(cord): ConnectInfo<Cord>,
    request: Request,
    next: Next,
) -> Response {
    let log = Log::of(&request);
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
    let response = admitted(&cx, request, next, &log).await;
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
    log: Log,
    cord: &Cord,
) -> Response {
    log.write(cx, None);
    let request = match misbehaviour::whole(request).await {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    let server = Arc::clone(cx);
    cx.late.put_off(after, cx.stage.stop().clone(), async move {
        drop(admitted(&server, request, next, &log).await);
    });
    cord.cut();
    StatusCode::NO_CONTENT.into_response()
}

/// Token, then limit, then the endpoint.
async fn admitted(cx: &Arc<Shared>, mut request: Request, next: Next, log: &Log) -> Response {
    let token = match presented(request.headers()) {
        None if log.path.ends_with("/trigger/pipeline") => None,
        None => return Reply::unauthorized().into_response(),
        Some(text) => match cx.options.tokens.iter().find(|token| token.text == text) {
            Some(token) => Some(token.clone()),
            None => return Reply::unauthorized().into_response(),
        },
    };
    let who = token.as_ref().map_or("", |token| token.text.as_str());
    let (now, standing) = {
        let mut state = cx.stage.lock();
        let now = state.now();
        (now, state.meter.enter(who, now))
    };
    if let Some((standing, false)) = &standing {
        let retry_after = HeaderValue::from(standing.retry_after(now));
        let mut response = (StatusCode::TOO_MANY_REQUESTS, "Retry later\n").into_response();
        response.headers_mut().extend(standing.headers());
        response.headers_mut().insert(header::RETRY_AFTER, retry_after);
        return response;
    }
    let writes = request.method() != http::Method::GET;
    if writes && token.as_ref().is_some_and(|token| !token.may_write) {
        return Reply::insufficient_scope().into_response();
    }
    request.extensions_mut().insert(Caller(token));
    let mut response = next.run(request).await;
    if let Some((standing, _)) = standing {
        response.headers_mut().extend(standing.headers());
    }
    response
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    if let Some(token) = headers.get("private-token") {
        return token.to_str().ok();
    }
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn scripted(status: u16, headers: &[(String, String)], body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// What the call log will say.
struct Log {
    method: String,
    path: String,
    query: String,
    with_token: bool,
}

impl Log {
    fn of(request: &Request) -> Self {
        let path = request.uri().path();
        let below = path.split_once("/api/v4").map_or(path, |(_, below)| below);
        Self {
            method: request.method().to_string(),
            path: below.to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            with_token: presented(request.headers()).is_some(),
        }
    }

    fn write(&self, cx: &Shared, status: Option<u16>) {
        cx.stage.change(|state| {
            let call = Call {
                method: self.method.clone(),
                path: self.path.clone(),
                query: self.query.clone(),
                status,
                with_token: self.with_token,
                at: state.now(),
            };
            remember(&mut state.calls, call, CALLS_KEPT);
        });
    }
}
