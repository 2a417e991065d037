//! Argo Workflows as a platform, held against stateful stand-ins for Argo Server and for a Kubernetes API, call by call.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test is its own shell, and stops at the first surprise"
)]

mod calls;
mod conformance;
mod credentials;
mod kubernetes;
mod news;
mod rig;
mod service;
