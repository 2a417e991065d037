//! `POST /policies/backtest`: proposed policies, tried on what happened.

use crate::openapi::shapes::Thing;
use axum::Json;
use axum::extract::State;
use domain::backtest::Report;

use crate::backtest::{self, Request};
use crate::caller::Caller;
use crate::context::App;
use crate::problem::Problem;
use crate::request::{Body, Segments};

/// `POST /policies/backtest`
#[utoipa::path(post, path = "/policies/backtest", request_body = Thing, responses((status = 200, description = "What the policies would have done", body = Thing)))]
pub(super) async fn run(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Body(request): Body<Request>,
) -> Result<Json<Report>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    backtest::run(&app, workspace, request).await.map(Json)
}
