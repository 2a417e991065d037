//! Follows the workflows of a namespace over the event stream: first how all of ours stand, then every change. It begins anew by
//! itself when a stream ends, where it stopped if the server still knows that point.

use super::api::{Api, FIELDS};
use super::auth;
use super::events::{self, Event};
use crate::argo::config::{ArgoConfig, ServerPlace};
use crate::argo::names::JOB_LABEL;
use crate::argo::news::Teller;
use http::StatusCode;
use platform::CallError;
use platform::http::{Call, Effect, Line, Outcome, StreamLimits};
use std::time::Duration;
use tokio::time::Instant;

/// The limits of a stream. The server gives a sign of life every few seconds where it is new enough; without any, a quiet
/// namespace is asked again after a while.
const LIMITS: StreamLimits = StreamLimits {
    open_within: Duration::from_secs(10),
    silence_max: Duration::from_secs(15 * 60),
    life_max: Duration::from_secs(60 * 60),
    line_bytes_max: 32 * 1024 * 1024,
};
/// Before a stream that ended is opened again.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A stream that lives for so long is no bad sign.
const LASTING: Duration = Duration::from_secs(5);

impl Api {
    /// Follows the namespace until it cannot go on, and says why. Each workflow is handed
    /// to the teller.
    pub(in crate::argo) async fn watch(
        &self,
        config: &ArgoConfig,
        server: &ServerPlace,
        teller: &mut Teller<'_>,
    ) -> CallError {
        let mut seen: Option<String> = None;
        let mut pause = PAUSE;
        loop {
            let opened = Instant::now();
            match self.watch_once(config, server, &mut seen, teller).await {
                Ok(()) => {
                    // A stream that does not last is opened ever more slowly.
                    pause = if opened.elapsed() > LASTING { PAUSE } else { (pause * 2).min(PAUSE_MAX) };
                    tokio::time::sleep(pause).await;
                }
                // The point where we stopped is too old: from the beginning.
                Err(CallError::Invalid(_)) if seen.is_some() => seen = None,
                Err(error) => return error,
            }
        }
    }

    async fn watch_once(
        &self,
        config: &ArgoConfig,
        server: &ServerPlace,
        seen: &mut Option<String>,
        teller: &mut Teller<'_>,
    ) -> Result<(), CallError> {
        let mut url = server.base.below(["api", "v1", "workflow-events", &config.namespace]);
        let fields = FIELDS.map(|field| format!("result.object.{field}")).join(",");
        url.query_pairs_mut()
            .append_pair("listOptions.labelSelector", JOB_LABEL)
            .append_pair("fields", &format!("result.type,{fields}"));
        if let Some(version) = seen {
            url.query_pairs_mut().append_pair("listOptions.resourceVersion", version);
        }
        let headers = auth::headers(&self.secrets, &server.token_secret, "text/event-stream")?;
        let failed = |error: platform::http::SendError| error.for_effect(Effect::Read);
        let mut lines = self.http.open(Call::get(url, headers), LIMITS).await.map_err(failed)?;
        if lines.status != StatusCode::OK {
            let outcome = lines.into_outcome().await.map_err(failed)?;
            return Err(self.refused(&outcome, Effect::Read));
        }
        loop {
            let line = match lines.next().await {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(()),
                Err(broken) => {
                    tracing::debug!(namespace = config.namespace, "the stream of workflows broke: {broken}");
                    return Ok(());
                }
            };
            let Line::Text(line) = line else {
                tracing::warn!(
                    namespace = config.namespace,
                    "a workflow is too large to be followed; it is looked at now and then"
                );
                continue;
            };
            match events::read(&line) {
                Event::Workflow { workflow, deleted } => {
                    *seen = Some(workflow.metadata.resource_version.clone())
                        .filter(|version| !version.is_empty());
                    teller.tell(&workflow, deleted).await;
                }
                Event::Failed { status, message } if is_too_old(status, &message) => {
                    return Err(CallError::Invalid(message));
                }
                // The server's own watch ended: it says so as an exhausted resource.
                Event::Failed { message, .. } if message.ends_with("EOF") => return Ok(()),
                Event::Failed { status, message } => {
                    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                    let body = serde_json::json!({ "message": message }).to_string().into();
                    let outcome = Outcome { status, headers: Default::default(), body, unchanged: false };
                    return Err(self.refused(&outcome, Effect::Read));
                }
                Event::Nothing => {}
            }
        }
    }
}

/// Kubernetes keeps changes for some minutes: 410, which Argo's table of codes makes a bad request.
fn is_too_old(status: u16, message: &str) -> bool {
    status == 410 || message.contains("too old resource version") || message.contains("Expired")
}
