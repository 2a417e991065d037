//! The service's place on the bus: connects with the common settings, asserts what the service needs, keeps a gate
//! of readiness, and brings the service down when the server refuses it a subject.

use std::time::Duration;

use anyhow::Context as _;
use bus::topology::{self, needs_of};
use bus::{Bus, ConnectOptions};
use secrecy::ExposeSecret as _;

use crate::boot::Boot;
use crate::common::{CommonSettings, Provision};

/// Connects the service to the bus and asserts the streams, buckets and consumers it uses.
///
/// # Errors
/// When the server is not there in time, refuses us, or what we need is missing and may not be made by us.
pub async fn connect_bus<T>(boot: &Boot<T>, who: topology::Service) -> anyhow::Result<Bus> {
    let gate = boot.readiness.gate("bus");
    let bus = connect(&boot.common, boot.name).await?;
    bus.ensure(&needs_of(who)).await.context("asserting what this service needs on the bus")?;
    let drain = boot.supervisor.token();
    let watched = bus.clone();
    boot.supervisor.spawn("bus", async move {
        let mut connected = watched.connected();
        loop {
            let there = *connected.borrow_and_update();
            gate.set(there, if there { "connected" } else { "not connected" });
            tokio::select! {
                () = drain.cancelled() => return Ok(()),
                refused = watched.fatal() => anyhow::bail!("the bus refused a permission: {refused}"),
                changed = connected.changed() => if changed.is_err() { return Ok(()) },
            }
        }
    });
    Ok(bus)
}

/// Connects as `name` by the common settings, and nothing more.
///
/// # Errors
/// When the server is not there in time, or refuses us.
pub async fn connect(common: &CommonSettings, name: &str) -> anyhow::Result<Bus> {
    let bus = Bus::connect(&connect_options(common, name)?).await.context("connecting to the bus")?;
    bus.set_ack_wait(Duration::from_secs(common.nats.ack_wait_seconds));
    Ok(bus)
}

/// How to connect as `name` by the common settings.
///
/// # Errors
/// When the password's file cannot be read.
pub fn connect_options(common: &CommonSettings, name: &str) -> anyhow::Result<ConnectOptions> {
    let nats = &common.nats;
    Ok(ConnectOptions {
        url: nats.url.clone(),
        name: name.to_owned(),
        user: nats.user.clone(),
        password: nats.password()?.map(|password| password.expose_secret().to_owned()),
        credentials_file: nats.creds_file.clone(),
        provision: match nats.provision {
            Provision::Create => bus::Provision::Create,
            Provision::Verify => bus::Provision::Verify,
        },
    })
}
