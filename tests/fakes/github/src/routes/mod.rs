//! The endpoints, at `/` as api.github.com and at `/api/v3` as GHES.

mod app;
mod hooks;
mod repos;
mod runs;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::gate::gate;
use crate::reply::Reply;
use crate::shared::Shared;

/// All routes behind the gate.
pub(crate) fn router(cx: Arc<Shared>) -> Router {
    let run = "/repos/{owner}/{repo}/actions/runs/{id}";
    let api = Router::new()
        .route("/app", get(app::show))
        .route("/app/installations/{id}/access_tokens", post(app::mint))
        .route("/app/hook/deliveries", get(app::deliveries))
        .route("/app/hook/deliveries/{id}", get(app::delivery))
        .route("/app/hook/deliveries/{id}/attempts", post(app::redeliver))
        .route("/repos/{owner}/{repo}/hooks", get(hooks::list))
        .route("/repos/{owner}/{repo}/hooks/{hook}/deliveries", get(hooks::deliveries))
        .route("/repos/{owner}/{repo}/hooks/{hook}/deliveries/{id}/attempts", post(hooks::redeliver))
        .route("/rate_limit", get(app::rate_limit))
        .route("/meta", get(app::meta))
        .route("/repos/{owner}/{repo}", get(repos::show))
        .route("/repos/{owner}/{repo}/installation", get(app::installation))
        .route("/repos/{owner}/{repo}/actions/workflows", get(repos::workflows))
        .route("/repos/{owner}/{repo}/actions/workflows/{wf}", get(repos::workflow))
        .route("/repos/{owner}/{repo}/actions/workflows/{wf}/dispatches", post(repos::dispatch))
        .route("/repos/{owner}/{repo}/actions/workflows/{wf}/runs", get(repos::runs_of_workflow))
        .route("/repos/{owner}/{repo}/actions/runs", get(repos::runs))
        .route(run, get(runs::show))
        .route(&format!("{run}/attempts/{{attempt}}"), get(runs::attempt))
        .route(&format!("{run}/jobs"), get(runs::jobs))
        .route(&format!("{run}/pending_deployments"), get(runs::pending_deployments))
        .route(&format!("{run}/cancel"), post(runs::cancel))
        .route(&format!("{run}/force-cancel"), post(runs::force_cancel))
        .route(&format!("{run}/rerun"), post(runs::rerun))
        .route(&format!("{run}/rerun-failed-jobs"), post(runs::rerun_failed_jobs));
    Router::new()
        .merge(api.clone())
        .nest("/api/v3", api)
        .fallback(async || Reply::not_found())
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&cx), gate))
        .with_state(cx)
}
