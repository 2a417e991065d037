//! Publishing: confirmed, recognised when repeated, and whole through restarts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bus::topology::TRIGGERS;
use bus::{FollowSource, From, HeaderMap, PublishError};
use bytes::Bytes;
use tokio::task::JoinSet;

use crate::rig::{Rig, follow, until};

const SUBJECT: &str = "ctrlplane.trigger.w.s.e";

#[tokio::test]
async fn the_same_id_is_stored_once() {
    let rig = Rig::start().await;
    let publish = |id| rig.bus.publish_json(SUBJECT.into(), "x", id);
    let first = publish(Some("a")).await.unwrap();
    let second = publish(Some("a")).await.unwrap();
    assert!(!first.duplicate && second.duplicate);
    assert_eq!(first.sequence, second.sequence);
    publish(None).await.unwrap();
    publish(None).await.unwrap();
    assert_eq!(rig.messages_in("TRIGGERS").await, 3);
    assert_eq!(rig.bus.last_sequence(&TRIGGERS).await.unwrap(), 3);
}

#[tokio::test]
async fn what_is_too_large_is_refused_at_once() {
    let rig = Rig::start().await;
    let payload = Bytes::from(vec![0; rig.bus.max_payload_bytes() + 1]);
    let refused = rig.bus.publish(SUBJECT.into(), HeaderMap::new(), payload, None).await;
    assert!(matches!(refused, Err(PublishError::TooLarge { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_repeated_while_the_server_is_killed_and_stopped() {
    let mut rig = Rig::start().await;
    let (next, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut publishers = JoinSet::new();
    for _ in 0..16 {
        let (bus, next, stop) = (rig.bus.clone(), Arc::clone(&next), Arc::clone(&stop));
        publishers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let id = next.fetch_add(1, Ordering::Relaxed).to_string();
                // A caller whose answer was lost publishes again, with the same id.
                loop {
                    match bus.publish(SUBJECT.into(), HeaderMap::new(), id.clone().into(), Some(&id)).await {
                        Ok(_) => break,
                        Err(PublishError::Unconfirmed { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        });
    }
    let reaches = async |count: u64| {
        until("publishing goes on", || async { next.load(Ordering::Relaxed) >= count }).await;
    };
    reaches(500).await;
    rig.servers.nats.kill().await;
    rig.servers.nats.restart().await.unwrap();
    let seen = next.load(Ordering::Relaxed);
    reaches(seen + 500).await;
    rig.servers.nats.stop().await.unwrap();
    rig.servers.nats.restart().await.unwrap();
    let seen = next.load(Ordering::Relaxed);
    reaches(seen + 500).await;
    stop.store(true, Ordering::Relaxed);
    publishers.join_all().await;

    let count = usize::try_from(next.load(Ordering::Relaxed)).unwrap();
    let mut told = follow(&rig.bus, FollowSource::Stream(&TRIGGERS, None), From::All);
    let lines = told.lines(count + 1).await;
    assert!(lines[count].starts_with("caught up"), "more is stored than was published");
    assert_eq!(lines[..count].iter().collect::<BTreeSet<_>>().len(), count);
}
