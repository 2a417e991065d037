//! Everything this service knows of GitHub. Nothing outside this module does.

mod actions;
mod api;
mod auth;
mod budgets;
mod clocks;
mod config;
mod deliveries;
mod events;
mod find;
mod headers;
mod links;
mod refusal;
mod run;
mod searches;
mod status;
mod wire;
mod words;

pub use actions::{GithubActions, Parts};
pub use config::{ConfigError, Credential, GithubConfig, Neutral};
pub use platform::http::AllowedHosts;
