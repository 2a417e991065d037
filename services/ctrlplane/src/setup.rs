//! `ctrlplane setup`: makes the whole topology on a NATS server as its administrator, for services that may only verify it.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context as _;
use bus::topology::{self, needs_of};
use service::{Boot, NoSettings, Provision, Service};

use crate::args::Passed;

/// The set-up as a service: it reads the same settings, and is over when the topology is there.
struct Setup;

/// Runs it.
pub(crate) fn run(passed: Passed) -> ExitCode {
    let name = OsString::from("ctrlplane setup");
    service::main_with::<Setup>(std::iter::once(name).chain(passed.options))
}

impl Service for Setup {
    const NAME: &'static str = "setup";
    const ABOUT: &'static str =
        "Creates all streams, buckets and consumers on a NATS server, as its administrator";
    type Settings = NoSettings;

    async fn run(boot: Boot<NoSettings>) -> anyhow::Result<()> {
        let mut common = boot.common;
        common.nats.provision = Provision::Create;
        let bus = service::connect(&common, "admin").await?;
        bus.ensure(&needs_of(topology::Service::Admin)).await.context("making the topology")?;
        bus.drain().await;
        tracing::info!("streams, buckets and consumers are there");
        boot.supervisor.drain();
        Ok(())
    }
}
