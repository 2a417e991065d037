//! Skips: one rule for one version, said by those who may approve.

use crate::harness::World;
use reqwest::{Method, StatusCode};
use serde_json::json;

const SKIPS: &str = "/api/v1/workspaces/acme/skips";
const PRODUCTION: &str = "kind: Resource\nmetadata: { name: cluster-us, workspace: acme, metadata: { stage: production } }\n\
     spec: { identifier: cluster-us, type: kubernetes-cluster }\n---\n";

fn policy(name: &str, rules: &str) -> String {
    format!(
        "kind: Policy\nmetadata: {{ name: {name}, workspace: acme }}\n\
         spec: {{ selector: environment.name == \"production\", rules: [{rules}] }}\n---\n"
    )
}

async fn world() -> World {
    let world = World::with_shop().await;
    let answer = world.apply("adam", PRODUCTION, false).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let created =
        world.post("otto", "/api/v1/workspaces/acme/deployments/web/versions", json!({ "tag": "2.0" })).await;
    assert_eq!(created.status, StatusCode::OK, "{created:?}");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skip_means_the_only_policy_with_that_rule_and_is_said_by_approvers() {
    let world = world().await;
    let skip = json!({ "rule": "anyApproval", "deployment": "web", "version": "2.0", "reason": "hotfix", "forSeconds": 60 });
    assert_eq!(world.post("otto", SKIPS, skip.clone()).await.status, StatusCode::FORBIDDEN);
    let said = world.post("anna", SKIPS, skip.clone()).await;
    assert_eq!(said.status, StatusCode::ACCEPTED, "{said:?}");
    assert_eq!((&said.json["createdBy"], &said.json["rule"]), (&json!("anna"), &json!("anyApproval")));
    assert!(said.json["expiresAt"].is_string() && said.json["policyId"].is_string(), "{said:?}");

    // Another one for the same replaces it; for a narrower place it is another one.
    let mut again = skip.clone();
    again["reason"] = json!("still");
    let replaced = world.post("anna", SKIPS, again).await;
    assert_eq!((&replaced.json["id"], &replaced.json["reason"]), (&said.json["id"], &json!("still")));
    let mut narrower = skip.clone();
    (narrower["environment"], narrower["resource"]) = (json!("production"), json!("cluster-us"));
    let narrower = world.post("anna", SKIPS, narrower).await;
    assert_ne!(narrower.json["id"], said.json["id"], "{narrower:?}");
    assert_eq!(world.get("vera", SKIPS).await.json["total"], json!(2));

    let one = format!("{SKIPS}/{}", said.json["id"].as_str().unwrap());
    for (key, path, status) in [
        ("otto", one.as_str(), StatusCode::FORBIDDEN),
        ("anna", &one, StatusCode::OK),
        ("anna", &one, StatusCode::NOT_FOUND),
        ("anna", "/api/v1/workspaces/acme/skips/skip%20of%20anyApproval", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(world.ask(key, Method::DELETE, path, None).await.status, status, "{key} {path}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skip_of_a_policy_that_was_changed_since_begins_anew_when_it_is_said_again() {
    let world = world().await;
    let skip = json!({ "policy": "gate", "rule": "anyApproval", "deployment": "web", "version": "2.0", "reason": "hotfix" });
    let first = world.post("anna", SKIPS, skip.clone()).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{first:?}");
    let same = world.post("anna", SKIPS, skip.clone()).await;
    assert_eq!(same.json, first.json, "it holds");
    let stricter = policy("gate", "{ anyApproval: { minApprovals: 7 } }");
    assert_eq!(world.apply("adam", &stricter, false).await.actions(), ["updated"]);
    // A file that says it still is nobody's word of today.
    let file = "kind: Skip\nmetadata: { workspace: acme }\nspec: { policy: gate, rule: anyApproval, deployment: web, version: '2.0', reason: hotfix }\n";
    assert_eq!(world.apply("anna", file, false).await.actions(), ["unchanged"]);
    let again = world.post("anna", SKIPS, skip.clone()).await;
    assert_eq!(again.json["id"], first.json["id"]);
    assert_ne!(again.json["createdAt"], first.json["createdAt"], "{again:?}");
    let same = world.post("anna", SKIPS, skip).await;
    assert_eq!(same.json, again.json, "it holds again");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skip_that_is_not_clear_is_refused_and_says_what_to_choose_from() {
    let world = world().await;
    let more = [
        policy("second", "{ anyApproval: { minApprovals: 2 } }"),
        policy(
            "twice",
            "{ versionCooldown: { intervalSeconds: 1 } }, { versionCooldown: { intervalSeconds: 2 } }",
        ),
    ];
    assert_eq!(world.apply("adam", &more.concat(), false).await.status, StatusCode::OK);
    let with = |field: &str, value: serde_json::Value| {
        let mut skip = json!({ "policy": "gate", "rule": "anyApproval", "deployment": "web", "version": "2.0", "reason": "x" });
        skip[field] = value;
        skip
    };
    let cooldown = |policy: serde_json::Value, index: serde_json::Value| {
        let mut skip = with("policy", policy);
        (skip["rule"], skip["ruleIndex"]) = (json!("versionCooldown"), index);
        skip
    };
    for (wrong, field, says) in [
        (with("policy", json!(null)), "policy", "gate, second have a rule anyApproval"),
        (with("policy", json!("moon")), "policy", "there is no Policy moon"),
        (cooldown(json!("gate"), json!(null)), "rule", "the policy has no rule versionCooldown"),
        (cooldown(json!(null), json!(null)), "ruleIndex", "several rules versionCooldown, at 0, 1"),
        (cooldown(json!("twice"), json!(2)), "ruleIndex", "is no versionCooldown"),
        (with("rule", json!("retry")), "rule", "cannot be skipped"),
        (with("deployment", json!("moon")), "deployment", "there is no"),
        (with("deployment", json!("")), "deployment", "is empty"),
        (with("version", json!("3.0")), "version", "there is no version 3.0 of web"),
        (with("environment", json!("moon")), "environment", "there is no"),
        (with("resource", json!("moon")), "resource", "there is no"),
        (with("expiresAt", json!("2020-01-01T00:00:00Z")), "expiresAt", "is over already"),
        (with("reason", json!("")), "reason", "is empty"),
        (with("expireAt", json!("2999-01-01T00:00:00Z")), "expireAt", "unknown field"),
    ] {
        let answer = world.post("anna", SKIPS, wrong.clone()).await;
        let error = &answer.json["errors"][0];
        assert_eq!(
            (answer.status, &error["field"]),
            (StatusCode::BAD_REQUEST, &json!(field)),
            "{wrong}: {answer:?}"
        );
        assert!(error["message"].as_str().unwrap().contains(says), "{wrong}: {answer:?}");
    }
    // In staging no policy is about it.
    let mut elsewhere = with("policy", json!(null));
    elsewhere["environment"] = json!("staging");
    let answer = world.post("anna", SKIPS, elsewhere).await;
    assert!(
        answer.json["detail"].as_str().unwrap().contains("no policy has a rule anyApproval there"),
        "{answer:?}"
    );
    assert_eq!(world.get("vera", SKIPS).await.json["total"], json!(0), "nothing was written");

    let one_of_two = world.post("anna", SKIPS, cooldown(json!(null), json!(1))).await;
    assert_eq!(
        (one_of_two.status, &one_of_two.json["ruleIndex"]),
        (StatusCode::ACCEPTED, &json!(1)),
        "{one_of_two:?}"
    );
    world.end().await;
}
