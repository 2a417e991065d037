//! Sessions of the console: begun with a key, safe against other sites, ended by hand and with their key.

use crate::harness::World;
use bus::topology::SESSIONS;
use reqwest::header::{CONTENT_TYPE, SET_COOKIE};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

const SESSION: &str = "/api/v1/session";

async fn json_of(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    (status, response.json().await.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_becomes_a_cookie_that_other_sites_cannot_use() {
    let world = World::with_shop().await;
    let response = world.request(Method::POST, SESSION).json(&json!({ "key": "otto" })).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    let set = response.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && !set.contains("Secure"), "{set}");
    let cookie = set.split(';').next().unwrap().to_owned();
    let told: Value = response.json().await.unwrap();
    assert_eq!(
        (&told["name"], &told["role"], &told["workspace"]),
        (&json!("otto"), &json!("operator"), &Value::Null)
    );

    let with = |method: Method, path: &str| world.request(method, path).header("cookie", &cookie);
    let (status, again) = json_of(with(Method::GET, SESSION)).await;
    assert_eq!((status, &again), (StatusCode::OK, &told));
    let csrf = told["csrf"].as_str().unwrap();

    // Kept by a hash: what is on the bus opens nothing.
    let kept = world.bus.bucket(&SESSIONS).list(">").await.unwrap();
    let token = cookie.split('=').nth(1).unwrap();
    assert_eq!((kept.len(), kept[0].0.as_str()), (1, api::hash_of_key(token).as_str()));
    let text = String::from_utf8_lossy(&kept[0].1.value).into_owned();
    assert!(!text.contains(token) && !text.contains(csrf), "{text}");

    // Reading needs the cookie alone, writing also what only our own pages know.
    let versions = "/api/v1/workspaces/acme/deployments/web/versions";
    assert_eq!(json_of(with(Method::GET, versions)).await.0, StatusCode::OK);
    let version = json!({ "tag": "9" });
    let wrong = "0".repeat(64);
    for (header, why) in [(None, "needs the header"), (Some(wrong.as_str()), "not the one of this session")] {
        let mut write = with(Method::POST, versions).json(&version);
        if let Some(header) = header {
            write = write.header("x-csrf-token", header);
        }
        let (status, problem) = json_of(write).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(problem["detail"].as_str().unwrap().contains(why), "{problem}");
    }
    let write = with(Method::POST, versions).json(&version).header("x-csrf-token", csrf);
    assert_eq!(json_of(write).await.0, StatusCode::OK);
    let audit = world.get("vera", "/api/v1/workspaces/acme/audit?limit=1").await;
    let actor = json!({ "key": "otto", "role": "operator", "session": true });
    assert_eq!(audit.json["items"][0]["actor"], actor, "{audit:?}");
    // A role is a role, also by cookie.
    let admin = with(Method::DELETE, "/api/v1/workspaces/acme/catalog/policy/x").header("x-csrf-token", csrf);
    assert_eq!(json_of(admin).await.0, StatusCode::FORBIDDEN);

    // A key that is sent as well goes before the cookie.
    let (_, key) = json_of(with(Method::GET, SESSION).header("x-api-key", "adam")).await;
    assert_eq!((&key["name"], &key["csrf"]), (&json!("adam"), &Value::Null));

    let (status, _) = json_of(with(Method::DELETE, SESSION)).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "another site must not log people out either");
    let end = with(Method::DELETE, SESSION).header("x-csrf-token", csrf).send().await.unwrap();
    assert_eq!(end.status(), StatusCode::NO_CONTENT);
    assert!(end.headers()[SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(json_of(with(Method::GET, SESSION)).await.0, StatusCode::UNAUTHORIZED);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_begun_with_a_key_and_as_no_form_of_another_site_can() {
    let world = World::with_shop().await;
    let wrong = world.request(Method::POST, SESSION).json(&json!({ "key": "nobody" }));
    assert_eq!(json_of(wrong).await.0, StatusCode::UNAUTHORIZED);
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let form = world.request(Method::POST, SESSION).header(CONTENT_TYPE, kind).body(r#"{"key":"otto"}"#);
        assert_eq!(json_of(form).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
    }
    let (_, nobody) = json_of(world.request(Method::GET, SESSION)).await;
    assert_eq!(nobody["status"], 401);
    let (status, ways) = json_of(world.request(Method::GET, "/api/v1/login")).await;
    assert_eq!((status, ways), (StatusCode::OK, json!({ "oidc": false, "name": null })));
    let (status, _) = json_of(world.request(Method::GET, "/api/v1/login/oidc")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_key_and_is_good_at_every_replica() {
    let world = World::with_shop().await;
    let body = json!({ "name": "x", "roles": [{ "workspace": "acme", "role": "admin" }] });
    let made = world.post("adam", "/api/v1/keys", body).await.json;
    let login =
        world.request(Method::POST, SESSION).json(&json!({ "key": made["key"] })).send().await.unwrap();
    let cookie = login.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    let told: Value = login.json().await.unwrap();
    assert_eq!((&told["workspace"], &told["role"]), (&json!("acme"), &json!("admin")));
    let other = world.replica().await;
    let (status, _) = json_of(other.request(Method::GET, SESSION).header("cookie", &cookie)).await;
    assert_eq!(status, StatusCode::OK);
    let path = format!("/api/v1/keys/{}", made["id"].as_str().unwrap());
    assert_eq!(world.ask("adam", Method::DELETE, &path, None).await.status, StatusCode::OK);
    let (status, _) = json_of(world.request(Method::GET, SESSION).header("cookie", &cookie)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_https_a_cookie_stays_on_https() {
    let world =
        World::started(|settings| settings.auth.public_url = Some("https://ctrlplane.example".into())).await;
    let login = world.request(Method::POST, SESSION).json(&json!({ "key": "otto" })).send().await.unwrap();
    let set = login.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    assert!(set.starts_with("__Host-ctrlplane_session=") && set.ends_with("; Secure"), "{set}");
    let cookie = set.split(';').next().unwrap();
    let with = |cookie: &str| world.request(Method::GET, SESSION).header("cookie", cookie);
    assert_eq!(json_of(with(cookie)).await.0, StatusCode::OK);
    // A cookie without the prefix may have been set by somebody on the way.
    assert_eq!(json_of(with(cookie.trim_start_matches("__Host-"))).await.0, StatusCode::UNAUTHORIZED);
    world.end().await;
}
