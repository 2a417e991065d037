//! Turns a requested job into a command for the right agent: slots, order, rendering, cancellation.
//! It decides who runs a job and when it may go out; it does not know what a platform is asked to do.

mod handler;
mod queue;
mod settings;
mod slots;
mod sweep;

use crate::handler::Dispatcher as Handler;
use crate::queue::Queue;
use anyhow::Context as _;
use bus::catalog::CatalogFold;
use bus::{Limits, consume, topology};
use domain::entity::Kind;
use service::{Boot, CommonSettings, Service, connect_bus};
use std::sync::Arc;
use tokio::sync::watch;

pub use settings::Settings;

/// The places where a crash is tried: before and after everything the dispatcher makes durable.
pub const CRASH_POINTS: &[&str] = &[
    "dispatcher.slots.before",
    "dispatcher.slots.after",
    "dispatcher.refused.before",
    "dispatcher.refused.after",
    "dispatcher.held.before",
    "dispatcher.held.after",
    "dispatcher.dispatched.before",
    "dispatcher.dispatched.after",
    "dispatcher.command.before",
    "dispatcher.command.after",
    "dispatcher.cancelled.before",
    "dispatcher.cancelled.after",
];

/// The dispatcher.
#[derive(Debug, Clone, Copy)]
pub struct Dispatcher;

impl Service for Dispatcher {
    const NAME: &'static str = "dispatcher";
    const ABOUT: &'static str = "Turns requested jobs into commands for the right agents.";
    type Settings = Settings;

    fn defaults() -> CommonSettings {
        CommonSettings::listening_on(8083)
    }

    async fn run(boot: Boot<Settings>) -> anyhow::Result<()> {
        let caught_up = boot.readiness.gate("catalog");
        let bus = connect_bus(&boot, topology::Service::Dispatcher).await?;
        let catalog = Arc::new(CatalogFold::default());
        let agents_changed = watch::Sender::new(0);
        let drain = boot.supervisor.token();
        boot.supervisor.spawn("catalog", {
            let (bus, catalog, drain, agents) =
                (bus.clone(), catalog.clone(), drain.clone(), agents_changed.clone());
            let note = move |applied: &domain::catalog::Applied, _| {
                if applied.kind == Some(Kind::JobAgent) {
                    agents.send_modify(|changes| *changes += 1);
                }
            };
            async move { catalog.follow(&bus, drain, note).await.context("following the catalog") }
        });
        let mut reached = catalog.reached();
        tokio::select! {
            () = drain.cancelled() => return Ok(()),
            there = reached.wait_for(|reached| reached.caught_up) => { there.context("following the catalog")?; }
        }
        caught_up.set(true, "caught up");
        let handler = Arc::new(Handler {
            queue: Queue::new(bus.bucket(&topology::SLOTS)),
            catalog: catalog.clone(),
            bus: bus.clone(),
            agents_changed,
        });
        boot.supervisor.spawn("sweep", sweep::run(handler.clone(), boot.settings.sweep(), drain.clone()));
        let limits = Limits { slots: boot.settings.slots, ..Limits::default() };
        consume(&bus, topology::dispatcher_jobs(), handler, limits, drain)
            .await
            .context("working job facts")?;
        bus.drain().await;
        Ok(())
    }
}
