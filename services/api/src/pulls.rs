//! The queues of jobs that programs pull: asked of the service that keeps them, over the bus. Who may ask was settled here:
//! the bus lets nobody but the api ask there without the agent's own key.

use std::time::Duration;

use async_nats::client::{Request, RequestErrorKind};
use axum::http::StatusCode;
use bus::topology::HTTP_PULL;
use domain::id::JobAgentId;
use domain::subject;
use domain::token::Slug;
use serde_json::Value;

use crate::context::App;
use crate::problem::{Fault, Problem};

/// Longer than the keeper of the queues needs for any answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const ERROR_CODE: &str = "Nats-Service-Error-Code";

/// Whether jobs of the platform are pulled.
pub(crate) fn is_pulled(platform: &Slug) -> bool {
    platform.as_str() == HTTP_PULL
}

/// Asks the keeper of the agent's queue.
pub(crate) async fn ask(
    app: &App,
    workspace: &Slug,
    agent: JobAgentId,
    verb: &str,
    body: Value,
) -> Result<Value, Problem> {
    let subject = subject::desk(workspace, agent, &Slug::of_name(verb));
    let request = Request::new().payload(body.to_string().into()).timeout(Some(ANSWER_WITHIN));
    let answer =
        app.bus.client().send_request(subject, request).await.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders | RequestErrorKind::TimedOut | RequestErrorKind::Other => {
                tracing::warn!(%error, verb, "the keeper of pulled jobs does not answer");
                Problem::unavailable("agent-http-pull does not answer; try again")
            }
            RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
                Problem::internal(&error)
            }
        })?;
    let payload: Value =
        serde_json::from_slice(&answer.payload).map_err(|error| Problem::internal(&error))?;
    let code = answer
        .headers
        .as_ref()
        .and_then(|headers| headers.get(ERROR_CODE))
        .map(|code| code.as_str().to_owned());
    match code {
        None => Ok(payload),
        Some(code) => Err(refused(&code, &payload)),
    }
}

fn refused(code: &str, payload: &Value) -> Problem {
    let detail = payload.get("detail").and_then(Value::as_str).unwrap_or("it was refused").to_owned();
    match code {
        "400" => {
            // The detail begins with the field's name.
            let fault = detail.split_once(": ").map(|(field, why)| Fault::of_field(field, why));
            Problem::invalid(detail.clone()).with(fault.into_iter().collect())
        }
        "404" => Problem::new(StatusCode::NOT_FOUND, detail),
        "409" => Problem::conflict(detail),
        "503" => Problem::unavailable(detail),
        _ => Problem::internal(&detail),
    }
}
