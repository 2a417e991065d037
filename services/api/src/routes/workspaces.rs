//! Workspaces: those the caller sees.

use crate::openapi::shapes::Thing;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::entity::{Entity, Kind, Metadata};
use domain::token::Slug;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::entities;
use crate::auth::Role;
use crate::caller::Caller;
use crate::context::App;
use crate::documents;
use crate::problem::{Fault, Problem};
use crate::request::{Body, Segments};
use crate::rest::etag::{Precondition, Tagged};
use crate::rest::{self, Draft, To, remove};
use crate::store::Mode;

/// `GET /workspaces`
#[utoipa::path(get, path = "/workspaces", responses((status = 200, description = "Those the key sees", body = Thing)))]
pub(super) async fn list(State(app): State<App>, caller: Caller) -> Json<Value> {
    let mut workspaces = app.catalog.workspaces();
    workspaces.retain(|workspace| caller.sees(&workspace.meta().workspace));
    let shown: Vec<Value> = workspaces.iter().map(shape).collect();
    Json(json!({ "total": shown.len(), "workspaces": shown }))
}

/// `GET /workspaces/{w}`
#[utoipa::path(get, path = "/workspaces/{w}", responses((status = 200, description = "A workspace", body = Thing)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments(text): Segments<String>,
) -> Result<Tagged, Problem> {
    let slug = app.workspace(&caller, &text)?;
    shown(&app, &slug).await
}

/// `GET /workspaces/slug/{slug}`
#[utoipa::path(get, path = "/workspaces/slug/{slug}", responses((status = 200, description = "A workspace", body = Thing)))]
pub(super) async fn by_slug(
    State(app): State<App>,
    caller: Caller,
    Segments(text): Segments<String>,
) -> Result<Tagged, Problem> {
    let slug = app.workspace(&caller, &text)?;
    if slug.as_str() != text {
        return Err(Problem::not_found(format_args!("workspace {text}")));
    }
    shown(&app, &slug).await
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewWorkspace {
    name: String,
    /// Part of subjects and keys, and it does not change.
    slug: String,
    metadata: Option<Metadata>,
}

/// `POST /workspaces`
#[utoipa::path(post, path = "/workspaces", params(Precondition), request_body = NewWorkspace, responses((status = 201, description = "It is there", body = Thing)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    precondition: Precondition,
    Body(new): Body<NewWorkspace>,
) -> Result<Tagged, Problem> {
    let slug: Slug = new.slug.parse().map_err(|error| Problem::invalid_field("slug", format!("{error}")))?;
    if !caller.sees(&slug) {
        return Err(Problem::not_found(format_args!("workspace {slug}")));
    }
    let display_name = Some(new.name).filter(|name| *name != slug.as_str() && !name.is_empty());
    let entity = Draft::new(Kind::Workspace, slug.to_string(), new.metadata)
        .with("displayName", display_name)
        .called(&[("displayName", "name")])
        .entity(&app, &caller, &slug)?;
    let written = rest::write(&app, &caller, To::New, &precondition, entity, |_before, _after| {}).await?;
    Ok(Tagged::new(StatusCode::CREATED, written.revision, shape(&written.after)))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    name: Option<String>,
    slug: Option<String>,
    metadata: Option<Metadata>,
}

/// `PATCH /workspaces/{w}`
#[utoipa::path(patch, path = "/workspaces/{w}", params(Precondition), request_body = Change, responses((status = 200, description = "It is changed", body = Thing)))]
pub(super) async fn change(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    precondition: Precondition,
    Body(change): Body<Change>,
) -> Result<Tagged, Problem> {
    let slug = app.workspace(&caller, &w)?;
    caller.needs(Role::Admin)?;
    if change.slug.as_ref().is_some_and(|new| *new != slug.as_str()) {
        let message = "is part of subjects and keys, and does not change";
        return Err(
            Problem::conflict(format!("slug: {message}")).with(vec![Fault::of_field("slug", message)])
        );
    }
    let known = entities::find(&app, &slug, Kind::Workspace, slug.as_str())?;
    let desire = |before: Option<&Entity>| {
        let Some(Entity::Workspace(workspace)) = before else {
            return Err(Problem::not_found(format_args!("workspace {w}")));
        };
        let mut workspace = workspace.clone();
        if let Some(name) = &change.name {
            let name = Some(name.clone()).filter(|name| *name != slug.as_str() && !name.is_empty());
            workspace.spec.display_name = name;
        }
        if let Some(metadata) = &change.metadata {
            workspace.meta.metadata.clone_from(metadata);
        }
        let after = Entity::Workspace(workspace);
        documents::check(&after)?;
        Ok(after)
    };
    let written = app.store.write_if(&caller, &known.key(), Mode::Write, &precondition, desire).await?;
    app.store.seen(written.revision).await;
    Ok(Tagged::new(StatusCode::OK, written.revision, shape(&written.after)))
}

/// `DELETE /workspaces/{w}`: one with nothing in it
#[utoipa::path(delete, path = "/workspaces/{w}", params(Precondition), responses((status = 204, description = "It is gone")))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    precondition: Precondition,
) -> Result<StatusCode, Problem> {
    let slug = app.workspace(&caller, &w)?;
    caller.needs(Role::Admin)?;
    let workspace = entities::find(&app, &slug, Kind::Workspace, slug.as_str())?;
    remove::remove(&app, &caller, &workspace, false, &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn shown(app: &App, slug: &Slug) -> Result<Tagged, Problem> {
    let (workspace, revision) = rest::read(app, slug, Kind::Workspace, slug.as_str()).await?;
    Ok(Tagged::new(StatusCode::OK, revision, shape(&workspace)))
}

fn shape(entity: &Entity) -> Value {
    let meta = entity.meta();
    let name = match entity {
        Entity::Workspace(record) => record.spec.display_name.as_deref().unwrap_or(&meta.name),
        Entity::System(_)
        | Entity::Environment(_)
        | Entity::Resource(_)
        | Entity::JobAgent(_)
        | Entity::Deployment(_)
        | Entity::Policy(_)
        | Entity::TriggerSource(_)
        | Entity::Trigger(_)
        | Entity::Version(_)
        | Entity::Approval(_)
        | Entity::Skip(_)
        | Entity::Freeze(_)
        | Entity::Pin(_)
        | Entity::Redeploy(_)
        | Entity::RolloutControl(_)
        | Entity::VariableSet(_)
        | Entity::RelationshipRule(_)
        | Entity::ResourceProvider(_)
        | Entity::Workflow(_)
        | Entity::WorkflowRun(_) => &meta.name,
    };
    json!({ "id": meta.id, "name": name, "slug": meta.workspace, "createdAt": meta.created_at, "metadata": meta.metadata })
}
