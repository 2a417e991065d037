//! What an App does about itself: installations, tokens, its delivery list, its rate limit.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::auth::Caller;
use crate::hooks::{Delivery, Hook, HookBody};
use crate::payload;
use crate::reply::Reply;
use crate::shared::Shared;

type Cx = State<Arc<Shared>>;

pub(super) async fn show(State(cx): Cx) -> Reply {
    let id = cx.options.app.as_ref().map(|app| app.id.clone());
    Reply::ok(json!({ "id": id, "slug": "sample-app", "name": "Sample App", "html_url": cx.base_url }))
}

pub(super) async fn installation(State(cx): Cx, Path((owner, repo)): Path<(String, String)>) -> Reply {
    let Some(app) = &cx.options.app else { return Reply::not_found() };
    let state = cx.stage.lock();
    let exists = state.repos.contains_key(&crate::shared::key(&owner, &repo));
    let Some(found) = app.installations.iter().find(|i| exists && i.covers(&owner, &repo)) else {
        return Reply::not_found();
    };
    let suspended_at = state.suspended.contains(&found.id).then(|| payload::time(state.now()));
    let selection = if found.repositories.is_some() { "selected" } else { "all" };
    Reply::ok(json!({
        "id": found.id,
        "app_id": app.id.parse::<u64>().ok(),
        "client_id": app.id,
        "account": { "login": found.account, "type": "Organization" },
        "repository_selection": selection,
        "access_tokens_url": format!("{}/app/installations/{}/access_tokens", cx.base_url, found.id),
        "permissions": found.permissions,
        "events": ["push", "workflow_job", "workflow_run"],
        "suspended_at": suspended_at,
    }))
}

pub(super) async fn mint(State(cx): Cx, Path(id): Path<u64>, headers: HeaderMap, body: Bytes) -> Reply {
    let asked = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&body) };
    let Ok(asked) = asked else { return Reply::error(StatusCode::BAD_REQUEST, "Problems parsing JSON") };
    let forced = headers.get("x-github-stateless-s2s-token").is_some_and(|v| v == "enabled");
    let stateless = cx.options.stateless_tokens || forced;
    match cx.stage.change(|state| state.mint(id, &asked, stateless)) {
        Ok(token) => Reply::json(StatusCode::CREATED, token),
        Err(refusal) => refusal,
    }
}

pub(super) async fn rate_limit(State(cx): Cx, Extension(caller): Extension<Caller>) -> Reply {
    let mut state = cx.stage.lock();
    let now = state.now();
    Reply::ok(state.meter.report(&caller.budget(), now))
}

/// GHES tells its version here; github.com has no such field.
pub(super) async fn meta(State(cx): Cx) -> Reply {
    if cx.options.returns_run_details {
        return Reply::ok(json!({ "verifiable_password_authentication": false }));
    }
    Reply::ok(json!({ "verifiable_password_authentication": true, "installed_version": "3.19.0" }))
}

/// Newest first, with an opaque cursor in the `Link` header.
pub(super) async fn deliveries(State(cx): Cx, Query(query): Query<HashMap<String, String>>) -> Reply {
    page(&cx, &query, "app/hook/deliveries")
}

/// A page of the log that is found under `path`.
pub(super) fn page(cx: &Shared, query: &HashMap<String, String>, path: &str) -> Reply {
    let per_page = query.get("per_page").and_then(|n| n.parse().ok()).unwrap_or(30).clamp(1, 100);
    let before = query.get("cursor").and_then(|c| c.strip_prefix("v1_")).and_then(|c| c.parse::<u64>().ok());
    let status = query.get("status").map(String::as_str);
    let wanted = |d: &&Delivery| {
        before.is_none_or(|before| d.id < before)
            && match status {
                Some("failure") => d.failed(),
                Some("success") => !d.failed(),
                Some(_) | None => true,
            }
    };
    let state = cx.stage.lock();
    let mut page: Vec<&Delivery> = state.deliveries.iter().rev().filter(wanted).take(per_page + 1).collect();
    let more = page.len() > per_page;
    page.truncate(per_page);
    let repo_id = |d: &Delivery| d.run_id.and_then(|id| state.runs.get(&id)).map(|r| r.run.place.repo_id);
    let reply = Reply::ok(page.iter().map(|d| payload::delivery(d, repo_id(d))).collect());
    let Some(last) = page.last().filter(|_| more) else { return reply };
    let status = status.map(|s| format!("&status={s}")).unwrap_or_default();
    let next =
        format!("<{}/{path}?per_page={per_page}&cursor=v1_{}{status}>; rel=\"next\"", cx.base_url, last.id);
    match HeaderValue::from_str(&next) {
        Ok(link) => reply.header(header::LINK, link),
        Err(_) => Reply::error(StatusCode::BAD_REQUEST, "Invalid status"),
    }
}

pub(super) async fn delivery(State(cx): Cx, Path(id): Path<u64>) -> Reply {
    let state = cx.stage.lock();
    let Some(found) = state.deliveries.iter().find(|d| d.id == id) else { return Reply::not_found() };
    let mut shown = payload::delivery(found, None);
    let body: Value = serde_json::from_slice(&found.payload).unwrap_or(Value::Null);
    shown["request"] = json!({ "headers": { "X-GitHub-Delivery": found.guid }, "payload": body });
    Reply::ok(shown)
}

/// Sends the delivery again with its old GUID, a moment later.
pub(super) async fn redeliver(State(cx): Cx, Path(id): Path<u64>) -> Reply {
    again(&cx, id)
}

/// The answer to a wish for one more attempt.
pub(super) fn again(cx: &Shared, id: u64) -> Reply {
    cx.stage.change(|state| {
        let Some(found) = state.deliveries.iter().find(|d| d.id == id) else { return Reply::not_found() };
        let hook = Hook::again(found);
        state.post(hook);
        Reply::json(StatusCode::ACCEPTED, json!({}))
    })
}

impl Hook {
    /// The same delivery once more.
    pub(crate) fn again(of: &Delivery) -> Self {
        Self {
            guid: of.guid.clone(),
            event: of.event.clone(),
            action: of.action.clone(),
            run_id: of.run_id,
            body: HookBody::Ready(of.payload.clone()),
            redelivery: true,
            copies: 1,
        }
    }
}
