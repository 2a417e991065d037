//! The endpoints an agent needs, at the root and below `/gitlab`.

mod hooks;
mod pipelines;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::gate::gate;
use crate::reply::Reply;
use crate::shared::Shared;

pub(crate) fn router(cx: Arc<Shared>) -> Router {
    let api = Router::new()
        .route("/projects/{project}", get(pipelines::project))
        .route("/projects/{project}/pipeline", post(pipelines::create))
        .route("/projects/{project}/trigger/pipeline", post(pipelines::trigger))
        .route("/projects/{project}/pipelines", get(pipelines::list))
        .route("/projects/{project}/pipelines/{id}", get(pipelines::show).delete(pipelines::delete))
        .route("/projects/{project}/pipelines/{id}/jobs", get(pipelines::jobs))
        .route("/projects/{project}/pipelines/{id}/bridges", get(pipelines::bridges))
        .route("/projects/{project}/pipelines/{id}/variables", get(pipelines::variables))
        .route("/projects/{project}/pipelines/{id}/cancel", post(pipelines::cancel))
        .route("/projects/{project}/pipelines/{id}/retry", post(pipelines::retry))
        .route("/projects/{project}/jobs/{id}/cancel", post(pipelines::cancel_job))
        .route("/projects/{project}/jobs/{id}/retry", post(pipelines::retry_job))
        .route("/projects/{project}/jobs/{id}/play", post(pipelines::play_job))
        .route("/projects/{project}/jobs/{id}/trace", get(pipelines::trace))
        .route("/projects/{project}/hooks", get(hooks::list))
        .route("/projects/{project}/hooks/{hook}/events", get(hooks::events))
        .route("/projects/{project}/hooks/{hook}/events/{event}/resend", post(hooks::resend));
    Router::new()
        .nest("/api/v4", api.clone())
        .nest("/gitlab/api/v4", api)
        .fallback(async || Reply::not_found())
        .layer(from_fn_with_state(Arc::clone(&cx), gate))
        .with_state(cx)
}
