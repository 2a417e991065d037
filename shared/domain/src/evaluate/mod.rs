//! Evaluation: from what is declared and what happened to what should run on each target, and why.
//!
//! Everything here is a function of its arguments: the catalog, the facts, the previous decision, and `now`.

mod any_approval;
mod environment_progression;
mod facts;
mod ruling;
mod version_selector;

pub use facts::{FactChange, Facts, JobStanding, Standing};
