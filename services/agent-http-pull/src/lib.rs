//! Any program can be a job agent: it lists the jobs of its agent, claims one, gives signs of life, and reports. This service
//! keeps the queue: who has which job, until when, and under which fence. It runs no job and knows nothing of those who do.

#![warn(missing_docs)]

mod agenda;
mod auth;
mod commands;
mod desk;
mod effects;
mod facts;
mod freeze;
mod http;
mod keeper;
mod limits;
mod nats;
mod record;
mod refusal;
mod settings;
mod store;
mod wire;

use crate::auth::Doorkeeper;
use crate::commands::Commands;
use crate::desk::Desk;
use crate::freeze::Frost;
use crate::http::App;
use crate::keeper::Thaws;
use crate::store::Store;
use anyhow::Context as _;
use bus::catalog::CatalogFold;
use bus::topology::{self, HTTP_PULL, agent_commands};
use bus::{Freezes, consume, serve};
use domain::entity::Kind;
use domain::token::Slug;
use platform::Clock;
use service::{Boot, CommonSettings, Secrets, Service, connect_bus};
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, watch};

pub use effects::CRASH_POINTS;
pub use settings::Settings;

/// The agent for jobs that any program may pull.
#[derive(Debug, Clone, Copy)]
pub struct AgentHttpPull;

impl Service for AgentHttpPull {
    const NAME: &'static str = "agent-http-pull";
    const ABOUT: &'static str =
        "Keeps the queues of jobs that any program may pull: claims, leases, fences, reports.";
    type Settings = Settings;

    fn defaults() -> CommonSettings {
        CommonSettings::listening_on(8087)
    }

    async fn run(boot: Boot<Settings>) -> anyhow::Result<()> {
        let (catalog_gate, queues_gate) = (boot.readiness.gate("catalog"), boot.readiness.gate("queues"));
        let serving = boot.readiness.gate("pullers");
        let bus = connect_bus(&boot, topology::Service::AgentHttpPull).await?;
        let drain = boot.supervisor.token();
        let (catalog, thaws) = (Arc::new(CatalogFold::default()), Arc::new(Thaws::default()));
        let desk = Arc::new(Desk {
            jobs: bus.jobs(),
            store: Store::new(&bus),
            frost: Frost { freezes: Freezes::new(&bus), catalog: Arc::clone(&catalog) },
            secrets: Arc::new(of_jobs(Arc::clone(&boot.secrets))),
            clock: Clock::real(),
            settings: boot.settings.clone(),
            agenda: Mutex::default(),
            changes: watch::Sender::new(0),
            due_changed: Notify::new(),
            drain: drain.clone(),
            ended: Mutex::default(),
        });
        boot.supervisor.spawn("catalog", {
            let (bus, catalog, drain, thaws) =
                (bus.clone(), Arc::clone(&catalog), drain.clone(), Arc::clone(&thaws));
            let noticed = move |applied: &domain::catalog::Applied, revision: u64| match &applied.key {
                Some(key) if key.kind == Kind::Freeze => thaws.put(key.workspace.clone(), revision),
                Some(_) | None => {}
            };
            async move { catalog.follow(&bus, drain, noticed).await.context("following the catalog") }
        });
        let mut queues_known = watch::channel(false);
        boot.supervisor.spawn("queues", {
            let (bus, desk, drain) = (bus.clone(), Arc::clone(&desk), drain.clone());
            let known = queues_known.0.clone();
            async move { desk.follow(&bus, queues_gate, known, drain).await.context("following the queues") }
        });
        let mut reached = catalog.reached();
        let caught_up = async {
            reached.wait_for(|reached| reached.caught_up).await.context("following the catalog")?;
            catalog_gate.set(true, "caught up");
            queues_known.1.wait_for(|known| *known).await.context("following the queues")?;
            anyhow::Ok(())
        };
        tokio::select! {
            () = drain.cancelled() => return Ok(()),
            there = caught_up => there?,
        }
        let door = Doorkeeper { catalog, secrets: Arc::clone(&boot.secrets) };
        let limits = Arc::new(limits::Limits::of(&boot.settings));
        let app = App { desk: Arc::clone(&desk), door, limits };
        // Mounted only now: who is not known yet would be refused.
        boot.routes.mount(http::router(app.clone()))?;
        serving.set(true, "answering");
        let for_api = nats::ForApi(app.clone());
        let platform: Slug = HTTP_PULL.parse().context("the platform is a slug")?;
        let commands = Arc::new(Commands(Arc::clone(&desk)));
        let limits = boot.settings.commands();
        tokio::try_join!(
            async {
                let commands = consume(&bus, agent_commands(&platform), commands, limits, drain.clone());
                commands.await.context("working commands")
            },
            async {
                let requests = boot.settings.requests;
                let served =
                    serve(&bus, nats::REQUESTS, nats::QUEUE_GROUP, Arc::new(app), requests, drain.clone());
                served.await.context("answering pullers on the bus")
            },
            async {
                let requests = boot.settings.requests;
                let served = serve(
                    &bus,
                    nats::DESK_REQUESTS,
                    nats::QUEUE_GROUP,
                    Arc::new(for_api),
                    requests,
                    drain.clone(),
                );
                served.await.context("answering the api on the bus")
            },
            Arc::clone(&desk).keep(bus.clone(), thaws, drain.clone()),
        )?;
        bus.drain().await;
        Ok(())
    }
}

/// The secrets that jobs' variables name: those of the job's workspace.
fn of_jobs(secrets: Arc<Secrets>) -> impl platform::SecretSource {
    move |workspace: &Slug, name: &str| {
        secrets.of_workspace(workspace.as_str(), name).map_err(|error| error.to_string())
    }
}
