//! Freezes: none is confirmed before whoever starts something can know of it, by whichever path it came or went.

use crate::harness::{World, acme};
use bus::Freezes;
use bus::topology::{AUDIT, CATALOG};
use domain::entity::{CatalogKey, Kind};
use domain::id::FreezeId;
use reqwest::{Method, StatusCode};
use serde_json::json;

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

const FREEZES: &str = "/api/v1/workspaces/acme/freezes";

#[tokio::test(flavor = "multi_thread")]
async fn people_freeze_and_thaw_in_one_request_and_it_is_noted_as_from_a_file() {
    let world = World::with_shop().await;
    let freezes = Freezes::new(&world.bus);
    let days = json!({ "name": "days", "environment": "staging", "reason": "holidays", "forSeconds": 3600 });
    let said = world.post("otto", FREEZES, days.clone()).await;
    assert_eq!(said.status, StatusCode::ACCEPTED, "{said:?}");
    assert_eq!(
        (&said.json["owner"], &said.json["selector"]),
        (&json!("otto"), &json!("environment.name == \"staging\"")),
        "who says it answers for it"
    );
    assert!(said.json["until"].is_string(), "{said:?}");
    let noted = freezes.changed_at(&acme()).await.unwrap();
    assert!(noted > 0);

    let nameless = world.post("anna", FREEZES, json!({ "reason": "incident" })).await;
    assert_eq!((nameless.status, &nameless.json["selector"]), (StatusCode::ACCEPTED, &json!("true")));
    assert_eq!(world.get("vera", FREEZES).await.json["total"], json!(2));

    assert_eq!(world.post("vera", FREEZES, days).await.status, StatusCode::FORBIDDEN);
    let one = format!("{FREEZES}/days");
    assert_eq!(world.ask("vera", Method::DELETE, &one, None).await.status, StatusCode::FORBIDDEN);
    let id = nameless.json["id"].as_str().unwrap();
    for (path, status) in [
        (one.clone(), StatusCode::OK),
        (one, StatusCode::NOT_FOUND),
        (format!("{FREEZES}/{id}"), StatusCode::OK),
        ("/api/v1/workspaces/other/freezes/days".to_owned(), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(world.ask("otto", Method::DELETE, &path, None).await.status, status, "{path}");
    }
    let stream = world.bus.jetstream().get_stream(AUDIT.name).await.unwrap();
    let last = stream.get_raw_message(world.bus.last_sequence(&AUDIT).await.unwrap()).await.unwrap();
    let event: serde_json::Value = serde_json::from_slice(&last.payload).unwrap();
    assert_eq!((&event["actor"]["key"], &event["action"]), (&json!("otto"), &json!("delete")), "{event}");
    assert_eq!(event["object"]["id"], json!(id));
    assert!(freezes.changed_at(&acme()).await.unwrap() > noted, "that it is over is noted as well");
    assert_eq!(world.get("vera", FREEZES).await.json["total"], json!(0));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_that_does_not_fit_names_the_field_and_freezes_nothing() {
    let world = World::with_shop().await;
    for (wrong, field) in [
        (json!({}), "reason"),
        (json!({ "reason": " " }), "reason"),
        (json!({ "name": "", "reason": "x" }), "name"),
        (json!({ "reason": "x", "selector": "environment." }), "selector"),
        (json!({ "reason": "x", "selector": "version.tag == \"1\"" }), "selector"),
        (json!({ "reason": "x", "environment": "moon" }), "environment"),
        (json!({ "reason": "x", "environment": "staging", "selector": "true" }), "environment"),
        (json!({ "reason": "x", "until": "2020-01-01T00:00:00Z" }), "until"),
        (json!({ "reason": "x", "until": "soon" }), "until"),
        (json!({ "reason": "x", "from": "2999-01-02T00:00:00Z", "until": "2999-01-01T00:00:00Z" }), "until"),
        (json!({ "reason": "x", "forSeconds": 0 }), "forSeconds"),
        (json!({ "reason": "x", "forSeconds": u64::MAX }), "forSeconds"),
        (json!({ "reason": "x", "forSeconds": 1, "until": "2999-01-01T00:00:00Z" }), "forSeconds"),
        (json!({ "reason": "x", "untill": "2999-01-01T00:00:00Z" }), "untill"),
    ] {
        let answer = world.post("otto", FREEZES, wrong.clone()).await;
        assert_eq!(
            (answer.status, &answer.json["errors"][0]["field"]),
            (StatusCode::BAD_REQUEST, &json!(field)),
            "{wrong}: {answer:?}"
        );
    }
    assert_eq!(world.get("vera", FREEZES).await.json["total"], json!(0));
    assert_eq!(Freezes::new(&world.bus).changed_at(&acme()).await.unwrap(), 0);
    world.end().await;
}
