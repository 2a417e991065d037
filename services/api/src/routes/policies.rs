//! Policies: a PUT replaces all rules.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::entity::{Kind, Metadata};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::entities;
use crate::caller::Caller;
use crate::context::App;
use crate::openapi::shapes::{Flat, Listed, Thing};
use crate::problem::Problem;
use crate::request::{Body, Cel, Page, Params, Segments};
use crate::rest::etag::{Precondition, Tagged};
use crate::rest::{self, Draft, To};

/// What every rule that is read has beside itself.
const OURS: [&str; 3] = ["id", "policyId", "createdAt"];
const EVERYWHERE: &str = "true";

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewPolicy {
    name: String,
    description: Option<String>,
    /// CEL over `environment`, `deployment`, `resource`; everywhere where it is left out.
    selector: Option<String>,
    priority: Option<i32>,
    enabled: Option<bool>,
    /// Each an object with one rule; `id`, `policyId` and `createdAt` beside it are ours.
    #[serde(default)]
    #[schema(value_type = Vec<Thing>)]
    rules: Vec<Map<String, Value>>,
    metadata: Option<Metadata>,
}

/// `GET /policies`
#[utoipa::path(get, path = "/policies", params(Page, Cel), responses((status = 200, description = "A page of them", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
    Params(cel): Params<Cel>,
) -> Result<Json<Value>, Problem> {
    entities::list(&app, &caller, &w, Kind::Policy, page, &cel)
}

/// `GET /policies/{p}`
#[utoipa::path(get, path = "/policies/{p}", responses((status = 200, description = "A policy", body = Flat)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments((w, p)): Segments<(String, String)>,
) -> Result<Tagged, Problem> {
    entities::one(&app, &caller, &w, Kind::Policy, &p).await
}

/// `DELETE /policies/{p}`
#[utoipa::path(delete, path = "/policies/{p}", responses((status = 202, description = "It is gone", body = Flat)))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Segments((w, p)): Segments<(String, String)>,
    precondition: Precondition,
) -> Result<Tagged, Problem> {
    entities::delete(&app, &caller, &w, Kind::Policy, &p, &precondition).await
}

/// `POST /policies`
#[utoipa::path(post, path = "/policies", request_body = NewPolicy, responses((status = 202, description = "It is there", body = Flat)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    precondition: Precondition,
    Body(body): Body<NewPolicy>,
) -> Result<Tagged, Problem> {
    write(&app, &caller, &w, To::New, &precondition, body, StatusCode::ACCEPTED).await
}

/// `PUT /policies/{p}`
#[utoipa::path(put, path = "/policies/{p}", request_body = NewPolicy, responses((status = 202, description = "It is as it was sent", body = Flat)))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Segments((w, p)): Segments<(String, String)>,
    precondition: Precondition,
    Body(body): Body<NewPolicy>,
) -> Result<Tagged, Problem> {
    write(&app, &caller, &w, To::Named(&p), &precondition, body, StatusCode::ACCEPTED).await
}

async fn write(
    app: &App,
    caller: &Caller,
    w: &str,
    to: To<'_>,
    precondition: &Precondition,
    body: NewPolicy,
    status: StatusCode,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(caller, w)?;
    let mut rules = body.rules;
    for rule in &mut rules {
        OURS.iter().for_each(|ours| drop(rule.remove(*ours)));
        // Clients that know every rule send those that it is not as null.
        rule.retain(|_name, value| !value.is_null());
    }
    let entity = Draft::new(Kind::Policy, body.name, body.metadata)
        .with("description", body.description)
        .with("selector", Some(body.selector.unwrap_or_else(|| EVERYWHERE.to_owned())))
        .with("priority", body.priority)
        .with("enabled", body.enabled)
        .with("rules", Some(rules))
        .entity(caller, &workspace)?;
    let written = rest::write(app, caller, to, precondition, entity, |_before, _after| {}).await?;
    Ok(entities::written(app, status, &written))
}
