//! Evaluation: from what is declared and what happened to what should run on each target, and why.
//!
//! Everything here is a function of its arguments: the catalog, the facts, the previous decision, and `now`.

mod afterwards;
mod any_approval;
mod ask;
mod decide;
mod decided;
mod dependency;
mod deployment_window;
mod environment_progression;
mod facts;
mod freeze;
mod gates;
mod gradual_rollout;
mod history;
mod once;
mod open_time;
mod pin;
mod retry;
mod review;
mod rollback;
mod rollouts;
mod ruling;
mod skip;
mod summary;
#[cfg(test)]
mod tests;
mod verdicts;
mod verification;
mod version_cooldown;
mod version_selector;
mod view;

pub use decide::{Outcome, decide_target, same_but_for_words, same_decision};
pub use decided::Decided;
pub use facts::{FactChange, Facts, JobStanding, Standing};
pub use view::DeploymentView;
