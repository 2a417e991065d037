//! Freezes: none is confirmed before whoever starts something can know of it, by whichever path it came or went.

use crate::harness::{World, acme};
use bus::Freezes;
use bus::topology::{AUDIT, CATALOG};
use chrono::Utc;
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
    let listed = world.get("vera", FREEZES).await;
    assert_eq!(listed.json["total"], json!(2), "both are over, and rollouts go from there: {listed:?}");
    for freeze in listed.json["items"].as_array().unwrap() {
        let until: domain::Timestamp = freeze["until"].as_str().unwrap().parse().unwrap();
        assert!(until <= Utc::now() && freeze["thawedBy"] == json!("otto"), "{freeze}");
    }

    // Said again it is another one, and one that has not begun leaves nothing.
    let days = json!({ "name": "days", "reason": "more holidays", "thawedBy": null });
    assert_eq!(
        world.post("otto", FREEZES, days).await.status,
        StatusCode::BAD_REQUEST,
        "that is ours to say"
    );
    let again = world.post("otto", FREEZES, json!({ "name": "days", "reason": "more holidays" })).await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{again:?}");
    assert!(again.json["thawedBy"].is_null() && again.json["until"].is_null(), "{again:?}");
    assert!(again.json["createdAt"].as_str() > said.json["createdAt"].as_str(), "it begins anew: {again:?}");
    let later = json!({ "name": "later", "reason": "to come", "from": "2999-01-01T00:00:00Z" });
    assert_eq!(world.post("otto", FREEZES, later).await.status, StatusCode::ACCEPTED);
    let path = format!("{FREEZES}/later");
    assert_eq!(world.ask("otto", Method::DELETE, &path, None).await.status, StatusCode::OK);
    assert_eq!(world.get("vera", FREEZES).await.json["total"], json!(2));
    world.end().await;
}

/// One that was thawed is forgotten when it says nothing to anybody any more, at the next thaw.
#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_that_was_thawed_long_ago_is_forgotten_by_the_next_thaw() {
    let world = World::with_shop().await;
    let names = async || {
        let listed = world.get("vera", FREEZES).await.json["items"].as_array().unwrap().clone();
        let mut names: Vec<_> = listed.iter().map(|f| f["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    for name in ["old", "young"] {
        world.post("otto", FREEZES, json!({ "name": name, "reason": "x" })).await;
        world.ask("otto", Method::DELETE, &format!("{FREEZES}/{name}"), None).await;
    }
    let key = CatalogKey { workspace: acme(), kind: Kind::Freeze, id: FreezeId::of(&acme(), "old").0 };
    let (catalog, key) = (world.bus.bucket(&CATALOG), key.to_string());
    let (mut old, at) = catalog.get_json::<serde_json::Value>(&key).await.unwrap().unwrap();
    old["spec"]["until"] = json!(Utc::now() - domain::freeze::REMEMBERED);
    catalog.update_json(&key, &old, at).await.unwrap();
    world.post("otto", FREEZES, json!({ "name": "last", "reason": "x" })).await;
    assert_eq!(names().await, ["last", "old", "young"]);
    world.ask("otto", Method::DELETE, &format!("{FREEZES}/last"), None).await;
    assert_eq!(names().await, ["last", "young"]);
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
