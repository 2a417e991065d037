//! Reading and deleting entities of any kind, as they stand in the catalog.

use crate::openapi::shapes::{Accepted, Thing};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use domain::entity::{Entity, Kind};
use domain::token::Slug;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::auth::Role;
use crate::caller::Caller;
use crate::context::App;
use crate::documents;
use crate::problem::Problem;
use crate::request::{Cel, Page, Params, Segments};
use crate::rest::etag::{Precondition, Tagged};
use crate::rest::{self, remove};

#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(super) struct Query {
    /// `manifest`: as it would stand in a file.
    format: Option<String>,
}

/// `GET /catalog/{kind}?cel=&limit=&offset=`
#[utoipa::path(get, path = "/catalog/{kind}", params(Page, Cel, Query), responses((status = 200, description = "A page of them, or a file of manifests", content((Thing = "application/json"), (String = "application/yaml")))))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments((w, kind)): Segments<(String, String)>,
    Params(page): Params<Page>,
    Params(cel): Params<Cel>,
    Params(query): Params<Query>,
) -> Result<Response, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let kind = parse_kind(&kind)?;
    let entities = cel.of(kind, app.catalog.entities(&workspace, kind))?;
    if query.is_manifest()? {
        let part = entities.iter().skip(page.offset()).take(page.limit());
        return manifest(&app, part);
    }
    Ok(Json(page.show(&entities, |entity| json!(entity))).into_response())
}

/// `GET /catalog/{kind}/{name-or-id}?format=manifest`
#[utoipa::path(get, path = "/catalog/{kind}/{name}", params(Query), responses((status = 200, description = "The entity, or a file with its manifest", content((Thing = "application/json"), (String = "application/yaml")))))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments((w, kind, name)): Segments<(String, String, String)>,
    Params(query): Params<Query>,
) -> Result<Response, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let (entity, revision) = rest::read(&app, &workspace, parse_kind(&kind)?, &name).await?;
    if query.is_manifest()? {
        return manifest(&app, [&entity]);
    }
    Ok(Tagged::new(StatusCode::OK, revision, json!(entity)).into_response())
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(super) struct Cascade {
    /// Whether what belongs to it goes with it: a deployment's versions, a version's approvals.
    #[serde(default)]
    cascade: bool,
}

/// `DELETE /catalog/{kind}/{name-or-id}?cascade=`
#[utoipa::path(delete, path = "/catalog/{kind}/{name}", params(Precondition, Cascade), responses((status = 200, description = "It is gone", body = Accepted)))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Segments((w, kind, name)): Segments<(String, String, String)>,
    Params(Cascade { cascade }): Params<Cascade>,
    precondition: Precondition,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Admin)?;
    let entity = find(&app, &workspace, parse_kind(&kind)?, &name)?;
    let deleted = remove::remove(&app, &caller, &entity, cascade, &precondition).await?;
    Ok(Json(json!({
        "id": entity.meta().id, "kind": entity.kind().name(), "name": entity.meta().name,
        "deleted": deleted, "message": "deleted",
    })))
}

fn find(app: &App, workspace: &Slug, kind: Kind, name: &str) -> Result<Entity, Problem> {
    let found = app.catalog.find(workspace, kind, name);
    found.ok_or_else(|| Problem::not_found(format_args!("{} {name}", kind.name())))
}

fn parse_kind(text: &str) -> Result<Kind, Problem> {
    Kind::parse(text).ok_or_else(|| {
        let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        Problem::new(
            StatusCode::NOT_FOUND,
            format!("{text:?} is no kind of entity; there are {}", kinds.join(", ")),
        )
    })
}

fn manifest<'a>(app: &App, entities: impl IntoIterator<Item = &'a Entity>) -> Result<Response, Problem> {
    let text = documents::write(entities, &app.catalog)?;
    Ok(([(CONTENT_TYPE, "application/yaml")], text).into_response())
}

impl Query {
    fn is_manifest(&self) -> Result<bool, Problem> {
        match self.format.as_deref() {
            None | Some("json") => Ok(false),
            Some("manifest") => Ok(true),
            Some(other) => {
                Err(Problem::invalid_field("format", format!("{other:?} is neither json nor manifest")))
            }
        }
    }
}
