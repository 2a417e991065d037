//! Every service with its own user and only its subjects, as docker-compose runs them.

use crate::NODE;
use std::path::Path;
use std::time::Duration;
use system_tests::{Options, System, tell};

fn users() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nats/users.conf");
    std::fs::read_to_string(path).unwrap()
}

/// A service that touches a foreign subject is stopped by its own bus, and so fails the story.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_way_and_a_cancel_under_the_permissions_of_production() {
    let mut system = System::start(Options { nats_config: Some(users()), ..Options::new(NODE) }).await;
    tell(&mut system, include_str!("../stories/push_to_production.story")).await;
    tell(&mut system, "runs are held\npush v2\nv2 is in_progress in staging on stage-1\ncancel v2 in staging on stage-1\nv2 is cancelled in staging on stage-1").await;
    tell(&mut system, "runs fail\npush v3\nv3 is failure in staging on stage-1\nruns are held\nretry v3 in staging on stage-1\nv3 is in_progress in staging on stage-1\nGitHub falls silent\nheld runs succeed\nv3 is successful in staging on stage-1").await;
    assert!(system.crashes.is_empty(), "{:?}\n{}", system.crashes, system.logs());
    let logs = system.logs().to_lowercase();
    assert!(!logs.contains("permissions violation"), "{logs}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_may_not_speak_for_another() {
    let system = System::start(Options { nats_config: Some(users()), ..Options::new(NODE) }).await;
    let bus = bus::Bus::connect(&bus::ConnectOptions {
        url: system.servers.nats.url(),
        name: "status-syncer".to_owned(),
        user: Some("status-syncer".to_owned()),
        password: Some("password-of-status-syncer".to_owned()),
        credentials_file: None,
        provision: bus::Provision::Verify,
    })
    .await
    .unwrap();
    let stranger = bus.client().publish("ctrlplane.trigger.acme.github.push", "{}".into()).await;
    stranger.unwrap();
    let refused = tokio::time::timeout(Duration::from_secs(10), bus.fatal()).await;
    assert!(refused.expect("the server refuses in time").to_lowercase().contains("permissions violation"));
}
