//! Freezes: people say that nothing new starts, and that it may again.

use crate::openapi::shapes::{Accepted, Flat, Listed};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bus::clock;
use chrono::SecondsFormat;
use domain::Timestamp;
use domain::entity::{CatalogKey, Entity, Freeze, Kind, Record};
use domain::id::FreezeId;
use domain::token::Slug;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::entities;
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
pub(super) struct NewFreeze {
    name: Option<String>,
    selector: Option<String>,
    environment: Option<String>,
    #[serde(default)]
    reason: String,
    #[schema(value_type = Option<String>)]
    from: Option<Timestamp>,
    #[schema(value_type = Option<String>)]
    until: Option<Timestamp>,
    for_seconds: Option<u64>,
}

/// `POST /freezes`: the freeze of that name becomes this one. Who says it answers for it.
#[utoipa::path(post, path = "/freezes", params(Precondition), request_body = NewFreeze, responses((status = 202, description = "It is frozen", body = Flat)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    precondition: Precondition,
    Body(new): Body<NewFreeze>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let selector = selector(&app, &workspace, new.selector, new.environment.as_ref())?;
    let until = wishes::end("until", new.until, new.for_seconds)?;
    let name = new.name.unwrap_or_else(|| {
        format!("{}-{}", caller.name, clock::now().to_rfc3339_opts(SecondsFormat::Millis, true))
    });
    let meta = wishes::meta(&workspace, FreezeId::of(&workspace, &name).0, name);
    let owner = caller.name.clone();
    let spec = Freeze { selector, reason: new.reason, owner, from: new.from, until, thawed_by: None };
    let written =
        wishes::declare(&app, &caller, Entity::Freeze(Record { meta, spec }), &precondition).await?;
    Ok(Tagged::new(StatusCode::ACCEPTED, written.revision, flat(&written.after)))
}

/// `GET /freezes`, those that are over among them: by themselves, or thawed in the last thirty days (`thawedBy`)
#[utoipa::path(get, path = "/freezes", params(Page, Cel), responses((status = 200, description = "A page of them", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
    Params(cel): Params<Cel>,
) -> Result<Json<Value>, Problem> {
    entities::list(&app, &caller, &w, Kind::Freeze, page, &cel)
}

/// `DELETE /freezes/{name-or-id}`: it ends now. One that had begun is listed as over for thirty days.
#[utoipa::path(delete, path = "/freezes/{name}", params(Precondition), responses((status = 200, description = "It is gone", body = Accepted)))]
pub(super) async fn thaw(
    State(app): State<App>,
    caller: Caller,
    Segments((w, name)): Segments<(String, String)>,
    precondition: Precondition,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let id = Uuid::parse_str(&name).unwrap_or_else(|_name| FreezeId::of(&workspace, &name).0);
    let key = CatalogKey { workspace, kind: Kind::Freeze, id };
    Ok(Json(wishes::withdraw(&app, &caller, &key, &format!("freeze {name}"), &precondition).await?))
}

/// Where: by an expression, in an environment, or everywhere.
fn selector(
    app: &App,
    workspace: &Slug,
    selector: Option<String>,
    environment: Option<&String>,
) -> Result<String, Problem> {
    match (selector, environment) {
        (None, None) => Ok("true".to_owned()),
        (Some(selector), None) => Ok(selector),
        (Some(_), Some(_)) => {
            Err(Problem::invalid_field("environment", "is given together with selector; give one"))
        }
        (None, Some(text)) => {
            let environment = wishes::named(app, workspace, Kind::Environment, "environment", text)?;
            // A name in quotes, with what is special in it escaped, reads the same in JSON and in CEL.
            Ok(format!("environment.name == {}", json!(environment.meta().name)))
        }
    }
}
