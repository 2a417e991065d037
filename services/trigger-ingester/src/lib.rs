//! Takes webhooks and CloudEvents in: verifies, stores, then answers.
//!
//! Knows signatures and envelopes, not what an event means. `verify`, `envelope` and `sources` are pure: no clock,
//! no network, no store.

mod body;
mod claims;
pub mod envelope;
mod intake;
mod routes;
pub mod sources;
pub mod verify;

use anyhow::Context as _;
use bus::catalog::CatalogFold;
use bus::topology;
use service::{Boot, CommonSettings, NoSettings, Service, connect_bus};
use std::sync::Arc;

pub use intake::{Door, Intake, NotStored, Stored};

/// The places where a crash is tried: before and after everything the ingester makes durable.
pub const CRASH_POINTS: &[&str] = &[
    "trigger-ingester.claim.before",
    "trigger-ingester.claim.after",
    "trigger-ingester.publish.before",
    "trigger-ingester.publish.after",
];

/// The trigger ingester.
#[derive(Debug, Clone, Copy)]
pub struct TriggerIngester;

impl Service for TriggerIngester {
    const NAME: &'static str = "trigger-ingester";
    const ABOUT: &'static str = "Takes webhooks and CloudEvents in: verifies, stores, then answers.";
    type Settings = NoSettings;

    fn defaults() -> CommonSettings {
        CommonSettings::listening_on(8081)
    }

    async fn run(boot: Boot<NoSettings>) -> anyhow::Result<()> {
        let caught_up = boot.readiness.gate("catalog");
        let bus = connect_bus(&boot, topology::Service::TriggerIngester).await?;
        let catalog = Arc::new(CatalogFold::default());
        let drain = boot.supervisor.token();
        boot.supervisor.spawn("catalog", {
            let (bus, catalog, drain) = (bus.clone(), catalog.clone(), drain.clone());
            async move { catalog.follow(&bus, drain, |_, _| {}).await.context("following the catalog") }
        });
        let mut reached = catalog.reached();
        tokio::select! {
            () = drain.cancelled() => return Ok(()),
            there = reached.wait_for(|reached| reached.caught_up) => { there.context("following the catalog")?; }
        }
        let intake = Intake::new(bus).await.context("reading where the stream of triggers ends")?;
        let doors = routes::Doors {
            catalog,
            secrets: boot.secrets.clone(),
            intake: Arc::new(intake),
            bodies: Arc::default(),
        };
        boot.routes.mount(routes::router(doors))?;
        caught_up.set(true, "caught up");
        // The bus stays for the deliveries in hand. Nothing of ours waits in it: every publish was confirmed.
        drain.cancelled().await;
        Ok(())
    }
}
