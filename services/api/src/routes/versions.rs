//! Versions of deployments: created by CI, and changed in status by people.

use crate::openapi::shapes::{Flat, Listed, Thing};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bus::clock;
use domain::Timestamp;
use domain::entity::{Entity, Kind, Meta, Metadata, Record, Version, VersionStatus};
use domain::id::{DeploymentId, VersionId};
use domain::token::Slug;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::dependencies::{Dependencies, resolved};
use crate::auth::Role;
use crate::caller::Caller;
use crate::changes::{self, REASON};
use crate::context::App;
use crate::documents;
use crate::problem::Problem;
use crate::request::{Body, Cel, Page, Params, Segments};
use crate::rest;
use crate::rest::etag::{Precondition, Tagged};
use crate::shape::flat;
use crate::store::Mode;

/// A tag is shown everywhere; a longer one is a mistake.
const TAG_BYTES_MAX: usize = 256;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Sorted {
    /// `desc`, the newest first, or `asc`.
    order: Option<String>,
}

/// `GET /deployments/{d}/versions`, newest first
#[utoipa::path(get, path = "/deployments/{d}/versions", params(Page, Cel, Sorted), responses((status = 200, description = "A page of them", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments((w, d)): Segments<(String, String)>,
    Params(page): Params<Page>,
    Params(cel): Params<Cel>,
    Params(sorted): Params<Sorted>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let deployment = deployment(&app, &workspace, &d)?;
    let mut versions = app.catalog.entities(&workspace, Kind::Version);
    versions.retain(|entity| version_of(entity).is_some_and(|version| version.spec.deployment == deployment));
    versions = cel.of(Kind::Version, versions)?;
    versions.sort_by_key(|entity| std::cmp::Reverse((entity.meta().created_at, entity.meta().id)));
    match sorted.order.as_deref() {
        None | Some("desc") => {}
        Some("asc") => versions.reverse(),
        Some(other) => {
            return Err(Problem::invalid_field("order", format!("{other:?} is neither asc nor desc")));
        }
    }
    Ok(Json(page.show(&versions, flat)))
}

/// `GET /deployment-versions/{v}`
#[utoipa::path(get, path = "/deployment-versions/{v}", responses((status = 200, description = "A version", body = Flat)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments((w, v)): Segments<(String, String)>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let (version, revision) = rest::read(&app, &workspace, Kind::Version, &v).await?;
    Ok(Tagged::new(StatusCode::OK, revision, flat(&version)))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewVersion {
    tag: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    #[schema(value_type = String)]
    status: VersionStatus,
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(default)]
    job_agent_config: Map<String, Value>,
    #[serde(default)]
    metadata: Metadata,
    #[schema(value_type = Option<String>)]
    created_at: Option<Timestamp>,
    #[schema(value_type = Option<Vec<Thing>>)]
    dependencies: Option<Dependencies>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(super) struct Upsert {
    #[serde(default)]
    upsert: bool,
}

/// `POST /deployments/{d}/versions?upsert=`
#[utoipa::path(post, path = "/deployments/{d}/versions", params(Precondition, Upsert), request_body = NewVersion, responses((status = 200, description = "It is there", body = Flat)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Segments((w, d)): Segments<(String, String)>,
    Params(Upsert { upsert }): Params<Upsert>,
    precondition: Precondition,
    Body(new): Body<NewVersion>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let deployment = deployment(&app, &workspace, &d)?;
    check(&new)?;
    let dependencies = resolved(&app, &workspace, new.dependencies.unwrap_or_default().into_list())?;
    let now = clock::now();
    let id = VersionId::of(deployment, &new.tag);
    let name = if new.name.is_empty() { new.tag.clone() } else { new.name };
    // A version from the future would stay the newest whatever came after it.
    let created_at = new.created_at.map_or(now, |at| at.min(now));
    let meta = Meta { id: id.0, workspace, name, metadata: new.metadata, created_at, updated_at: now };
    let spec = Version {
        deployment,
        tag: new.tag,
        status: new.status,
        config: new.config,
        job_agent_config: new.job_agent_config,
        dependencies,
        known_since: None,
        content_since: None,
        edited_by: Default::default(),
    };
    let declared = Entity::Version(Record { meta, spec });
    documents::check(&declared)?;
    let written = app
        .store
        .write_if(&caller, &declared.key(), Mode::Write, &precondition, |before| {
            if before.is_some() && !upsert {
                return Err(Problem::conflict("there is a version of this tag; `upsert` replaces it"));
            }
            Ok(changes::declared(&caller, before, declared.clone(), now))
        })
        .await?;
    app.store.seen(written.revision).await;
    Ok(Tagged::new(StatusCode::OK, written.revision, flat(&written.after)))
}

fn check(new: &NewVersion) -> Result<(), Problem> {
    if new.tag.trim().is_empty() {
        return Err(Problem::invalid_field("tag", "is empty"));
    }
    if new.tag.len() > TAG_BYTES_MAX {
        return Err(Problem::invalid_field("tag", format!("is longer than {TAG_BYTES_MAX} bytes")));
    }
    Ok(())
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    name: Option<String>,
    #[schema(value_type = Option<String>)]
    status: Option<VersionStatus>,
    config: Option<Map<String, Value>>,
    job_agent_config: Option<Map<String, Value>>,
    metadata: Option<Metadata>,
    #[schema(value_type = Option<Vec<Thing>>)]
    dependencies: Option<Dependencies>,
}

/// `PATCH /deployment-versions/{v}`: what is given replaces what was there; metadata is laid over.
#[utoipa::path(patch, path = "/deployment-versions/{v}", params(Precondition), request_body = Change, responses((status = 202, description = "It is changed", body = Flat)))]
pub(super) async fn change(
    State(app): State<App>,
    caller: Caller,
    Segments((w, v)): Segments<(String, String)>,
    precondition: Precondition,
    Body(change): Body<Change>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let missing = || Problem::not_found(format_args!("version {v}"));
    let known = app.catalog.find(&workspace, Kind::Version, &v).ok_or_else(missing)?;
    let dependencies =
        change.dependencies.map(|given| resolved(&app, &workspace, given.into_list())).transpose()?;
    let written = app
        .store
        .write_if(&caller, &known.key(), Mode::Write, &precondition, |before| {
            let before = before.ok_or_else(missing)?;
            let mut version = version_of(before).ok_or_else(missing)?.clone();
            if let Some(name) = change.name.clone().filter(|name| !name.is_empty()) {
                version.meta.name = name;
            }
            version.spec.status = change.status.unwrap_or(version.spec.status);
            if version.spec.status != VersionStatus::Rejected {
                version.meta.metadata.remove(REASON);
            }
            if let Some(config) = &change.config {
                version.spec.config.clone_from(config);
            }
            if let Some(config) = &change.job_agent_config {
                version.spec.job_agent_config.clone_from(config);
            }
            version.meta.metadata.extend(change.metadata.clone().unwrap_or_default());
            if let Some(dependencies) = &dependencies {
                version.spec.dependencies.clone_from(dependencies);
            }
            let version = Entity::Version(version);
            documents::check(&version)?;
            Ok(changes::declared(&caller, Some(before), version, clock::now()))
        })
        .await?;
    app.store.seen(written.revision).await;
    Ok(Tagged::new(StatusCode::ACCEPTED, written.revision, flat(&written.after)))
}

/// `PATCH /deploymentversions/{v}`: the same, as older clients say it
#[utoipa::path(patch, path = "/deploymentversions/{v}", params(Precondition), request_body = Change, responses((status = 202, description = "It is changed", body = Flat)))]
pub(super) async fn change_as_before(
    app: State<App>,
    caller: Caller,
    path: Segments<(String, String)>,
    precondition: Precondition,
    body: Body<Change>,
) -> Result<Tagged, Problem> {
    change(app, caller, path, precondition, body).await
}

/// The deployment of a path, by id or name.
pub(super) fn deployment(app: &App, workspace: &Slug, text: &str) -> Result<DeploymentId, Problem> {
    let found = app.catalog.find(workspace, Kind::Deployment, text);
    let found = found.ok_or_else(|| Problem::not_found(format_args!("deployment {text}")))?;
    Ok(DeploymentId(found.meta().id))
}

fn version_of(entity: &Entity) -> Option<&Record<Version>> {
    if let Entity::Version(record) = entity { Some(record) } else { None }
}
