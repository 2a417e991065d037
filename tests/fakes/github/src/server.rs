//! Starts and stops the fake: one listener, one timer task, a few delivery lanes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use jsonwebtoken::DecodingKey;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use crate::hooks::{self, LANE_DEPTH, LANES};
use crate::options::Options;
use crate::routes;
use crate::shared::{Shared, State};
use misbehaviour::{Cord, CuttableListener};

/// GitHub gives a receiver ten seconds.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
/// Open connections get this long to end at shutdown.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(2);

/// A running fake; clones are handles on the same one. It stops with `shutdown`, or when the last
/// handle is dropped.
#[derive(Clone)]
pub struct FakeGithub {
    pub(crate) shared: Arc<Shared>,
    tasks: Arc<Mutex<JoinSet<()>>>,
    addr: SocketAddr,
}

impl FakeGithub {
    /// Listens and serves.
    ///
    /// # Errors
    /// The address is taken, the App's public key is no RSA key, or the HTTP client cannot be built.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(options.bind)
            .await
            .with_context(|| format!("cannot listen on {}", options.bind))?;
        let addr = listener.local_addr()?;
        let app_key = match &options.app {
            Some(app) => Some(
                DecodingKey::from_rsa_pem(app.public_key_pem.as_bytes()).context("the App's public key")?,
            ),
            None => None,
        };
        let client = reqwest::Client::builder()
            .user_agent("GitHub-Hookshot/fa4e000")
            .timeout(DELIVERY_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..LANES).map(|_| mpsc::channel(LANE_DEPTH)).unzip();
        let state = State::new(Arc::new(options), senders, Utc::now());
        let shared = Arc::new(Shared::new(state, format!("http://{addr}"), client, app_key));

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

    /// API base in api.github.com's layout, without a trailing slash.
    pub fn base_url(&self) -> String {
        self.shared.base_url.clone()
    }

    /// API base in GHES's layout.
    pub fn ghes_base_url(&self) -> String {
        format!("{}/api/v3", self.shared.base_url)
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
