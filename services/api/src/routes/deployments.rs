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

entities::reading! { Deployment, "/deployments", "/deployments/{d}", "A deployment, its systems and variables" }
entities::writing! { NewDeployment, "/deployments", "/deployments/{d}", 202, ACCEPTED }

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
        .entity(app, caller, &workspace)?;
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
