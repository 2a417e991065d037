//! What every call passes: scripted faults, the token, the call log. Knows nothing of what an endpoint does.

use crate::faults::FaultKind;
use crate::reply::{Refusal, json_response};
use crate::state::{Call, Shared};
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, header};
use misbehaviour::Cord;
use serde_json::Value;
use std::sync::Arc;

/// The layer around all routes.
pub(crate) async fn gate(
    State(cx): State<Arc<Shared>>,
    ConnectInfo(cord): ConnectInfo<Cord>,
    request: Request,
    next: Next,
) -> Response {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let note = |status: Option<u16>| {
        cx.lock().note(Call { method: method.clone(), path: path.clone(), status });
    };
    let fault = cx.lock().faults.take(&method, &path);
    match fault {
        None => {
            let response = admitted(&cx, request, next).await;
            note(Some(response.status().as_u16()));
            response
        }
        Some(FaultKind::Answer { status, headers, body }) => {
            note(Some(status));
            scripted(status, &headers, body)
        }
        Some(FaultKind::DropBeforeEffect) => {
            note(None);
            cord.cut();
            StatusCode::NO_CONTENT.into_response()
        }
        Some(FaultKind::DropAfterEffect) => {
            let response = admitted(&cx, request, next).await;
            note(None);
            cord.cut();
            response
        }
        Some(FaultKind::HangAfterEffect) => {
            let response = admitted(&cx, request, next).await;
            note(None);
            // Ends when the client gives up (which drops this future) or the fake stops.
            cx.stop.cancelled().await;
            cord.cut();
            response
        }
        Some(FaultKind::ErrorAfterEffect { status, body }) => {
            admitted(&cx, request, next).await;
            note(Some(status));
            scripted(status, &[], body)
        }
    }
}

async fn admitted(cx: &Shared, request: Request, next: Next) -> Response {
    let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default().to_owned();
    if cx.options.tokens.contains(&token) {
        return next.run(request).await;
    }
    if !cx.options.readers.contains(&token) {
        return Refusal::unauthenticated().into_response();
    }
    if request.method() == Method::GET {
        return next.run(request).await;
    }
    let words = "workflows.argoproj.io is forbidden: User \"system:serviceaccount:ci:reader\" cannot create resource \"workflows\"";
    Refusal::forbidden(words).into_response()
}

fn scripted(status: u16, headers: &[(String, String)], body: String) -> Response {
    let mut builder = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder.body(body.into()).unwrap_or_else(|_| {
        json_response(StatusCode::INTERNAL_SERVER_ERROR, &Value::from("no HTTP in this script"))
    })
}
