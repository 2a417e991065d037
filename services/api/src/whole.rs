//! Writes come to their end: whoever asks for one and hangs up leaves it done and audited, or not begun.

use std::panic::AssertUnwindSafe;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use tokio::sync::oneshot;
use tracing::Instrument as _;

use crate::caller::is_read;
use crate::context::App;
use crate::problem::Problem;

/// Works a write in a task of its own.
pub(crate) async fn writes(State(app): State<App>, request: Request, next: Next) -> Response {
    if is_read(request.method()) { next.run(request).await } else { to_its_end(&app, request, next).await }
}

/// Works whatever comes in a task of its own: for routes whose reads write, such as the way back from an issuer.
pub(crate) async fn all(State(app): State<App>, request: Request, next: Next) -> Response {
    to_its_end(&app, request, next).await
}

/// The server drops what works on a request when its connection ends; this task goes on, and a drain waits for it.
async fn to_its_end(app: &App, request: Request, next: Next) -> Response {
    let (answer, answered) = oneshot::channel();
    let work = async move {
        let worked = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        if answer.send(worked).is_err() {
            tracing::info!("a request was worked whose sender had hung up");
        }
        Ok(())
    };
    app.supervisor.spawn("write", work.in_current_span());
    match answered.await {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => Problem::internal(&"a route panicked").into_response(),
        Err(_dropped) => Problem::unavailable("the process is about to end; try again").into_response(),
    }
}
