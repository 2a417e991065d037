//! `POST /apply`: the catalog from files.

use crate::openapi::shapes::Thing;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::apply::{self, Applied, Request};
use crate::caller::Caller;
use crate::context::App;
use crate::problem::Problem;
use crate::request::{Body, Params};
use crate::store::Mode;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(super) struct Query {
    #[serde(default)]
    dry_run: bool,
}

/// `POST /apply?dryRun=`
#[utoipa::path(post, path = "/apply", params(Query), request_body = Thing, responses((status = 200, description = "What became of each document", body = Thing)))]
pub(super) async fn apply(
    State(app): State<App>,
    caller: Caller,
    Params(Query { dry_run }): Params<Query>,
    Body(request): Body<Request>,
) -> Result<Json<Applied>, Problem> {
    let mode = if dry_run { Mode::DryRun } else { Mode::Write };
    apply::apply(&app, &caller, request, mode).await.map(Json)
}
