//! Dead letters: messages no handler could work. They belong to all tenants, so only a key of all tenants sees them.

use crate::openapi::shapes::{Listed, Thing};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bus::crash_point;
use bus::dead::{self, RedriveError};
use bus::topology::DEAD;
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
    /// At most so many, up to 200; 50 where it is not said.
    limit: Option<usize>,
    /// How many to leave out first, as long as those and the page are no more than 200; further leads `after`.
    offset: Option<usize>,
}

/// `GET /dead-letters?after=&limit=&offset=`: `next` is the `after` of the page after this one.
#[utoipa::path(get, path = "/dead-letters", params(After), responses((status = 200, description = "A page of them", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(After { after, limit, offset }): Params<After>,
) -> Result<Json<Value>, Problem> {
    of_all_tenants(&caller)?;
    let limit = limit.unwrap_or(PAGE).clamp(1, dead::PAGE_MAX);
    let offset = offset.unwrap_or(0);
    let end = offset.saturating_add(limit);
    if offset > 0 && end > dead::PAGE_MAX {
        let message = format!("and limit are more than {}; go on with `after`", dead::PAGE_MAX);
        return Err(Problem::invalid_field("offset", message));
    }
    let letters = dead::list(&app.bus, after, end).await?;
    // Counted afterwards, so that it is not less than what is shown.
    let total = app.bus.count_matching(&DEAD, DEAD.subjects[0]).await?;
    let next = (letters.len() == end).then(|| letters.last().map(|letter| letter.sequence)).flatten();
    let items: Vec<_> = letters.into_iter().skip(offset).collect();
    Ok(Json(json!({ "items": items, "total": total, "limit": limit, "offset": offset, "next": next })))
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
