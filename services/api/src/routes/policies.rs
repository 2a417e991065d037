//! Policies: a PUT replaces all rules.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::entity::{Kind, Metadata};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::entities;
use crate::caller::Caller;
use crate::context::App;
use crate::openapi::shapes::{Flat, Listed, Thing};
use crate::problem::Problem;
use crate::request::{Body, Cel, Page, Params, Segments};
use crate::rest::etag::{Precondition, Tagged};
use crate::rest::{self, Draft, To};

/// What every rule that is read has beside itself.
const OURS: [&str; 3] = ["id", "policyId", "createdAt"];
const EVERYWHERE: &str = "true";

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewPolicy {
    name: String,
    description: Option<String>,
    /// CEL over `environment`, `deployment`, `resource`; everywhere where it is left out.
    selector: Option<String>,
    priority: Option<i32>,
    enabled: Option<bool>,
    /// Each an object with one rule; `id`, `policyId` and `createdAt` beside it are ours.
    #[serde(default)]
    #[schema(value_type = Vec<Thing>)]
    rules: Vec<Map<String, Value>>,
    metadata: Option<Metadata>,
}

entities::reading! { Policy, "/policies", "/policies/{p}", "A policy" }
entities::writing! { NewPolicy, "/policies", "/policies/{p}", 202, ACCEPTED }

async fn write(
    app: &App,
    caller: &Caller,
    w: &str,
    to: To<'_>,
    precondition: &Precondition,
    body: NewPolicy,
    status: StatusCode,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(caller, w)?;
    let mut rules = body.rules;
    for rule in &mut rules {
        OURS.iter().for_each(|ours| drop(rule.remove(*ours)));
        // Clients that know every rule send those that it is not as null.
        rule.retain(|_name, value| !value.is_null());
    }
    let entity = Draft::new(Kind::Policy, body.name, body.metadata)
        .with("description", body.description)
        .with("selector", Some(body.selector.unwrap_or_else(|| EVERYWHERE.to_owned())))
        .with("priority", body.priority)
        .with("enabled", body.enabled)
        .with("rules", Some(rules))
        .entity(app, caller, &workspace)?;
    let written = rest::write(app, caller, to, precondition, entity, |_before, _after| {}).await?;
    Ok(entities::written(app, status, &written))
}
