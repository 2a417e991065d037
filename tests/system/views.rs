//! Redis holds nothing that could be lost: emptied and rebuilt, it says the same.

use crate::NODE;
use bus::{Bus, ConnectOptions, Provision};
use projections::Projections;
use serde_json::Value;
use std::time::Duration;
use system_tests::{Options, System, eventually, tell};

async fn everything(system: &System) -> Vec<Value> {
    let mut all = Vec::new();
    for job in system.client.jobs().await.unwrap() {
        let path = format!("/api/v1/workspaces/acme/jobs/{}", job["id"].as_str().unwrap());
        all.push(system.client.get(&path).await.unwrap().1);
        all.push(job);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_rebuilt_after_flushall_say_the_same() {
    let mut system = System::start(Options::new(NODE)).await;
    tell(&mut system, include_str!("../stories/push_to_production.story")).await;
    tell(&mut system, "runs fail\npush v2\nv2 is failure in staging on stage-1").await;
    let before = everything(&system).await;
    assert_eq!(before.len(), 6);

    let redis = redis::Client::open(system.servers.redis.url()).unwrap();
    let mut connection = redis.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("FLUSHALL").exec_async(&mut connection).await.unwrap();
    let bus = Bus::connect(&ConnectOptions {
        url: system.servers.nats.url(),
        name: "rebuild".to_owned(),
        user: None,
        password: None,
        credentials_file: None,
        provision: Provision::Verify,
    })
    .await
    .unwrap();
    let views = Projections::connect(&system.servers.redis.url()).unwrap();
    status_syncer::rebuild(&bus, &views, |_| {}).await.unwrap();

    eventually("the views say the same", Duration::from_secs(10), || async {
        let after = everything(&system).await;
        if after == before { Ok(()) } else { Err(format!("{after:#?}")) }
    })
    .await;
    tell(&mut system, "runs succeed\npush v3\nv3 is successful in staging on stage-1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_run_while_redis_is_away_and_show_when_it_is_back() {
    let mut system = System::start(Options::new(NODE)).await;
    system.servers.redis.kill().await;
    tell(&mut system, "push v1\nGitHub has 1 runs").await;
    system.servers.redis.restart().await.unwrap();
    tell(&mut system, "v1 is successful in staging on stage-1").await;
}
