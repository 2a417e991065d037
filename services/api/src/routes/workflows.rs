//! Workflows: a PUT replaces inputs and jobs. Runs that have begun go on as what they began as.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::entity::{Entity, Kind, Metadata, Workflow};
use domain::token::Slug;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::entities;
use crate::caller::Caller;
use crate::context::App;
use crate::openapi::shapes::{Flat, Listed, Thing};
use crate::problem::Problem;
use crate::request::{Body, Cel, Page, Params, Segments};
use crate::rest::etag::{Precondition, Tagged};
use crate::rest::{self, Draft, To};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewWorkflow {
    name: String,
    slug: Option<String>,
    description: Option<String>,
    /// Each `{key, type, default, required, options, description}`.
    #[schema(value_type = Option<Vec<Thing>>)]
    inputs: Option<Vec<Value>>,
    /// Each `{name, agent: {ref} or {selector}, config, needs, if, forEach, deadlines}`.
    #[serde(default)]
    #[schema(value_type = Vec<Thing>)]
    jobs: Vec<Value>,
    metadata: Option<Metadata>,
}

entities::reading! { Workflow, "/workflows", "/workflows/{id}", "A workflow, its inputs and jobs" }
entities::writing! { NewWorkflow, "/workflows", "/workflows/{id}", 202, ACCEPTED }

async fn write(
    app: &App,
    caller: &Caller,
    w: &str,
    to: To<'_>,
    precondition: &Precondition,
    body: NewWorkflow,
    status: StatusCode,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(caller, w)?;
    let entity = Draft::new(Kind::Workflow, body.name, body.metadata)
        .with("slug", body.slug.filter(|slug| !slug.trim().is_empty()))
        .with("description", body.description)
        .with("inputs", body.inputs)
        .with("jobs", Some(body.jobs))
        .entity(app, caller, &workspace)?;
    let written = rest::write(app, caller, to, precondition, entity, |_before, _after| {}).await?;
    Ok(entities::written(app, status, &written))
}

/// The workflow of that slug.
pub(super) fn find_by_slug(
    app: &App,
    workspace: &Slug,
    slug: &str,
) -> Result<domain::entity::Record<Workflow>, Problem> {
    let all = app.catalog.entities(workspace, Kind::Workflow).into_iter();
    let mut found = all.filter_map(|entity| {
        let Entity::Workflow(workflow) = entity else { return None };
        (workflow.spec.slug.as_str() == slug).then_some(workflow)
    });
    found.next().ok_or_else(|| Problem::not_found(format_args!("workflow {slug}")))
}

/// `GET /workflows/slug/{s}`
#[utoipa::path(get, path = "/workflows/slug/{s}", responses((status = 200, description = "A workflow", body = Flat)))]
pub(super) async fn by_slug(
    State(app): State<App>,
    caller: Caller,
    Segments((w, slug)): Segments<(String, String)>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let id = find_by_slug(&app, &workspace, &slug)?.meta.id;
    entities::one(&app, &caller, &w, Kind::Workflow, &id.to_string()).await
}
