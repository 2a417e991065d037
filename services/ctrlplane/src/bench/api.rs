//! An api of its own process, so that what it takes is its alone.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use bus::Bus;
use service::Supervisor;
use tokio::process::{Child, Command};

use crate::args::ServerArgs;
use crate::client::Client;
use crate::dev::{self, Ports};
use crate::stage::{Prop, Stage, TemporaryDir};

/// The only workspace there is.
pub(super) const WORKSPACE: &str = "acme";

const READY_WITHIN: Duration = Duration::from_secs(30);

/// Everything in this process, and one more api beside it.
pub(super) struct Scene {
    pub(super) dev: dev::Dev,
    pub(super) bus: Bus,
    pub(super) api: Api,
}

impl Scene {
    /// Starts it, with data that nobody keeps and an empty workspace.
    pub(super) async fn set(
        servers: &ServerArgs,
        supervisor: &Supervisor,
        stage: &Stage,
    ) -> anyhow::Result<Self> {
        let dir = TemporaryDir::create().context("making a temporary directory")?;
        let data = dir.path().to_owned();
        stage.add(Prop::Temporary(dir));
        let options = dev::Options { data: &data, servers, ports: Ports::Free, environment: Vec::new() };
        let dev = dev::start(&options, supervisor, stage).await?;
        let bus = super::connect(&dev.servers.nats_url).await?;
        let workspace = WORKSPACE.parse().context("the workspace's slug")?;
        let client = Client::new(&dev.running.api_url(), dev.data.admin_key(), workspace)?;
        client.apply(&format!("kind: Workspace\nmetadata: {{ name: {WORKSPACE} }}\n")).await?;
        let api = Api::start(&dev).await?;
        Ok(Self { dev, bus, api })
    }
}

/// The api, a process of its own.
pub(super) struct Api {
    pub(super) address: String,
    child: Child,
}

impl Api {
    /// Starts one beside what runs.
    pub(super) async fn start(dev: &dev::Dev) -> anyhow::Result<Self> {
        let free = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = free.local_addr()?.to_string();
        drop(free);
        let child = Command::new(std::env::current_exe()?)
            .args(["serve", "api"])
            .env("CTRLPLANE_NATS__URL", &dev.servers.nats_url)
            .env("CTRLPLANE_REDIS__URL", &dev.servers.redis_url)
            .env("CTRLPLANE_HTTP__BIND", &address)
            .env("CTRLPLANE_AUTH__BOOTSTRAP_KEY_FILE", dev.data.admin_key_file())
            .env("CTRLPLANE_EVENTS__CLIENTS_MAX", "100000")
            .env("CTRLPLANE_EVENTS__CLIENTS_EACH_MAX", "100000")
            .env("CTRLPLANE_LOG__FILTER", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting an api")?;
        let api = Self { address, child };
        let http = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("http://{}/readyz", api.address);
        let ready = async {
            while !http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(READY_WITHIN, ready).await.context("the api is not ready in time")?;
        Ok(api)
    }

    /// From what Linux tells of a process; kilobytes there.
    pub(super) fn memory_mb(&self, field: &str) -> anyhow::Result<f64> {
        let pid = self.child.id().context("the api ended")?;
        let status =
            std::fs::read_to_string(format!("/proc/{pid}/status")).context("the memory of the api")?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()).context("no such field")?;
        Ok(kilobytes.parse::<f64>()? / 1024.0)
    }

    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("ending the api")
    }
}
