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

entities::reading! { Environment, "/environments", "/environments/{e}", "An environment and its systems" }
entities::writing! { NewEnvironment, "/environments", "/environments/{e}", 202, ACCEPTED }

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
        .entity(app, caller, &workspace)?;
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
