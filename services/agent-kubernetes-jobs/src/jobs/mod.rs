//! Everything this service knows of Kubernetes Jobs. Nothing outside this module does.

mod config;
mod manifest;
mod names;
mod news;
mod platform;
mod pods;
mod status;
mod wire;

pub use config::{ConfigError, JobConfig};
pub use names::{ATTEMPT, CANCELLED, JOB_ID};
pub use platform::{KubernetesJobs, Parts};
