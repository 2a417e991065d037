//! Everything this service knows of Argo Workflows. Nothing outside this module does.

mod cluster;
mod config;
mod links;
mod names;
mod news;
mod refusal;
mod server;
mod status;
mod waiting;
mod words;
mod workflow;
mod workflows;

pub use config::{AllowedHosts, ArgoConfig, ConfigError, Place, ServerPlace, Template};
pub use workflows::{ArgoWorkflows, Parts};
