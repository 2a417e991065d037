//! A stateful stand-in for GitLab's pipelines and webhooks, with the behaviour that matters to an agent.
//! It knows nothing of Ctrlplane: it speaks only GitLab's language, in process, on a loopback port.
#![allow(clippy::disallowed_methods, reason = "a fake server owns its clock, as the real one would")]

mod control;
mod gate;
mod hooks;
mod limits;
mod model;
mod options;
mod payload;
mod pipelines;
mod reply;
mod routes;
mod script;
mod server;
mod shared;
mod timers;

pub use gate::Call;
pub use hooks::{Delivery, HOOK_ID};
pub use limits::{Limits, limited};
pub use misbehaviour::{Fault, FaultKind, HookChaos, HookFault, HookFaultKind};
pub use model::{Job, Pipeline};
pub use options::{Hook, JobSpec, Options, Project, Token};
pub use script::{Ending, Plan, Script};
pub use server::FakeGitlab;
