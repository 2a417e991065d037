//! A stand-in for an issuer of OpenID Connect: discovery, keys, authorization code with PKCE. Whoever comes is let in as the
//! person it was told of; on demand its ID tokens are wrong in one way. It knows nothing of Ctrlplane and listens on loopback.
#![allow(clippy::disallowed_methods, reason = "a fake server owns its clock, as the real one would")]

mod routes;
mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use token::{Key, Lie};

/// The issuer; it ends with [`FakeIssuer::stop`], or when it is dropped.
pub struct FakeIssuer {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    ends: CancellationToken,
}

/// Who may ask for tokens.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// Its secret; without one it is a public client.
    pub secret: Option<String>,
    /// Where people may be sent back to.
    pub redirect_uri: String,
}

pub(crate) struct Shared {
    issuer: String,
    client: Client,
    state: Mutex<State>,
}

struct State {
    /// The claims of whoever comes.
    person: Map<String, Value>,
    lie: Option<Lie>,
    key: Key,
    refuses: bool,
    /// What a code that was given belongs to; used up by its first use.
    codes: HashMap<String, Asked>,
    exchanges: u32,
}

/// What the authorization request said.
struct Asked {
    nonce: Option<String>,
    challenge: String,
}

impl FakeIssuer {
    /// Listens on a free port of this machine.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start(client: Client) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen")?;
        let issuer = format!("http://{}", listener.local_addr().context("no address")?);
        let state = State {
            person: Map::new(),
            lie: None,
            key: Key::First,
            refuses: false,
            codes: HashMap::new(),
            exchanges: 0,
        };
        let shared = Arc::new(Shared { issuer, client, state: Mutex::new(state) });
        let (tasks, ends) = (TaskTracker::new(), CancellationToken::new());
        let (routes, end) = (routes::router(Arc::clone(&shared)), ends.clone());
        tasks.spawn(async move {
            axum::serve(listener, routes).with_graceful_shutdown(end.cancelled_owned()).await
        });
        Ok(Self { shared, tasks, ends })
    }

    /// What it calls itself.
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// Whoever comes from now on is this person: their claims, beside those every token has.
    pub fn person(&self, claims: Value) {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        self.shared.lock().person = claims;
    }

    /// From now on its tokens are wrong in this way, or right again.
    pub fn lie(&self, lie: Option<Lie>) {
        self.shared.lock().lie = lie;
    }

    /// From now on it signs with this key, and no other one is its.
    pub fn sign_with(&self, key: Key) {
        self.shared.lock().key = key;
    }

    /// Whether it lets nobody in.
    pub fn refuse(&self, refuses: bool) {
        self.shared.lock().refuses = refuses;
    }

    /// How many codes were exchanged for tokens.
    pub fn exchanges(&self) -> u32 {
        self.shared.lock().exchanges
    }

    /// Ends.
    pub async fn stop(self) {
        self.ends.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for FakeIssuer {
    fn drop(&mut self) {
        self.ends.cancel();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
