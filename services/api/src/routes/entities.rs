//! What the routes of every kind of entity have in common.

use axum::Json;
use axum::http::StatusCode;
use domain::entity::{Entity, Kind};
use domain::token::Slug;
use serde_json::Value;

/// The handlers with which entities of a kind are listed, read and deleted: its name, both paths, what one of them is.
macro_rules! reading {
    ($kind:ident, $all:literal, $one:literal, $what:literal) => {
        #[utoipa::path(get, path = $all, summary = concat!("`GET ", $all, "`"), params(Page, Cel), responses((status = 200, description = "A page of them", body = Listed)))]
        pub(super) async fn list(
            State(app): State<App>,
            caller: Caller,
            Segments(w): Segments<String>,
            Params(page): Params<Page>,
            Params(cel): Params<Cel>,
        ) -> Result<Json<Value>, Problem> {
            entities::list(&app, &caller, &w, Kind::$kind, page, &cel)
        }

        #[utoipa::path(get, path = $one, summary = concat!("`GET ", $one, "`"), responses((status = 200, description = $what, body = Flat)))]
        pub(super) async fn get(
            State(app): State<App>,
            caller: Caller,
            Segments((w, text)): Segments<(String, String)>,
        ) -> Result<Tagged, Problem> {
            entities::one(&app, &caller, &w, Kind::$kind, &text).await
        }

        #[utoipa::path(delete, path = $one, summary = concat!("`DELETE ", $one, "`"), params(Precondition), responses((status = 202, description = "It is gone", body = Flat)))]
        pub(super) async fn delete(
            State(app): State<App>,
            caller: Caller,
            Segments((w, text)): Segments<(String, String)>,
            precondition: Precondition,
        ) -> Result<Tagged, Problem> {
            entities::delete(&app, &caller, &w, Kind::$kind, &text, &precondition).await
        }
    };
}
pub(super) use reading;

/// The handlers with which entities are made and replaced, by the `write` beside them: what is sent, both paths, and how
/// the answer to making one is called.
macro_rules! writing {
    ($body:ident, $all:literal, $one:literal, $code:literal, $made:ident) => {
        #[utoipa::path(post, path = $all, summary = concat!("`POST ", $all, "`"), params(Precondition), request_body = $body, responses((status = $code, description = "It is there", body = Flat)))]
        pub(super) async fn create(
            State(app): State<App>,
            caller: Caller,
            Segments(w): Segments<String>,
            precondition: Precondition,
            Body(body): Body<$body>,
        ) -> Result<Tagged, Problem> {
            write(&app, &caller, &w, To::New, &precondition, body, StatusCode::$made).await
        }

        #[utoipa::path(put, path = $one, summary = concat!("`PUT ", $one, "`"), params(Precondition), request_body = $body, responses((status = 202, description = "It is as it was sent", body = Flat)))]
        pub(super) async fn put(
            State(app): State<App>,
            caller: Caller,
            Segments((w, text)): Segments<(String, String)>,
            precondition: Precondition,
            Body(body): Body<$body>,
        ) -> Result<Tagged, Problem> {
            write(&app, &caller, &w, To::Named(&text), &precondition, body, StatusCode::ACCEPTED).await
        }
    };
}
pub(super) use writing;

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
    let entities = cel.of(kind, app.catalog.entities(&workspace, kind))?;
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
