//! Pins: of a place by names, and of one release target by its key.

use crate::harness::{World, job};
use reqwest::{Method, StatusCode};
use serde_json::json;

const PINS: &str = "/api/v1/workspaces/acme/pins";

async fn world() -> World {
    let world = World::with_shop().await;
    for tag in ["1.0", "2.0"] {
        let created = world
            .post("otto", "/api/v1/workspaces/acme/deployments/web/versions", json!({ "tag": tag }))
            .await;
        assert_eq!(created.status, StatusCode::OK, "{created:?}");
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_has_one_pin_and_it_goes_by_its_id_or_by_the_key_of_its_target() {
    let world = world().await;
    let pin =
        json!({ "deployment": "web", "environment": "staging", "version": "1.0", "reason": "incident" });
    assert_eq!(world.post("vera", PINS, pin.clone()).await.status, StatusCode::FORBIDDEN);
    let said = world.post("otto", PINS, pin.clone()).await;
    assert_eq!((said.status, &said.json["createdBy"]), (StatusCode::ACCEPTED, &json!("otto")), "{said:?}");
    let mut other = pin;
    other["version"] = json!("2.0");
    let moved = world.post("anna", PINS, other).await;
    assert_eq!((&moved.json["id"], &moved.json["createdBy"]), (&said.json["id"], &json!("anna")));
    assert_ne!(moved.json["versionId"], said.json["versionId"]);

    let target = format!("/api/v1/workspaces/acme/release-targets/{}/pin", job(1).target);
    let here = world.post("otto", &target, json!({ "version": "1.0", "reason": "only here" })).await;
    assert_eq!(here.status, StatusCode::ACCEPTED, "{here:?}");
    assert!(here.json["resourceId"].is_string() && here.json["id"] != said.json["id"], "{here:?}");
    assert_eq!(world.get("vera", PINS).await.json["total"], json!(2));

    let noted = world.get("vera", "/api/v1/workspaces/acme/audit?kind=pin").await.json;
    let noted: Vec<&str> = noted["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["object"]["name"].as_str().unwrap())
        .collect();
    let places = ["1.0 on web → staging / cluster-eu", "2.0 on web → staging", "1.0 on web → staging"];
    assert_eq!(noted, places, "what is pinned where");

    let one = format!("{PINS}/{}", said.json["id"].as_str().unwrap());
    for (key, path, status) in [
        ("vera", &target, StatusCode::FORBIDDEN),
        ("otto", &target, StatusCode::OK),
        ("otto", &target, StatusCode::NOT_FOUND),
        ("vera", &one, StatusCode::FORBIDDEN),
        ("otto", &one, StatusCode::OK),
        ("otto", &one, StatusCode::NOT_FOUND),
    ] {
        assert_eq!(world.ask(key, Method::DELETE, path, None).await.status, status, "{key} {path}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_does_not_fit_names_the_field_and_pins_nothing() {
    let world = world().await;
    for (wrong, field) in [
        (json!({ "version": "1.0", "reason": "x" }), "deployment"),
        (json!({ "deployment": "web", "reason": "x" }), "version"),
        (json!({ "deployment": "web", "version": "9", "reason": "x" }), "version"),
        (json!({ "deployment": "web", "version": "1.0" }), "reason"),
        (
            json!({ "deployment": "web", "version": "1.0", "reason": "x", "environment": "moon" }),
            "environment",
        ),
        (json!({ "deployment": "web", "version": "1.0", "reason": "x", "resource": "moon" }), "resource"),
        (
            json!({ "deployment": "web", "version": "1.0", "reason": "x", "enviroment": "staging" }),
            "enviroment",
        ),
    ] {
        let answer = world.post("otto", PINS, wrong.clone()).await;
        let named = (answer.status, &answer.json["errors"][0]["field"]);
        assert_eq!(named, (StatusCode::BAD_REQUEST, &json!(field)), "{wrong}: {answer:?}");
    }
    let mut elsewhere = job(1).target;
    elsewhere.environment = domain::id::EnvironmentId::of(&crate::harness::acme(), "production");
    for key in [elsewhere.to_string(), "nonsense".to_owned()] {
        let path = format!("/api/v1/workspaces/acme/release-targets/{key}/pin");
        let answer = world.post("otto", &path, json!({ "version": "1.0", "reason": "x" })).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "what is no target cannot be pinned: {answer:?}");
    }
    assert_eq!(world.get("vera", PINS).await.json["total"], json!(0));
    world.end().await;
}
