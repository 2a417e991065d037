//! A stateful stand-in for Argo Server's REST API and event stream, with the behaviour that matters to an agent.
//! It knows nothing of Ctrlplane: it speaks only Argo's language, in process, on a loopback port.
#![allow(clippy::disallowed_methods, reason = "a fake server owns its clock, as the real one would")]

mod control;
mod faults;
mod gate;
mod lifecycle;
mod news;
mod options;
mod reply;
mod retry;
mod routes;
mod server;
mod state;
mod stream;

pub use faults::{Fault, FaultKind};
pub use news::{NewsChaos, NewsFault};
pub use options::{Ending, Options, Plan, Template};
pub use server::FakeArgo;
pub use state::{Call, Workflow};
