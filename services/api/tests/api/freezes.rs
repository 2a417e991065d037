//! Freezes: none is confirmed before whoever starts something can know of it, by whichever path it came or went.

use crate::harness::{World, acme};
use bus::Freezes;
use bus::topology::CATALOG;
use domain::entity::{CatalogKey, Kind};
use domain::id::FreezeId;
use reqwest::{Method, StatusCode};

const DAYS: &str =
    "kind: Freeze\nmetadata: { name: days, workspace: acme }\nspec: { reason: holidays, owner: ann }\n";

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_freeze_is_noted_before_it_is_confirmed() {
    let world = World::with_shop().await;
    let freezes = Freezes::new(&world.bus);
    let noted = async || freezes.changed_at(&acme()).await.unwrap();
    assert_eq!(noted().await, 0, "the shop declares no freeze");

    let dry = world.apply("adam", DAYS, true).await;
    assert_eq!((dry.status, noted().await), (StatusCode::OK, 0), "a dry run freezes nothing");
    let applied = world.apply("otto", DAYS, false).await;
    let created = applied.json["results"][0]["revision"].as_u64().unwrap_or_else(|| panic!("{applied:?}"));
    assert_eq!(noted().await, created);

    let longer = DAYS.replace("holidays", "more holidays");
    let updated = world.apply("otto", &longer, false).await.json["results"][0]["revision"].as_u64().unwrap();
    assert!(updated > created && noted().await == updated);

    let deleted =
        world.ask("adam", Method::DELETE, "/api/v1/workspaces/acme/catalog/freeze/days", None).await;
    assert_eq!(deleted.status, StatusCode::OK, "{deleted:?}");
    assert!(noted().await > updated);
    world.end().await;
}

/// Who wrote the freeze died before it was noted, and nobody was told that it holds. Saying it again tells so, and notes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_that_is_there_is_noted_when_it_is_said_again() {
    let world = World::with_shop().await;
    world.apply("otto", DAYS, false).await;
    let key = CatalogKey { workspace: acme(), kind: Kind::Freeze, id: FreezeId::of(&acme(), "days").0 };
    let (_, revision) =
        world.bus.bucket(&CATALOG).get_json::<serde_json::Value>(&key.to_string()).await.unwrap().unwrap();
    world.bus.bucket(&bus::topology::FREEZES).delete("acme").await.unwrap();
    let again = world.apply("otto", DAYS, false).await;
    assert_eq!(again.actions(), ["unchanged"]);
    assert_eq!(Freezes::new(&world.bus).changed_at(&acme()).await.unwrap(), revision);
    world.end().await;
}
