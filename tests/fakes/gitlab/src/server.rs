//! Starts and stops the fake: one listener, one timer task, a few delivery lanes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use crate::hooks::{self, LANE_DEPTH, LANES};
use crate::options::Options;
use crate::routes;
use crate::shared::{Shared, State};
use misbehaviour::{Cord, CuttableListener};

/// GitLab gives a receiver ten seconds.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
/// Open connections get this long to end at shutdown.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(2);

/// A running fake; clones are handles on the same one. It stops with `shutdown`, or when the last handle is dropped.
#[derive(Clone)]
pub struct FakeGitlab {
    pub(crate) shared: Arc<Shared>,
    tasks: Arc<Mutex<JoinSet<()>>>,
    addr: SocketAddr,
}

impl FakeGitlab {
    /// Listens and serves.
    ///
    /// # Errors
    /// The address is taken, or the HTTP client cannot be built.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(options.bind)
            .await
            .with_context(|| format!("cannot listen on {}", options.bind))?;
        let addr = listener.local_addr()?;
        let client = reqwest::Client::builder()
            .user_agent("GitLab/19.4.1")
            .timeout(DELIVERY_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..LANES).map(|_| mpsc::channel(LANE_DEPTH)).unzip();
        let base_url = format!("http://{addr}");
        let state = State::new(Arc::new(options), base_url.clone(), senders, Utc::now());
        let shared = Arc::new(Shared::new(state, base_url, client));
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let shared = Arc::clone(&shared);
            async move { shared.stage.run().await }
        });
        for lane in receivers {
            tasks.spawn(hooks::run(Arc::clone(&shared), lane));
        }
        let service = routes::router(Arc::clone(&shared)).into_make_service_with_connect_info::<Cord>();
        let stop = shared.stage.stop().clone();
        tasks.spawn(async move {
            let server = axum::serve(CuttableListener(listener), service);
            if let Err(error) = server.with_graceful_shutdown(stop.cancelled_owned()).await {
                tracing::error!(%error, "the fake stopped serving");
            }
        });
        Ok(Self { shared, tasks: Arc::new(Mutex::new(tasks)), addr })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The root, without a trailing slash.
    pub fn base_url(&self) -> String {
        self.shared.base_url.clone()
    }

    /// The same GitLab below a path, as with a relative URL root.
    pub fn subpath_url(&self) -> String {
        format!("{}/gitlab", self.shared.base_url)
    }

    /// Stops everything: no more calls, timers or deliveries. Safe to call twice.
    pub async fn shutdown(&self) {
        self.shared.stage.stop().cancel();
        let mut tasks = self.tasks.lock().await;
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(SHUTDOWN_PATIENCE, ended).await.is_err() {
            tasks.shutdown().await;
        }
    }
}
