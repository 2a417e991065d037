//! The ingester over HTTP, on a real bus that holds it to its permissions.
#![allow(clippy::disallowed_methods, reason = "tests are a shell: they have a clock and an environment")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod doc;
mod github;
mod memory;
mod outage;
mod rig;
mod senders;
mod sizes;
