//! Every path of the API. One file per subject; what needs a key stands behind one layer.

mod agents;
mod apply;
mod approvals;
mod audit;
mod backtest;
mod catalog;
mod dead_letters;
mod dependencies;
mod deployments;
mod doctor;
mod entities;
mod environments;
mod events;
mod freezes;
mod job_agents;
mod jobs;
mod keys;
mod login;
mod outcome;
mod pending;
mod pins;
mod policies;
mod providers;
mod redeploys;
mod relationship_rules;
mod releases;
mod reports;
mod resources;
mod rollouts;
mod session;
mod skips;
mod systems;
mod targets;
mod triggers;
mod variable_sets;
mod variables;
mod versions;
mod waiting;
mod waiting_versions;
mod waves;
mod workflow_runs;
mod workflows;
mod workspaces;

pub(crate) use jobs::Told;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};
use utoipa_axum::routes;

use crate::caller::authenticate;
use crate::console;
use crate::context::App;
use crate::declared::{self, Declared};
use crate::idempotency;
use crate::openapi::Routes;
use crate::openapi::shapes::Thing;
use crate::problem::Problem;
use crate::request::BODY_BYTES_MAX;
use crate::whole;

/// All routes, beside health and metrics.
pub(crate) fn router(app: App) -> Router {
    let (router, document) = Routes::new()
        .with(routes!(healthy))
        .with(routes!(version))
        .with(routes!(described))
        .nest("/api/v1", with_key(&app).merge(open(&app)))
        .into_parts();
    router
        .merge(console::router())
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(Extension(Arc::new(Declared::of(&document))))
        .layer(Extension(Arc::new(document)))
        .with_state(app)
}

fn with_key(app: &App) -> Routes {
    Routes::new()
        .with(routes!(apply::apply))
        .merge(access())
        .with(routes!(dead_letters::list))
        .with(routes!(dead_letters::redrive))
        .with(routes!(doctor::examined))
        .with(routes!(workspaces::list, workspaces::create))
        .with(routes!(workspaces::get, workspaces::change, workspaces::delete))
        .with(routes!(workspaces::by_slug))
        .nest("/workspaces/{w}", of_workspace())
        .through(app, idempotency::once)
        .through(app, declared::only)
        .through(app, whole::writes)
        .through(app, authenticate)
}

/// Who may call, and what they did.
fn access() -> Routes {
    Routes::new()
        .with(routes!(keys::list, keys::create))
        .with(routes!(keys::revoke))
        .with(routes!(session::show, session::end))
        .with(routes!(session::end_of_user))
        .with(routes!(audit::of_all))
        .with(routes!(audit::of_workspace))
}

/// For who has no key yet.
fn open(app: &App) -> Routes {
    Routes::new()
        .with(routes!(session::begin))
        .with(routes!(login::ways))
        .with(routes!(login::begin))
        .with(routes!(login::finish))
        .through(app, whole::all)
}

fn of_workspace() -> Routes {
    structure().merge(delivery()).merge(said())
}

/// What lasts: what goes where, on what, and by whose hands.
fn structure() -> Routes {
    Routes::new()
        .with(routes!(catalog::list))
        .with(routes!(catalog::get, catalog::delete))
        .with(routes!(systems::list, systems::create))
        .with(routes!(systems::get, systems::put, systems::delete))
        .with(routes!(systems::deployment, systems::link_deployment, systems::unlink_deployment))
        .with(routes!(systems::environment, systems::link_environment, systems::unlink_environment))
        .with(routes!(deployments::list, deployments::create))
        .with(routes!(deployments::by_name))
        .with(routes!(deployments::get, deployments::put, deployments::delete))
        .with(routes!(variables::list))
        .with(routes!(variables::get, variables::put, variables::delete))
        .with(routes!(variables::get_value, variables::put_value, variables::delete_value))
        .with(routes!(environments::list, environments::create))
        .with(routes!(environments::by_name))
        .with(routes!(environments::get, environments::put, environments::delete))
        .with(routes!(resources::list))
        .with(routes!(resources::search))
        .with(routes!(resources::get))
        .with(routes!(resources::by_identifier, resources::put, resources::delete))
        .with(routes!(resources::deployments))
        .with(routes!(resources::variables, resources::set_variables))
        .with(routes!(resources::release_target))
        .with(routes!(providers::list, providers::put))
        .with(routes!(providers::by_name, providers::delete))
        .with(routes!(providers::resources))
        .with(routes!(providers::set))
        .with(routes!(job_agents::list))
        .with(routes!(job_agents::get, job_agents::put, job_agents::delete))
        .with(routes!(job_agents::jobs))
        .with(routes!(job_agents::claim))
        .with(routes!(agents::standing))
        .with(routes!(policies::list, policies::create))
        .with(routes!(backtest::run))
        .with(routes!(policies::get, policies::put, policies::delete))
        .with(routes!(relationship_rules::list, relationship_rules::create))
        .with(routes!(relationship_rules::get, relationship_rules::put, relationship_rules::delete))
        .with(routes!(variable_sets::list, variable_sets::create))
        .with(routes!(variable_sets::get, variable_sets::put, variable_sets::delete))
        .with(routes!(workflows::list, workflows::create))
        .with(routes!(workflows::get, workflows::put, workflows::delete))
        .with(routes!(workflows::by_slug))
}

/// What comes and goes: versions, jobs, and where they stand.
fn delivery() -> Routes {
    Routes::new()
        .with(routes!(triggers::list))
        .with(routes!(versions::list, versions::create))
        .with(routes!(versions::get, versions::change))
        .with(routes!(versions::change_as_before))
        .with(routes!(outcome::get))
        .with(routes!(dependencies::list))
        .with(routes!(dependencies::put, dependencies::delete))
        .with(routes!(jobs::list))
        .with(routes!(jobs::counts))
        .with(routes!(jobs::get))
        .with(routes!(jobs::with_release))
        .with(routes!(jobs::cancel))
        .with(routes!(jobs::retry))
        .with(routes!(reports::report))
        .with(routes!(workflow_runs::begin))
        .with(routes!(workflow_runs::begin_by_slug))
        .with(routes!(workflow_runs::list))
        .with(routes!(workflow_runs::get))
        .with(routes!(workflow_runs::cancel))
        .with(routes!(targets::list))
        .with(routes!(targets::explain_by_names))
        .with(routes!(targets::explain))
        .with(routes!(releases::states))
        .with(routes!(releases::preview))
        .with(routes!(releases::desired))
        .with(routes!(releases::state))
        .with(routes!(releases::jobs))
        .with(routes!(releases::eligible))
        .with(routes!(releases::release))
        .with(routes!(events::listen))
}

/// What people say.
fn said() -> Routes {
    Routes::new()
        .with(routes!(waiting::list))
        .with(routes!(waiting_versions::list))
        .with(routes!(pending::pending))
        .with(routes!(approvals::record))
        .with(routes!(waves::list))
        .with(routes!(rollouts::control))
        .with(routes!(rollouts::reject))
        .with(routes!(freezes::list, freezes::create))
        .with(routes!(freezes::thaw))
        .with(routes!(skips::list, skips::create))
        .with(routes!(skips::delete))
        .with(routes!(pins::list, pins::create))
        .with(routes!(pins::delete))
        .with(routes!(pins::pin_target, pins::unpin_target))
        .with(routes!(redeploys::by_names))
        .with(routes!(redeploys::of_target))
}

/// `GET /api/healthz`
#[utoipa::path(get, path = "/api/healthz", responses((status = 200, description = "It answers", body = Thing)))]
async fn healthy() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// `GET /api/version`
#[utoipa::path(get, path = "/api/version", responses((status = 200, description = "Which version it is", body = Thing)))]
async fn version() -> Json<Value> {
    Json(json!({ "version": env!("CARGO_PKG_VERSION") }))
}

/// `GET /openapi.json`: this API
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, description = "OpenAPI 3.1", body = Thing)))]
async fn described(Extension(document): Extension<Arc<Value>>) -> Json<Value> {
    Json(Value::clone(&document))
}

async fn unknown(uri: Uri) -> Problem {
    Problem::not_found(format_args!("path {}", uri.path()))
}

async fn wrong_method(uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} does not take this method", uri.path()))
}
