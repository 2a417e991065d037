//! A version on its way: its rollout pauses and goes on, or it is rejected everywhere.

use crate::harness::World;
use reqwest::{Method, StatusCode};
use serde_json::json;

const VERSION: &str = "/api/v1/workspaces/acme/deployment-versions/web:2.0";
const CONTROLS: &str = "/api/v1/workspaces/acme/catalog/rollout-control";

async fn world() -> World {
    let world = World::with_shop().await;
    let created =
        world.post("otto", "/api/v1/workspaces/acme/deployments/web/versions", json!({ "tag": "2.0" })).await;
    assert_eq!(created.status, StatusCode::OK, "{created:?}");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_word_on_a_rollout_counts() {
    let world = world().await;
    let path = format!("{VERSION}/rollout");
    let word = |action: &str| json!({ "environment": "staging", "action": action, "reason": "looks odd" });
    assert_eq!(world.post("vera", &path, word("pause")).await.status, StatusCode::FORBIDDEN);
    let paused = world.post("otto", &path, word("pause")).await;
    assert_eq!(paused.status, StatusCode::ACCEPTED, "{paused:?}");
    let again = world.post("anna", &path, word("pause")).await;
    assert_eq!(again.json, paused.json, "it is paused already");
    assert!(paused.json["hint"].to_string().contains("gradualRollout"), "{paused:?}");
    let resumed = world.post("anna", &path, word("resume")).await;
    let once_more = world.post("anna", &path, word("resume")).await;
    assert_ne!(once_more.json["at"], resumed.json["at"], "failures from before the last one count no more");
    assert_eq!((&resumed.json["id"], &resumed.json["by"]), (&paused.json["id"], &json!("anna")));
    assert_eq!((&paused.json["action"], &resumed.json["action"]), (&json!("pause"), &json!("resume")));

    for (wrong, field) in [
        (json!({ "action": "pause" }), "environment"),
        (json!({ "environment": "moon", "action": "pause" }), "environment"),
        (json!({ "environment": "staging", "action": "stop" }), "action"),
        (json!({ "environment": "staging", "action": "pause", "reason": "x".repeat(3_000) }), "reason"),
    ] {
        let answer = world.post("otto", &path, wrong.clone()).await;
        let named = (answer.status, &answer.json["errors"][0]["field"]);
        assert_eq!(named, (StatusCode::BAD_REQUEST, &json!(field)), "{wrong}: {answer:?}");
    }
    let policy = "kind: Policy\nmetadata: { name: slowly, workspace: acme }\n\
                  spec: { selector: 'true', rules: [{ gradualRollout: { timeScaleInterval: 60 } }] }\n";
    assert_eq!(world.apply("adam", policy, false).await.status, StatusCode::OK);
    let ruled = world.post("otto", &path, word("pause")).await.json;
    assert!(ruled["hint"].is_null() && ruled["action"] == "pause", "{ruled}");
    world.post("otto", &path, word("resume")).await;
    let unknown = path.replace("2.0", "9");
    assert_eq!(world.post("otto", &unknown, word("pause")).await.status, StatusCode::NOT_FOUND);
    let all = world.get("vera", CONTROLS).await.json;
    assert_eq!((&all["total"], &all["items"][0]["spec"]["action"]), (&json!(1), &json!("resume")));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_rejected_everywhere_with_its_reason_until_it_is_ready_again() {
    let world = world().await;
    let path = format!("{VERSION}/reject");
    assert_eq!(world.post("vera", &path, json!({ "reason": "leaks" })).await.status, StatusCode::FORBIDDEN);
    for wrong in [json!({}), json!({ "reason": " " }), json!({ "reason": "x".repeat(3_000) })] {
        let answer = world.post("otto", &path, wrong).await;
        let named = (answer.status, &answer.json["errors"][0]["field"]);
        assert_eq!(named, (StatusCode::BAD_REQUEST, &json!("reason")), "{answer:?}");
    }
    assert_eq!(world.get("vera", VERSION).await.json["status"], json!("ready"));
    let rejected = world.post("otto", &path, json!({ "reason": "leaks" })).await;
    assert_eq!(rejected.status, StatusCode::ACCEPTED, "{rejected:?}");
    assert_eq!(
        (&rejected.json["status"], &rejected.json["metadata"]["ctrlplane/reason"]),
        (&json!("rejected"), &json!("leaks"))
    );
    assert_eq!(rejected.json["metadata"]["createdBy"], json!("otto"), "what else is said of it stays");
    let again = world.post("otto", &path, json!({ "reason": "leaks" })).await;
    assert_eq!(again.json, rejected.json, "it is rejected already");
    let why = world.post("otto", &path, json!({ "reason": "leaks more" })).await;
    assert_eq!(why.json["metadata"]["ctrlplane/reason"], json!("leaks more"));
    let ready = world.ask("otto", Method::PATCH, VERSION, Some(json!({ "status": "ready" }))).await;
    assert_eq!(ready.json["metadata"]["ctrlplane/reason"], json!(null), "{ready:?}");
    world.end().await;
}
