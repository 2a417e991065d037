//! Runs jobs as GitLab CI/CD pipelines and keeps their status in step.
//! When to call and what an answer means for a job is the shared agent's; here is how GitLab is called.

#![warn(missing_docs)]

pub mod gitlab;
mod settings;

use crate::gitlab::{GitlabCi, Parts};
use anyhow::Context as _;
use bus::topology;
use domain::token::Slug;
use platform::agent::Agent;
use platform::budget::Budgets;
use platform::recovery::Recovery;
use platform::{Clock, SecretSource};
use service::{Boot, CommonSettings, Secrets, Service, connect_bus};
use std::sync::Arc;

/// The places where a crash is tried: before and after every durable effect of the agent.
pub use platform::agent::CRASH_POINTS;
pub use settings::Settings;

/// The agent for GitLab CI/CD.
#[derive(Debug, Clone, Copy)]
pub struct AgentGitlabCi;

impl Service for AgentGitlabCi {
    const NAME: &'static str = "agent-gitlab-ci";
    const ABOUT: &'static str = "Runs jobs as GitLab CI/CD pipelines and keeps their status in step.";
    type Settings = Settings;

    fn defaults() -> CommonSettings {
        CommonSettings::listening_on(8090)
    }

    async fn run(boot: Boot<Settings>) -> anyhow::Result<()> {
        let bus = connect_bus(&boot, topology::Service::AgentGitlabCi).await?;
        let (settings, drain) = (&boot.settings, boot.supervisor.token());
        let budgets = Budgets::new(&bus, Clock::real(), settings.concurrent_calls);
        boot.supervisor.spawn("budgets", {
            let (budgets, drain) = (Arc::clone(&budgets), drain.clone());
            async move { budgets.follow(drain).await.context("following the API budget") }
        });
        let gitlab = GitlabCi::new(Parts {
            secrets: Arc::clone(&boot.secrets),
            budgets,
            clock: Clock::real(),
            hosts: settings.hosts(),
            http: settings.http(),
            search_lag: settings.search_lag(),
            writes_per_minute: settings.writes_per_minute,
        })?;
        let gitlab = Arc::new(gitlab);
        if let Some(recovery) = settings.recovery() {
            let recovery = Recovery::new(Arc::clone(&gitlab), &bus, recovery, Clock::real());
            let drain = drain.clone();
            boot.supervisor.spawn("recovery", async move {
                recovery.run(drain).await.context("looking for missed deliveries")
            });
        }
        let secrets = Arc::new(of_jobs(Arc::clone(&boot.secrets)));
        let agent = Agent::with_secrets(gitlab, &bus, settings.agent(), Clock::real(), secrets);
        agent.run(drain).await.context("working commands and webhooks")?;
        bus.drain().await;
        Ok(())
    }
}

/// The secrets that jobs' variables name: those of the job's workspace, and never what the agent itself signs in with.
fn of_jobs(secrets: Arc<Secrets>) -> impl SecretSource {
    move |workspace: &Slug, name: &str| {
        secrets.of_workspace(workspace.as_str(), name).map_err(|error| error.to_string())
    }
}
