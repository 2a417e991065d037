//! The HTTP API: intent in, views and explanations out, live events, and wishes on jobs.
//! It decides nothing: what it writes is intent or a wish, and every write is audited before it is answered.

mod access;
mod applicable;
mod apply;
mod audit;
mod audited;
mod auth;
mod backtest;
mod caller;
mod candidates;
mod changes;
mod console;
mod context;
mod cookie;
mod decisions;
mod declared;
mod diff;
mod doctor;
mod documents;
mod explain;
mod filter;
mod folded;
mod idempotency;
mod keys;
mod listeners;
mod lookup;
mod names;
mod oidc;
mod openapi;
mod problem;
mod pulls;
mod references;
mod request;
mod rest;
mod routes;
mod said;
mod sessions;
mod settings;
mod shape;
mod spelling;
mod sse;
mod store;
mod whole;
mod wishes;

pub use auth::{KeyLine, Role, hash_of_key};
pub use settings::{AuthSettings, EventSettings, LimitSettings, OidcSettings, Settings};

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bus::catalog::CatalogFold;
use projections::Projections;
use service::{Boot, CommonSettings, Service, connect_bus};

use crate::access::Access;
use crate::auth::FileKeys;
use crate::context::App;
use crate::decisions::Decisions;
use crate::doctor::Known;
use crate::keys::ManagedKeys;
use crate::sse::Recent;

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
    "api.key.before",
    "api.key.after",
    "api.session.before",
    "api.session.after",
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
    let files = FileKeys::read(&boot.settings.auth).context("reading the API keys")?;
    if files.is_empty() {
        tracing::warn!(
            "no file of API keys is configured (auth.keys_file, auth.bootstrap_key_file): only keys that were made over the \
             API open anything"
        );
    }
    let files = Arc::new(files);
    let bus = connect_bus(&boot, bus::topology::Service::Api).await?;
    let keys = Arc::new(ManagedKeys::new(&bus));
    follow_keys(&boot, &bus, &files, &keys);
    let access = Access::new(&bus, &boot.settings, files, Arc::clone(&keys)).context("who may call")?;
    let catalog = Arc::new(CatalogFold::default());
    let decisions = Arc::new(Decisions::default());
    follow_catalog(&boot, &bus, &catalog);
    follow_targets(&boot, &bus, &decisions);
    let known = Arc::new(Known::default());
    follow_known(&boot, &bus, &known);
    let recent = Arc::new(Recent::default());
    follow_statuses(&boot, &bus, &recent);
    let views = Projections::connect(&boot.common.redis.url).context("redis.url")?;
    let app = App::new(
        bus,
        Arc::clone(&catalog),
        Arc::clone(&decisions),
        views,
        known,
        access,
        boot.supervisor.clone(),
        boot.settings.events.clone(),
        Arc::clone(&recent),
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
        keys.caught_up().await;
        recent.caught_up().await;
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

fn follow_keys(boot: &Boot<Settings>, bus: &bus::Bus, files: &Arc<FileKeys>, keys: &Arc<ManagedKeys>) {
    let (bus, keys, drain) = (bus.clone(), Arc::clone(keys), boot.supervisor.token());
    boot.supervisor
        .spawn("keys", async move { keys.follow(&bus, drain).await.context("following the API keys") });
    let (files, drain) = (Arc::clone(files), boot.supervisor.token());
    let every = Duration::from_secs(boot.settings.auth.reread_seconds);
    boot.supervisor.spawn("key-files", async move {
        files.follow(every, drain).await;
        Ok(())
    });
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

fn follow_statuses(boot: &Boot<Settings>, bus: &bus::Bus, recent: &Arc<Recent>) {
    let (bus, recent, drain) = (bus.clone(), Arc::clone(recent), boot.supervisor.token());
    boot.supervisor.spawn("statuses", async move {
        recent.follow(&bus, drain).await.context("following the statuses of jobs")
    });
}

fn follow_known(boot: &Boot<Settings>, bus: &bus::Bus, known: &Arc<Known>) {
    let (bus, known, drain) = (bus.clone(), Arc::clone(known), boot.supervisor.token());
    boot.supervisor.spawn("known", async move {
        known.follow(&bus, drain).await.context("following what agents keep about their platforms")
    });
}
