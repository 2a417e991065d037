//! Versions of deployments: created by CI, and changed in status by people.

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

use super::dependencies::{NewDependency, resolved};
use crate::auth::Role;
use crate::caller::Caller;
use crate::changes::{self, REASON};
use crate::context::App;
use crate::documents;
use crate::problem::Problem;
use crate::request::{Body, Page, Params, Segments};
use crate::shape::flat;
use crate::store::Mode;

/// A tag is shown everywhere; a longer one is a mistake.
const TAG_BYTES_MAX: usize = 256;

/// `GET /deployments/{d}/versions`, newest first
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments((w, d)): Segments<(String, String)>,
    Params(page): Params<Page>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let deployment = deployment(&app, &workspace, &d)?;
    let mut versions = app.catalog.entities(&workspace, Kind::Version);
    versions.retain(|entity| version_of(entity).is_some_and(|version| version.spec.deployment == deployment));
    versions.sort_by_key(|entity| std::cmp::Reverse((entity.meta().created_at, entity.meta().id)));
    Ok(Json(page.of(versions.iter().map(flat))))
}

/// `GET /deployment-versions/{v}`
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments((w, v)): Segments<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let version = app.catalog.find(&workspace, Kind::Version, &v);
    let version = version.ok_or_else(|| Problem::not_found(format_args!("version {v}")))?;
    Ok(Json(flat(&version)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewVersion {
    tag: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    status: VersionStatus,
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(default)]
    job_agent_config: Map<String, Value>,
    #[serde(default)]
    metadata: Metadata,
    created_at: Option<Timestamp>,
    dependencies: Option<Vec<NewDependency>>,
}

#[derive(Deserialize)]
pub(super) struct Upsert {
    #[serde(default)]
    upsert: bool,
}

/// `POST /deployments/{d}/versions?upsert=`
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Segments((w, d)): Segments<(String, String)>,
    Params(Upsert { upsert }): Params<Upsert>,
    Body(new): Body<NewVersion>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let deployment = deployment(&app, &workspace, &d)?;
    check(&new)?;
    let dependencies = resolved(&app, &workspace, new.dependencies.unwrap_or_default())?;
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
    };
    let declared = Entity::Version(Record { meta, spec });
    documents::check(&declared)?;
    let written = app
        .store
        .write(&caller, &declared.key(), Mode::Write, |before| {
            if before.is_some() && !upsert {
                return Err(Problem::conflict("there is a version of this tag; ?upsert=true replaces it"));
            }
            Ok(changes::declared(&caller, before, declared.clone(), now))
        })
        .await?;
    app.store.seen(written.revision).await;
    Ok((StatusCode::ACCEPTED, Json(flat(&written.after))))
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    name: Option<String>,
    status: Option<VersionStatus>,
    config: Option<Map<String, Value>>,
    job_agent_config: Option<Map<String, Value>>,
    metadata: Option<Metadata>,
    dependencies: Option<Vec<NewDependency>>,
}

/// `PATCH /deployment-versions/{v}`: what is given replaces what was there; metadata is laid over.
pub(super) async fn change(
    State(app): State<App>,
    caller: Caller,
    Segments((w, v)): Segments<(String, String)>,
    Body(change): Body<Change>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let missing = || Problem::not_found(format_args!("version {v}"));
    let known = app.catalog.find(&workspace, Kind::Version, &v).ok_or_else(missing)?;
    let dependencies = change.dependencies.map(|given| resolved(&app, &workspace, given)).transpose()?;
    let written = app
        .store
        .write(&caller, &known.key(), Mode::Write, |before| {
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
    Ok((StatusCode::ACCEPTED, Json(flat(&written.after))))
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
