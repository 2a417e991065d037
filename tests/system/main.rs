//! The whole system under test: every service a process of its own, real servers, a stand-in for GitHub.
#![allow(clippy::disallowed_methods, reason = "tests are a shell: they have a clock and an environment")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod argo;
mod crash;
mod gitlab;
mod kubernetes;
mod layers;
mod ledger;
mod live;
mod missed;
mod permissions;
mod pulling;
mod replicas;
mod stories;
mod trace;
mod verification;
mod verification_loop;
mod views;
mod workflows;

/// The program that runs one service.
pub(crate) const NODE: &str = env!("CARGO_BIN_EXE_node");
