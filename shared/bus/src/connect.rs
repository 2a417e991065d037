//! The connection: how it is made, what it is allowed, when it is there. Does not know what is sent over it.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_nats::{Event, ServerError};
use tokio::sync::{Semaphore, watch};

use crate::backoff::{Backoff, doubled};
use crate::bucket::Bucket;
use crate::error::{BusError, chain};
use crate::job_log::JobLog;
use crate::objects::Objects;
use crate::topology::{BucketSpec, ConsumerSpec, ObjectStoreSpec};

/// How long [`Bus::connect`] waits for a server that is not there yet.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// No request to the server may take longer.
pub(crate) const REQUEST_WITHIN: Duration = Duration::from_secs(5);
/// How many publishes of one process may await their ack. Stays below the client's own limit of 5,000,
/// at which a publish hangs.
const PUBLISHES_IN_FLIGHT_MAX: usize = 2_048;
const RECONNECT_FIRST: Duration = Duration::from_millis(10);
const RECONNECT_CAP: Duration = Duration::from_millis(500);

/// Where the bus is, and who we are on it.
#[derive(Clone)]
pub struct ConnectOptions {
    /// `nats://host:port`, or several separated by commas; `tls://` requires TLS.
    pub url: String,
    /// The service's name; its inboxes are `_INBOX_<name>.>`.
    pub name: String,
    /// The user, where the server wants one.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// A credentials file (JWT and seed) instead of user and password.
    pub credentials_file: Option<PathBuf>,
    /// Whether streams may be created.
    pub provision: Provision,
}

impl std::fmt::Debug for ConnectOptions {
    /// Without the password, and without what a URL may hide.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("url", &telemetry::redact(&self.url))
            .field("name", &self.name)
            .field("user", &self.user)
            .field("credentials_file", &self.credentials_file)
            .field("provision", &self.provision)
            .finish_non_exhaustive()
    }
}

/// What [`Bus::ensure`] does about a stream that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provision {
    /// Creates or updates it.
    Create,
    /// Says so: another user creates, this one may not.
    Verify,
}

/// A connection to the bus. Clones share it.
#[derive(Clone)]
pub struct Bus(Arc<Inner>);

pub(crate) struct Inner {
    client: async_nats::Client,
    jetstream: async_nats::jetstream::Context,
    name: String,
    provision: Provision,
    link: Link,
    publishes: Semaphore,
    ack_wait: OnceLock<Duration>,
}

/// What the connection's events told.
struct Link {
    connected: watch::Receiver<bool>,
    epoch: watch::Receiver<u64>,
    refused: watch::Receiver<Option<String>>,
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").field("name", &self.0.name).finish_non_exhaustive()
    }
}

impl Bus {
    /// Connects, and waits up to 30 s for a server that is starting.
    ///
    /// # Errors
    /// [`BusError::Refused`] for wrong credentials, [`BusError::Unavailable`] when there is no server in time.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, BusError> {
        let doing = || format!("connect to {}", telemetry::redact(&options.url));
        let give_up = tokio::time::Instant::now() + CONNECT_WITHIN;
        let mut backoff = Backoff::of_server();
        let (client, link) = loop {
            let (dial, link) = dial(options).await?;
            match dial.connect(addresses(&options.url)).await {
                Ok(client) => break (client, link),
                Err(error) => {
                    use async_nats::ConnectErrorKind as Kind;
                    let refused = matches!(
                        error.kind(),
                        Kind::Authentication | Kind::AuthorizationViolation | Kind::ServerParse | Kind::Tls
                    );
                    if refused {
                        return Err(BusError::refused(doing(), chain(&error)));
                    }
                    if tokio::time::Instant::now() >= give_up {
                        return Err(BusError::unavailable(doing(), chain(&error)));
                    }
                    tokio::time::sleep(backoff.next_delay()).await;
                }
            }
        };
        // The event that opens the first epoch may come after the answer.
        let mut epoch = link.epoch.clone();
        if tokio::time::timeout(REQUEST_WITHIN, epoch.wait_for(|epoch| *epoch > 0)).await.is_err() {
            return Err(BusError::unavailable(doing(), "the connection does not report that it stands"));
        }
        let jetstream =
            async_nats::jetstream::ContextBuilder::new().timeout(REQUEST_WITHIN).build(client.clone());
        Ok(Self(Arc::new(Inner {
            client,
            jetstream,
            name: options.name.clone(),
            provision: options.provision,
            link,
            publishes: Semaphore::new(PUBLISHES_IN_FLIGHT_MAX),
            ack_wait: OnceLock::new(),
        })))
    }

    /// After this long without a sign of life, a message goes to another worker. To be said once, before
    /// [`Bus::ensure`], and alike by all services; unsaid, the topology's own value holds.
    pub fn set_ack_wait(&self, ack_wait: Duration) {
        if self.0.ack_wait.set(ack_wait).is_err() {
            tracing::debug!("the ack wait was said before; the first word holds");
        }
    }

    pub(crate) fn ack_wait(&self, spec: &ConsumerSpec) -> Duration {
        self.0.ack_wait.get().copied().unwrap_or(spec.ack_wait)
    }

    /// The client below.
    pub fn client(&self) -> &async_nats::Client {
        &self.0.client
    }

    /// The JetStream context below.
    pub fn jetstream(&self) -> &async_nats::jetstream::Context {
        &self.0.jetstream
    }

    /// The largest message the server takes, headers included.
    pub fn max_payload_bytes(&self) -> usize {
        self.0.client.max_payload()
    }

    /// Whether the connection stands.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.0.link.connected.clone()
    }

    /// Counts connects: a new value means that a server is there which may know nothing of our requests.
    pub(crate) fn epoch(&self) -> watch::Receiver<u64> {
        self.0.link.epoch.clone()
    }

    /// Resolves when the server refused a permission, with its words. Such a service is set up wrongly:
    /// what it lacks would look like a timeout for ever, so it must stop.
    pub async fn fatal(&self) -> String {
        let mut refused = self.0.link.refused.clone();
        let words = match refused.wait_for(Option::is_some).await {
            Ok(words) => words.clone(),
            // The sender lives in the connection's callback: the connection is gone, and nothing will be refused.
            Err(_closed) => None,
        };
        match words {
            Some(words) => words,
            None => std::future::pending().await,
        }
    }

    /// A bucket.
    pub fn bucket(&self, spec: &'static BucketSpec) -> Bucket {
        Bucket::new(self.clone(), spec)
    }

    /// An object store.
    pub fn objects(&self, spec: &'static ObjectStoreSpec) -> Objects {
        Objects::new(self.clone(), spec)
    }

    /// The facts of jobs.
    pub fn jobs(&self) -> JobLog {
        JobLog::new(self.clone())
    }

    /// Sends what is buffered and closes the connection; waits at most 5 s for each.
    pub async fn drain(&self) {
        self.flush().await;
        match tokio::time::timeout(REQUEST_WITHIN, self.0.client.drain()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error = %chain(&error), "the connection was already closed"),
            Err(_elapsed) => tracing::warn!("the connection did not drain in time"),
        }
    }

    /// Waits until what was handed to the client is on the wire.
    pub(crate) async fn flush(&self) {
        match tokio::time::timeout(REQUEST_WITHIN, self.0.client.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = %chain(&error), "not all acks were sent"),
            Err(_elapsed) => tracing::warn!("not all acks were sent: the bus is away"),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn provision(&self) -> Provision {
        self.0.provision
    }

    pub(crate) fn publishes(&self) -> &Semaphore {
        &self.0.publishes
    }
}

fn addresses(url: &str) -> Vec<String> {
    url.split(',').map(|part| part.trim().to_owned()).collect()
}

async fn dial(options: &ConnectOptions) -> Result<(async_nats::ConnectOptions, Link), BusError> {
    let (connected_to, connected) = watch::channel(false);
    let (epoch_to, epoch) = watch::channel(0);
    let (refused_to, refused) = watch::channel(None);
    let senders = Arc::new((connected_to, epoch_to, refused_to));
    let mut dial = async_nats::ConnectOptions::new()
        .name(&options.name)
        .custom_inbox_prefix(format!("_INBOX_{}", options.name))
        .request_timeout(Some(REQUEST_WITHIN))
        .connection_timeout(REQUEST_WITHIN)
        .reconnect_delay_callback(|tries| {
            doubled(RECONNECT_FIRST, u32::try_from(tries).unwrap_or(u32::MAX), RECONNECT_CAP)
        })
        .event_callback(move |event| {
            let senders = Arc::clone(&senders);
            async move { note(&event, &senders.0, &senders.1, &senders.2) }
        });
    if let (Some(user), Some(password)) = (&options.user, &options.password) {
        dial = dial.user_and_password(user.clone(), password.clone());
    }
    if let Some(file) = &options.credentials_file {
        dial = dial.credentials_file(file).await.map_err(|error| {
            BusError::refused(format!("read the credentials file {}", file.display()), error)
        })?;
    }
    Ok((dial, Link { connected, epoch, refused }))
}

fn note(
    event: &Event,
    connected: &watch::Sender<bool>,
    epoch: &watch::Sender<u64>,
    refused: &watch::Sender<Option<String>>,
) {
    match event {
        Event::Connected => {
            let before = *epoch.borrow();
            if before > 0 {
                tracing::info!("the bus is back");
                metrics::counter!("bus_reconnects_total").increment(1);
            }
            epoch.send_replace(before + 1);
            connected.send_replace(true);
        }
        // Only we close it; a server that goes away is `Disconnected`.
        Event::Closed => {
            connected.send_replace(false);
        }
        Event::Disconnected => {
            if connected.send_replace(false) {
                tracing::warn!(%event, "the bus is away");
            }
        }
        Event::ServerError(ServerError::AuthorizationViolation) => {
            refused.send_replace(Some("the server refused our credentials".to_owned()));
        }
        Event::ServerError(ServerError::Other(words))
            if words.to_ascii_lowercase().contains("permissions violation") =>
        {
            tracing::error!(server = %words, "the bus refused a permission: this service is set up wrongly");
            refused.send_replace(Some(words.clone()));
        }
        Event::SlowConsumer(subscription) => {
            tracing::warn!(subscription, "the client dropped messages it could not hold");
        }
        Event::ServerError(error) => tracing::warn!(%error, "the bus reports an error"),
        Event::ClientError(error) => tracing::warn!(%error, "the bus client reports an error"),
        Event::LameDuckMode | Event::Draining => tracing::info!(%event, "the bus says"),
    }
}
