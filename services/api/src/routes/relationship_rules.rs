//! Rules by which resources are related.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::entity::{Kind, Metadata};
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

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewRule {
    name: String,
    description: Option<String>,
    /// What values call the relation.
    reference: String,
    /// CEL over `from` and `to`: which resources are related. The same as `matcher`.
    cel: Option<String>,
    matcher: Option<String>,
    /// CEL over `resource`: whose relation it is. Left out: everybody's.
    from: Option<String>,
    /// CEL over `resource`: who may be related. Left out: everybody.
    to: Option<String>,
    metadata: Option<Metadata>,
}

/// `GET /relationship-rules`
#[utoipa::path(get, path = "/relationship-rules", params(Page, Cel), responses((status = 200, description = "A page of them", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
    Params(cel): Params<Cel>,
) -> Result<Json<Value>, Problem> {
    entities::list(&app, &caller, &w, Kind::RelationshipRule, page, &cel)
}

/// `GET /relationship-rules/{r}`
#[utoipa::path(get, path = "/relationship-rules/{r}", responses((status = 200, description = "A rule", body = Flat)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments((w, r)): Segments<(String, String)>,
) -> Result<Tagged, Problem> {
    entities::one(&app, &caller, &w, Kind::RelationshipRule, &r).await
}

/// `DELETE /relationship-rules/{r}`
#[utoipa::path(delete, path = "/relationship-rules/{r}", responses((status = 202, description = "It is gone", body = Flat)))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Segments((w, r)): Segments<(String, String)>,
    precondition: Precondition,
) -> Result<Tagged, Problem> {
    entities::delete(&app, &caller, &w, Kind::RelationshipRule, &r, &precondition).await
}

/// `POST /relationship-rules`
#[utoipa::path(post, path = "/relationship-rules", request_body = NewRule, responses((status = 201, description = "It is there", body = Flat)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    precondition: Precondition,
    Body(body): Body<NewRule>,
) -> Result<Tagged, Problem> {
    write(&app, &caller, &w, To::New, &precondition, body, StatusCode::CREATED).await
}

/// `PUT /relationship-rules/{r}`
#[utoipa::path(put, path = "/relationship-rules/{r}", request_body = NewRule, responses((status = 202, description = "It is as it was sent", body = Flat)))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Segments((w, r)): Segments<(String, String)>,
    precondition: Precondition,
    Body(body): Body<NewRule>,
) -> Result<Tagged, Problem> {
    write(&app, &caller, &w, To::Named(&r), &precondition, body, StatusCode::ACCEPTED).await
}

async fn write(
    app: &App,
    caller: &Caller,
    w: &str,
    to: To<'_>,
    precondition: &Precondition,
    body: NewRule,
    status: StatusCode,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(caller, w)?;
    let everybody = |side: Option<String>| side.unwrap_or_else(|| "true".to_owned());
    let entity = Draft::new(Kind::RelationshipRule, body.name, body.metadata)
        .with("description", body.description)
        .with("reference", Some(body.reference))
        .with("from", Some(everybody(body.from)))
        .with("to", Some(everybody(body.to)))
        .with("matcher", body.cel.or(body.matcher))
        .called(&[("matcher", "cel")])
        .entity(caller, &workspace)?;
    let written = rest::write(app, caller, to, precondition, entity, |_before, _after| {}).await?;
    Ok(entities::written(app, status, &written))
}
