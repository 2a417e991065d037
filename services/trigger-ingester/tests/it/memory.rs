//! Redeliveries after the stream has forgotten the message id: only the claim remembers, and a crash may have come
//! between the claim and its message.

use async_nats::HeaderMap;
use bus::topology::{DELIVERIES, TRIGGERS};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

use crate::rig::{PUSH, World, until};

/// The shortest memory that nats-server has.
const WINDOW: Duration = Duration::from_millis(100);

impl World {
    /// Lets the stream remember message ids for a moment only. To be said before the first message.
    async fn be_forgetful(&self) {
        let mut stream = self.bus.jetstream().get_stream(TRIGGERS.name).await.unwrap();
        let mut config = stream.info().await.unwrap().config.clone();
        config.duplicate_window = WINDOW;
        self.bus.jetstream().update_stream(config).await.unwrap();
    }

    /// Waits until the stream knows none of the message ids that are in it; answers how many messages that took.
    async fn forget(&self, probe: &str) -> u64 {
        let before = self.stored().await;
        until("the stream forgets", async || {
            let subject = "ctrlplane.trigger.acme.probe.probe".to_owned();
            let published =
                self.bus.publish(subject, HeaderMap::new(), Bytes::new(), Some(probe)).await.unwrap();
            // The first is new, the one after it is known, and when one is new again all before it are forgotten.
            !published.duplicate && published.sequence > before + 1
        })
        .await;
        self.stored().await - before
    }

    /// Rewrites the claim of a delivery.
    async fn claim(&self, id: &str, age: TimeDelta, after: u64) {
        let claim = json!({ "at": Utc::now() - age, "after": after });
        self.bus.bucket(&DELIVERIES).put_json(&key(id), &claim).await.unwrap();
    }
}

fn key(id: &str) -> String {
    format!("acme.github.{}", hex::encode(Sha256::digest(id)))
}

#[tokio::test]
async fn a_delivery_that_only_the_claim_remembers_is_not_stored_again() {
    let world = World::start().await;
    world.be_forgetful().await;
    for n in 1..=20 {
        world.deliver(&format!("other-{n}"), "repository_dispatch", PUSH, "old").await.accepted(1, 0);
    }
    world.deliver("1", "repository_dispatch", PUSH, "old").await.accepted(1, 0);
    world.forget("first").await;
    // It is not the stream that knows it: what is not claimed either is stored again.
    world.bus.bucket(&DELIVERIES).delete(&key("other-7")).await.unwrap();
    world.deliver("other-7", "repository_dispatch", PUSH, "old").await.accepted(1, 0);

    let stored = world.stored().await;
    for after in [20, 0] {
        world.claim("1", TimeDelta::minutes(50), after).await;
        world.deliver("1", "repository_dispatch", PUSH, "old").await.accepted(0, 1);
    }
    assert_eq!(world.stored().await, stored);
    world.end().await;
}

#[tokio::test]
async fn a_claim_whose_message_was_never_stored_lets_it_in_once() {
    let world = World::start().await;
    world.be_forgetful().await;
    for (id, age) in [("minutes", TimeDelta::minutes(6)), ("days", TimeDelta::days(3))] {
        world.claim(id, age, 0).await;
        world.deliver(id, "repository_dispatch", PUSH, "old").await.accepted(1, 0);
        let stored = world.stored().await + world.forget(id).await;
        // The claim was renewed. Some time later it comes again, and is found.
        let renewed = world.bus.bucket(&DELIVERIES).get_json::<Value>(&key(id)).await.unwrap().unwrap().0;
        let after = renewed["after"].as_u64().unwrap();
        world.claim(id, TimeDelta::minutes(10), after).await;
        world.deliver(id, "repository_dispatch", PUSH, "old").await.accepted(0, 1);
        assert_eq!(world.stored().await, stored, "{id}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_delivery_stored_long_after_the_claim_is_not_stored_again() {
    let world = World::start().await;
    world.be_forgetful().await;
    // Claimed 45 minutes ago without a message; then came others, and only then its redelivery.
    world.claim("1", TimeDelta::minutes(45), 0).await;
    world.deliver("other", "repository_dispatch", PUSH, "old").await.accepted(1, 0);
    world.deliver("1", "repository_dispatch", PUSH, "old").await.accepted(1, 0);
    let stored = world.stored().await + world.forget("probe").await;
    // Six minutes pass.
    let (left, _) = world.bus.bucket(&DELIVERIES).get_json::<Value>(&key("1")).await.unwrap().unwrap();
    let age = Utc::now() - left["at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    world.claim("1", age + TimeDelta::minutes(6), left["after"].as_u64().unwrap()).await;
    world.deliver("1", "repository_dispatch", PUSH, "old").await.accepted(0, 1);
    assert_eq!(world.stored().await, stored);
    world.end().await;
}
