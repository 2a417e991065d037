//! What becomes of a version, for CI that asks with one call after another: each waits a while for the end.

use std::collections::HashMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::Timestamp;
use domain::entity::{Entity, Kind};
use domain::id::{DeploymentId, VersionId};
use domain::rollout::{OnTarget, Outcome, Standing, Verdict, standing, verdict};
use domain::token::Slug;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use utoipa::IntoParams;

use crate::caller::Caller;
use crate::context::App;
use crate::explain;
use crate::openapi::shapes::Thing;
use crate::problem::Problem;
use crate::request::{Params, Segments};

const WAIT_SECONDS_DEFAULT: u64 = 20;
/// Proxies on the way end what is silent for longer.
const WAIT_SECONDS_MAX: u64 = 50;
/// However much changes, nobody who waits looks again within that.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How long a failure must last: a retry may be about to begin.
const STANDSTILL: Duration = Duration::from_secs(5);
/// How many targets a text names.
const NAMED_MAX: usize = 10;

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(super) struct Wait {
    /// At most so long, up to 50; 20 where it is not said.
    wait_seconds: Option<u64>,
}

/// Where it stands on one target.
struct Place {
    target: Value,
    standing: Standing,
}

struct Asked {
    id: VersionId,
    deployment: DeploymentId,
    since: Timestamp,
}

/// `GET /deployment-versions/{v}/outcome?waitSeconds=`: 200 once it is everywhere, 409 when it failed, 408 when that is
/// not decided yet after the wait, which callers may simply repeat.
#[utoipa::path(get, path = "/deployment-versions/{v}/outcome", params(Wait), responses((status = 200, description = "It is everywhere", body = Thing), (status = 408, description = "That is not decided yet: ask again"), (status = 409, description = "It failed")))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments((w, v)): Segments<(String, String)>,
    Params(Wait { wait_seconds }): Params<Wait>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let wait = wait_seconds.unwrap_or(WAIT_SECONDS_DEFAULT);
    if wait > WAIT_SECONDS_MAX {
        return Err(Problem::invalid_field("waitSeconds", format!("is at most {WAIT_SECONDS_MAX}")));
    }
    let asked = asked(&app, &workspace, &v)?;
    let give_up = Instant::now() + Duration::from_secs(wait);
    let drain = app.supervisor.token();
    let mut failed_since: Option<Instant> = None;
    let mut changes = app.decisions.changes();
    loop {
        let looked = Instant::now();
        changes.mark_unchanged();
        let places = places(&app, &workspace, &asked);
        match verdict(places.iter().map(|place| &place.standing)) {
            Verdict::Done => return Ok(Json(told("done", &places))),
            Verdict::Standstill(Outcome::Failed) => {
                if looked >= *failed_since.get_or_insert(looked) + STANDSTILL {
                    return Err(problem(StatusCode::CONFLICT, "the rollout failed", &places));
                }
            }
            Verdict::GoOn | Verdict::Standstill(Outcome::Blocked | Outcome::Nowhere) => failed_since = None,
        }
        if looked >= give_up || drain.is_cancelled() {
            return Err(problem(StatusCode::REQUEST_TIMEOUT, "it is not over yet", &places));
        }
        let change = async {
            // The sender lives as long as the app, so waiting cannot fail.
            let _changed = changes.changed().await.is_ok();
            tokio::time::sleep_until(looked + LOOK_AGAIN_AFTER).await;
        };
        let at_the_latest = failed_since.map_or(give_up, |since| give_up.min(since + STANDSTILL));
        tokio::select! {
            () = drain.cancelled() => {}
            () = change => {}
            () = tokio::time::sleep_until(at_the_latest) => {}
        }
    }
}

fn asked(app: &App, workspace: &Slug, v: &str) -> Result<Asked, Problem> {
    match app.catalog.find(workspace, Kind::Version, v) {
        Some(Entity::Version(version)) => Ok(Asked {
            id: VersionId(version.meta.id),
            deployment: version.spec.deployment,
            since: version.meta.updated_at,
        }),
        Some(_) | None => Err(Problem::not_found(format_args!("version {v}"))),
    }
}

fn places(app: &App, workspace: &Slug, asked: &Asked) -> Vec<Place> {
    let order = order(app, workspace, asked.deployment);
    let mut decisions = app.decisions.of(workspace);
    decisions.retain(|decision| decision.target.deployment == asked.deployment);
    decisions
        .iter()
        .filter_map(|decision| {
            let standing = standing(&OnTarget::from(decision.as_ref()), asked.id, asked.since, &order)?;
            Some(Place { target: explain::target(&app.catalog, workspace, &decision.target), standing })
        })
        .collect()
}

/// The deployment's versions, the newest 0.
fn order(app: &App, workspace: &Slug, deployment: DeploymentId) -> HashMap<VersionId, usize> {
    let mut versions = app.catalog.entities(workspace, Kind::Version);
    versions
        .retain(|entity| matches!(entity, Entity::Version(version) if version.spec.deployment == deployment));
    versions.sort_by_key(|entity| std::cmp::Reverse((entity.meta().created_at, entity.meta().id)));
    versions.iter().enumerate().map(|(n, entity)| (VersionId(entity.meta().id), n)).collect()
}

fn told(state: &str, places: &[Place]) -> Value {
    let targets: Vec<Value> = places
        .iter()
        .map(|place| {
            let mut target = place.target.clone();
            target["standing"] = json!(place.standing.to_string());
            target
        })
        .collect();
    json!({ "state": state, "targets": targets })
}

fn problem(status: StatusCode, what: &str, places: &[Place]) -> Problem {
    let up_to_date = places.iter().filter(|place| place.standing == Standing::UpToDate).count();
    let mut detail = format!("{what}: {up_to_date} of {} targets are up to date", places.len());
    let rest = || places.iter().filter(|place| place.standing != Standing::UpToDate);
    for place in rest().take(NAMED_MAX) {
        let name = |what: &str| place.target[what]["name"].as_str().unwrap_or("?").to_owned();
        detail.push_str(&format!("; {} {}: {}", name("environment"), name("resource"), place.standing));
    }
    if rest().count() > NAMED_MAX {
        detail.push_str(&format!("; and {} more", rest().count() - NAMED_MAX));
    }
    Problem::new(status, detail)
}
