//! API keys: listed without what they are, made and told once, revoked.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use bus::clock;
use domain::Timestamp;
use domain::access::{Grant, Grants, KeyRecord};
use domain::audit::{Documents, Object};
use domain::token::Slug;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::audit::{self, Deed};
use crate::caller::Caller;
use crate::context::App;
use crate::idempotency::Unkept;
use crate::openapi::shapes::{Accepted, Listed, Thing};
use crate::problem::Problem;
use crate::request::{Body, Page, Params, Segments};
use crate::wishes;

const NAME_BYTES_MAX: usize = 200;
const ROLES_MAX: usize = 200;
/// More would not be keys of people and their programs any more; all of them are held in memory.
const KEYS_MAX: usize = 10_000;

/// What is to be made.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewKey)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Wanted {
    /// Whose it is; without one the caller's.
    user: Option<String>,
    /// What the user calls it.
    name: String,
    /// Each with a `role`, and the `workspace` it is for; without one it is for all.
    #[schema(value_type = Vec<Thing>)]
    roles: Vec<Grant>,
    #[schema(value_type = Option<String>)]
    expires_at: Option<Timestamp>,
    for_seconds: Option<u64>,
}

/// `GET /keys`: one's own, and those one looks after.
#[utoipa::path(get, path = "/keys", params(Page), responses((status = 200, description = "A page of keys, without what they are", body = Listed)))]
pub(super) async fn list(State(app): State<App>, caller: Caller, Params(page): Params<Page>) -> Json<Value> {
    let now = clock::now();
    let keys = app.access.keys.all();
    let seen = keys.iter().filter(|key| concerns(&caller, key));
    Json(page.of(seen.map(|key| shape(&caller, key, now))))
}

/// `POST /keys`: for an admin of every workspace that it opens. The key is told this once, and kept nowhere.
#[utoipa::path(post, path = "/keys", request_body = Wanted, responses((status = 201, description = "It is made, and told this once", body = Thing)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    let name = fitting("name", wanted.name)?;
    let user = wanted.user.map(|user| fitting("user", user)).transpose()?;
    if wanted.roles.is_empty() || wanted.roles.len() > ROLES_MAX {
        return Err(Problem::invalid_field("roles", format!("has none, or more than {ROLES_MAX}")));
    }
    for (n, grant) in wanted.roles.iter().enumerate() {
        let Some(workspace) = &grant.workspace else { continue };
        if !caller.sees(workspace) || app.catalog.workspace(workspace.as_str()).is_none() {
            let message = format!("there is no workspace {workspace}");
            return Err(Problem::invalid_field(&format!("roles[{n}].workspace"), message));
        }
    }
    let roles: Grants = wanted.roles.into();
    if !caller.grants.administer(&roles) {
        let detail = "a key is made by an admin of every workspace that it opens";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let keys = &app.access.keys;
    if keys.all().len() >= KEYS_MAX {
        return Err(Problem::conflict(format!("there are {KEYS_MAX} keys already: revoke some")));
    }
    let record = KeyRecord {
        id: Uuid::new_v4(),
        user: user.unwrap_or_else(|| caller.name.clone()),
        name,
        roles,
        sha256: String::new(),
        created_at: clock::now(),
        created_by: caller.name.clone(),
        expires_at: wishes::end("expiresAt", wanted.expires_at, wanted.for_seconds)?,
    };
    let (record, key, revision) = keys.create(record).await?;
    note(&app, &caller, "create", &record, revision).await?;
    let mut told = shape(&caller, &record, clock::now());
    told["key"] = json!(key.expose_secret());
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Extension(Unkept), Json(told)).into_response())
}

/// `DELETE /keys/{id}`: one's own, or one that one looks after. It opens nothing from now on, nor do its sessions.
#[utoipa::path(delete, path = "/keys/{id}", responses((status = 200, description = "It opens nothing any more", body = Accepted)))]
pub(super) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Segments(text): Segments<String>,
) -> Result<Json<Value>, Problem> {
    let key = Uuid::parse_str(&text).ok().and_then(|id| app.access.keys.get(id));
    let key = key.filter(|key| concerns(&caller, key));
    let key = key.ok_or_else(|| Problem::not_found(format_args!("key {text}")))?;
    let revision = app.access.keys.revoke(key.id).await?;
    note(&app, &caller, "revoke", &key, revision).await?;
    Ok(Json(json!({ "id": key.id, "name": key.name, "message": "revoked" })))
}

/// Whether the caller sees the key and may revoke it. One's own is that of the same user, as far as the caller is in
/// all of its workspaces: users of the same name may be two people.
fn concerns(caller: &Caller, key: &KeyRecord) -> bool {
    let own = || {
        let seen =
            |grant: Grant| grant.workspace.map_or(caller.sees_all(), |workspace| caller.sees(&workspace));
        key.user == caller.name && key.roles.iter().all(seen)
    };
    caller.means.key_id == Some(key.id) || caller.grants.administer(&key.roles) || own()
}

fn fitting(field: &str, text: String) -> Result<String, Problem> {
    let text = text.trim();
    if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
        let message = format!("is empty, longer than {NAME_BYTES_MAX} bytes, or has control characters");
        return Err(Problem::invalid_field(field, message));
    }
    Ok(text.to_owned())
}

fn shape(caller: &Caller, key: &KeyRecord, now: Timestamp) -> Value {
    json!({
        "id": key.id,
        "user": key.user,
        "name": key.name,
        "roles": key.roles,
        "createdAt": key.created_at,
        "createdBy": key.created_by,
        "expiresAt": key.expires_at,
        "expired": key.is_over(now),
        "current": caller.means.key_id == Some(key.id),
    })
}

/// One event in the audit of each workspace that it opens, which tells of that one alone.
async fn note(
    app: &App,
    caller: &Caller,
    action: &str,
    key: &KeyRecord,
    revision: u64,
) -> Result<(), Problem> {
    for Grant { workspace, role } in key.roles.iter() {
        let state = json!({ "user": key.user, "name": key.name, "role": role, "expiresAt": key.expires_at });
        let (before, after, documents) = match action {
            "create" => (None, Some(revision), Documents::between(None, Some(state))),
            _ => (Some(revision), None, Documents::between(Some(state), None)),
        };
        let object = Object { kind: "Key".to_owned(), id: key.id.to_string(), name: key.name.clone() };
        let workspace: Slug = workspace.unwrap_or_else(audit::everywhere);
        let deed = Deed { action, workspace: &workspace, object, before, after, documents };
        audit::note(&app.bus, caller, deed).await?;
    }
    Ok(())
}
