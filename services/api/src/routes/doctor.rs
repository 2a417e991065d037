//! `GET /doctor`: what a person would check when something does not move.

use crate::openapi::shapes::Thing;
use axum::Json;
use axum::extract::State;
use serde_json::Value;

use crate::auth::Role;
use crate::caller::Caller;
use crate::context::App;
use crate::doctor::examine;
use crate::problem::Problem;

/// `GET /doctor`
#[utoipa::path(get, path = "/doctor", responses((status = 200, description = "What was found", body = Thing)))]
pub(super) async fn examined(State(app): State<App>, caller: Caller) -> Result<Json<Value>, Problem> {
    caller.needs(Role::Viewer)?;
    Ok(Json(examine(&app, &caller, bus::clock::now()).await))
}
