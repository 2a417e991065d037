//! The agent against a stand-in for a Kubernetes API server, and on a real bus.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test has no supervisor, and a panic is its answer"
)]

mod calls;
mod conformance;
mod ledger;
mod limits;
mod refusals;
mod rig;
mod signing_in;
#[path = "../support/mod.rs"]
mod support;
mod watching;
