//! What must run on a resource before a version may go there: given with the version, or one by one.

use crate::openapi::shapes::{Flat, Listed};
use std::collections::BTreeMap;
use utoipa::ToSchema;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bus::clock;
use domain::entity::{Entity, Kind, Record, Version, VersionDependency};
use domain::id::DeploymentId;
use domain::selector::Selector;
use domain::token::Slug;
use serde::Deserialize;
use serde_json::{Value, json};

use super::versions::deployment;
use crate::auth::Role;
use crate::caller::Caller;
use crate::changes;
use crate::context::App;
use crate::documents;
use crate::problem::{Fault, Problem};
use crate::request::{Body, Cel, Page, Params, Segments};
use crate::rest::etag::{Precondition, Tagged};
use crate::shape::flat;
use crate::store::Mode;

/// A version waits for at most so many others.
const DEPENDENCIES_MAX: usize = 100;

/// Those of a version, as they are sent with it: a list, or a map by deployment.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Dependencies {
    List(Vec<NewDependency>),
    ByDeployment(BTreeMap<String, Needed>),
}

impl Default for Dependencies {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Dependencies {
    pub(super) fn into_list(self) -> Vec<NewDependency> {
        match self {
            Self::List(list) => list,
            Self::ByDeployment(map) => map
                .into_iter()
                .map(|(deployment, needed)| NewDependency {
                    deployment,
                    version_selector: needed.version_selector,
                })
                .collect(),
        }
    }
}

/// One, as it is sent with a version.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewDependency {
    #[serde(alias = "deploymentId", default)]
    deployment: String,
    #[serde(default)]
    version_selector: String,
}

/// The dependencies with the deployments they name, each named once.
pub(super) fn resolved(
    app: &App,
    workspace: &Slug,
    given: Vec<NewDependency>,
) -> Result<Vec<VersionDependency>, Problem> {
    if given.len() > DEPENDENCIES_MAX {
        return Err(Problem::invalid_field("dependencies", format!("are more than {DEPENDENCIES_MAX}")));
    }
    let (mut dependencies, mut faults): (Vec<VersionDependency>, Vec<Fault>) = (Vec::new(), Vec::new());
    for (index, new) in given.into_iter().enumerate() {
        let field = format!("dependencies[{index}].deployment");
        let Some(found) = app.catalog.find(workspace, Kind::Deployment, &new.deployment) else {
            faults.push(Fault::of_field(field, format!("there is no deployment {:?}", new.deployment)));
            continue;
        };
        let deployment = DeploymentId(found.meta().id);
        if dependencies.iter().any(|known| known.deployment == deployment) {
            faults.push(Fault::of_field(field, format!("{} is named twice", found.meta().name)));
            continue;
        }
        dependencies.push(VersionDependency { deployment, version_selector: new.version_selector });
    }
    if faults.is_empty() {
        return Ok(dependencies);
    }
    Err(Problem::invalid_fields(faults))
}

/// `GET /deployment-versions/{v}/dependencies`
#[utoipa::path(get, path = "/deployment-versions/{v}/dependencies", params(Page, Cel), responses((status = 200, description = "A page of them", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments((w, v)): Segments<(String, String)>,
    Params(page): Params<Page>,
    Params(cel): Params<Cel>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let Some(Entity::Version(version)) = app.catalog.find(&workspace, Kind::Version, &v) else {
        return Err(missing(&v));
    };
    let dependencies = version.spec.dependencies.iter().map(|dependency| {
        json!({
            "deploymentId": dependency.deployment,
            "dependencyDeploymentId": dependency.deployment,
            "deploymentVersionId": version.meta.id,
            "deployment": app.catalog.name(&workspace, Kind::Deployment, dependency.deployment.0),
            "versionSelector": dependency.version_selector,
        })
    });
    Ok(Json(page.of(cel.of_values("dependency", dependencies.collect())?)))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Needed {
    #[serde(default)]
    version_selector: String,
}

/// `PUT /deployment-versions/{v}/dependencies/{d}`
#[utoipa::path(put, path = "/deployment-versions/{v}/dependencies/{d}", params(Precondition), request_body = Needed, responses((status = 202, description = "The version", body = Flat)))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Segments((w, v, d)): Segments<(String, String, String)>,
    precondition: Precondition,
    Body(needed): Body<Needed>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let on = deployment(&app, &workspace, &d)?;
    Selector::compile(&needed.version_selector, &["version", "deployment"])
        .map_err(|error| Problem::invalid_field("versionSelector", error.to_string()))?;
    let desire = |version: &mut Record<Version>| {
        let dependencies = &mut version.spec.dependencies;
        let version_selector = needed.version_selector.clone();
        match dependencies.iter_mut().find(|known| known.deployment == on) {
            Some(known) => known.version_selector = version_selector,
            None => dependencies.push(VersionDependency { deployment: on, version_selector }),
        }
        let count = dependencies.len();
        if count > DEPENDENCIES_MAX {
            return Err(Problem::conflict(format!("there are {DEPENDENCIES_MAX} dependencies already")));
        }
        Ok(())
    };
    change(&app, &caller, &workspace, &v, &precondition, desire).await
}

/// `DELETE /deployment-versions/{v}/dependencies/{d}`
#[utoipa::path(delete, path = "/deployment-versions/{v}/dependencies/{d}", params(Precondition), responses((status = 202, description = "The version", body = Flat)))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Segments((w, v, d)): Segments<(String, String, String)>,
    precondition: Precondition,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let on = deployment(&app, &workspace, &d)?;
    let desire = |version: &mut Record<Version>| {
        let before = version.spec.dependencies.len();
        version.spec.dependencies.retain(|known| known.deployment != on);
        if version.spec.dependencies.len() == before {
            return Err(Problem::not_found(format_args!("dependency of version {v} on {d}")));
        }
        Ok(())
    };
    change(&app, &caller, &workspace, &v, &precondition, desire).await
}

/// Changes the dependencies of the version of a path.
async fn change(
    app: &App,
    caller: &Caller,
    workspace: &Slug,
    v: &str,
    precondition: &Precondition,
    desire: impl Fn(&mut Record<Version>) -> Result<(), Problem> + Send + Sync,
) -> Result<Tagged, Problem> {
    let known = app.catalog.find(workspace, Kind::Version, v).ok_or_else(|| missing(v))?;
    let written = app
        .store
        .write_if(caller, &known.key(), Mode::Write, precondition, |before| {
            let Some(Entity::Version(version)) = before else { return Err(missing(v)) };
            let mut version = version.clone();
            desire(&mut version)?;
            let version = Entity::Version(version);
            documents::check(&version)?;
            Ok(changes::declared(caller, before, version, clock::now()))
        })
        .await?;
    app.store.seen(written.revision).await;
    Ok(Tagged::new(StatusCode::ACCEPTED, written.revision, flat(&written.after)))
}

fn missing(v: &str) -> Problem {
    Problem::not_found(format_args!("version {v}"))
}
