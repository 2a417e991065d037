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

entities::reading! { RelationshipRule, "/relationship-rules", "/relationship-rules/{r}", "A rule" }
entities::writing! { NewRule, "/relationship-rules", "/relationship-rules/{r}", 201, CREATED }

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
        .entity(app, caller, &workspace)?;
    let written = rest::write(app, caller, to, precondition, entity, |_before, _after| {}).await?;
    Ok(entities::written(app, status, &written))
}
