//! Runs jobs as GitHub Actions workflows and keeps their status in step.
//! When to call and what an answer means for a job is the shared agent's; here is how GitHub is called.

#![warn(missing_docs)]

pub mod github;
mod secrets;
mod settings;

use crate::github::{GithubActions, Parts};
use anyhow::Context as _;
use bus::topology;
use platform::Clock;
use platform::agent::Agent;
use platform::budget::Budgets;
use platform::recovery::Recovery;
use service::{Boot, CommonSettings, Service, connect_bus};
use std::sync::Arc;

/// The places where a crash is tried: before and after every durable effect of the agent.
pub use platform::agent::CRASH_POINTS;
pub use settings::Settings;

/// The agent for GitHub Actions.
#[derive(Debug, Clone, Copy)]
pub struct AgentGithubActions;

impl Service for AgentGithubActions {
    const NAME: &'static str = "agent-github-actions";
    const ABOUT: &'static str = "Runs jobs as GitHub Actions workflows and keeps their status in step.";
    type Settings = Settings;

    fn defaults() -> CommonSettings {
        CommonSettings::listening_on(8084)
    }

    async fn run(boot: Boot<Settings>) -> anyhow::Result<()> {
        let bus = connect_bus(&boot, topology::Service::AgentGithubActions).await?;
        let (settings, drain) = (&boot.settings, boot.supervisor.token());
        let budgets = Budgets::new(&bus, Clock::real(), settings.concurrent_calls);
        boot.supervisor.spawn("budgets", {
            let (budgets, drain) = (Arc::clone(&budgets), drain.clone());
            async move { budgets.follow(drain).await.context("following the API budget") }
        });
        let github = GithubActions::new(Parts {
            secrets: Arc::clone(&boot.secrets),
            budgets,
            clock: Clock::real(),
            hosts: settings.hosts(),
            http: settings.http(),
            search_lag: settings.search_lag(),
            writes_per_minute: settings.writes_per_minute,
        })?;
        let github = Arc::new(github);
        if let Some(recovery) = settings.recovery() {
            let recovery = Recovery::new(Arc::clone(&github), &bus, recovery, Clock::real());
            let drain = drain.clone();
            boot.supervisor.spawn("recovery", async move {
                recovery.run(drain).await.context("looking for missed deliveries")
            });
        }
        let secrets = Arc::new(secrets::of_jobs(Arc::clone(&boot.secrets)));
        let agent = Agent::with_secrets(github, &bus, settings.agent(), Clock::real(), secrets);
        agent.run(drain).await.context("working commands and webhooks")?;
        bus.drain().await;
        Ok(())
    }
}
