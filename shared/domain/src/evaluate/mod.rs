//! Evaluation: from what is declared and what happened to what should run on each target, and why.
//!
//! Everything here is a function of its arguments: the catalog, the facts, the previous decision, and `now`.

mod any_approval;
mod ask;
mod decide;
mod environment_progression;
mod facts;
mod history;
mod review;
mod ruling;
mod summary;
#[cfg(test)]
mod tests;
mod version_selector;
mod view;

pub use decide::{Outcome, decide_target, same_decision};
pub use facts::{FactChange, Facts, JobStanding, Standing};
pub use view::DeploymentView;
