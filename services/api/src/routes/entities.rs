//! What the routes of every kind of entity have in common.

use axum::Json;
use axum::http::StatusCode;
use domain::entity::{Entity, Kind};
use domain::token::Slug;
use serde_json::Value;

use super::catalog::selected;
use crate::apply::role_for;
use crate::caller::Caller;
use crate::context::App;
use crate::problem::Problem;
use crate::request::{Cel, Page};
use crate::rest::etag::{Precondition, Tagged};
use crate::rest::{self, remove, shown};
use crate::store::Written;

/// A page of the entities of a kind.
pub(super) fn list(
    app: &App,
    caller: &Caller,
    w: &str,
    kind: Kind,
    page: Page,
    cel: &Cel,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(caller, w)?;
    let entities = selected(app, &workspace, kind, cel.text())?;
    Ok(Json(page.show(&entities, |entity| shown::listed(app, entity))))
}

/// One entity, by id or name.
pub(super) async fn one(
    app: &App,
    caller: &Caller,
    w: &str,
    kind: Kind,
    text: &str,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(caller, w)?;
    let (entity, revision) = rest::read(app, &workspace, kind, text).await?;
    Ok(Tagged::new(StatusCode::OK, revision, shown::whole(app, &entity)))
}

/// Deletes one entity, and what belongs to it.
pub(super) async fn delete(
    app: &App,
    caller: &Caller,
    w: &str,
    kind: Kind,
    text: &str,
    precondition: &Precondition,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(caller, w)?;
    caller.needs(role_for(kind))?;
    let entity = find(app, &workspace, kind, text)?;
    remove::remove(app, caller, &entity, true, precondition).await?;
    let answer = rest::with_message(shown::listed(app, &entity), "deleted");
    Ok(Tagged::new(StatusCode::ACCEPTED, None, answer))
}

/// The entity of a path.
pub(super) fn find(app: &App, workspace: &Slug, kind: Kind, text: &str) -> Result<Entity, Problem> {
    let found = app.catalog.find(workspace, kind, text);
    found.ok_or_else(|| Problem::not_found(format_args!("{} {text}", kind.name())))
}

/// The answer to a write.
pub(super) fn written(app: &App, status: StatusCode, written: &Written) -> Tagged {
    Tagged::new(status, written.revision, rest::accepted(app, written))
}
