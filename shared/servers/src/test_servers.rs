//! A nats-server and a redis-server of a test's own, gone with it. Does not know what is tested.

use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::{Binaries, Missing, Nats, NatsOptions, Policy, Redis, RedisOptions};

/// Both servers on free ports, with their data in a directory that is removed on drop.
#[derive(Debug)]
pub struct TestServers {
    // Dropped in this order: the directory goes when no server can write to it any more.
    /// The bus.
    pub nats: Nats,
    /// The views.
    pub redis: Redis,
    /// Holds both data directories, and whatever else the test puts there.
    pub dir: TempDir,
}

impl TestServers {
    /// Starts both. The programs are found, or installed where allowed, once in a test process.
    ///
    /// # Panics
    /// With the reason, if they cannot be started: a test cannot go on without them.
    pub async fn start() -> Self {
        Self::with(|_nats| {}).await
    }

    /// As [`TestServers::start`], with nats-server's options changed first.
    ///
    /// # Panics
    /// As [`TestServers::start`].
    pub async fn with(change: impl FnOnce(&mut NatsOptions)) -> Self {
        let binaries = test_binaries().await;
        let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        let mut options = NatsOptions::new(&binaries.nats, dir.path().join("nats"));
        change(&mut options);
        let redis = RedisOptions::new(&binaries.redis, dir.path().join("redis"));
        match tokio::try_join!(Nats::start(options), Redis::start(redis)) {
            Ok((nats, redis)) => Self { nats, redis, dir },
            Err(error) => panic!("{error}"),
        }
    }
}

/// The programs for a test, found or installed once in its process.
///
/// # Panics
/// With what to do about it, if there are none.
pub async fn test_binaries() -> Binaries {
    static FOUND: OnceCell<Result<Binaries, Missing>> = OnceCell::const_new();
    let found = FOUND.get_or_init(|| Binaries::locate_or_install(Policy::InstallWhereAllowed)).await;
    match found {
        Ok(binaries) => binaries.clone(),
        Err(missing) => panic!("{missing}"),
    }
}
