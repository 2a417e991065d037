//! Losses: the server, the consumer. The loop and the folds go on by themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use bus::topology::{CATALOG, TRIGGERS};
use bus::{FollowSource, From};

use crate::rig::{LIMITS, Rig, consumer, follow, run, until, within};

const SUBJECT: &str = "ctrlplane.trigger.w.s.e";

#[tokio::test]
async fn the_loop_goes_on_after_the_server_was_killed_and_after_it_was_stopped() {
    let mut rig = Rig::start().await;
    let spec = consumer(&TRIGGERS, "worker", Duration::from_secs(2));
    let mut running = run(&rig.bus, &spec, LIMITS, |_| async { Ok(()) });
    rig.publish(SUBJECT, "before").await;
    assert_eq!(running.next().await.text, "before");
    rig.servers.nats.kill().await;
    rig.servers.nats.restart().await.unwrap();
    rig.publish(SUBJECT, "after a kill").await;
    while running.next().await.text != "after a kill" {}
    rig.servers.nats.stop().await.unwrap();
    rig.servers.nats.restart().await.unwrap();
    rig.publish(SUBJECT, "after a stop").await;
    while running.next().await.text != "after a stop" {}
    until("everything is settled", || async { rig.left(&spec).await == (0, 0) }).await;
    running.drained().await;
}

#[tokio::test]
async fn a_consumer_that_was_deleted_is_made_again() {
    let rig = Rig::start().await;
    let spec = consumer(&TRIGGERS, "worker", Duration::from_secs(30));
    let mut running = run(&rig.bus, &spec, LIMITS, |_| async { Ok(()) });
    rig.publish(SUBJECT, "before").await;
    assert_eq!(running.next().await.text, "before");
    rig.bus.jetstream().get_stream("TRIGGERS").await.unwrap().delete_consumer("worker").await.unwrap();
    rig.publish(SUBJECT, "after").await;
    let mut seen = BTreeSet::new();
    while !seen.contains("after") {
        seen.insert(running.next().await.text);
    }
    running.drained().await;
}

#[tokio::test]
async fn a_drain_while_the_server_is_away_ends() {
    let mut rig = Rig::start().await;
    let spec = consumer(&TRIGGERS, "worker", Duration::from_secs(30));
    let mut running = run(&rig.bus, &spec, LIMITS, |_| async { Ok(()) });
    rig.publish(SUBJECT, "x").await;
    running.next().await;
    rig.servers.nats.kill().await;
    let mut connected = rig.bus.connected();
    within("the loss is noticed", connected.wait_for(|connected| !connected)).await.unwrap();
    running.drained().await;
}

#[tokio::test]
async fn a_fold_goes_on_across_a_restart_without_gap_or_repetition() {
    let mut rig = Rig::start().await;
    let bucket = rig.bus.bucket(&CATALOG);
    bucket.put("w.system.0", "0".into()).await.unwrap();
    let mut told = follow(&rig.bus, FollowSource::Bucket(&CATALOG, None), From::LastPerSubject);
    assert_eq!(told.lines(2).await, ["w.system.0=0", "caught up at 1"]);
    let mut expected = Vec::new();
    for n in 1..=60 {
        match n {
            20 => rig.servers.nats.kill().await,
            40 => rig.servers.nats.stop().await.unwrap(),
            _ => {}
        }
        if n % 20 == 0 && n < 60 {
            rig.servers.nats.restart().await.unwrap();
        }
        bucket.put(&format!("w.system.{}", n % 7), n.to_string().into()).await.unwrap();
        expected.push(format!("w.system.{}={n}", n % 7));
    }
    assert_eq!(told.lines(60).await, expected);
    assert!(told.told.try_recv().is_err(), "nothing is told twice, and `caught up` only once");
}

#[tokio::test]
async fn a_fold_that_outlives_its_stream_ends_instead_of_mixing_two() {
    let rig = Rig::start().await;
    let bucket = rig.bus.bucket(&CATALOG);
    for n in 0..3 {
        bucket.put("w.system.a", n.to_string().into()).await.unwrap();
    }
    let mut told = follow(&rig.bus, FollowSource::Bucket(&CATALOG, None), From::All);
    told.lines(4).await;
    rig.bus.jetstream().delete_stream("KV_catalog").await.unwrap();
    let ended = within("the end", told.task.join_next()).await.unwrap().unwrap();
    assert!(ended.unwrap_err().to_string().contains("it is another one"));
}
