//! `GET /triggers`: what came in from outside, and what it caused.

use axum::Json;
use axum::extract::State;
use bus::topology::TRIGGERS;
use bus::{Bus, Decode as _, RawMessage, StoredMessage, TriggerEvent};
use domain::entity::{Entity, Kind};
use domain::token::Slug;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::caller::Caller;
use crate::changes::DELIVERY;
use crate::context::App;
use crate::openapi::shapes::Thing;
use crate::problem::Problem;
use crate::request::{Params, Segments};

const PAGE: usize = 50;
const PAGE_MAX: usize = 200;
/// The stream is read backwards in steps of this many messages of all tenants, each step twice as long as the one before.
const STEP: u64 = 256;
/// One request looks at most so far back; the next goes on from there.
const BACK_MAX: u64 = 200_000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// Only what came in through this source.
    source: Option<String>,
    /// Only what came in before this place: `next` of the page before.
    before: Option<u64>,
    /// At most so many, up to 200; 50 where it is not said.
    limit: Option<usize>,
}

/// `GET /triggers?source=&before=&limit=`, newest first
#[utoipa::path(get, path = "/triggers", params(Query), responses((status = 200, description = "A page of what came in", body = Thing)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(query): Params<Query>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let filter = match query.source.as_deref().filter(|source| !source.is_empty()) {
        Some(source) => format!("ctrlplane.trigger.{workspace}.{}.>", Slug::of_name(source)),
        None => format!("ctrlplane.trigger.{workspace}.>"),
    };
    let end = match query.before {
        Some(before) => before.saturating_sub(1),
        None => app.bus.last_sequence(&TRIGGERS).await?,
    };
    let (found, next) = newest(&app.bus, &filter, end, limit).await?;
    let versions = app.catalog.entities(&workspace, Kind::Version);
    let items: Vec<Value> =
        found.into_iter().map(|message| shown(&app, &workspace, message, &versions)).collect();
    Ok(Json(json!({ "items": items, "limit": limit, "next": next })))
}

/// The last messages of the filter up to that sequence, the newest first; and where to go on, unless that was all.
async fn newest(
    bus: &Bus,
    filter: &str,
    end: u64,
    limit: usize,
) -> Result<(Vec<StoredMessage>, Option<u64>), Problem> {
    let (mut found, mut until, mut step): (Vec<StoredMessage>, u64, u64) = (Vec::new(), end, STEP);
    while until > 0 && found.len() < limit && end - until < BACK_MAX {
        let from = until.saturating_sub(step).saturating_add(1).max(1);
        let (mut part, mut at) = (Vec::new(), from);
        while let Some(message) = bus.next_of_subject(&TRIGGERS, filter, at).await? {
            if message.sequence > until {
                break;
            }
            at = message.sequence + 1;
            part.push(message);
        }
        found.extend(part.into_iter().rev());
        (until, step) = (from - 1, step.saturating_mul(2));
    }
    if found.len() > limit {
        found.truncate(limit);
        until = found.last().map_or(0, |last| last.sequence - 1);
    }
    Ok((found, (until > 0).then_some(until + 1)))
}

fn shown(app: &App, workspace: &Slug, message: StoredMessage, versions: &[Entity]) -> Value {
    let (sequence, at) = (message.sequence, message.published_at);
    let raw = RawMessage { subject: String::new(), headers: message.headers, payload: message.payload };
    let event = match TriggerEvent::decode(&raw) {
        Ok(event) => event,
        Err(error) => return json!({ "sequence": sequence, "at": at, "unreadable": error.to_string() }),
    };
    let attributes = event.attributes;
    let caused: Vec<Value> = versions
        .iter()
        .filter(|version| version.meta().metadata.get(DELIVERY) == Some(&attributes.id))
        .filter_map(|version| match version {
            Entity::Version(version) => Some(json!({
                "id": version.meta.id, "tag": version.spec.tag, "status": version.spec.status,
                "deploymentId": version.spec.deployment,
                "deployment": app.catalog.name(workspace, Kind::Deployment, version.spec.deployment.0),
                "jobs": jobs(app, workspace, version.meta.id),
            })),
            _ => None,
        })
        .collect();
    json!({
        "sequence": sequence, "at": at, "id": attributes.id, "type": attributes.event_type,
        "source": attributes.triggersource, "sourceKind": attributes.sourcekind, "from": attributes.source,
        "subject": attributes.subject, "time": attributes.time, "versions": caused,
    })
}

/// The jobs of the version that its targets know.
fn jobs(app: &App, workspace: &Slug, version: uuid::Uuid) -> Vec<Value> {
    let mut jobs = Vec::new();
    for decision in app.decisions.of(workspace) {
        let known = decision.active.iter().chain(&decision.last).filter(|job| job.version.0 == version);
        for job in known {
            jobs.push(json!({ "id": job.job, "status": job.status, "attempt": job.attempt, "target": decision.target.to_string(),
                "environment": app.catalog.name(workspace, Kind::Environment, decision.target.environment.0) }));
        }
    }
    jobs
}
