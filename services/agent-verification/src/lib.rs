//! Measures whether what a job brought works. Verification jobs come as any other job comes to an agent; the "platform" is a
//! bucket of records, which all replicas follow and measure by. What measurements mean is `domain::verification`.

#![warn(missing_docs)]

mod agenda;
mod network;
mod provider;
mod record;
mod runner;
mod settings;
mod store;
mod teller;
mod verifications;

use crate::provider::Providers;
use crate::runner::Runner;
use crate::store::Store;
use anyhow::Context as _;
use bus::topology;
use platform::Clock;
use platform::agent::Agent;
use service::{Boot, CommonSettings, Service, connect_bus};
use std::sync::Arc;

pub use network::{Network, NotANetwork};
pub use settings::Settings;
pub use verifications::Verifications;

/// The places where a crash is tried: before and after everything that measuring makes durable. Those of the command handlers
/// are the shared agent's.
pub const CRASH_POINTS: &[&str] = &[
    "verification.claimed.before",
    "verification.claimed.after",
    "verification.measured.before",
    "verification.measured.after",
    "verification.told.before",
    "verification.told.after",
];

/// The agent for verifications.
#[derive(Debug, Clone, Copy)]
pub struct AgentVerification;

impl Service for AgentVerification {
    const NAME: &'static str = "agent-verification";
    const ABOUT: &'static str = "Measures whether what a job brought works, as verification rules ask.";
    type Settings = Settings;

    fn defaults() -> CommonSettings {
        CommonSettings::listening_on(8086)
    }

    async fn run(boot: Boot<Settings>) -> anyhow::Result<()> {
        let followed = boot.readiness.gate("verifications");
        let bus = connect_bus(&boot, topology::Service::AgentVerification).await?;
        let (settings, drain) = (&boot.settings, boot.supervisor.token());
        let clock = Clock::real();
        let providers = Providers::new(Arc::clone(&boot.secrets), settings.networks()?, clock.clone())
            .context("making the client that asks providers")?;
        let runner = Runner::new(&bus, providers, clock.clone(), settings.measurements);
        boot.supervisor.spawn("follow", {
            let (runner, drain) = (Arc::clone(&runner), drain.clone());
            async move { runner.follow(followed, drain).await.context("following the verifications") }
        });
        let verifications = Arc::new(Verifications::new(Store::new(&bus), clock));
        let agent = Agent::new(verifications, &bus, settings.agent());
        tokio::try_join!(
            async { agent.run(drain.clone()).await.context("working commands") },
            Arc::clone(&runner).tell(drain.clone()),
            runner.run(drain.clone()),
        )?;
        bus.drain().await;
        Ok(())
    }
}
