//! NATS and Redis for a system on this machine: those given by URL, else started from programs that are found or installed.

use anyhow::Context as _;
use servers::{Binaries, Nats, NatsOptions, Policy, Port, Redis, RedisOptions};
use service::Supervisor;

use super::Ports;
use super::data::DataDir;
use super::ports::{PortNote, is_free};
use crate::args::ServerArgs;
use crate::stage::{Prop, Stage};

/// NATS's usual port.
const NATS_PORT: u16 = 4222;
/// Redis's usual port.
const REDIS_PORT: u16 = 6379;
/// Webhook payloads up to this size travel in the message itself; larger ones go to the object store.
const MESSAGE_BYTES_MAX: u32 = 1024 * 1024;

/// Two servers that answer.
pub(crate) struct Servers {
    /// Where NATS is.
    pub(crate) nats_url: String,
    /// Where Redis is.
    pub(crate) redis_url: String,
    /// Which NATS.
    pub(crate) nats_about: String,
    /// Which Redis.
    pub(crate) redis_about: String,
    /// What an acknowledged message outlives.
    pub(crate) durability: Durability,
    /// Ports that are not the usual ones.
    pub(crate) notes: Vec<PortNote>,
}

/// What an acknowledged message outlives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// A power cut.
    PowerCut,
    /// The death of the server, not a power cut.
    ServerCrash,
    /// What the operator of the given server decided.
    Theirs,
}

impl Durability {
    /// What people should know about it.
    pub(crate) fn note(self) -> Option<String> {
        match self {
            Self::PowerCut | Self::Theirs => None,
            Self::ServerCrash => Some(
                "this nats-server is older than 2.10 and writes to the disk every two minutes: what it acknowledged \
                 survives a crash of any process, but not a power cut"
                    .to_owned(),
            ),
        }
    }
}

/// Starts what was not given.
pub(super) async fn start(
    given: &ServerArgs,
    data: &DataDir,
    ports: Ports,
    supervisor: &Supervisor,
    stage: &Stage,
) -> anyhow::Result<Servers> {
    let binaries = match (&given.nats, &given.redis) {
        (Some(_), Some(_)) => None,
        (None, _) | (_, None) => Some(Binaries::locate_or_install(Policy::InstallWhereAllowed).await?),
    };
    let mut found = Servers {
        nats_url: given.nats.clone().unwrap_or_default(),
        redis_url: given.redis.clone().unwrap_or_default(),
        nats_about: "given by --nats".to_owned(),
        redis_about: "given by --redis".to_owned(),
        durability: Durability::Theirs,
        notes: Vec::new(),
    };
    let Some(binaries) = binaries else { return Ok(found) };
    if given.nats.is_none() {
        let mut options = NatsOptions::new(&binaries.nats, data.path().join("nats"));
        options.port = usual_or_free(ports, NATS_PORT);
        options.max_payload_bytes = MESSAGE_BYTES_MAX;
        options.sync_always = true;
        let nats = Nats::start(options).await.context("starting NATS")?;
        found.nats_url = nats.url();
        found.nats_about = format!("nats-server {}, log in {}", nats.version(), super::shown(nats.log()));
        found.durability = if nats.syncs_always() { Durability::PowerCut } else { Durability::ServerCrash };
        found.notes.extend(note("NATS", NATS_PORT, nats.port(), ports));
        watch(supervisor, "nats-server", nats.ended());
        stage.add(Prop::Nats(Box::new(nats)));
    }
    if given.redis.is_none() {
        let mut options = RedisOptions::new(&binaries.redis, data.path().join("redis"));
        options.port = usual_or_free(ports, REDIS_PORT);
        options.appendonly = true;
        let redis = Redis::start(options).await.context("starting Redis")?;
        found.redis_url = redis.url();
        found.redis_about = format!("redis-server {}, log in {}", redis.version(), super::shown(redis.log()));
        found.notes.extend(note("Redis", REDIS_PORT, redis.port(), ports));
        watch(supervisor, "redis-server", redis.ended());
        stage.add(Prop::Redis(Box::new(redis)));
    }
    Ok(found)
}

fn usual_or_free(ports: Ports, usual: u16) -> Port {
    match ports {
        Ports::Usual { .. } if is_free(usual) => Port::Fixed(usual),
        Ports::Usual { .. } | Ports::Free => Port::Free,
    }
}

fn note(what: &'static str, usual: u16, port: u16, ports: Ports) -> Option<PortNote> {
    match ports {
        Ports::Usual { .. } => (port != usual).then_some(PortNote { what, usual, port }),
        Ports::Free => None,
    }
}

/// A server that ends while it is needed brings everything down, with its name.
fn watch(
    supervisor: &Supervisor,
    program: &'static str,
    ended: impl Future<Output = Option<std::process::ExitStatus>> + Send + 'static,
) {
    let drain = supervisor.token();
    supervisor.spawn(program, async move {
        tokio::select! {
            () = drain.cancelled() => Ok(()),
            status = ended => match status {
                Some(status) => anyhow::bail!("{program} ended by itself: {status}"),
                None => anyhow::bail!("{program} ended by itself"),
            },
        }
    });
}
