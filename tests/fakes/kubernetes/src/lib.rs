//! A stateful stand-in for a Kubernetes API server with a Job controller, with the behaviour that matters to an agent: apply,
//! dry runs, list and watch, RBAC's words, and a controller that does what it is told. It knows nothing of Ctrlplane.
#![allow(clippy::disallowed_methods, reason = "a fake server owns its clock, as the real one would")]

mod access;
mod chaos;
mod control;
mod controller;
mod http;
mod list;
mod server;
mod store;
mod validate;
mod verbs;

pub use access::{Grant, User};
pub use chaos::{Chaos, Fault, FaultKind};
pub use controller::{Ending, Script};
pub use server::{Call, FakeKubernetes, Options};
