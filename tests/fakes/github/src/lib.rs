//! A stateful stand-in for GitHub's REST API and webhooks, with the behaviour that matters to an agent.
//! It knows nothing of Ctrlplane: it speaks only GitHub's language, in process, on a loopback port.
#![allow(clippy::disallowed_methods, reason = "a fake server owns its clock, as the real one would")]

mod auth;
mod control;
mod gate;
mod hooks;
mod limits;
mod model;
mod options;
mod payload;
mod reply;
mod routes;
mod runs;
mod script;
mod server;
mod shared;
mod timers;

pub use auth::{Call, TokenKind};
pub use hooks::Delivery;
pub use limits::{Limits, Secondary, secondary_limit};
pub use misbehaviour::{Fault, FaultKind, HookChaos, HookFault, HookFaultKind};
pub use model::{Conclusion, Run, Status};
pub use options::{App, Installation, Options, Repo, Webhook, Workflow};
pub use script::{Ending, Plan, Script, When};
pub use server::FakeGithub;

/// Private half of a fixed RSA key for demos and tests. It is public on purpose and opens nothing but this fake.
pub const SAMPLE_APP_PRIVATE_KEY_PEM: &str = include_str!("../keys/sample-app.private.pem");
/// Public half of [`SAMPLE_APP_PRIVATE_KEY_PEM`].
pub const SAMPLE_APP_PUBLIC_KEY_PEM: &str = include_str!("../keys/sample-app.public.pem");
