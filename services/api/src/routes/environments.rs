//! Environments.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::entity::{Entity, Kind, Metadata};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::entities;
use crate::caller::Caller;
use crate::context::App;
use crate::openapi::shapes::{Flat, Listed};
use crate::problem::Problem;
use crate::request::{Body, Cel, Page, Params, Segments};
use crate::rest::etag::{Precondition, Tagged};
use crate::rest::{self, Draft, To};
use crate::shape::NOTHING;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewEnvironment {
    name: String,
    description: Option<String>,
    /// CEL over `resource`; nothing where it is left out.
    resource_selector: Option<String>,
    /// Systems by id or name. Left out: as it is, in none where it is new.
    system_ids: Option<Vec<String>>,
    metadata: Option<Metadata>,
}

/// `GET /environments`
#[utoipa::path(get, path = "/environments", params(Page, Cel), responses((status = 200, description = "A page of them", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
    Params(cel): Params<Cel>,
) -> Result<Json<Value>, Problem> {
    entities::list(&app, &caller, &w, Kind::Environment, page, &cel)
}

/// `GET /environments/{e}`
#[utoipa::path(get, path = "/environments/{e}", responses((status = 200, description = "An environment and its systems", body = Flat)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments((w, e)): Segments<(String, String)>,
) -> Result<Tagged, Problem> {
    entities::one(&app, &caller, &w, Kind::Environment, &e).await
}

/// `DELETE /environments/{e}`
#[utoipa::path(delete, path = "/environments/{e}", responses((status = 202, description = "It is gone", body = Flat)))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Segments((w, e)): Segments<(String, String)>,
    precondition: Precondition,
) -> Result<Tagged, Problem> {
    entities::delete(&app, &caller, &w, Kind::Environment, &e, &precondition).await
}

/// `POST /environments`
#[utoipa::path(post, path = "/environments", request_body = NewEnvironment, responses((status = 202, description = "It is there", body = Flat)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    precondition: Precondition,
    Body(body): Body<NewEnvironment>,
) -> Result<Tagged, Problem> {
    write(&app, &caller, &w, To::New, &precondition, body, StatusCode::ACCEPTED).await
}

/// `PUT /environments/{e}`
#[utoipa::path(put, path = "/environments/{e}", request_body = NewEnvironment, responses((status = 202, description = "It is as it was sent", body = Flat)))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Segments((w, e)): Segments<(String, String)>,
    precondition: Precondition,
    Body(body): Body<NewEnvironment>,
) -> Result<Tagged, Problem> {
    write(&app, &caller, &w, To::Named(&e), &precondition, body, StatusCode::ACCEPTED).await
}

async fn write(
    app: &App,
    caller: &Caller,
    w: &str,
    to: To<'_>,
    precondition: &Precondition,
    body: NewEnvironment,
    status: StatusCode,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(caller, w)?;
    let says_systems = body.system_ids.is_some();
    let selector = body.resource_selector.filter(|selector| !selector.trim().is_empty());
    let entity = Draft::new(Kind::Environment, body.name, body.metadata)
        .with("description", body.description)
        .with("resourceSelector", Some(selector.unwrap_or_else(|| NOTHING.to_owned())))
        .with("systems", Some(body.system_ids.unwrap_or_default()))
        .called(&[("systems", "systemIds")])
        .entity(caller, &workspace)?;
    let written = rest::write(app, caller, to, precondition, entity, move |before, after| {
        if let (Entity::Environment(before), Entity::Environment(after)) = (before, after)
            && !says_systems
        {
            after.spec.systems.clone_from(&before.spec.systems);
        }
    })
    .await?;
    Ok(entities::written(app, status, &written))
}

/// `GET /environments/name/{name}`
#[utoipa::path(get, path = "/environments/name/{name}", responses((status = 200, description = "An environment", body = Flat)))]
pub(super) async fn by_name(
    State(app): State<App>,
    caller: Caller,
    Segments((w, name)): Segments<(String, String)>,
) -> Result<Tagged, Problem> {
    entities::one(&app, &caller, &w, Kind::Environment, &name).await
}
