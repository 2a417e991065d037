//! What came in from outside, newest first, and what it caused. Payloads are not shown: they are the sender's.

use std::collections::{BTreeMap, HashMap};

use axum::Json;
use axum::extract::State;
use bus::topology::TRIGGERS;
use bus::{Decode as _, Headed, RawMessage, TriggerEvent};
use domain::entity::{BegunBy, Entity, Kind};
use domain::event_token::event_token;
use domain::token::Slug;
use domain::trigger_rule::DELIVERY;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::jobs::slug;
use crate::caller::Caller;
use crate::context::App;
use crate::openapi::shapes::Listed;
use crate::problem::Problem;
use crate::request::{Params, Segments};

const PAGE: usize = 50;
const PAGE_MAX: usize = 200;
const OFFSET_MAX: usize = 1_000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// The name of a trigger source.
    source: Option<String>,
    /// The type of the event, as its sender calls it.
    #[serde(rename = "type")]
    event_type: Option<String>,
    /// Only what came before this sequence.
    before: Option<u64>,
    /// At most so many, up to 200; 50 where it is not said.
    limit: Option<usize>,
    /// How many to leave out first, up to 1000; further back leads `before`.
    offset: Option<usize>,
}

/// `GET /triggers?source=&before=&limit=&offset=`: `next` is the `before` of the page after this one.
#[utoipa::path(get, path = "/triggers", params(Query), responses((status = 200, description = "A page of what came in", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(query): Params<Query>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let source = slug("source", query.source.as_deref())?;
    let source = source.as_ref().map_or("*", Slug::as_str);
    let event_type = query.event_type.filter(|text| !text.is_empty()).map(|text| event_token(&text));
    let event_type = event_type.as_ref().map_or("*", Slug::as_str);
    let filter = format!("ctrlplane.trigger.{workspace}.{source}.{event_type}");
    let offset = query.offset.unwrap_or(0);
    if offset > OFFSET_MAX {
        let message = format!("is at most {OFFSET_MAX}; go on with `before`");
        return Err(Problem::invalid_field("offset", message));
    }
    let total = app.bus.count_matching(&TRIGGERS, &filter).await?;
    let recent = app.bus.recent(&TRIGGERS, &filter, query.before, offset + limit).await?;
    let caused = caused(&app, &workspace);
    let items: Vec<Value> =
        recent.messages.into_iter().skip(offset).map(|message| shown(message, &caused)).collect();
    Ok(Json(
        json!({ "items": items, "total": total, "limit": limit, "offset": offset, "next": recent.before }),
    ))
}

/// The versions that deliveries made and the runs they began, by the delivery's id.
fn caused(app: &App, workspace: &Slug) -> HashMap<String, Vec<Value>> {
    let mut caused: HashMap<String, Vec<Value>> = HashMap::new();
    let mut deployments: BTreeMap<_, Option<String>> = BTreeMap::new();
    for entity in app.catalog.entities(workspace, Kind::Version) {
        let Entity::Version(version) = entity else { continue };
        let Some(delivery) = version.meta.metadata.get(DELIVERY) else { continue };
        let of = version.spec.deployment;
        let name =
            deployments.entry(of).or_insert_with(|| app.catalog.name(workspace, Kind::Deployment, of.0));
        caused.entry(delivery.clone()).or_default().push(json!({
            "kind": "Version", "id": version.meta.id, "deployment": { "id": of, "name": name }, "tag": version.spec.tag,
        }));
    }
    for entity in app.catalog.entities(workspace, Kind::WorkflowRun) {
        let Entity::WorkflowRun(run) = entity else { continue };
        let BegunBy::Trigger { delivery, .. } = run.spec.begun_by else { continue };
        caused.entry(delivery).or_default().push(json!({
            "kind": "WorkflowRun", "id": run.meta.id,
            "workflow": { "id": run.spec.workflow, "name": run.spec.workflow_name },
        }));
    }
    caused
}

fn shown(message: Headed, caused: &HashMap<String, Vec<Value>>) -> Value {
    let Headed { subject, sequence, headers, size_bytes, published_at } = message;
    let raw = RawMessage { subject: subject.clone(), headers, payload: Default::default() };
    let mut shown = json!({ "sequence": sequence, "at": published_at, "sizeBytes": size_bytes });
    match TriggerEvent::decode(&raw) {
        Ok(event) => {
            let attributes = event.attributes;
            shown["id"] = json!(attributes.id);
            shown["source"] = json!(attributes.source);
            shown["type"] = json!(attributes.event_type);
            shown["subject"] = json!(attributes.subject);
            shown["time"] = json!(attributes.time);
            shown["triggerSource"] = json!(attributes.triggersource);
            shown["sourceKind"] = json!(attributes.sourcekind);
            shown["caused"] = json!(caused.get(&attributes.id).map(Vec::as_slice).unwrap_or_default());
        }
        Err(error) => {
            tracing::warn!(sequence, subject, %error, "a trigger event cannot be read");
            shown["unreadable"] = json!(error.to_string());
        }
    }
    shown
}
