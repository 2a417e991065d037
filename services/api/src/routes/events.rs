//! `GET /events`: the statuses of jobs, live.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use utoipa::IntoParams;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use domain::entity::{Entity, Kind};
use domain::subject::status_filter;
use domain::token::Slug;
use futures::{Stream, StreamExt as _};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::jobs::{slug, statuses};
use crate::caller::Caller;
use crate::context::App;
use crate::problem::Problem;
use crate::request::{Params, Segments};
use crate::sse::{BUFFER_EVENTS, Listening};

/// How often a silent stream says that it lives, so that nothing on the way closes it.
const HEARTBEAT: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: &str = "last-event-id";

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(super) struct Query {
    platform: Option<String>,
    deployment: Option<String>,
    environment: Option<String>,
    status: Option<String>,
    last_event_id: Option<String>,
}

/// `GET /events?platform=&deployment=&environment=&status=&lastEventId=`: `job` events whose id is the sequence of
/// `STATUS`; `live` once what was true at the start has been told; `reset` when the last id is too old to go on from.
#[utoipa::path(get, path = "/events", params(Query), responses((status = 200, description = "Events, as they come", content_type = "text/event-stream", body = String)))]
pub(super) async fn listen(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(query): Params<Query>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let platform = slug("platform", query.platform.as_deref())?;
    let deployment = token(&app, &workspace, Kind::Deployment, query.deployment.as_deref());
    let environment = token(&app, &workspace, Kind::Environment, query.environment.as_deref());
    let after = last_id(&headers, query.last_event_id.as_deref())?;
    let permit = Arc::clone(&app.listeners).try_acquire_owned().map_err(|_| {
        Problem::unavailable(format!("{} clients listen already; try again", app.events.clients_max))
    })?;
    let (events, received) = mpsc::channel(BUFFER_EVENTS);
    let listening = Listening {
        bus: app.bus.clone(),
        filter: status_filter(&workspace, platform.as_ref(), deployment.as_ref(), environment.as_ref()),
        statuses: statuses(query.status.as_deref())?,
        after,
        events,
        slow: app.events.slow_client(),
        drain: app.supervisor.token(),
    };
    app.supervisor.spawn("events", async move {
        listening.run().await;
        drop(permit);
        Ok(())
    });
    let stream = ReceiverStream::new(received).map(Ok);
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("alive")))
}

fn last_id(headers: &HeaderMap, query: Option<&str>) -> Result<Option<u64>, Problem> {
    let header = headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?"));
    match header.or(query).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(id) => Ok(Some(id)),
            Err(_not_ours) => Err(Problem::invalid_field("lastEventId", "is not an id of these events")),
        },
    }
}

/// The token of a deployment or environment in status subjects, by its id, name or token itself. It need not exist
/// yet: whoever listens may come before what they listen to.
fn token(app: &App, workspace: &Slug, kind: Kind, text: Option<&str>) -> Option<Slug> {
    let text = text.filter(|text| !text.is_empty())?;
    let found = app.catalog.find(workspace, kind, text);
    Some(match found {
        Some(Entity::Deployment(deployment)) => deployment.spec.slug,
        Some(other) => Slug::of_name(&other.meta().name),
        None => Slug::of_name(text),
    })
}
