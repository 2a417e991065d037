//! Starts and stops the fake.

use crate::options::Options;
use crate::routes;
use crate::state::Shared;
use anyhow::Context as _;
use misbehaviour::{Cord, CuttableListener};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Open connections get this long to end at shutdown.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(2);

/// A running fake; clones are handles on the same one. It stops with `shutdown`, or when the last handle is dropped.
#[derive(Clone)]
pub struct FakeArgo {
    pub(crate) shared: Arc<Shared>,
    _stops: Arc<Stops>,
    addr: SocketAddr,
}

struct Stops(tokio_util::sync::CancellationToken);

impl Drop for Stops {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl FakeArgo {
    /// Listens and serves.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let bind = options.bind;
        let listener = TcpListener::bind(bind).await.with_context(|| format!("cannot listen on {bind}"))?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(options));
        let service = routes::router(Arc::clone(&shared)).into_make_service_with_connect_info::<Cord>();
        let stop = shared.stop.clone();
        shared.tasks.spawn(async move {
            let server = axum::serve(CuttableListener(listener), service);
            if let Err(error) = server.with_graceful_shutdown(stop.cancelled_owned()).await {
                tracing::error!(%error, "the fake stopped serving");
            }
        });
        let stops = Arc::new(Stops(shared.stop.clone()));
        Ok(Self { shared, _stops: stops, addr })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The root of its API, without a trailing slash.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Stops everything: no more calls, timers or news. Safe to call twice.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        if tokio::time::timeout(SHUTDOWN_PATIENCE, self.shared.tasks.wait()).await.is_err() {
            tracing::debug!("connections were still open when the fake stopped");
        }
    }
}
