//! Events from outside that become versions.

use crate::rig::{Rig, deployment, target, until};
use bus::topology::{CATALOG, TRIGGERS, evaluator_triggers};
use domain::entity::{CatalogKey, Kind};
use domain::id::VersionId;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_becomes_a_version_once_and_an_event_without_a_rule_is_done_with() {
    let rig = Rig::start().await;
    rig.environment("staging", 1).await;
    rig.trigger("v1").await;
    let replica = rig.replica().await;
    rig.event_of_type("nothing", "issues", "v1").await;
    rig.event("one", "v1").await;
    rig.requested("v1", &target("staging", 0)).await;
    rig.event("again", "v1").await;
    settled(&rig).await;
    let versions = rig.bus.jetstream().get_stream(CATALOG.stream()).await.unwrap();
    let key = CatalogKey {
        workspace: crate::rig::workspace(),
        kind: Kind::Version,
        id: VersionId::of(deployment(), "v1").0,
    };
    let entry = rig.bus.bucket(&CATALOG).get(&key.to_string()).await.unwrap().expect("the version");
    let last = versions.cached_info().state.last_sequence;
    assert_eq!(entry.revision, last, "nothing was written after it");
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_cannot_be_applied_keeps_the_event_and_says_why() {
    let rig = Rig::start().await;
    rig.trigger("{{ event.nothing.here }}").await;
    let replica = rig.replica().await;
    rig.event("one", "v1").await;
    let dead = until("a dead letter", async || {
        let dead = bus::dead::list(&rig.bus, 0, 10).await.unwrap();
        dead.into_iter().next()
    })
    .await;
    assert!(dead.reason.contains("from-push"), "{}", dead.reason);
    replica.stop().await;
}

async fn settled(rig: &Rig) {
    until("every event is worked", async || {
        let stream = rig.bus.jetstream().get_stream(TRIGGERS.name).await.unwrap();
        let info = stream.consumer_info(&evaluator_triggers().name).await.unwrap();
        (info.num_pending == 0 && info.num_ack_pending == 0).then_some(())
    })
    .await;
}
