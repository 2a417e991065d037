//! The variables of deployments and their values. They are part of the deployment; over REST each has an id and stands alone.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bus::clock;
use domain::entity::{Deployment, DeploymentVariable, DeploymentVariableValue, Entity, Kind, Record};
use domain::id::DeploymentId;
use domain::token::Slug;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::entities;
use crate::apply::role_for;
use crate::caller::Caller;
use crate::changes;
use crate::context::App;
use crate::documents;
use crate::openapi::shapes::{Accepted, Listed, Thing};
use crate::problem::Problem;
use crate::request::{Body, Cel, Page, Params, Segments};
use crate::rest::etag::{Precondition, Tagged};
use crate::rest::shown::{value_id, value_of, variable_id, variable_of};
use crate::rest::{self, values};
use crate::store::Mode;

/// `GET /deployments/{d}/variables`
#[utoipa::path(get, path = "/deployments/{d}/variables", params(Page, Cel), responses((status = 200, description = "A page of them", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments((w, d)): Segments<(String, String)>,
    Params(page): Params<Page>,
    Params(cel): Params<Cel>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let Entity::Deployment(deployment) = entities::find(&app, &workspace, Kind::Deployment, &d)? else {
        return Err(missing("deployment", &d));
    };
    let variables = deployment.spec.variables.iter().map(|variable| variable_of(&deployment, variable));
    Ok(Json(page.of(cel.of_values("variable", variables.collect())?)))
}

/// `GET /deployment-variables/{id}`
#[utoipa::path(get, path = "/deployment-variables/{id}", responses((status = 200, description = "A variable and its values", body = Thing)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments((w, id)): Segments<(String, String)>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let (deployment, key) = variable(&app, &workspace, &id)?;
    let (deployment, revision) = fresh(&app, &deployment).await?;
    let variable = of_key(&deployment.spec, &key).ok_or_else(|| missing("deployment variable", &id))?;
    Ok(Tagged::new(StatusCode::OK, revision, variable_of(&deployment, variable)))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewVariable {
    /// By id or name.
    deployment_id: String,
    key: String,
    description: Option<String>,
    /// Its value where nothing else gives one.
    default: Option<Value>,
}

/// `PUT /deployment-variables/{id}`: its id follows from deployment and key, and the answer tells it.
#[utoipa::path(put, path = "/deployment-variables/{id}", params(Precondition), request_body = NewVariable, responses((status = 202, description = "It is as it was sent", body = Accepted)))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Segments((w, id)): Segments<(String, String)>,
    precondition: Precondition,
    Body(new): Body<NewVariable>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(role_for(Kind::Deployment))?;
    let of = app.catalog.find(&workspace, Kind::Deployment, &new.deployment_id);
    let of = of.ok_or_else(|| {
        Problem::invalid_field("deploymentId", format!("there is no deployment {}", new.deployment_id))
    })?;
    let own = variable_id(DeploymentId(of.meta().id), &new.key);
    // What is there keeps its deployment and key.
    if own.to_string() != id && variable(&app, &workspace, &id).is_ok() {
        let message = "does not change, nor does its deployment; create another variable and delete this one";
        return Err(Problem::conflict(format!("key: {message}"))
            .with(vec![crate::problem::Fault::of_field("key", message)]));
    }
    uuid_of(&id, "deployment variable")?;
    let default = new.default.map(values::read);
    let change = |deployment: &mut Deployment| {
        match deployment.variables.iter_mut().find(|known| known.key == new.key) {
            Some(known) => {
                known.description.clone_from(&new.description);
                if default.is_some() {
                    known.default.clone_from(&default);
                }
            }
            None => deployment.variables.push(DeploymentVariable {
                key: new.key.clone(),
                description: new.description.clone(),
                default: default.clone(),
                values: Vec::new(),
            }),
        }
        Ok(())
    };
    let revision = write(&app, &caller, &of, &precondition, change).await?;
    Ok(Tagged::new(StatusCode::ACCEPTED, revision, json!({ "id": own, "message": "written" })))
}

/// `DELETE /deployment-variables/{id}`
#[utoipa::path(delete, path = "/deployment-variables/{id}", params(Precondition), responses((status = 202, description = "It is gone", body = Accepted)))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Segments((w, id)): Segments<(String, String)>,
    precondition: Precondition,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(role_for(Kind::Deployment))?;
    let (of, key) = variable(&app, &workspace, &id)?;
    let of = Entity::Deployment(of);
    let change = |deployment: &mut Deployment| {
        deployment.variables.retain(|variable| variable.key != key);
        Ok(())
    };
    let revision = write(&app, &caller, &of, &precondition, change).await?;
    Ok(Tagged::new(StatusCode::ACCEPTED, revision, json!({ "id": id, "message": "deleted" })))
}

/// `GET /deployment-variable-values/{id}`
#[utoipa::path(get, path = "/deployment-variable-values/{id}", responses((status = 200, description = "A value", body = Thing)))]
pub(super) async fn get_value(
    State(app): State<App>,
    caller: Caller,
    Segments((w, id)): Segments<(String, String)>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let uuid = uuid_of(&id, VALUE)?;
    let (deployment, _) = value(&app, &workspace, uuid).ok_or_else(|| missing(VALUE, &id))?;
    let (deployment, revision) = fresh(&app, &deployment).await?;
    let of = DeploymentId(deployment.meta.id);
    let (n, m) = place(&deployment, uuid).ok_or_else(|| missing(VALUE, &id))?;
    let variable = deployment.spec.variables.get(n).ok_or_else(|| missing(VALUE, &id))?;
    Ok(Tagged::new(StatusCode::OK, revision, value_of(of, variable, m)))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewValue {
    deployment_variable_id: String,
    #[serde(default)]
    priority: i32,
    /// CEL over `resource`, `environment`, `deployment`; always where it is left out.
    #[serde(alias = "selector")]
    resource_selector: Option<String>,
    value: Value,
}

/// `PUT /deployment-variable-values/{id}`: the id is the client's.
#[utoipa::path(put, path = "/deployment-variable-values/{id}", params(Precondition), request_body = NewValue, responses((status = 202, description = "It is as it was sent", body = Accepted)))]
pub(super) async fn put_value(
    State(app): State<App>,
    caller: Caller,
    Segments((w, id)): Segments<(String, String)>,
    precondition: Precondition,
    Body(new): Body<NewValue>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(role_for(Kind::Deployment))?;
    let uuid = uuid_of(&id, VALUE)?;
    let (of, key) = variable(&app, &workspace, &new.deployment_variable_id).map_err(|_problem| {
        let message = format!("there is no deployment variable {}", new.deployment_variable_id);
        Problem::invalid_field("deploymentVariableId", message)
    })?;
    if let Some((other, n)) = value(&app, &workspace, uuid) {
        let is_same =
            other.meta.id == of.meta.id && other.spec.variables.get(n).is_some_and(|known| known.key == key);
        if !is_same {
            let message = "the value is one of another variable";
            return Err(Problem::conflict(message)
                .with(vec![crate::problem::Fault::of_field("deploymentVariableId", message)]));
        }
    }
    let selector = new.resource_selector.filter(|selector| !selector.trim().is_empty());
    let written = DeploymentVariableValue {
        id: Some(uuid),
        selector,
        priority: new.priority,
        value: values::read(new.value),
    };
    let deployment_id = DeploymentId(of.meta.id);
    let of = Entity::Deployment(of);
    let change = |deployment: &mut Deployment| {
        let variable = deployment.variables.iter_mut().find(|variable| variable.key == key);
        let variable = variable.ok_or_else(|| missing("deployment variable", &key))?;
        settle_ids(deployment_id, variable);
        match variable.values.iter_mut().find(|value| value.id == Some(uuid)) {
            Some(known) => known.clone_from(&written),
            None => variable.values.push(written.clone()),
        }
        Ok(())
    };
    let revision = write(&app, &caller, &of, &precondition, change).await?;
    Ok(Tagged::new(StatusCode::ACCEPTED, revision, json!({ "id": uuid, "message": "written" })))
}

/// `DELETE /deployment-variable-values/{id}`
#[utoipa::path(delete, path = "/deployment-variable-values/{id}", params(Precondition), responses((status = 202, description = "It is gone", body = Accepted)))]
pub(super) async fn delete_value(
    State(app): State<App>,
    caller: Caller,
    Segments((w, id)): Segments<(String, String)>,
    precondition: Precondition,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(role_for(Kind::Deployment))?;
    let uuid = uuid_of(&id, VALUE)?;
    let (of, _) = value(&app, &workspace, uuid).ok_or_else(|| missing(VALUE, &id))?;
    let deployment_id = DeploymentId(of.meta.id);
    let of = Entity::Deployment(of);
    let change = |deployment: &mut Deployment| {
        for variable in &mut deployment.variables {
            settle_ids(deployment_id, variable);
            variable.values.retain(|value| value.id != Some(uuid));
        }
        Ok(())
    };
    let revision = write(&app, &caller, &of, &precondition, change).await?;
    Ok(Tagged::new(StatusCode::ACCEPTED, revision, json!({ "id": uuid, "message": "deleted" })))
}

const VALUE: &str = "deployment variable value";

/// Values that are named by their place keep their ids from here on, wherever they move.
fn settle_ids(of: DeploymentId, variable: &mut DeploymentVariable) {
    let ids: Vec<Uuid> = (0..variable.values.len()).map(|index| value_id(of, variable, index)).collect();
    for (value, id) in variable.values.iter_mut().zip(ids) {
        value.id = Some(id);
    }
}

/// Changes the deployment, and tells the revision.
async fn write(
    app: &App,
    caller: &Caller,
    of: &Entity,
    precondition: &Precondition,
    change: impl Fn(&mut Deployment) -> Result<(), Problem> + Send + Sync,
) -> Result<u64, Problem> {
    let desire = |before: Option<&Entity>| {
        let Some(Entity::Deployment(deployment)) = before else {
            return Err(missing("deployment", &of.meta().name));
        };
        let mut deployment = deployment.clone();
        change(&mut deployment.spec)?;
        let after = Entity::Deployment(deployment);
        documents::check(&after)?;
        Ok(changes::declared(caller, before, after, clock::now()))
    };
    let written = app.store.write_if(caller, &of.key(), Mode::Write, precondition, desire).await?;
    app.store.seen(written.revision).await;
    Ok(written.revision)
}

/// The deployment as the bus has it now.
async fn fresh(app: &App, known: &Record<Deployment>) -> Result<(Record<Deployment>, Option<u64>), Problem> {
    let id = known.meta.id.to_string();
    match rest::read(app, &known.meta.workspace, Kind::Deployment, &id).await? {
        (Entity::Deployment(deployment), revision) => Ok((deployment, revision)),
        _ => Err(missing("deployment", &id)),
    }
}

/// The deployment that has the variable, and its key.
fn variable(app: &App, workspace: &Slug, id: &str) -> Result<(Record<Deployment>, String), Problem> {
    let uuid = uuid_of(id, "deployment variable")?;
    let found = deployments(app, workspace).find_map(|deployment| {
        let of = DeploymentId(deployment.meta.id);
        let key = deployment
            .spec
            .variables
            .iter()
            .find(|variable| variable_id(of, &variable.key) == uuid)?
            .key
            .clone();
        Some((deployment, key))
    });
    found.ok_or_else(|| missing("deployment variable", id))
}

/// The deployment that has the value, and which of its variables.
fn value(app: &App, workspace: &Slug, id: Uuid) -> Option<(Record<Deployment>, usize)> {
    deployments(app, workspace).find_map(|deployment| place(&deployment, id).map(|(n, _)| (deployment, n)))
}

/// Which value of which variable it is.
fn place(deployment: &Record<Deployment>, id: Uuid) -> Option<(usize, usize)> {
    let of = DeploymentId(deployment.meta.id);
    deployment.spec.variables.iter().enumerate().find_map(|(n, variable)| {
        (0..variable.values.len()).find(|m| value_id(of, variable, *m) == id).map(|m| (n, m))
    })
}

fn deployments(app: &App, workspace: &Slug) -> impl Iterator<Item = Record<Deployment>> + use<> {
    app.catalog.entities(workspace, Kind::Deployment).into_iter().filter_map(|entity| {
        let Entity::Deployment(deployment) = entity else { return None };
        Some(deployment)
    })
}

fn of_key<'a>(deployment: &'a Deployment, key: &str) -> Option<&'a DeploymentVariable> {
    deployment.variables.iter().find(|variable| variable.key == key)
}

fn uuid_of(id: &str, what: &str) -> Result<Uuid, Problem> {
    Uuid::parse_str(id).map_err(|_| missing(what, id))
}

fn missing(what: &str, id: &str) -> Problem {
    Problem::not_found(format_args!("{what} {id}"))
}
