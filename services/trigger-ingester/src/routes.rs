//! The doors: one path per trigger source. Verified, stored, then answered; nothing in between is promised.

use crate::intake::{Door, Intake, Stored};
use crate::sources::{Accepted, accept};
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bus::catalog::CatalogFold;
use bus::{PAYLOAD_BYTES_MAX, clock};
use bytes::Bytes;
use domain::entity::{SourceKind, TriggerSource};
use domain::token::Slug;
use secrecy::SecretString;
use serde_json::json;
use service::Secrets;
use std::sync::Arc;
use tracing::{info, warn};

/// Asked of a sender when we cannot store right now.
const RETRY_AFTER_SECONDS: u32 = 5;

/// What the doors need.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) catalog: Arc<CatalogFold>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) intake: Arc<Intake>,
}

/// The routes.
pub(crate) fn router(doors: Doors) -> Router {
    Router::new().route("/webhooks/{workspace}/{source}", post(deliver).options(handshake)).with_state(doors)
}

/// Why a delivery is turned away.
enum Turned {
    NoSuchDoor,
    TooLarge,
    Broken,
    Refused(crate::sources::Refusal),
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
    let secrets = doors.secrets_of(&config)?;
    let (parts, body) = request.into_parts();
    let body = read(&parts.headers, body).await?;
    let accepted = accept(&config, &parts.headers, &body, &secrets, clock::now()).map_err(Turned::Refused)?;
    let Accepted::Events(events) = accepted else { return Ok((0, 0)) };
    let (mut new, mut before) = (0, 0);
    for event in events {
        let event_type = event.event_type.clone();
        let stored = doors.intake.store(&door, event, telemetry::current_traceparent()).await;
        match stored.map_err(|error| Turned::NotStored(error.to_string()))? {
            Stored::New => new += 1,
            Stored::Before => before += 1,
        }
        info!(workspace = %door.workspace, source = %door.source, event = event_type, "event stored");
    }
    Ok((new, before))
}

/// The whole body, if it is not too large. A length that is announced is believed before a byte is read.
async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Turned> {
    let announced = headers.get(axum::http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.and_then(|text| text.parse::<usize>().ok()).is_some_and(|bytes| bytes > PAYLOAD_BYTES_MAX) {
        return Err(Turned::TooLarge);
    }
    to_bytes(body, PAYLOAD_BYTES_MAX).await.map_err(|error| {
        let too_large = std::error::Error::source(&error)
            .is_some_and(|source| source.to_string().contains("length limit exceeded"));
        if too_large { Turned::TooLarge } else { Turned::Broken }
    })
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

    fn secrets_of(&self, config: &TriggerSource) -> Result<Vec<SecretString>, Turned> {
        let resolve = |name: &String| self.secrets.get(name);
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
            Turned::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "a payload may have 25 MiB".to_owned()),
            Turned::Broken => (StatusCode::BAD_REQUEST, "the body broke off".to_owned()),
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
            Turned::NoSuchDoor | Turned::TooLarge | Turned::Broken | Turned::Refused(_) => {
                info!(%status, reason, "delivery turned away");
            }
        }
        metrics::counter!("trigger_deliveries_total", "outcome" => status.as_str().to_owned()).increment(1);
        let mut response =
            (status, Json(json!({ "title": reason, "status": status.as_u16() }))).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(axum::http::header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
        }
        response
    }
}
