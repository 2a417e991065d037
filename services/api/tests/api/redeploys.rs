//! Redeployments: of one release target by its key, of many by names.

use crate::harness::{World, job};
use reqwest::StatusCode;
use serde_json::json;

const BY_NAMES: &str = "/api/v1/workspaces/acme/release-targets/redeploy";
const REDEPLOYS: &str = "/api/v1/workspaces/acme/catalog/redeploy";
const SECOND: &str = "kind: Resource\nmetadata: { name: cluster-us, workspace: acme, metadata: { stage: staging } }\n\
     spec: { identifier: cluster-us, type: kubernetes-cluster }\n";

#[tokio::test(flavor = "multi_thread")]
async fn saying_it_again_is_another_wish_and_an_environment_is_all_of_its_targets() {
    let world = World::with_shop().await;
    assert_eq!(world.apply("adam", SECOND, false).await.status, StatusCode::OK);
    world.post("otto", "/api/v1/workspaces/acme/deployments/web/versions", json!({ "tag": "2.0" })).await;
    let path = format!("/api/v1/workspaces/acme/release-targets/{}/redeploy", job(1).target);

    assert_eq!(world.post("vera", &path, json!({})).await.status, StatusCode::FORBIDDEN);
    let request = world.request(reqwest::Method::POST, &path).header("x-api-key", "otto");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::ACCEPTED, "a body is not needed");
    let first = world.get("vera", REDEPLOYS).await.json;
    assert_eq!(world.post("otto", &path, json!({})).await.status, StatusCode::ACCEPTED);
    assert_eq!(
        world.get("vera", REDEPLOYS).await.json,
        first,
        "nobody took it up yet: sent again, it is the same"
    );
    let again = world.post("anna", &path, json!({ "version": "2.0", "reason": "once more" })).await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{again:?}");
    let second = world.get("vera", REDEPLOYS).await.json;
    assert_eq!(
        (&first["total"], &second["total"]),
        (&json!(1), &json!(1)),
        "one per target: the last counts"
    );
    let (first, second) = (&first["items"][0]["spec"], &second["items"][0]["spec"]);
    assert_eq!((&first["by"], &second["by"]), (&json!("otto"), &json!("anna")));
    assert_ne!(first["at"], second["at"]);
    assert!(first["version"].is_null() && second["version"].is_string());

    let all = world.post("otto", BY_NAMES, json!({ "deployment": "web", "environment": "staging" })).await;
    assert_eq!(all.status, StatusCode::ACCEPTED, "{all:?}");
    assert_eq!(all.json["targets"].as_array().unwrap().len(), 2, "{all:?}");
    assert_eq!(world.get("vera", REDEPLOYS).await.json["total"], json!(2));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_target_is_not_redeployed() {
    let world = World::with_shop().await;
    for (wrong, field) in [
        (json!({ "environment": "staging" }), "deployment"),
        (json!({ "deployment": "web" }), "environment"),
        (json!({ "deployment": "web", "environment": "moon" }), "environment"),
        (json!({ "deployment": "web", "environment": "production" }), "environment"),
        (json!({ "deployment": "web", "environment": "production", "resource": "cluster-eu" }), "resource"),
        (json!({ "deployment": "web", "environment": "staging", "version": "9" }), "version"),
        (json!({ "deployment": "web", "environment": "staging", "resorce": "x" }), "resorce"),
        (json!({ "deployment": "web", "environment": "staging", "reason": "x".repeat(3_000) }), "reason"),
    ] {
        let answer = world.post("otto", BY_NAMES, wrong.clone()).await;
        let named = (answer.status, &answer.json["errors"][0]["field"]);
        assert_eq!(named, (StatusCode::BAD_REQUEST, &json!(field)), "{wrong}: {answer:?}");
    }
    let mut gone = job(1).target;
    gone.environment = domain::id::EnvironmentId::of(&crate::harness::acme(), "production");
    let path = format!("/api/v1/workspaces/acme/release-targets/{gone}/redeploy");
    assert_eq!(world.post("otto", &path, json!({})).await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.get("vera", REDEPLOYS).await.json["total"], json!(0));
    world.end().await;
}
