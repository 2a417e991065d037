//! A repository's webhooks and the log of what was delivered there. The fake has one webhook; here it is every repository's.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use serde_json::json;

use super::app;
use crate::auth::Caller;
use crate::hooks::HOOK_ID;
use crate::reply::Reply;
use crate::shared::Shared;

type Cx = State<Arc<Shared>>;

pub(super) async fn list(
    State(cx): Cx,
    Extension(caller): Extension<Caller>,
    Path((owner, repo)): Path<(String, String)>,
) -> Reply {
    let mut state = cx.stage.lock();
    if let Err(refusal) = state.repo(&caller, &owner, &repo) {
        return refusal;
    }
    let hooks = state.webhook.iter().map(|webhook| {
        json!({
            "type": "Repository",
            "id": HOOK_ID,
            "name": "web",
            "active": true,
            "events": webhook.events,
            "config": { "content_type": "json", "insecure_ssl": "0", "url": webhook.url },
        })
    });
    Reply::ok(hooks.collect())
}

pub(super) async fn deliveries(
    State(cx): Cx,
    Extension(caller): Extension<Caller>,
    Path((owner, repo, hook)): Path<(String, String, u64)>,
    Query(query): Query<HashMap<String, String>>,
) -> Reply {
    if let Err(refusal) = cx.stage.lock().repo(&caller, &owner, &repo) {
        return refusal;
    }
    if hook != HOOK_ID {
        return Reply::not_found();
    }
    app::page(&cx, &query, &format!("repos/{owner}/{repo}/hooks/{hook}/deliveries"))
}

pub(super) async fn redeliver(
    State(cx): Cx,
    Extension(caller): Extension<Caller>,
    Path((owner, repo, hook, id)): Path<(String, String, u64, u64)>,
) -> Reply {
    if let Err(refusal) = cx.stage.lock().repo(&caller, &owner, &repo) {
        return refusal;
    }
    if hook != HOOK_ID {
        return Reply::not_found();
    }
    app::again(&cx, id)
}
