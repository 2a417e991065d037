//! Workspaces: those the caller sees.

use axum::Json;
use axum::extract::State;
use domain::entity::{Entity, Kind};
use domain::token::Slug;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::context::App;
use crate::problem::Problem;
use crate::request::Segments;

/// `GET /workspaces`
pub(super) async fn list(State(app): State<App>, caller: Caller) -> Json<Value> {
    let mut workspaces = app.catalog.workspaces();
    workspaces.retain(|workspace| caller.sees(&workspace.meta().workspace));
    let shown: Vec<Value> = workspaces.iter().map(shape).collect();
    Json(json!({ "total": shown.len(), "workspaces": shown }))
}

/// `GET /workspaces/{w}`
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments(text): Segments<String>,
) -> Result<Json<Value>, Problem> {
    let slug = app.workspace(&caller, &text)?;
    shown(&app, &slug)
}

/// `GET /workspaces/slug/{slug}`
pub(super) async fn by_slug(
    State(app): State<App>,
    caller: Caller,
    Segments(text): Segments<String>,
) -> Result<Json<Value>, Problem> {
    let slug = app.workspace(&caller, &text)?;
    if slug.as_str() != text {
        return Err(Problem::not_found(format_args!("workspace {text}")));
    }
    shown(&app, &slug)
}

fn shown(app: &App, slug: &Slug) -> Result<Json<Value>, Problem> {
    let workspace = app.catalog.find(slug, Kind::Workspace, slug.as_str());
    let workspace = workspace.ok_or_else(|| Problem::not_found(format_args!("workspace {slug}")))?;
    Ok(Json(shape(&workspace)))
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
        | Entity::RelationshipRule(_) => &meta.name,
    };
    json!({ "id": meta.id, "name": name, "slug": meta.workspace, "createdAt": meta.created_at, "metadata": meta.metadata })
}
