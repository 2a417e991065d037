//! The HTTP API: intent in, views and explanations out, live events, and wishes on jobs.
//! It decides nothing: what it writes is intent or a wish, and every write is audited before it is answered.

mod applicable;
mod apply;
mod audit;
mod auth;
mod backtest;
mod caller;
mod changes;
mod context;
mod decisions;
mod diff;
mod doctor;
mod documents;
mod explain;
mod filter;
mod idempotency;
mod lookup;
mod openapi;
mod problem;
mod pulls;
mod references;
mod request;
mod rest;
mod routes;
mod said;
mod settings;
mod shape;
mod sse;
mod store;
mod wishes;

pub use auth::{KeyLine, Role, hash_of_key};
pub use settings::{AuthSettings, EventSettings, Settings};

use std::sync::Arc;

use anyhow::Context as _;
use bus::catalog::CatalogFold;
use projections::Projections;
use service::{Boot, CommonSettings, Service, connect_bus};

use crate::auth::Keys;
use crate::context::App;
use crate::decisions::Decisions;
use crate::doctor::Known;

/// Where a test may let this service die: right before and right after each durable effect.
pub const CRASH_POINTS: &[&str] = &[
    "api.catalog.before",
    "api.catalog.after",
    "api.freeze.before",
    "api.freeze.after",
    "api.audit.before",
    "api.audit.after",
    "api.wish.before",
    "api.wish.after",
    "api.redrive.before",
    "api.redrive.after",
];

/// The service.
pub struct Api;

impl Service for Api {
    const NAME: &'static str = "api";
    const ABOUT: &'static str = "The HTTP API: catalog, jobs, explanations and live events.";
    type Settings = Settings;

    fn defaults() -> CommonSettings {
        CommonSettings::listening_on(8080)
    }

    async fn run(boot: Boot<Settings>) -> anyhow::Result<()> {
        run(boot).await
    }
}

/// The whole service, until it drains.
///
/// # Errors
/// When its keys cannot be read, the bus is not there, or a fold cannot be followed.
pub async fn run(boot: Boot<Settings>) -> anyhow::Result<()> {
    let catalog_gate = boot.readiness.gate("catalog");
    let targets_gate = boot.readiness.gate("targets");
    let keys = Keys::read(&boot.settings.auth).context("reading the API keys")?;
    if keys.is_empty() {
        tracing::error!(
            "no API key is configured (auth.keys_file, auth.bootstrap_key_file): every request is refused"
        );
    }
    let bus = connect_bus(&boot, bus::topology::Service::Api).await?;
    let catalog = Arc::new(CatalogFold::default());
    let decisions = Arc::new(Decisions::default());
    follow_catalog(&boot, &bus, &catalog);
    follow_targets(&boot, &bus, &decisions);
    let known = Arc::new(Known::default());
    follow_known(&boot, &bus, &known);
    let views = Projections::connect(&boot.common.redis.url).context("redis.url")?;
    let app = App::new(
        bus,
        Arc::clone(&catalog),
        Arc::clone(&decisions),
        views,
        known,
        keys,
        boot.supervisor.clone(),
        boot.settings.events.clone(),
    );
    let drain = boot.supervisor.token();
    let caught_up = async {
        catalog
            .reached()
            .wait_for(|reached| reached.caught_up)
            .await
            .context("nobody follows the catalog")?;
        catalog_gate.set(true, "caught up");
        decisions.caught_up().await;
        anyhow::Ok(())
    };
    tokio::select! {
        () = drain.cancelled() => return Ok(()),
        outcome = caught_up => outcome?,
    }
    // Mounted only now: an answer made from half a catalog would be wrong.
    boot.routes.mount(routes::router(app))?;
    targets_gate.set(true, "caught up");
    drain.cancelled().await;
    Ok(())
}

fn follow_catalog(boot: &Boot<Settings>, bus: &bus::Bus, catalog: &Arc<CatalogFold>) {
    let (bus, catalog, drain) = (bus.clone(), Arc::clone(catalog), boot.supervisor.token());
    boot.supervisor.spawn("catalog", async move {
        catalog.follow(&bus, drain, |_applied, _revision| {}).await.context("following the catalog")
    });
}

fn follow_targets(boot: &Boot<Settings>, bus: &bus::Bus, decisions: &Arc<Decisions>) {
    let (bus, decisions, drain) = (bus.clone(), Arc::clone(decisions), boot.supervisor.token());
    boot.supervisor.spawn("targets", async move {
        decisions.follow(&bus, drain).await.context("following the decisions")
    });
}

fn follow_known(boot: &Boot<Settings>, bus: &bus::Bus, known: &Arc<Known>) {
    let (bus, known, drain) = (bus.clone(), Arc::clone(known), boot.supervisor.token());
    boot.supervisor.spawn("known", async move {
        known.follow(&bus, drain).await.context("following what agents keep about their platforms")
    });
}
