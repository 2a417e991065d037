//! Verification: what is measured after a job succeeded, when, and what the measurements mean. Pure; `agent-verification`
//! asks the providers and keeps the record.

mod condition;
mod measure;
mod plan;

pub use condition::Conditions;
pub use measure::{Course, ERRORS_MAX, Progress, Reading, Verdict};
pub(crate) use plan::plan;
pub use plan::{AGENT_NAME, Config, PLATFORM};
