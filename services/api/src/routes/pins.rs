//! Pins: people say that one version and no other may go somewhere.

use crate::openapi::shapes::{Accepted, Flat, Listed};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::entity::{CatalogKey, Entity, Kind, Pin, Record};
use domain::id::{DeploymentId, EnvironmentId, PinId, ResourceId, VersionId};
use domain::target::TargetKey;
use domain::token::Slug;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::entities;
use super::targets::{known_target, parse_target};
use crate::applicable::Places;
use crate::auth::Role;
use crate::caller::Caller;
use crate::context::App;
use crate::problem::Problem;
use crate::request::{Body, Cel, Page, Params, Segments};
use crate::rest::etag::{Precondition, Tagged};
use crate::shape::flat;
use crate::wishes;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewPin {
    #[serde(default)]
    deployment: String,
    environment: Option<String>,
    resource: Option<String>,
    #[serde(default)]
    version: String,
    #[serde(default)]
    reason: String,
}

/// `POST /pins`: the pin of the same place becomes this one.
#[utoipa::path(post, path = "/pins", params(Precondition), request_body = NewPin, responses((status = 202, description = "It is pinned", body = Flat)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    precondition: Precondition,
    Body(new): Body<NewPin>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let of = |kind: Kind, field: &str, text: Option<&String>| {
        wishes::named_if(&app, &workspace, kind, field, text)
    };
    let deployment = wishes::named(&app, &workspace, Kind::Deployment, "deployment", &new.deployment)?;
    let environment = of(Kind::Environment, "environment", new.environment.as_ref())?;
    let resource = of(Kind::Resource, "resource", new.resource.as_ref())?;
    let places = Places {
        deployment: DeploymentId(deployment.meta().id),
        environment: environment.map(|environment| EnvironmentId(environment.meta().id)),
        resource: resource.map(|resource| ResourceId(resource.meta().id)),
    };
    declare(&app, &caller, &workspace, places, &new.version, new.reason, &precondition).await
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewPinHere {
    #[serde(default)]
    version: String,
    #[serde(default)]
    reason: String,
}

/// `POST /release-targets/{key}/pin`
#[utoipa::path(post, path = "/release-targets/{key}/pin", params(Precondition), request_body = NewPinHere, responses((status = 202, description = "It is pinned", body = Flat)))]
pub(super) async fn pin_target(
    State(app): State<App>,
    caller: Caller,
    Segments((w, key)): Segments<(String, String)>,
    precondition: Precondition,
    Body(new): Body<NewPinHere>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let places = whole(known_target(&app, &workspace, &key)?);
    declare(&app, &caller, &workspace, places, &new.version, new.reason, &precondition).await
}

/// `DELETE /release-targets/{key}/pin`: the pin of this very target, and no wider one
#[utoipa::path(delete, path = "/release-targets/{key}/pin", params(Precondition), responses((status = 200, description = "It is gone", body = Accepted)))]
pub(super) async fn unpin_target(
    State(app): State<App>,
    caller: Caller,
    Segments((w, key)): Segments<(String, String)>,
    precondition: Precondition,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let id = id_of(whole(parse_target(&key)?)).0;
    let what = format!("pin of the release target {key}");
    let key = CatalogKey { workspace, kind: Kind::Pin, id };
    Ok(Json(wishes::withdraw(&app, &caller, &key, &what, &precondition).await?))
}

/// `GET /pins`
#[utoipa::path(get, path = "/pins", params(Page, Cel), responses((status = 200, description = "A page of them", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
    Params(cel): Params<Cel>,
) -> Result<Json<Value>, Problem> {
    entities::list(&app, &caller, &w, Kind::Pin, page, &cel)
}

/// `DELETE /pins/{id}`
#[utoipa::path(delete, path = "/pins/{id}", params(Precondition), responses((status = 200, description = "It is gone", body = Accepted)))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Segments((w, id)): Segments<(String, String)>,
    precondition: Precondition,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let key = wishes::key_of(&workspace, Kind::Pin, &id)?;
    Ok(Json(wishes::withdraw(&app, &caller, &key, &format!("pin {id}"), &precondition).await?))
}

async fn declare(
    app: &App,
    caller: &Caller,
    workspace: &Slug,
    places: Places,
    version: &str,
    reason: String,
    precondition: &Precondition,
) -> Result<Tagged, Problem> {
    let version = wishes::version(app, workspace, places.deployment, version)?;
    let meta = wishes::meta(workspace, id_of(places).0, "pin".to_owned());
    let spec = Pin {
        deployment: places.deployment,
        environment: places.environment,
        resource: places.resource,
        version: VersionId(version.meta.id),
        reason,
        created_by: caller.name.clone(),
    };
    let written = wishes::declare(app, caller, Entity::Pin(Record { meta, spec }), precondition).await?;
    Ok(Tagged::new(StatusCode::ACCEPTED, written.revision, flat(&written.after)))
}

fn whole(target: TargetKey) -> Places {
    Places {
        deployment: target.deployment,
        environment: Some(target.environment),
        resource: Some(target.resource),
    }
}

fn id_of(places: Places) -> PinId {
    PinId::of(places.deployment, places.environment, places.resource)
}
