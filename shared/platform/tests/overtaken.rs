//! Sweeps ask for looks faster than a platform that is down lets them end: only the newest is tried again.
#![allow(clippy::unwrap_used, reason = "a panic is a test's answer")]

#[allow(dead_code, reason = "other tests use the rest of it")]
mod scripted;

use bus::topology::{Service, needs_of};
use bus::{Bus, ConnectOptions, Delivery, Failure, Handler as _, HeaderMap, Json, Provision};
use domain::command::{AgentCommand, Verb};
use platform::Clock;
use platform::agent::{Agent, AgentSettings, Commands};
use platform::conformance::{Rig as _, Stage};
use scripted::{Answers, Scripted};
use servers::TestServers;

#[tokio::test]
async fn a_look_is_not_tried_again_once_a_later_one_was_asked_for() {
    let servers = TestServers::start().await;
    let options = ConnectOptions {
        url: servers.nats.url(),
        name: "overtaken".to_owned(),
        user: None,
        password: None,
        credentials_file: None,
        provision: Provision::Create,
    };
    let bus = Bus::connect(&options).await.unwrap();
    bus.ensure(&needs_of(Service::Admin)).await.unwrap();
    let (clock, hand) = Clock::movable();
    let rig = Scripted::new(clock.clone(), Answers::WithTheRun);
    let platform = rig.platform();
    let stage = Stage::new(&bus, rig, clock.clone(), hand);
    let trigger = stage.started().await;
    let look = AgentCommand { verb: Verb::Observe, ..trigger };
    let commands = Commands(Agent::with_clock(platform, &bus, AgentSettings::default(), clock.clone()));

    let looked = || stage.rig.asked_with().len();
    let handle = async |sequence: u64| -> Result<usize, Failure> {
        let before = looked();
        let delivery = Delivery {
            subject: "overtaken".to_owned(),
            sequence,
            attempt: 1,
            headers: HeaderMap::new(),
            published_at: clock.now(),
            previous: None,
        };
        commands.handle(Json(look.clone()), &delivery).await.map(|()| looked() - before)
    };
    stage.rig.blind_for(2);
    assert!(matches!(handle(7).await, Err(Failure::Later { .. })), "the platform does not answer");
    assert!(matches!(handle(9).await, Err(Failure::Later { .. })), "still not");
    assert_eq!(handle(7).await.unwrap(), 0, "the one that came later is tried instead");
    assert_eq!(handle(9).await.unwrap(), 1, "it is tried again");
    assert_eq!(handle(12).await.unwrap(), 1, "and the next sweep looks again");
}
