//! The fake as a server on a loopback port.

use crate::access::User;
use crate::chaos::{Chaos, Fault};
use crate::controller::Script;
use crate::http;
use crate::store::Store;
use misbehaviour::Dice;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What it begins with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens.
    pub bind: SocketAddr,
    /// The namespaces there are.
    pub namespaces: Vec<String>,
    /// Who may sign in.
    pub users: Vec<User>,
    /// How Jobs go by themselves.
    pub script: Script,
    /// What goes wrong by seed.
    pub chaos: Chaos,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind: (Ipv4Addr::LOCALHOST, 0).into(),
            namespaces: vec!["ci".to_owned()],
            users: Vec::new(),
            script: Script::Held,
            chaos: Chaos::default(),
        }
    }
}

/// A call it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// E.g. `PATCH`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The HTTP status it was answered with.
    pub status: u16,
}

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) users: Vec<User>,
    pub(crate) script: Script,
    pub(crate) faults: Vec<Fault>,
    pub(crate) chaos: Chaos,
    pub(crate) dice: Dice,
    pub(crate) calls: Vec<Call>,
}

pub(crate) struct Shared {
    world: Mutex<World>,
    /// The version of the last change.
    pub(crate) changes: watch::Sender<u64>,
    /// How often all watches were cut.
    pub(crate) cuts: watch::Sender<u64>,
    /// What Jobs do by themselves.
    pub(crate) plays: Mutex<JoinSet<()>>,
    pub(crate) over: CancellationToken,
}

impl Shared {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what there is, and tells whoever watches.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world();
        let changed = change(&mut world);
        let version = world.store.version;
        drop(world);
        self.changes.send_replace(version);
        changed
    }
}

/// The running fake. Dropped, it is gone.
pub struct FakeKubernetes {
    pub(crate) shared: Arc<Shared>,
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl FakeKubernetes {
    /// Starts it.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn start(options: Options) -> io::Result<Self> {
        let Options { bind, namespaces, users, script, chaos } = options;
        // The first versions of a real server are taken by what it makes for itself.
        let store = Store::at(100, namespaces);
        let dice = Dice::new(chaos.seed);
        let (faults, calls) = (Vec::new(), Vec::new());
        let world = Mutex::new(World { store, users, script, faults, chaos, dice, calls });
        let (changes, cuts) = (watch::Sender::new(100), watch::Sender::new(0));
        let shared = Arc::new(Shared {
            world,
            changes,
            cuts,
            plays: Mutex::default(),
            over: CancellationToken::new(),
        });
        let listener = TcpListener::bind(bind).await?;
        let address = listener.local_addr()?;
        let mut serving = JoinSet::new();
        let app = http::router(Arc::clone(&shared));
        serving.spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                eprintln!("fake-kubernetes stops: {error}");
            }
        });
        Ok(Self { shared, address, _serving: serving })
    }

    /// `http://127.0.0.1:port`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.world().calls.clone()
    }

    /// What goes wrong from now on.
    pub fn inject(&self, fault: Fault) {
        self.shared.world().faults.push(fault);
    }

    /// Nothing goes wrong any more.
    pub fn clear_faults(&self) {
        let mut world = self.shared.world();
        world.faults.clear();
        world.chaos = Chaos::default();
    }
}

impl Drop for FakeKubernetes {
    fn drop(&mut self) {
        self.shared.over.cancel();
        self.shared.plays.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

impl fmt::Debug for FakeKubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FakeKubernetes({})", self.address)
    }
}
