//! How often somebody may call, and how often guess.

use crate::harness::{World, until};
use bus::topology::{IDEMPOTENCY, SESSIONS};
use reqwest::{Method, StatusCode};
use serde_json::json;

const PATH: &str = "/api/v1/workspaces";

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_calls_too_often_waits_and_others_do_not() {
    let world = World::started(|settings| {
        settings.limits.requests_per_second = 1;
        settings.limits.requests_at_once = 3;
    })
    .await;
    let ask = async |key: &str| {
        let response = world.request(Method::GET, PATH).header("x-api-key", key).send().await.unwrap();
        let number = |name: &str| {
            response.headers().get(name).map(|value| value.to_str().unwrap().parse::<u64>().unwrap())
        };
        let limit = number("ratelimit-limit");
        (
            response.status(),
            limit,
            number("ratelimit-remaining"),
            number("retry-after"),
            number("ratelimit-reset"),
        )
    };
    let (status, limit, remaining, retry, reset) = ask("vera").await;
    assert_eq!((status, limit, remaining, retry), (StatusCode::OK, Some(3), Some(2), None));
    assert!(reset.is_some_and(|seconds| seconds <= 1), "{reset:?}");
    let refused = until("it is too often", async || {
        let answer = ask("vera").await;
        (answer.0 == StatusCode::TOO_MANY_REQUESTS).then_some(answer)
    })
    .await;
    assert_eq!((refused.2, refused.3), (Some(0), Some(1)));
    assert_eq!(ask("otto").await.0, StatusCode::OK);
    until("it may again", async || (ask("vera").await.0 == StatusCode::OK).then_some(())).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_guesses_is_stopped_and_keys_that_nobody_can_guess_still_open() {
    let world = World::started(|settings| {
        settings.limits.failures_per_minute = 1;
        settings.limits.failures_at_once = 3;
        settings.limits.forwarded_hops = 1;
    })
    .await;
    let body = json!({ "name": "x", "roles": [{ "role": "viewer" }] });
    let made = world.post("adam", "/api/v1/keys", body).await.json["key"].as_str().unwrap().to_owned();
    let ask = async |from: &str, key: &str| {
        let request = world.request(Method::GET, PATH).header("x-api-key", key);
        let response = request.header("x-forwarded-for", format!("10.0.0.9, {from}")).send().await.unwrap();
        let retry = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), retry.is_some())
    };
    for _ in 0..3 {
        assert_eq!(ask("192.0.2.7", "guess").await, (401, false));
    }
    assert_eq!(ask("192.0.2.7", "guess").await, (429, true));
    // Whoever guesses does not learn whether it was right.
    assert_eq!(ask("192.0.2.7", "vera").await, (429, true));
    assert_eq!(ask("192.0.2.7", &made).await, (200, false));
    assert_eq!(ask("192.0.2.8", "vera").await, (200, false));
    let login = world.request(Method::POST, "/api/v1/session").header("x-forwarded-for", "192.0.2.7");
    let login = login.json(&json!({ "key": "vera" })).send().await.unwrap();
    assert_eq!(login.status(), StatusCode::TOO_MANY_REQUESTS);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_begins_no_more_sessions_than_it_may() {
    let world = World::started(|settings| settings.limits.logins_per_minute = 3).await;
    let begin = async |key: &str| {
        let login = world.request(Method::POST, "/api/v1/session").json(&json!({ "key": key }));
        login.send().await.unwrap().status()
    };
    for _ in 0..3 {
        assert_eq!(begin("vera").await, StatusCode::CREATED);
    }
    assert_eq!(begin("vera").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(begin("otto").await, StatusCode::CREATED);
    assert_eq!(world.bus.bucket(&SESSIONS).list(">").await.unwrap().len(), 4);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_of_what_only_looks_or_may_not() {
    let world = World::with_shop().await;
    let post = async |key: &str, path: &str, body: serde_json::Value| {
        let request = world.request(Method::POST, path).header("x-api-key", key);
        let response = request.header("idempotency-key", "k-1").json(&body).send().await.unwrap();
        response.status()
    };
    let manifests = json!({ "files": [{ "name": "a.yaml", "content": crate::harness::SHOP }] });
    assert_eq!(post("vera", "/api/v1/apply?dryRun=true", manifests.clone()).await, StatusCode::OK);
    let search = "/api/v1/workspaces/acme/resources/search";
    assert_eq!(post("vera", search, json!({})).await, StatusCode::OK);
    let versions = "/api/v1/workspaces/acme/deployments/web/versions";
    assert_eq!(post("vera", versions, json!({ "tag": "1" })).await, StatusCode::FORBIDDEN);
    assert!(world.bus.bucket(&IDEMPOTENCY).list(">").await.unwrap().is_empty());
    assert_eq!(post("otto", versions, json!({ "tag": "1" })).await, StatusCode::OK);
    assert_eq!(world.bus.bucket(&IDEMPOTENCY).list(">").await.unwrap().len(), 1);
    world.end().await;
}
