//! The harness of the system tests: real servers, every service as a process of its own, a stand-in for GitHub,
//! and stories that read like sentences. It asks the system only what a user could ask.
#![allow(clippy::disallowed_methods, reason = "tests are a shell: they have a clock and an environment")]

mod catalog;
mod client;
pub mod gitlab;
mod planted;
mod process;
mod recovery;
mod story;
mod system;
mod wait;

pub use catalog::{
    BASIC, LIMITED, impatient, measuring, recovering, superseding, undeclared_input, unrenderable,
    without_key, without_workflow,
};
pub use client::Client;
pub use planted::no_secret_left_a_trace;
pub use process::Process;
pub use story::tell;
pub use system::{Options, SERVICES, System};
pub use wait::eventually;
