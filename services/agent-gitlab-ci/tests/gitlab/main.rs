//! GitLab CI/CD as a platform, held against a stateful stand-in for GitLab, call by call.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test is its own shell, and stops at the first surprise"
)]

mod calls;
mod conformance;
mod credentials;
mod finding;
mod limits;
mod recover;
mod rig;
mod service;
mod webhooks;
