//! The listener of a service: `/livez`, `/readyz`, `/metrics`, and the service's own routes once it has them.
//! Health answers from the first moment, before the service has reached the bus.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use axum::extract::{MatchedPath, Request, State};
use axum::handler::Handler as _;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, any_service, get};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tracing::Instrument as _;

use crate::readiness::Readiness;
use crate::supervisor::Supervisor;

/// The place for a service's own routes; clones are the same place.
#[derive(Clone, Default)]
pub struct Routes(Arc<OnceLock<MethodRouter>>);

/// A service gave its routes twice.
#[derive(Debug, thiserror::Error)]
#[error("the routes of this service are mounted already")]
pub struct RoutesTaken;

impl Routes {
    /// Puts the service's routes beside health and metrics. Each request gets a span that continues the caller's trace.
    ///
    /// # Errors
    /// When there are routes already.
    pub fn mount(&self, routes: Router) -> Result<(), RoutesTaken> {
        let traced = routes.layer(axum::middleware::from_fn(traced));
        self.0.set(any_service(traced)).map_err(|_| RoutesTaken)
    }
}

#[derive(Clone)]
struct Health {
    readiness: Readiness,
    supervisor: Supervisor,
    routes: Routes,
}

/// Listens on `bind` until the supervisor drains; answers where.
pub(crate) async fn listen(
    bind: SocketAddr,
    readiness: Readiness,
    routes: Routes,
    supervisor: &Supervisor,
) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(bind).await.with_context(|| format!("http.bind {bind}"))?;
    let address = listener.local_addr().context("http.bind")?;
    let app = app(Health { readiness, supervisor: supervisor.clone(), routes });
    let drain = supervisor.token();
    supervisor.spawn("http", async move {
        axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
            .with_graceful_shutdown(drain.cancelled_owned())
            .await
            .context("http")
    });
    tracing::info!(%address, "listening");
    Ok(address)
}

fn app(health: Health) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(own)
        .with_state(health)
}

async fn ready(State(health): State<Health>) -> Response {
    let draining = health.supervisor.is_draining();
    let ready = health.readiness.is_ready() && !draining;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ready": ready, "draining": draining, "gates": health.readiness.gates() });
    (status, Json(body)).into_response()
}

async fn metrics() -> Response {
    match crate::metrics::render() {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response(),
    }
}

/// The service's own routes. Before it has mounted them nobody can know whether a path exists: come back later.
async fn own(State(health): State<Health>, request: Request) -> Response {
    match health.routes.0.get() {
        Some(routes) => routes.clone().call(request, ()).await,
        None if health.readiness.is_ready() => StatusCode::NOT_FOUND.into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn traced(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
    let span = tracing::info_span!("http", otel.kind = "server", method = %request.method(), route, status = tracing::field::Empty);
    telemetry::context::from_headers(&span, request.headers());
    let response = next.run(request).instrument(span.clone()).await;
    span.record("status", response.status().as_u16());
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn ask(address: SocketAddr, path: &str) -> (u16, String) {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("listening");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("answered");
        (text[9..12].parse().expect("a status"), text)
    }

    #[tokio::test]
    async fn health_answers_before_the_service_is_ready_and_its_routes_after() {
        let (supervisor, readiness, routes) =
            (Supervisor::new("test"), Readiness::default(), Routes::default());
        let bind = SocketAddr::from(([127, 0, 0, 1], 0));
        let address = listen(bind, readiness.clone(), routes.clone(), &supervisor).await.expect("bound");

        assert_eq!(ask(address, "/livez").await.0, 200);
        assert_eq!(ask(address, "/readyz").await.0, 503);
        assert_eq!(ask(address, "/hello/you").await.0, 503);
        assert_eq!(ask(address, "/metrics").await.0, 200);

        let gate = readiness.gate("bus");
        let (status, text) = ask(address, "/readyz").await;
        assert!(status == 503 && text.contains(r#""bus":{"ready":false,"reason":"starting"}"#), "{text}");

        let hello =
            get(async |axum::extract::Path(name): axum::extract::Path<String>| format!("hello {name}"));
        routes.mount(Router::new().route("/hello/{name}", hello)).expect("the first");
        gate.set(true, "connected");
        assert_eq!(ask(address, "/readyz").await.0, 200);
        let (status, text) = ask(address, "/hello/you").await;
        assert!(status == 200 && text.ends_with("hello you"), "{text}");
        assert_eq!(ask(address, "/elsewhere").await.0, 404);
        assert!(routes.mount(Router::new()).is_err());

        supervisor.finish(Duration::from_secs(10)).await.expect("drained");
        assert!(tokio::net::TcpStream::connect(address).await.is_err(), "the port is free");
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("bound");
        let error = listen(address, Readiness::default(), Routes::default(), &Supervisor::new("test")).await;
        let text = format!("{:#}", error.expect_err("taken"));
        assert!(text.contains("http.bind") && text.contains(&address.to_string()), "{text}");
    }
}
