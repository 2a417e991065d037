//! Runs jobs as Kubernetes Jobs and keeps their status in step.
//! When to call and what an answer means for a job is the shared agent's, how a cluster is reached the shared crate
//! `cluster`'s; here is what a Job is.

#![warn(missing_docs)]

pub mod jobs;
mod secrets;
mod settings;

use crate::jobs::{KubernetesJobs, Parts};
use anyhow::Context as _;
use bus::topology;
use cluster::{Clusters, Counted, Options};
use domain::token::Slug;
use platform::Clock;
use platform::agent::Agent;
use platform::budget::Budgets;
use service::{Boot, CommonSettings, Service, connect_bus};
use std::sync::Arc;
use std::time::Duration;

/// The places where a crash is tried: before and after every durable effect of the agent.
pub use platform::agent::CRASH_POINTS;
pub use settings::Settings;

/// How soon pods are tried to be watched again that the agent may not watch.
const PODS_AGAIN: Duration = Duration::from_secs(300);

/// The agent for Kubernetes Jobs.
#[derive(Debug, Clone, Copy)]
pub struct AgentKubernetesJobs;

impl Service for AgentKubernetesJobs {
    const NAME: &'static str = "agent-kubernetes-jobs";
    const ABOUT: &'static str = "Runs jobs as Kubernetes Jobs and keeps their status in step.";
    type Settings = Settings;

    fn defaults() -> CommonSettings {
        CommonSettings::listening_on(8088)
    }

    async fn run(boot: Boot<Settings>) -> anyhow::Result<()> {
        let bus = connect_bus(&boot, topology::Service::AgentKubernetesJobs).await?;
        let (settings, drain) = (&boot.settings, boot.supervisor.token());
        let budgets = Budgets::new(&bus, Clock::real(), settings.concurrent_calls);
        boot.supervisor.spawn("budgets", {
            let (budgets, drain) = (Arc::clone(&budgets), drain.clone());
            async move { budgets.follow(drain).await.context("following the API budget") }
        });
        let clusters = Clusters::new(Options {
            secrets: secrets::of_the_agent(Arc::clone(&boot.secrets)),
            kubeconfig: settings.kubeconfig.clone(),
            in_cluster_server: settings.api_server.clone(),
            service_account_dir: settings.service_account_dir.clone(),
            deadline: settings.request_deadline(),
            counted: Some(Counted { budgets, platform: Slug::of_name(topology::KUBERNETES_JOBS) }),
        });
        let jobs = KubernetesJobs::new(Parts {
            clusters,
            hosts: settings.hosts(),
            search_lag: settings.search_lag(),
            pods_again: PODS_AGAIN,
        });
        let secrets = Arc::new(secrets::of_jobs(Arc::clone(&boot.secrets)));
        let agent = Agent::with_secrets(Arc::new(jobs), &bus, settings.agent(), Clock::real(), secrets);
        agent.run(drain).await.context("working commands and watches")?;
        bus.drain().await;
        Ok(())
    }
}
