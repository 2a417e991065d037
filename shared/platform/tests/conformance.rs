//! The suite holds for a scripted platform in memory, on a real bus: one that names its runs and one that does not.
#![allow(clippy::unwrap_used, reason = "a panic is a test's answer")]

mod scripted;

use bus::topology::{Service, needs_of};
use bus::{Bus, ConnectOptions, Provision};
use scripted::Scripted;
use servers::TestServers;

#[tokio::test]
async fn a_platform_that_names_its_runs_conforms() {
    let (_servers, bus) = bus().await;
    platform::conformance::all(&bus, async |clock| Scripted::new(clock, scripted::Answers::WithTheRun)).await;
}

#[tokio::test]
async fn a_platform_that_names_no_run_conforms() {
    let (_servers, bus) = bus().await;
    platform::conformance::all(&bus, async |clock| Scripted::new(clock, scripted::Answers::WithNothing))
        .await;
}

async fn bus() -> (TestServers, Bus) {
    let servers = TestServers::start().await;
    let options = ConnectOptions {
        url: servers.nats.url(),
        name: "conformance".to_owned(),
        user: None,
        password: None,
        credentials_file: None,
        provision: Provision::Create,
    };
    let bus = Bus::connect(&options).await.expect("the server runs");
    bus.ensure(&needs_of(Service::Admin)).await.expect("streams can be made");
    (servers, bus)
}
