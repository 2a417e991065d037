//! How a service lives: settings, boot, supervision, drain, health and metrics.
//! It knows nothing of what a service does; signals and the process belong to [`main`] alone, so that several
//! services can live in one process.

#![warn(missing_docs)]

mod boot;
mod bus;
mod common;
mod entry;
mod files;
pub mod hidden;
mod http;
mod load;
mod metrics;
mod readiness;
mod secrets;
mod setting;
mod signals;
mod supervisor;

pub use crate::bus::{connect, connect_bus, connect_options};
pub use boot::{Boot, Plan, Service, Started, start};
pub use common::{CommonSettings, Http, Log, LogFormat, Nats, Provision, Redis, Secrets as SecretsSettings};
pub use entry::{CommonArgs, install_crypto, main, main_with};
pub use files::raise_file_limit;
pub use http::{Routes, RoutesTaken};
pub use load::{Loaded, SettingsError, Sources, load};
pub use metrics::render as render_metrics;
pub use readiness::{Gate, GateState, Readiness};
pub use secrets::{SecretError, Secrets};
pub use setting::{Documented, Invalid, NoSettings, Setting, assert_documented, at_least_one, help};
pub use signals::{Ended, Signal, Signals, run_until_signal};
pub use supervisor::{Failure, Supervisor};

/// The allocator of every service.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
