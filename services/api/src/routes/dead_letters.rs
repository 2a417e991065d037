//! Dead letters: messages no handler could work. They belong to all tenants, so only a key of all tenants sees them.

use crate::openapi::shapes::Thing;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bus::crash_point;
use bus::dead::{self, RedriveError};
use domain::audit::{Documents, Object};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::audit::{self, Deed};
use crate::auth::Role;
use crate::caller::Caller;
use crate::context::App;
use crate::problem::Problem;
use crate::request::{Params, Segments};

const PAGE: usize = 50;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(super) struct After {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

/// `GET /dead-letters?after=&limit=`
#[utoipa::path(get, path = "/dead-letters", params(After), responses((status = 200, description = "A page of them", body = Thing)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(After { after, limit }): Params<After>,
) -> Result<Json<Value>, Problem> {
    of_all_tenants(&caller)?;
    let limit = limit.unwrap_or(PAGE).clamp(1, dead::PAGE_MAX);
    let letters = dead::list(&app.bus, after, limit).await?;
    let next = (letters.len() == limit).then(|| letters.last().map(|letter| letter.sequence)).flatten();
    Ok(Json(json!({ "items": letters, "limit": limit, "next": next })))
}

/// `POST /dead-letters/{sequence}/redrive`
#[utoipa::path(post, path = "/dead-letters/{sequence}/redrive", responses((status = 202, description = "It was sent back", body = Thing)))]
pub(super) async fn redrive(
    State(app): State<App>,
    caller: Caller,
    Segments(sequence): Segments<u64>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    of_all_tenants(&caller)?;
    crash_point("api.redrive.before");
    let redriven = dead::redrive(&app.bus, sequence).await;
    crash_point("api.redrive.after");
    let new = redriven.map_err(|error| match error {
        RedriveError::NotFound(sequence) => Problem::not_found(format_args!("dead letter {sequence}")),
        RedriveError::MovedOn | RedriveError::Gone => Problem::conflict(error.to_string()),
        RedriveError::Bus(error) => error.into(),
    })?;
    let everywhere = audit::everywhere();
    let documents = Documents::between(None, Some(json!({ "sequence": new })));
    let object = Object { kind: "DeadLetter".to_owned(), id: sequence.to_string(), name: String::new() };
    let deed = Deed {
        action: "redrive",
        workspace: &everywhere,
        object,
        before: Some(sequence),
        after: Some(new),
        documents,
    };
    audit::note(&app.bus, &caller, deed).await?;
    Ok((
        StatusCode::ACCEPTED,
        Json(json!({ "id": sequence, "sequence": new, "message": "sent back to where it came from" })),
    ))
}

fn of_all_tenants(caller: &Caller) -> Result<(), Problem> {
    if !caller.sees_all() {
        return Err(Problem::not_found("path for this key"));
    }
    caller.needs(Role::Admin)
}
