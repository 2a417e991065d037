//! Turns a requested job into a command for the right agent: freezes, slots, order, rendering, cancellation.
//! It decides who runs a job and when it may go out; it does not know what a platform is asked to do.

mod freeze;
mod frozen;
mod handler;
mod queue;
mod settings;
mod sweep;
mod thaw;

use crate::frozen::FrozenJobs;
use crate::handler::Dispatcher as Handler;
use crate::queue::Queue;
use crate::thaw::Changed;
use anyhow::Context as _;
use bus::catalog::CatalogFold;
use bus::clock::Clock;
use bus::{Freezes, Limits, consume, topology};
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
    "dispatcher.noted.before",
    "dispatcher.noted.after",
    "dispatcher.frozen.before",
    "dispatcher.frozen.after",
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
        run(boot, Clock::real()).await
    }
}

/// Dispatches by that clock until the drain. [`Dispatcher`] takes the real one.
///
/// # Errors
/// When the bus cannot be reached, or the catalog or the jobs cannot be followed.
pub async fn run(boot: Boot<Settings>, clock: Clock) -> anyhow::Result<()> {
    let caught_up = boot.readiness.gate("catalog");
    let bus = connect_bus(&boot, topology::Service::Dispatcher).await?;
    let catalog = Arc::new(CatalogFold::default());
    let handler = Arc::new(Handler {
        queue: Queue::new(bus.bucket(&topology::SLOTS)),
        frozen: FrozenJobs::new(bus.bucket(&topology::SLOTS)),
        freezes: Freezes::new(&bus),
        freezes_changed: Changed::default(),
        catalog: catalog.clone(),
        bus: bus.clone(),
        agents_changed: watch::Sender::new(0),
        clock,
    });
    let drain = boot.supervisor.token();
    boot.supervisor.spawn("catalog", {
        let (bus, catalog, drain, handler) = (bus.clone(), catalog.clone(), drain.clone(), handler.clone());
        let note = move |applied: &domain::catalog::Applied, _| handler.noticed(applied);
        async move { catalog.follow(&bus, drain, note).await.context("following the catalog") }
    });
    let mut reached = catalog.reached();
    tokio::select! {
        () = drain.cancelled() => return Ok(()),
        there = reached.wait_for(|reached| reached.caught_up) => { there.context("following the catalog")?; }
    }
    caught_up.set(true, "caught up");
    boot.supervisor.spawn("sweep", sweep::run(handler.clone(), boot.settings.sweep(), drain.clone()));
    boot.supervisor.spawn("thaw", thaw::run(handler.clone(), drain.clone()));
    let limits = Limits { slots: boot.settings.slots, ..Limits::default() };
    consume(&bus, topology::dispatcher_jobs(), handler, limits, drain).await.context("working job facts")?;
    bus.drain().await;
    Ok(())
}
