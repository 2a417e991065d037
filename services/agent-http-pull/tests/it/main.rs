//! The queues of pull agents on a real bus: over HTTP and over NATS, one replica and two, dying and not.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test is its own shell, and stops at the first surprise"
)]

mod access;
mod cancelling;
mod conformance;
mod crash;
mod desk;
mod examples;
mod freezes;
mod leases;
mod race;
mod rig;
mod secrets;
mod working;
