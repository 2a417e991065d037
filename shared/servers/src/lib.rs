//! Finds, installs, starts and stops the nats-server and redis-server that the all-in-one and the tests run on.
//! It knows processes, ports and data directories; it does not know streams, keys or any client library.
#![warn(missing_docs)]

mod binaries;
mod data_dir;
mod error;
mod install;
mod launch;
mod nats;
mod port;
mod process;
mod redis;
mod test_servers;
mod version;

pub use binaries::{Binaries, Missing, NATS_OVERRIDE, Policy, REDIS_OVERRIDE};
pub use error::ServerError;
pub use nats::{Nats, NatsOptions};
pub use port::{Lease, Port};
pub use process::{Process, Run};
pub use redis::{Redis, RedisOptions};
pub use test_servers::{TestServers, test_binaries};
pub use version::Version;
