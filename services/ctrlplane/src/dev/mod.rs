//! `ctrlplane dev`: the whole system on this machine in one command. It starts the servers it was not given and all
//! services, says what listens where, and ends what it started.

mod data;
mod ports;
mod servers;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use service::Supervisor;

use crate::all_in_one::{Running, Wiring, start_all};
use crate::args::{DevArgs, ServerArgs};
use crate::stage::Stage;
use ports::Wanted;

pub(crate) use data::{Context, DataDir};
pub(crate) use ports::PortNote;
pub(crate) use servers::Servers;

/// The API's usual port.
const API_PORT: u16 = 8080;
/// The usual port for webhooks.
const WEBHOOK_PORT: u16 = 8081;
/// The usual port of pullers.
const PULL_PORT: u16 = 8087;

/// What to run.
pub(crate) struct Options<'a> {
    /// Where the data is kept.
    pub(crate) data: &'a Path,
    /// Servers that are there already.
    pub(crate) servers: &'a ServerArgs,
    /// Where to listen.
    pub(crate) ports: Ports,
    /// Settings of the services, as variables; they come before those of the process.
    pub(crate) environment: Vec<(String, String)>,
}

/// Which ports a whole system takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ports {
    /// Those people know, or others when those are taken; a port asked for must be had.
    Usual {
        /// Of the API.
        api: Option<u16>,
        /// For webhooks.
        webhooks: Option<u16>,
    },
    /// Any free ones: for a system that lives shortly beside others.
    Free,
}

/// A system that works.
pub(crate) struct Dev {
    /// NATS and Redis.
    pub(crate) servers: Servers,
    /// The services.
    pub(crate) running: Running,
    /// The data directory.
    pub(crate) data: DataDir,
    /// Ports that are not the usual ones, and why.
    pub(crate) notes: Vec<PortNote>,
}

/// Runs until somebody ends it.
pub(crate) async fn run(args: &DevArgs, supervisor: Supervisor, stage: Stage) -> anyhow::Result<()> {
    let ports = Ports::Usual { api: args.port, webhooks: args.webhook_port };
    let options = Options { data: &args.data, servers: &args.servers, ports, environment: Vec::new() };
    let dev = start(&options, &supervisor, &stage).await?;
    println!("{}", dev.describe(Kept::OverRestarts));
    supervisor.draining().await;
    Ok(())
}

/// Starts the servers that are needed, then all services, and returns when all are ready. What was started is on the
/// stage, also when this fails half-way.
pub(crate) async fn start(
    options: &Options<'_>,
    supervisor: &Supervisor,
    stage: &Stage,
) -> anyhow::Result<Dev> {
    let data = DataDir::open(options.data, stage)?;
    let servers = servers::start(options.servers, &data, options.ports, supervisor, stage).await?;
    let (mut notes, mut api_port, mut webhook_port, mut pull_port) = (servers.notes.clone(), 0, 0, 0);
    if let Ports::Usual { api, webhooks } = options.ports {
        let chosen = ports::choose("the API", Wanted::of(api, API_PORT), &[])?;
        (api_port, notes) = (chosen.port, joined(notes, chosen.note));
        let chosen = ports::choose("webhooks", Wanted::of(webhooks, WEBHOOK_PORT), &[api_port])?;
        (webhook_port, notes) = (chosen.port, joined(notes, chosen.note));
        let taken = [api_port, webhook_port];
        let chosen = ports::choose("pullers", Wanted::of(None, PULL_PORT), &taken)?;
        (pull_port, notes) = (chosen.port, joined(notes, chosen.note));
    }
    let mut environment = service::Sources::of_process(None)?.environment;
    environment.retain(|(name, _)| !options.environment.iter().any(|(ours, _)| ours == name));
    environment.extend(options.environment.iter().cloned());
    let wiring = Wiring {
        nats_url: servers.nats_url.clone(),
        redis_url: servers.redis_url.clone(),
        secrets_dir: data.secrets_dir(),
        admin_key_file: data.admin_key_file(),
        api_port,
        webhook_port,
        pull_port,
        environment,
    };
    let running = start_all(supervisor, &wiring).await?;
    data.write_context(&running, &servers)?;
    Ok(Dev { servers, running, data, notes })
}

fn joined(mut notes: Vec<PortNote>, note: Option<PortNote>) -> Vec<PortNote> {
    notes.extend(note);
    notes
}

/// How long the data is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Until somebody removes it.
    OverRestarts,
    /// Until the command ends.
    UntilTheEnd,
}

impl Kept {
    fn words(self) -> &'static str {
        match self {
            Self::OverRestarts => "kept over restarts",
            Self::UntilTheEnd => "removed at the end",
        }
    }
}

impl Dev {
    /// What listens where, and how to go on.
    pub(crate) fn describe(&self, kept: Kept) -> String {
        let (servers, running) = (&self.servers, &self.running);
        let (nats_url, redis_url) =
            (telemetry::redact(&servers.nats_url), telemetry::redact(&servers.redis_url));
        let mut text = String::from("ctrlplane is ready\n\n");
        let rows = [
            ("API", running.api_url(), format!("key in {}", shown(&self.data.admin_key_file()))),
            ("Console", format!("{}/console/", running.api_url()), "sign in with the same key".to_owned()),
            ("Webhooks", format!("{}/webhooks/<workspace>/<source>", running.webhooks_url()), String::new()),
            ("Pullers", running.pullers_url(), "jobs of agents of the type http-pull".to_owned()),
            ("NATS", nats_url.into_owned(), servers.nats_about.clone()),
            ("Redis", redis_url.into_owned(), servers.redis_about.clone()),
            ("Data", shown(self.data.path()), kept.words().to_owned()),
            (
                "Secrets",
                shown(&self.data.secrets_dir()),
                "one file per secret, named as the secret".to_owned(),
            ),
        ];
        let width = rows.iter().map(|(_, place, _)| place.len()).max().unwrap_or(0);
        for (what, place, about) in rows {
            let line = format!("  {what:<9} {place:<width$}  {about}");
            writeln!(text, "{}", line.trim_end()).expect("a String takes any text");
        }
        if let Some(key) = self.data.new_admin_key().filter(|_| kept == Kept::OverRestarts) {
            write!(text, "\n  Admin key, shown this once: {key}\n").expect("a String takes any text");
        }
        let notes = self.notes.iter().map(PortNote::to_string).chain(servers.durability.note());
        for note in notes {
            write!(text, "\n  Note: {note}").expect("a String takes any text");
        }
        write!(
            text,
            "\n  Next: ctrlplane apply -f FILE, ctrlplane jobs --watch (found by itself from this directory), or\n        \
             curl -H \"X-API-Key: $(cat {key})\" {url}/api/v1/workspaces\n  Ctrl-C ends everything that was started here.\n",
            key = shown(&self.data.admin_key_file()),
            url = running.api_url(),
        )
        .expect("a String takes any text");
        text
    }
}

/// A path as short as it can be said from here.
fn shown(path: &Path) -> String {
    let here: Option<PathBuf> = std::env::current_dir().ok();
    let short = here.as_deref().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path);
    short.display().to_string()
}
