//! From a request to a verb on a resource: sign in, misbehave, authorise, do, answer.

use crate::access::{User, forbidden, status};
use crate::chaos::FaultKind;
use crate::server::{Call, Shared};
use crate::verbs::{self, Target};
use ::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(handle).with_state(shared)
}

/// An answer before it is sent.
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) body: Body,
    pub(crate) retry_after: Option<u64>,
}

impl Reply {
    pub(crate) fn json(code: u16, value: &Value) -> Self {
        Self { code, body: Body::from(value.to_string()), retry_after: None }
    }

    pub(crate) fn refused(status: &Value) -> Self {
        let code = status["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
        Self::json(code, status)
    }
}

async fn handle(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = uri.to_string();
    let fault = fault(&shared, method.as_str(), &target);
    let reply = match &fault {
        Some(FaultKind::Answer { code, message, retry_after }) => {
            let mut reply = Reply::json(*code, &status(*code, "", message, "", "x"));
            reply.retry_after = *retry_after;
            reply
        }
        Some(FaultKind::DropBefore) => Reply { code: 200, body: broken(), retry_after: None },
        Some(FaultKind::DropAfterEffect) => {
            act(&shared, &method, &uri, &headers, &body);
            Reply { code: 200, body: broken(), retry_after: None }
        }
        Some(FaultKind::Delay(time)) => {
            tokio::time::sleep(*time).await;
            act(&shared, &method, &uri, &headers, &body)
        }
        None => act(&shared, &method, &uri, &headers, &body),
    };
    shared.world().calls.push(Call { method: method.to_string(), target, status: reply.code });
    let mut response = Response::new(reply.body);
    *response.status_mut() = StatusCode::from_u16(reply.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Some(after) = reply.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, after.into());
    }
    response
}

/// A body that breaks off: the connection is closed in the middle of the answer.
fn broken() -> Body {
    let begun = [Ok(Bytes::from_static(b"{")), Err(io::Error::from(io::ErrorKind::ConnectionReset))];
    Body::from_stream(futures::stream::iter(begun))
}

fn fault(shared: &Shared, method: &str, target: &str) -> Option<FaultKind> {
    let mut world = shared.world();
    if let Some(fault) = world.faults.iter_mut().find(|fault| fault.fits(method, target)) {
        fault.times = fault.times.saturating_sub(if fault.times == u32::MAX { 0 } else { 1 });
        return Some(fault.kind.clone());
    }
    let chaos = world.chaos.clone();
    let answer = |code, message: &str, retry_after| FaultKind::Answer {
        code,
        message: message.to_owned(),
        retry_after,
    };
    if world.dice.falls(chaos.limited) {
        return Some(answer(429, "the server has received too many requests", Some(1)));
    }
    if world.dice.falls(chaos.broken) {
        return Some(answer(500, "etcdserver: request timed out", None));
    }
    world.dice.falls(chaos.lost).then_some(FaultKind::DropAfterEffect)
}

fn act(shared: &Arc<Shared>, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Reply {
    let user = match signed_in(shared, headers) {
        Ok(user) => user,
        Err(refused) => return Reply::refused(&refused),
    };
    let query = query(uri);
    let Some(target) = Target::parse(uri.path()) else {
        return Reply::refused(&status(
            404,
            "NotFound",
            "the server could not find the requested resource",
            "",
            "",
        ));
    };
    let verb = match (method.as_str(), target.name.is_empty(), query.contains_key("watch")) {
        ("GET", true, true) => "watch",
        ("GET", true, false) => "list",
        ("GET", false, _) => "get",
        ("PATCH", false, _) => "patch",
        ("POST", true, _) => "create",
        ("DELETE", false, _) => "delete",
        _ => {
            return Reply::refused(&status(
                405,
                "MethodNotAllowed",
                "the server does not allow this method",
                "",
                "",
            ));
        }
    };
    let refuse = |verb: &str| {
        let Target { group, namespace, resource, name } = &target;
        Reply::refused(&forbidden(&user.name, verb, resource, group, namespace, name))
    };
    if !user.may(verb, &target.resource) {
        return refuse(verb);
    }
    let apply = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/apply-patch+yaml");
    if apply && !exists(shared, &target) && !user.may("create", &target.resource) {
        return refuse("create");
    }
    match verb {
        "watch" => {
            let version = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
            let seconds = query.get("timeoutSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(300);
            let selector = query.get("labelSelector").map_or("", String::as_str);
            let body =
                crate::list::follow(shared, &target.resource, &target.namespace, selector, version, seconds);
            Reply { code: 200, body, retry_after: None }
        }
        "list" => verbs::list(shared, &target, &query),
        "get" => verbs::get(shared, &target),
        "create" => verbs::create(shared, &target, &query, body),
        "patch" if apply => verbs::apply(shared, &target, &query, body),
        "patch" => verbs::patch(shared, &target, body),
        _ => verbs::delete(shared, &target),
    }
}

fn exists(shared: &Shared, target: &Target) -> bool {
    shared.world().store.get(&target.resource, &target.namespace, &target.name).is_some()
}

fn signed_in(shared: &Shared, headers: &HeaderMap) -> Result<User, Value> {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let world = shared.world();
    world.users.iter().find(|user| user.token == token).cloned().ok_or_else(|| {
        let mut refused = status(401, "Unauthorized", "Unauthorized", "", "");
        refused["details"] = json!({});
        refused
    })
}

fn query(uri: &Uri) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}

/// How long a script waits, so that it ends with the fake.
pub(crate) async fn wait(shared: &Shared, time: Duration) -> bool {
    shared.over.run_until_cancelled(tokio::time::sleep(time)).await.is_some()
}
