//! `GET /events`: the statuses of jobs, live.

use std::convert::Infallible;
use std::time::Duration;
use utoipa::IntoParams;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bus::topology::STATUS;
use bytes::Bytes;
use domain::entity::{Entity, Kind};
use domain::token::Slug;
use futures::Stream;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::jobs::{slug, statuses};
use crate::access::{Counted, Proof};
use crate::caller::Caller;
use crate::context::App;
use crate::cookie;
use crate::listeners::Full;
use crate::problem::Problem;
use crate::request::{Params, Segments};
use crate::sse::{BUFFER_CHUNKS, Client, Wanted};

/// How often a silent stream says that it lives, so that nothing on the way closes it.
const HEARTBEAT: Duration = Duration::from_secs(15);
const ALIVE: Bytes = Bytes::from_static(b": alive\n\n");
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
    /// Whether what is true now is told first; a client that has just read it elsewhere says no.
    snapshot: Option<bool>,
}

/// `GET /events?platform=&deployment=&environment=&status=&lastEventId=&snapshot=`: `job` events whose id is the sequence of
/// `STATUS`; `live` once what was true at the start has been told; `reset` when the last id is too old to go on from.
#[utoipa::path(get, path = "/events", params(Query), responses((status = 200, description = "Events, as they come", content_type = "text/event-stream", body = String)))]
pub(super) async fn listen(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(query): Params<Query>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let listened_to = workspace.clone();
    let wanted = Wanted {
        platform: slug("platform", query.platform.as_deref())?,
        deployment: token(&app, &workspace, Kind::Deployment, query.deployment.as_deref()),
        environment: token(&app, &workspace, Kind::Environment, query.environment.as_deref()),
        statuses: statuses(query.status.as_deref())?,
        workspace,
    };
    let after = match last_id(&headers, query.last_event_id.as_deref())? {
        None if query.snapshot == Some(false) => Some(app.bus.last_sequence(&STATUS).await?),
        after => after,
    };
    let place = app.listeners.admit(&caller.means.counted).map_err(|full| match full {
        Full::Everybody => {
            Problem::unavailable(format!("{} clients listen already; try again", app.events.clients_max))
        }
        Full::Caller => {
            let detail = format!("{} clients of yours listen already", app.events.clients_each_max);
            Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
        }
    })?;
    let proof = proof_of(&app, &caller, &headers)?;
    let (chunks, received) = mpsc::channel(BUFFER_CHUNKS);
    let client = Client::new(wanted, after, chunks, app.events.slow_client());
    let (bus, drain, feeding) = (app.bus.clone(), app.supervisor.token(), app.clone());
    app.supervisor.spawn("events", async move {
        tokio::select! {
            () = feeding.live.feed(&bus, client, drain) => {}
            () = no_longer(&feeding, &proof, &listened_to) => {
                tracing::info!(workspace = %listened_to, "live events end: who listens may not any more");
            }
        }
        drop(place);
        Ok(())
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(with_heartbeat(received))).into_response())
}

/// By what the caller is known again.
fn proof_of(app: &App, caller: &Caller, headers: &HeaderMap) -> Result<Proof, Problem> {
    if caller.means.session
        && let Some(token) = cookie::session(headers, app.access.https)
    {
        return Ok(Proof::Session(token));
    }
    match caller.means.counted {
        Counted::Key(hash) => Ok(Proof::Key(hash)),
        Counted::User(_) => Err(Problem::internal(&"a user came without a session")),
    }
}

/// Ends once the caller sees the workspace no longer: within `events.recheck_seconds`, or when the bus is there again.
async fn no_longer(app: &App, proof: &Proof, workspace: &Slug) {
    loop {
        tokio::time::sleep(app.events.recheck()).await;
        match app.access.by_proof(proof).await {
            Ok(Some(caller)) if caller.sees(workspace) => {}
            Ok(_) => return,
            Err(_said) => tracing::debug!("whether somebody may still listen cannot be asked now"),
        }
    }
}

fn with_heartbeat(chunks: mpsc::Receiver<Bytes>) -> impl Stream<Item = Result<Bytes, Infallible>> {
    futures::stream::unfold(chunks, |mut chunks| async move {
        match tokio::time::timeout(HEARTBEAT, chunks.recv()).await {
            Ok(Some(chunk)) => Some((Ok(chunk), chunks)),
            Ok(None) => None,
            Err(_silence) => Some((Ok(ALIVE), chunks)),
        }
    })
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
