//! Everything this service knows of GitLab. Nothing outside this module does.

mod api;
mod budgets;
mod config;
mod deliveries;
mod events;
mod find;
mod jobs;
mod look;
mod pipeline;
mod pipelines;
mod refusal;
mod rerun;
mod status;
mod words;

pub use config::{Credential, GitlabConfig};
pub use pipelines::{GitlabCi, Parts};
