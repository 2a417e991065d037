//! Who may do what, and that another's tenant does not exist.

use crate::harness::World;
use reqwest::{Method, StatusCode};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_what_its_role_and_workspace_open() {
    let world = World::with_shop().await;

    for open in ["/api/healthz", "/api/version"] {
        let response = world.request(Method::GET, open).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{open}");
    }
    for header in [
        None,
        Some(("x-api-key", "nobody")),
        Some(("authorization", "Bearer nobody")),
        Some(("authorization", "Basic adam")),
    ] {
        let mut request = world.request(Method::GET, "/api/v1/workspaces");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{header:?}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
    let bearer = world.request(Method::GET, "/api/v1/workspaces").header("authorization", "Bearer vera");
    assert_eq!(bearer.send().await.unwrap().status(), StatusCode::OK);

    let job = world.requested(1).await;
    let version = json!({ "tag": "9" });
    let word = json!({ "status": "approved", "environmentIds": ["staging"] });
    let versions = "/api/v1/workspaces/acme/deployments/web/versions?upsert=true";
    let approve = "/api/v1/workspaces/acme/deployment-versions/web:9/user-approval-records";
    let cancel = format!("/api/v1/workspaces/acme/jobs/{}/cancel", job.id);
    let created = world.post("adam", versions, version.clone()).await;
    assert_eq!(created.status, StatusCode::OK, "{created:?}");
    let table = [
        (Method::GET, "/api/v1/workspaces/acme/catalog/system", None, [200, 200, 200, 200]),
        (Method::POST, versions, Some(version), [403, 200, 200, 200]),
        (Method::PUT, approve, Some(word), [403, 403, 202, 202]),
        (Method::POST, cancel.as_str(), Some(json!({})), [403, 202, 202, 202]),
        (Method::DELETE, "/api/v1/workspaces/acme/catalog/policy/nothing", None, [403, 403, 403, 404]),
        (Method::GET, "/api/v1/dead-letters", None, [403, 403, 403, 200]),
    ];
    for (method, path, body, wanted) in table {
        for (key, wanted) in ["vera", "otto", "anna", "adam"].into_iter().zip(wanted) {
            let answer = world.ask(key, method.clone(), path, body.clone()).await;
            assert_eq!(answer.status.as_u16(), wanted, "{key} {method} {path}: {answer:?}");
        }
        let stranger = world.ask("olga", method.clone(), path, body).await;
        assert_eq!(stranger.status, StatusCode::NOT_FOUND, "{method} {path}: {stranger:?}");
    }

    let seen = world.get("olga", "/api/v1/workspaces").await;
    assert_eq!(seen.json, json!({ "workspaces": [], "total": 0 }));
    let foreign =
        world.apply("olga", "kind: System\nmetadata: {name: shop, workspace: acme}\nspec: {}\n", false).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{foreign:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_nobody_is_let_in_and_every_no_is_a_problem() {
    let world = World::with_keys(None).await;
    let answer = world.get("", "/api/v1/workspaces").await;
    assert_eq!((answer.status, answer.json["status"].as_u64()), (StatusCode::UNAUTHORIZED, Some(401)));
    let answer = world.get("adam", "/api/v1/nowhere").await;
    assert_eq!((answer.status, answer.json["status"].as_u64()), (StatusCode::NOT_FOUND, Some(404)));
    let answer = world.ask("adam", Method::DELETE, "/api/version", None).await;
    assert_eq!((answer.status, answer.json["status"].as_u64()), (StatusCode::METHOD_NOT_ALLOWED, Some(405)));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_refused_for_what_is_wrong_with_it() {
    let world = World::start().await;
    let answer = world.post("adam", "/api/v1/apply", json!({ "files": [{ "name": 3 }] })).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json["errors"][0]["field"], "files[0].name", "{answer:?}");
    let huge =
        world.request(Method::POST, "/api/v1/apply").header("x-api-key", "adam").body("x".repeat(11 << 20));
    // The server may close the connection before it has read everything.
    if let Ok(response) = huge.send().await {
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    world.end().await;
}
