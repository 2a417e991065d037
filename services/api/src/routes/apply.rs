//! `POST /apply`: the catalog from files.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::apply::{self, Applied, Request};
use crate::caller::Caller;
use crate::context::App;
use crate::problem::Problem;
use crate::request::{Body, Params};
use crate::store::Mode;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Query {
    #[serde(default)]
    dry_run: bool,
}

/// `POST /apply?dryRun=`
pub(super) async fn apply(
    State(app): State<App>,
    caller: Caller,
    Params(Query { dry_run }): Params<Query>,
    Body(request): Body<Request>,
) -> Result<Json<Applied>, Problem> {
    let mode = if dry_run { Mode::DryRun } else { Mode::Write };
    apply::apply(&app, &caller, request, mode).await.map(Json)
}
