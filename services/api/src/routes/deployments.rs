//! Deployments.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::entity::{Deployment, Entity, Kind, Metadata};
use serde::Deserialize;
use serde_json::{Map, Value};
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
pub(super) struct NewDeployment {
    name: String,
    slug: Option<String>,
    description: Option<String>,
    /// CEL over `resource`, `environment`. Left out: wherever its environments are.
    resource_selector: Option<String>,
    /// CEL over `jobAgent`, `resource`, `environment`.
    job_agent_selector: Option<String>,
    #[schema(value_type = Option<Thing>)]
    job_agent_config: Option<Map<String, Value>>,
    /// Each `{ref, selector, config}`: the first that matches runs the job. Left out: as they are.
    #[schema(value_type = Option<Vec<Thing>>)]
    job_agents: Option<Vec<Value>>,
    /// `wait` or `supersede`. Left out: as it is.
    on_new_version: Option<String>,
    /// `{queueSeconds, runSeconds}`. Left out: as they are.
    #[schema(value_type = Option<Thing>)]
    deadlines: Option<Value>,
    /// Systems by id or name. Left out: as it is, in none where it is new.
    system_ids: Option<Vec<String>>,
    /// One system, where it is only one.
    system_id: Option<String>,
    metadata: Option<Metadata>,
}

/// What a body leaves as it is.
#[derive(Clone, Copy)]
struct Silent {
    systems: bool,
    agents: bool,
    on_new_version: bool,
    deadlines: bool,
}

impl Silent {
    fn keep(self, before: &Deployment, after: &mut Deployment) {
        after.variables.clone_from(&before.variables);
        if self.systems {
            after.systems.clone_from(&before.systems);
        }
        if self.agents {
            after.job_agents.clone_from(&before.job_agents);
        }
        if self.on_new_version {
            after.on_new_version = before.on_new_version;
        }
        if self.deadlines {
            after.deadlines = before.deadlines;
        }
    }
}

/// `GET /deployments`
#[utoipa::path(get, path = "/deployments", params(Page, Cel), responses((status = 200, description = "A page of them", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
    Params(cel): Params<Cel>,
) -> Result<Json<Value>, Problem> {
    entities::list(&app, &caller, &w, Kind::Deployment, page, &cel)
}

/// `GET /deployments/{d}`
#[utoipa::path(get, path = "/deployments/{d}", responses((status = 200, description = "A deployment, its systems and variables", body = Flat)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments((w, d)): Segments<(String, String)>,
) -> Result<Tagged, Problem> {
    entities::one(&app, &caller, &w, Kind::Deployment, &d).await
}

/// `DELETE /deployments/{d}`
#[utoipa::path(delete, path = "/deployments/{d}", responses((status = 202, description = "It is gone", body = Flat)))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Segments((w, d)): Segments<(String, String)>,
    precondition: Precondition,
) -> Result<Tagged, Problem> {
    entities::delete(&app, &caller, &w, Kind::Deployment, &d, &precondition).await
}

/// `POST /deployments`
#[utoipa::path(post, path = "/deployments", request_body = NewDeployment, responses((status = 202, description = "It is there", body = Flat)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    precondition: Precondition,
    Body(body): Body<NewDeployment>,
) -> Result<Tagged, Problem> {
    write(&app, &caller, &w, To::New, &precondition, body, StatusCode::ACCEPTED).await
}

/// `PUT /deployments/{d}`
#[utoipa::path(put, path = "/deployments/{d}", request_body = NewDeployment, responses((status = 202, description = "It is as it was sent", body = Flat)))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Segments((w, d)): Segments<(String, String)>,
    precondition: Precondition,
    Body(body): Body<NewDeployment>,
) -> Result<Tagged, Problem> {
    write(&app, &caller, &w, To::Named(&d), &precondition, body, StatusCode::ACCEPTED).await
}

async fn write(
    app: &App,
    caller: &Caller,
    w: &str,
    to: To<'_>,
    precondition: &Precondition,
    body: NewDeployment,
    status: StatusCode,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(caller, w)?;
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let systems = body.system_ids.or_else(|| given(body.system_id).map(|id| vec![id]));
    let silent = Silent {
        systems: systems.is_none(),
        agents: body.job_agents.is_none(),
        on_new_version: body.on_new_version.is_none(),
        deadlines: body.deadlines.is_none(),
    };
    let entity = Draft::new(Kind::Deployment, body.name, body.metadata)
        .with("slug", given(body.slug))
        .with("description", body.description)
        .with("resourceSelector", given(body.resource_selector))
        .with("jobAgentSelector", given(body.job_agent_selector))
        .with("jobAgentConfig", body.job_agent_config)
        .with("jobAgents", body.job_agents)
        .with("onNewVersion", body.on_new_version)
        .with("deadlines", body.deadlines)
        .with("systems", Some(systems.unwrap_or_default()))
        .called(&[("systems", "systemIds")])
        .entity(caller, &workspace)?;
    let written = rest::write(app, caller, to, precondition, entity, move |before, after| {
        if let (Entity::Deployment(before), Entity::Deployment(after)) = (before, after) {
            silent.keep(&before.spec, &mut after.spec);
        }
    })
    .await?;
    Ok(entities::written(app, status, &written))
}

/// `GET /deployments/name/{name}`
#[utoipa::path(get, path = "/deployments/name/{name}", responses((status = 200, description = "A deployment", body = Flat)))]
pub(super) async fn by_name(
    State(app): State<App>,
    caller: Caller,
    Segments((w, name)): Segments<(String, String)>,
) -> Result<Tagged, Problem> {
    entities::one(&app, &caller, &w, Kind::Deployment, &name).await
}
