//! Values that several deployments share.

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
use crate::rest::values;
use crate::rest::{self, Draft, To};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewSet {
    /// Needed where it is new.
    name: Option<String>,
    description: Option<String>,
    /// CEL over `resource`, `environment`, `deployment`. Needed where it is new.
    selector: Option<String>,
    priority: Option<i32>,
    /// A list of `{key, value}`, or a map. Left out: as they are.
    variables: Option<Value>,
    metadata: Option<Metadata>,
}

entities::reading! { VariableSet, "/variable-sets", "/variable-sets/{v}", "A set" }
entities::writing! { NewSet, "/variable-sets", "/variable-sets/{v}", 201, CREATED }

async fn write(
    app: &App,
    caller: &Caller,
    w: &str,
    to: To<'_>,
    precondition: &Precondition,
    body: NewSet,
    status: StatusCode,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(caller, w)?;
    let known = match to {
        To::Named(text) => app.catalog.find(&workspace, Kind::VariableSet, text),
        To::New | To::Key => None,
    };
    let name = body.name.or_else(|| known.as_ref().map(|known| known.meta().name.clone()));
    let known = known.as_ref().and_then(|known| {
        let Entity::VariableSet(set) = known else { return None };
        Some(set)
    });
    let values = body.variables.filter(|values| !values.is_null()).map(values::read_all).transpose();
    let values = values.map_err(|why| Problem::invalid_field("variables", why))?;
    let entity = Draft::new(
        Kind::VariableSet,
        name,
        body.metadata.or_else(|| known.map(|set| set.meta.metadata.clone())),
    )
    .with("description", body.description.or_else(|| known.and_then(|set| set.spec.description.clone())))
    .with("selector", body.selector.or_else(|| known.map(|set| set.spec.selector.clone())))
    .with("priority", body.priority.or_else(|| known.map(|set| set.spec.priority)))
    .with(
        "variables",
        Some(values.or_else(|| known.map(|set| set.spec.variables.clone())).unwrap_or_default()),
    )
    .entity(app, caller, &workspace)?;
    let written = rest::write(app, caller, to, precondition, entity, |_before, _after| {}).await?;
    Ok(entities::written(app, status, &written))
}
