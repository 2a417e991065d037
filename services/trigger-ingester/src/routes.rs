//! The doors: one path per trigger source. Verified, stored, then answered; nothing in between is promised.

use crate::body::{Bodies, Unread};
use crate::envelope::Incoming;
use crate::intake::{Door, Intake, NotStored, Stored};
use crate::sources::{Accepted, Refusal, accept};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bus::catalog::CatalogFold;
use bus::clock;
use domain::entity::{SourceKind, TriggerSource};
use domain::token::Slug;
use secrecy::SecretString;
use serde_json::json;
use service::Secrets;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tracing::{info, warn};

/// Asked of a sender when we cannot store right now.
const RETRY_AFTER_SECONDS: u32 = 5;
/// A delivery is stored within this or refused: GitHub waits ten seconds for its answer.
const STORED_WITHIN: Duration = Duration::from_secs(8);

/// What the doors need.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) catalog: Arc<CatalogFold>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) bodies: Arc<Bodies>,
}

/// The routes.
pub(crate) fn router(doors: Doors) -> Router {
    Router::new().route("/webhooks/{workspace}/{source}", post(deliver).options(handshake)).with_state(doors)
}

/// Why a delivery is turned away.
enum Turned {
    NoSuchDoor,
    Unread(Unread),
    Refused(Refusal),
    Misconfigured(String),
    NotStored(String),
}

async fn deliver(
    State(doors): State<Doors>,
    Path((workspace, source)): Path<(String, String)>,
    request: Request,
) -> Response {
    match take(&doors, &workspace, &source, request).await {
        Ok((new, before)) => {
            metrics::counter!("trigger_deliveries_total", "outcome" => "accepted").increment(1);
            (StatusCode::ACCEPTED, Json(json!({ "stored": new, "storedBefore": before }))).into_response()
        }
        Err(turned) => turned.into_response(),
    }
}

/// Answers how many events were new and how many had come before.
async fn take(doors: &Doors, workspace: &str, source: &str, request: Request) -> Result<(u32, u32), Turned> {
    let (door, config) = doors.find(workspace, source).ok_or(Turned::NoSuchDoor)?;
    let secrets = doors.secrets_of(&door, &config)?;
    let (parts, body) = request.into_parts();
    let body = doors.bodies.read(&parts.headers, body).await.map_err(Turned::Unread)?;
    let accepted =
        accept(&config, &parts.headers, body.bytes(), &secrets, clock::now()).map_err(Turned::Refused)?;
    let Accepted::Events(events) = accepted else { return Ok((0, 0)) };
    match timeout(STORED_WITHIN, store(doors, &door, events)).await {
        Ok(stored) => stored.map_err(|error| Turned::NotStored(error.to_string())),
        Err(_elapsed) => Err(Turned::NotStored("the bus takes too long".to_owned())),
    }
}

/// One event after the other. When one is not stored the sender comes again with all, and those before it are known.
async fn store(doors: &Doors, door: &Door, events: Vec<Incoming>) -> Result<(u32, u32), NotStored> {
    let (mut new, mut before) = (0, 0);
    for event in events {
        let event_type = event.event_type.clone();
        let stored = doors.intake.store(door, event, telemetry::current_traceparent()).await?;
        match stored {
            Stored::New => new += 1,
            Stored::Before => before += 1,
        }
        info!(workspace = %door.workspace, source = %door.source, event = event_type, ?stored, "event taken in");
    }
    Ok((new, before))
}

/// The handshake of CloudEvents webhooks (HTTP webhook spec §4): who may send here, and how fast.
async fn handshake(
    State(doors): State<Doors>,
    Path((workspace, source)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let Some((_, config)) = doors.find(&workspace, &source) else {
        return Turned::NoSuchDoor.into_response();
    };
    let origin = headers.get("webhook-request-origin");
    match (&config.sender, origin) {
        (SourceKind::CloudEvents { .. }, Some(origin)) => {
            let answer = [
                ("webhook-allowed-origin", origin.clone()),
                ("webhook-allowed-rate", HeaderValue::from_static("*")),
                ("allow", HeaderValue::from_static("POST")),
            ];
            (StatusCode::NO_CONTENT, answer).into_response()
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

impl Doors {
    fn find(&self, workspace: &str, source: &str) -> Option<(Door, TriggerSource)> {
        let workspace: Slug = workspace.parse().ok()?;
        let source: Slug = source.parse().ok()?;
        let catalog = self.catalog.read();
        let config = catalog.workspace(&workspace)?.trigger_source(source.as_str())?.spec.clone();
        Some((Door { workspace, source, kind: kind_of(&config.sender) }, config))
    }

    fn secrets_of(&self, door: &Door, config: &TriggerSource) -> Result<Vec<SecretString>, Turned> {
        let resolve = |name: &String| self.secrets.for_workspace(door.workspace.as_str(), name);
        let secrets: Result<Vec<_>, _> = config.secret_refs.iter().map(resolve).collect();
        secrets.map_err(|error| Turned::Misconfigured(error.to_string()))
    }
}

fn kind_of(sender: &SourceKind) -> Slug {
    let kind = match sender {
        SourceKind::Github {} => "github",
        SourceKind::Gitlab {} => "gitlab",
        SourceKind::Hmac { .. } => "hmac",
        SourceKind::Token { .. } => "token",
        SourceKind::CloudEvents { .. } => "cloudevents",
        SourceKind::StandardWebhooks {} => "standard-webhooks",
    };
    Slug::of_name(kind)
}

impl IntoResponse for Turned {
    fn into_response(self) -> Response {
        let (status, reason) = match &self {
            Turned::NoSuchDoor => (StatusCode::NOT_FOUND, "no such trigger source".to_owned()),
            Turned::Unread(unread) => (unread.status(), unread.to_string()),
            Turned::Refused(refusal) => (refusal.status(), refusal.to_string()),
            Turned::Misconfigured(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "this trigger source is not ready".to_owned())
            }
            Turned::NotStored(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "cannot store now, come again".to_owned())
            }
        };
        match &self {
            Turned::Misconfigured(why) | Turned::NotStored(why) => warn!(%status, why, "delivery not stored"),
            Turned::NoSuchDoor | Turned::Unread(_) | Turned::Refused(_) => {
                info!(%status, reason, "delivery turned away");
            }
        }
        metrics::counter!("trigger_deliveries_total", "outcome" => status.as_str().to_owned()).increment(1);
        let mut response =
            (status, Json(json!({ "title": reason, "status": status.as_u16() }))).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
        }
        response
    }
}
