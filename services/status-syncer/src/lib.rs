//! Folds job facts into the public status stream and the Redis views, and watches who must be looked at and whose time
//! is up. It does not start jobs, and knows nothing of any platform but its name.
#![warn(missing_docs)]

mod active;
mod breaker;
mod confirmed;
mod deadlines;
#[cfg(test)]
mod fixture;
mod folded;
mod keeper;
mod memory;
mod pace;
mod rebuild;
#[cfg(test)]
mod service_tests;
mod settings;
mod status;
mod sweep;
mod sync;
#[cfg(test)]
mod sync_tests;
mod watch;
mod webhooks;

use anyhow::Context as _;
use bus::topology::{self, syncer_jobs};
use bus::{Limits, consume};
use projections::Projections;
use service::{Boot, CommonSettings, Service, connect_bus};
use std::sync::Arc;

pub use rebuild::{Progress, RebuildError, Report, rebuild};
pub use settings::{Deadlines, Settings, Sweep, Views};

/// The places where a crash is tried: before and after everything the syncer makes durable.
pub const CRASH_POINTS: &[&str] = &[
    "status-syncer.status.before",
    "status-syncer.status.after",
    "status-syncer.farewell.before",
    "status-syncer.farewell.after",
    "status-syncer.view.before",
    "status-syncer.view.after",
    "status-syncer.observe.before",
    "status-syncer.observe.after",
    "status-syncer.timed-out.before",
    "status-syncer.timed-out.after",
    "status-syncer.force-cancel.before",
    "status-syncer.force-cancel.after",
    "status-syncer.over.before",
    "status-syncer.over.after",
    "status-syncer.rebuild.before",
    "status-syncer.rebuild.after",
];

/// The status syncer.
#[derive(Debug, Clone, Copy)]
pub struct StatusSyncer;

impl Service for StatusSyncer {
    const NAME: &'static str = "status-syncer";
    const ABOUT: &'static str =
        "Folds job facts into views and the public status stream, and watches deadlines.";
    type Settings = Settings;

    fn defaults() -> CommonSettings {
        CommonSettings::listening_on(8085)
    }

    async fn run(boot: Boot<Settings>) -> anyhow::Result<()> {
        let caught_up = boot.readiness.gate("jobs");
        let bus = connect_bus(&boot, topology::Service::StatusSyncer).await?;
        let views = Projections::connect(&boot.common.redis.url).context("redis.url")?;
        let drain = boot.supervisor.token();
        let settings = boot.settings;

        let watch = Arc::new(watch::Watch::new(bus.clone()));
        boot.supervisor.spawn("active", {
            let (watch, drain) = (watch.clone(), drain.clone());
            async move { watch.follow(caught_up, drain).await.context("following the facts of jobs") }
        });
        boot.supervisor.spawn("load", watch.clone().load_unknown(drain.clone()));
        boot.supervisor
            .spawn("deadlines", deadlines::run(watch.clone(), settings.deadlines.clone(), drain.clone()));
        boot.supervisor.spawn("webhooks", {
            let (watch, drain) = (watch.clone(), drain.clone());
            async move { webhooks::run(watch, drain).await.context("following the accounts of webhooks") }
        });
        boot.supervisor.spawn("confirmed", {
            let (bus, views, drain) = (bus.clone(), views.clone(), drain.clone());
            async move { confirmed::run(bus, views, drain).await.context("following confirmations") }
        });
        boot.supervisor.spawn("sweep", sweep::run(watch, settings.sweep.clone(), drain.clone()));

        let syncer = Arc::new(sync::Syncer::new(bus.clone(), views.clone()));
        boot.supervisor.spawn(
            "views",
            keeper::run(bus.clone(), views, settings.views, syncer.incomplete(), drain.clone()),
        );
        let limits = Limits { slots: settings.slots, ..Limits::default() };
        consume(&bus, syncer_jobs(), syncer, limits, drain).await.context("working job facts")?;
        bus.drain().await;
        Ok(())
    }
}
