//! Runs jobs as Argo Workflows and keeps their status in step.
//! When to call and what an answer means for a job is the shared agent's; here is how Argo is called.

#![warn(missing_docs)]

pub mod argo;
mod secrets;
mod settings;

use crate::argo::{ArgoWorkflows, Parts};
use anyhow::Context as _;
use bus::topology;
use platform::Clock;
use platform::agent::Agent;
use platform::budget::Budgets;
use service::{Boot, CommonSettings, Service, connect_bus};
use std::sync::Arc;

/// The places where a crash is tried: before and after every durable effect of the agent.
pub use platform::agent::CRASH_POINTS;
pub use settings::Settings;

/// The agent for Argo Workflows.
#[derive(Debug, Clone, Copy)]
pub struct AgentArgoWorkflows;

impl Service for AgentArgoWorkflows {
    const NAME: &'static str = "agent-argo-workflows";
    const ABOUT: &'static str = "Runs jobs as Argo Workflows and keeps their status in step.";
    type Settings = Settings;

    fn defaults() -> CommonSettings {
        CommonSettings::listening_on(8089)
    }

    async fn run(boot: Boot<Settings>) -> anyhow::Result<()> {
        let bus = connect_bus(&boot, topology::Service::AgentArgoWorkflows).await?;
        let (settings, drain) = (&boot.settings, boot.supervisor.token());
        let budgets = Budgets::new(&bus, Clock::real(), settings.concurrent_calls);
        boot.supervisor.spawn("budgets", {
            let (budgets, drain) = (Arc::clone(&budgets), drain.clone());
            async move { budgets.follow(drain).await.context("following the API budget") }
        });
        let argo = ArgoWorkflows::new(Parts {
            secrets: Arc::clone(&boot.secrets),
            budgets,
            clock: Clock::real(),
            hosts: settings.hosts(),
            http: settings.http(),
            kubeconfig: settings.kubeconfig.clone(),
        })?;
        let secrets = Arc::new(secrets::of_jobs(Arc::clone(&boot.secrets)));
        let agent = Agent::with_secrets(Arc::new(argo), &bus, settings.agent(), Clock::real(), secrets);
        agent.run(drain).await.context("working commands and following the workflows")?;
        bus.drain().await;
        Ok(())
    }
}
