//! The list of what a hook was told, and telling it again.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use chrono::TimeDelta;
use http::StatusCode;
use serde_json::{Value, json};

use crate::gate::Caller;
use crate::hooks::{self, HOOK_ID, Hook};
use crate::payload;
use crate::reply::Reply;
use crate::shared::Shared;

/// GitLab lets events be sent again this often per minute.
const RESENDS_PER_MINUTE: usize = 5;

pub(super) async fn list(
    State(cx): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(project): Path<String>,
) -> Result<Reply, Reply> {
    may(&caller)?;
    let state = cx.stage.lock();
    let (id, _) = state.project(&caller, &project)?;
    let hooks: Vec<Value> = state.hook.iter().map(|hook| payload::hook(hook, id)).collect();
    Ok(Reply::ok(json!(hooks)))
}

/// Newest first; `status` is a code or a category.
pub(super) async fn events(
    State(cx): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path((project, hook)): Path<(String, u64)>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Reply, Reply> {
    may(&caller)?;
    let state = cx.stage.lock();
    state.project(&caller, &project)?;
    known(hook)?;
    let wanted = |code: u16| match query.get("status").map(String::as_str) {
        None => true,
        Some("successful") => (200..300).contains(&code),
        Some("client_failure") => (400..500).contains(&code),
        Some("server_failure") => (500..600).contains(&code),
        Some(text) => text.parse() == Ok(code),
    };
    let number = |name: &str, default: usize| query.get(name).and_then(|n| n.parse().ok()).unwrap_or(default);
    let (page, per_page) = (number("page", 1).max(1), number("per_page", 20).min(100));
    let events = state.deliveries.iter().rev().filter(|delivery| wanted(delivery.status_code));
    let events = events.skip((page - 1) * per_page).take(per_page);
    Ok(Reply::ok(events.map(|delivery| payload::hook_event(&cx.base_url, delivery)).collect()))
}

pub(super) async fn resend(
    State(cx): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path((project, hook, event)): Path<(String, u64, u64)>,
) -> Result<Reply, Reply> {
    may(&caller)?;
    let outgoing = {
        let mut state = cx.stage.lock();
        state.project(&caller, &project)?;
        known(hook)?;
        let now = state.now();
        state.resends.retain(|at| now - *at < TimeDelta::minutes(1));
        if state.resends.len() >= RESENDS_PER_MINUTE {
            let why = json!({ "message": { "error": "This endpoint has been requested too many times. Try again later." } });
            return Err(Reply::json(StatusCode::TOO_MANY_REQUESTS, why));
        }
        state.resends.push_back(now);
        let found = state.deliveries.iter().find(|delivery| delivery.id == event);
        Hook::again(found.ok_or_else(Reply::not_found)?)
    };
    let status = hooks::send(&cx, &outgoing).await;
    Ok(Reply::created(json!({ "response_status": status })))
}

fn may(caller: &Caller) -> Result<(), Reply> {
    let maintains = caller.0.as_ref().is_some_and(|token| token.is_maintainer);
    if maintains { Ok(()) } else { Err(Reply::forbidden("")) }
}

fn known(hook: u64) -> Result<(), Reply> {
    if hook == HOOK_ID { Ok(()) } else { Err(Reply::not_found()) }
}
