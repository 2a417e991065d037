//! Every path of the API. One file per subject; what needs a key stands behind one layer.

mod agents;
mod apply;
mod approvals;
mod audit;
mod backtest;
mod catalog;
mod dead_letters;
mod dependencies;
mod doctor;
mod events;
mod freezes;
mod jobs;
mod keys;
mod login;
mod outcome;
mod pins;
mod redeploys;
mod rollouts;
mod session;
mod skips;
mod targets;
mod triggers;
mod versions;
mod waiting;
mod waves;
mod workspaces;

use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::routing::{delete, get, patch, post, put};
use axum::{Json, Router, middleware};
use serde_json::{Value, json};

use crate::caller::authenticate;
use crate::console;
use crate::context::App;
use crate::problem::Problem;
use crate::request::BODY_BYTES_MAX;

/// All routes, beside health and metrics.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/api/healthz", get(async || Json(json!({ "status": "ok" }))))
        .route("/api/version", get(version))
        .nest("/api/v1", with_key(&app).merge(open()))
        .merge(console::router())
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(app)
}

fn with_key(app: &App) -> Router<App> {
    Router::new()
        .route("/apply", post(apply::apply))
        .merge(access())
        .route("/dead-letters", get(dead_letters::list))
        .route("/dead-letters/{sequence}/redrive", post(dead_letters::redrive))
        .route("/doctor", get(doctor::examined))
        .route("/workspaces", get(workspaces::list))
        .route("/workspaces/{w}", get(workspaces::get))
        .route("/workspaces/slug/{slug}", get(workspaces::by_slug))
        .nest("/workspaces/{w}", of_workspace())
        .route_layer(middleware::from_fn_with_state(app.clone(), authenticate))
}

/// Who may call, and what they did.
fn access() -> Router<App> {
    Router::new()
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{id}", delete(keys::revoke))
        .route("/session", get(session::show).delete(session::end))
        .route("/audit", get(audit::of_all))
        .route("/workspaces/{w}/audit", get(audit::of_workspace))
}

/// For who has no key yet.
fn open() -> Router<App> {
    Router::new()
        .route("/session", post(session::begin))
        .route("/login", get(login::ways))
        .route("/login/oidc", get(login::begin))
        .route("/login/oidc/callback", get(login::finish))
}

fn of_workspace() -> Router<App> {
    Router::new()
        .route("/catalog/{kind}", get(catalog::list))
        .route("/catalog/{kind}/{name}", get(catalog::get).delete(catalog::delete))
        .route("/deployments/{d}/versions", get(versions::list).post(versions::create))
        .route("/deployments/name/{name}", get(catalog::deployment_by_name))
        .route("/environments/name/{name}", get(catalog::environment_by_name))
        .route("/resources/identifier/{identifier}", get(catalog::resource_by_identifier))
        .route("/deployment-versions/{v}", get(versions::get).patch(versions::change))
        .route("/deploymentversions/{v}", patch(versions::change))
        .route("/deployment-versions/{v}/user-approval-records", put(approvals::record))
        .route("/jobs", get(jobs::list))
        .route("/jobs/counts", get(jobs::counts))
        .route("/jobs/{j}", get(jobs::get))
        .route("/jobs/{j}/cancel", post(jobs::cancel))
        .route("/jobs/{j}/retry", post(jobs::retry))
        .route("/release-targets", get(targets::list))
        .route("/release-targets/explain", get(targets::explain_by_names))
        .route("/release-targets/{key}/explain", get(targets::explain))
        .route("/freezes", get(freezes::list).post(freezes::create))
        .route("/freezes/{name}", delete(freezes::thaw))
        .route("/skips", get(skips::list).post(skips::create))
        .route("/skips/{id}", delete(skips::delete))
        .route("/pins", get(pins::list).post(pins::create))
        .route("/pins/{id}", delete(pins::delete))
        .route("/release-targets/{key}/pin", post(pins::pin_target).delete(pins::unpin_target))
        .route("/release-targets/redeploy", post(redeploys::by_names))
        .route("/release-targets/{key}/redeploy", post(redeploys::of_target))
        .route("/deployment-versions/{v}/rollout", post(rollouts::control))
        .route("/deployment-versions/{v}/outcome", get(outcome::get))
        .route("/deployment-versions/{v}/reject", post(rollouts::reject))
        .route("/deployment-versions/{v}/dependencies", get(dependencies::list))
        .route(
            "/deployment-versions/{v}/dependencies/{d}",
            put(dependencies::put).delete(dependencies::delete),
        )
        .route("/policies/backtest", post(backtest::run))
        .route("/agents/standing", get(agents::standing))
        .route("/rollouts", get(waves::list))
        .route("/triggers", get(triggers::list))
        .route("/waiting", get(waiting::list))
        .route("/events", get(events::listen))
        .merge(catalog::aliases())
}

async fn version() -> Json<Value> {
    Json(json!({ "version": env!("CARGO_PKG_VERSION") }))
}

async fn unknown(uri: Uri) -> Problem {
    Problem::not_found(format_args!("path {}", uri.path()))
}

async fn wrong_method(uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} does not take this method", uri.path()))
}
