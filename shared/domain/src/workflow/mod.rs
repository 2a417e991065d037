//! Workflows: what a run is given, which jobs it has, which of them are next, and with what they are dispatched.

mod begin;
mod dispatch;
mod inputs;
mod jobs;
mod plan;

pub use begin::begin;
pub(crate) use dispatch::dispatch;
pub use inputs::{InputProblem, fits, resolve};
pub use jobs::{RunJob, jobs};
pub use plan::{Ended, JobStep, Need, Plan, RunStatus, Seen, Step, plan};

/// Most inputs of a workflow.
pub const INPUTS_MAX: usize = 50;
/// Most jobs a workflow declares.
pub const JOBS_MAX: usize = 100;
/// Most jobs of a run, with all items of those that fan out.
pub const RUN_JOBS_MAX: usize = 256;
/// Most bytes of a run's inputs, as JSON: a run is one value of the catalog.
pub const INPUTS_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of a workflow's jobs, as JSON.
pub const JOBS_BYTES_MAX: usize = 256 * 1024;
/// Nothing of a run is started later than so long after it began: the facts of its jobs are kept for longer, so that none
/// is started twice because its facts are forgotten.
pub const RUN_DAYS_MAX: i64 = 7;

/// A run is forgotten so long after it ended.
pub const RUN_KEPT_DAYS: i64 = 90;

/// Variables that the condition of a job sees.
pub const CONDITION_VARIABLES: &[&str] = &["inputs", "needs", "succeeded", "item"];
/// Variables that the selector of a job's agent sees.
pub const AGENT_VARIABLES: &[&str] = &["jobAgent"];
/// Names that the templates of a workflow job's config see.
pub const CONTEXT_NAMES: &[&str] = &["workspace", "workflow", "inputs", "run", "item", "jobAgent", "job"];

#[cfg(test)]
mod tests;
