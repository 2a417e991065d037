//! Keys that are made over the API: told once, good at once on every replica, and good for nothing once revoked.

use crate::harness::{Answer, World, until};
use bus::topology::KEYS;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn made(world: &World, by: &str, body: Value) -> Value {
    let answer = world.post(by, "/api/v1/keys", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json
}

fn key_of(made: &Value) -> &str {
    made["key"].as_str().expect("the key")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_told_once_and_kept_as_a_hash() {
    let world = World::with_shop().await;
    let roles = json!([{ "workspace": "acme", "role": "operator" }]);
    let ci = made(&world, "adam", json!({ "name": "deploys", "user": "ci", "roles": roles })).await;
    let key = key_of(&ci);
    assert!(key.starts_with("cpk_") && key.len() == 68, "{ci}");

    let listed = world.get("adam", "/api/v1/keys").await;
    assert_eq!((listed.json["total"].as_u64(), &listed.json["items"][0]["id"]), (Some(1), &ci["id"]));
    assert_eq!(listed.json["items"][0]["createdBy"], "adam");
    let kept = world.bus.bucket(&KEYS).list(">").await.unwrap();
    let kept = String::from_utf8_lossy(&kept[0].1.value).into_owned();
    assert!(kept.contains(&api::hash_of_key(key)), "{kept}");
    for told in [listed.json.to_string(), kept.clone()] {
        assert!(!told.contains(key) && !told.contains(&key[10..]), "{told}");
    }
    assert!(!listed.json.to_string().contains(&api::hash_of_key(key)));

    // It does what its role does where its role is, in the name of its user.
    let version = json!({ "tag": "9" });
    let created = world.post(key, "/api/v1/workspaces/acme/deployments/web/versions", version).await;
    assert_eq!(created.status, StatusCode::OK, "{created:?}");
    let audit = world.get(key, "/api/v1/workspaces/acme/audit?limit=1").await;
    let actor = json!({ "key": "ci", "role": "operator", "keyId": ci["id"] });
    assert_eq!(audit.json["items"][0]["actor"], actor, "{audit:?}");
    let refused = world.ask(key, Method::DELETE, "/api/v1/workspaces/acme/catalog/policy/x", None).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(world.get(key, "/api/v1/workspaces/other").await.status, StatusCode::NOT_FOUND);

    // Its user sees and may revoke it; then it opens nothing.
    let own = world.get(key, "/api/v1/keys").await;
    assert_eq!((own.json["total"].as_u64(), &own.json["items"][0]["current"]), (Some(1), &json!(true)));
    let path = format!("/api/v1/keys/{}", ci["id"].as_str().unwrap());
    assert_eq!(world.ask("vera", Method::DELETE, &path, None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.ask(key, Method::DELETE, &path, None).await.status, StatusCode::OK);
    assert_eq!(world.get(key, "/api/v1/workspaces").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.ask("adam", Method::DELETE, &path, None).await.status, StatusCode::NOT_FOUND);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_is_admin_of_all_of_it_makes_a_key() {
    let world = World::with_shop().await;
    let body = |roles: Value| json!({ "name": "x", "roles": roles });
    let acme = |role: &str| json!([{ "workspace": "acme", "role": role }]);
    let local = made(&world, "adam", json!({ "name": "x", "user": "lena", "roles": acme("admin") })).await;
    let lena = key_of(&local);
    for (key, roles, status) in [
        ("vera", acme("viewer"), 403),
        ("anna", acme("viewer"), 403),
        (lena, acme("admin"), 201),
        (lena, json!([{ "role": "viewer" }]), 403),
        (lena, json!([{ "workspace": "nowhere", "role": "viewer" }]), 400),
        ("olga", acme("viewer"), 400),
        ("adam", json!([{ "workspace": "acme", "role": "king" }]), 400),
        ("adam", json!([]), 400),
        ("adam", json!([{ "role": "admin" }]), 201),
    ] {
        let answer = world.post(key, "/api/v1/keys", body(roles.clone())).await;
        assert_eq!(answer.status.as_u16(), status, "{key} {roles}: {answer:?}");
    }
    // An admin of one workspace sees the keys of that one only.
    let seen = |answer: Answer| answer.json["total"].as_u64().unwrap();
    assert_eq!(seen(world.get("adam", "/api/v1/keys").await), 3);
    assert_eq!(seen(world.get(lena, "/api/v1/keys").await), 2);
    assert_eq!(seen(world.get("olga", "/api/v1/keys").await), 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_ends_at_its_time() {
    let world = World::with_shop().await;
    let roles = json!([{ "role": "viewer" }]);
    let short = made(&world, "adam", json!({ "name": "short", "roles": roles, "forSeconds": 2 })).await;
    assert_eq!(world.get(key_of(&short), "/api/v1/workspaces").await.status, StatusCode::OK);
    until("its time is over", async || {
        let status = world.get(key_of(&short), "/api/v1/workspaces").await.status;
        (status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    let listed = world.get("adam", "/api/v1/keys").await;
    assert_eq!(listed.json["items"][0]["expired"], true);
    let over = json!({ "name": "over", "roles": roles, "expiresAt": "2020-01-01T00:00:00Z" });
    assert_eq!(world.post("adam", "/api/v1/keys", over).await.status, StatusCode::BAD_REQUEST);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_replica_knows_a_new_and_a_revoked_key() {
    let world = World::with_shop().await;
    let other = world.replica().await;
    let roles = json!([{ "role": "viewer" }]);
    let key = made(&world, "adam", json!({ "name": "x", "roles": roles })).await;
    let answered = async |status: StatusCode| {
        until("the other replica knows", async || {
            let answer = other.get(key_of(&key), "/api/v1/workspaces").await;
            (answer.status == status).then_some(())
        })
        .await;
    };
    answered(StatusCode::OK).await;
    let path = format!("/api/v1/keys/{}", key["id"].as_str().unwrap());
    assert_eq!(world.ask("adam", Method::DELETE, &path, None).await.status, StatusCode::OK);
    answered(StatusCode::UNAUTHORIZED).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_told_once_whatever_is_sent_again() {
    let world = World::with_shop().await;
    let roles = json!([{ "workspace": "acme", "role": "viewer" }]);
    let mut told = Vec::new();
    for _twice in 0..2 {
        let request = world.request(Method::POST, "/api/v1/keys").header("x-api-key", "adam");
        let request = request.header("idempotency-key", "k-1").json(&json!({ "name": "x", "roles": roles }));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        assert!(!answer.headers().contains_key("idempotency-replayed"));
        told.push(answer.json::<Value>().await.unwrap()["key"].as_str().expect("a key").to_owned());
    }
    assert_ne!(told[0], told[1], "what was told is kept nowhere");
    world.end().await;
}
