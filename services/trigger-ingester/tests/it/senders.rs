//! Everybody who is not GitHub: GitLab, tokens, CloudEvents in all three modes, Standard Webhooks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Method, StatusCode};
use sha2::Sha256;

use crate::rig::{STANDARD_SECRET, World, signature, value_of};

const PIPELINE: &[u8] = include_bytes!("../fixtures/gitlab-pipeline.json");

#[tokio::test]
async fn gitlab_is_believed_by_its_token() {
    let world = World::start().await;
    let token = value_of("old");
    let headers = [
        ("x-gitlab-token", token.as_str()),
        ("x-gitlab-event", "Pipeline Hook"),
        ("idempotency-key", "k1"),
        ("content-type", "application/json"),
    ];
    world.post("gitlab", &headers, PIPELINE).await.accepted(1, 0);
    world.post("gitlab", &headers, PIPELINE).await.accepted(0, 1);
    assert_eq!(world.post("gitlab", &headers[1..], PIPELINE).await.status, StatusCode::UNAUTHORIZED);
    let event = world.event(1, "ctrlplane.trigger.acme.gitlab.Pipeline_Hook").await;
    assert_eq!(event.payload(&world.bus).await.unwrap(), PIPELINE);
    assert_eq!(event.attributes.event_type, "Pipeline Hook");
    assert_eq!(event.attributes.sourcekind.as_str(), "gitlab");
    assert_eq!(world.stored().await, 1);
    world.end().await;
}

#[tokio::test]
async fn a_sender_of_no_standard_may_send_anything() {
    let world = World::start().await;
    let token = value_of("old");
    let headers = [
        ("x-token", token.as_str()),
        ("x-delivery", "1"),
        ("x-event", "a.*.>"),
        ("content-type", "text/csv"),
    ];
    world.post("token", &headers, "a;b\n").await.accepted(1, 0);
    let event = world.event(1, "ctrlplane.trigger.acme.token.a____").await;
    assert_eq!(event.payload(&world.bus).await.unwrap(), "a;b\n");
    assert_eq!(event.attributes.event_type, "a.*.>");
    assert_eq!(event.attributes.datacontenttype.as_deref(), Some("text/csv"));
    // Without an id, the same body is the same delivery.
    world.post("token", &headers[..1], "x").await.accepted(1, 0);
    world.post("token", &headers[..1], "x").await.accepted(0, 1);
    world.post("token", &headers[..1], "y").await.accepted(1, 0);
    assert_eq!(world.stored().await, 3);
    world.end().await;
}

#[tokio::test]
async fn a_signed_body_that_occurs_once_counts_once_under_whatever_name() {
    let world = World::start().await;
    let post = async |id: &str, event: &str, body: &'static str| {
        let signature = signature(body.as_bytes(), "old");
        let headers = [("x-signature", signature.as_str()), ("x-delivery", id), ("x-event", event)];
        world.post("signed", &headers, body).await
    };
    post("1", "built", "run 1").await.accepted(1, 0);
    post("1", "built", "run 1").await.accepted(0, 1);
    post("2", "built", "run 1").await.accepted(0, 1);
    post("3", "deleted", "run 1").await.accepted(0, 1);
    post("1", "built", "run 2").await.accepted(1, 0);
    assert_eq!(world.stored().await, 2);
    world.end().await;
}

#[tokio::test]
async fn cloudevents_come_in_all_three_modes() {
    let world = World::start().await;
    let bearer = format!("Bearer {}", value_of("old"));
    let proof = ("authorization", bearer.as_str());

    let structured = r#"{"specversion":"1.0","id":"1","source":"/ci","type":"dev.cdevents.artifact.published.0.2.0",
        "subject":"zürich","time":"2026-11-23T12:00:00Z","data": { "a" : 1 } }"#;
    let headers = [proof, ("content-type", "application/cloudevents+json")];
    world.post("events", &headers, structured).await.accepted(1, 0);
    let event = world.event(1, "ctrlplane.trigger.acme.events.dev_cdevents_artifact_published_0_2_0").await;
    assert_eq!(event.payload(&world.bus).await.unwrap(), r#"{ "a" : 1 }"#);
    let attributes = &event.attributes;
    assert_eq!(attributes.source, "/ci");
    assert_eq!(attributes.subject.as_deref(), Some("zürich"));
    assert_eq!(attributes.time, "2026-11-23T12:00:00Z".parse::<domain::Timestamp>().unwrap());

    // The same id of the same source is the same event, whatever the mode.
    let binary = [proof, ("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/ci"), ("ce-type", "t")];
    world.post("events", &binary, "hello").await.accepted(0, 1);
    let binary = [proof, ("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/cd"), ("ce-type", "t")];
    world
        .post("events", &[&binary[..], &[("content-type", "text/plain")]].concat(), "hello")
        .await
        .accepted(1, 0);
    let event = world.event(2, "ctrlplane.trigger.acme.events.t").await;
    assert_eq!(event.payload(&world.bus).await.unwrap(), "hello");

    let one =
        |id: &str| format!(r#"{{"specversion":"1.0","id":"{id}","source":"/ci","type":"t","data":{id}}}"#);
    let batch = [proof, ("content-type", "application/cloudevents-batch+json")];
    let body = format!("[{},{},{},{}]", one("1"), one("7"), one("8"), one("7"));
    world.post("events", &batch, body).await.accepted(2, 2);
    assert_eq!(
        world.event(4, "ctrlplane.trigger.acme.events.t").await.payload(&world.bus).await.unwrap(),
        "8"
    );

    // A batch is read whole or not at all.
    let broken = format!(r#"[{},{{"id":"10"}}]"#, one("9"));
    assert_eq!(world.post("events", &batch, broken).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        world.post("events", &batch[1..], format!("[{}]", one("9"))).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(world.stored().await, 4);
    world.end().await;
}

#[tokio::test]
async fn a_sender_of_cloudevents_may_ask_first() {
    let world = World::start().await;
    let ask = async |source: &str, origin: Option<&str>| {
        let mut request = world.request(Method::OPTIONS, source);
        if let Some(origin) = origin {
            request = request.header("webhook-request-origin", origin);
        }
        request.send().await.unwrap()
    };
    let answer = ask("events", Some("events.example.com")).await;
    assert!(answer.status().is_success());
    assert_eq!(answer.headers()["webhook-allowed-origin"], "events.example.com");
    assert_eq!(answer.headers()["webhook-allowed-rate"], "*");
    assert_eq!(answer.headers()["allow"], "POST");
    assert_eq!(ask("events", None).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(ask("github", Some("events.example.com")).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(ask("nobody", Some("events.example.com")).await.status(), StatusCode::NOT_FOUND);
    world.end().await;
}

#[tokio::test]
async fn standard_webhooks_are_believed_in_their_time() {
    let world = World::start().await;
    let body = r#"{"type":"invoice.paid","timestamp":"2026-11-23T12:00:00Z","data":{}}"#;
    let now = chrono::Utc::now().timestamp();
    for (at, stored) in [(now, true), (now - 3_600, false), (now + 3_600, false)] {
        let (at, signature) = signed(at, body);
        let headers = [
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", at.as_str()),
            ("webhook-signature", signature.as_str()),
            ("content-type", "application/json"),
        ];
        let answer = world.post("standard", &headers, body).await;
        if stored { answer.accepted(1, 0) } else { assert_eq!(answer.status, StatusCode::UNAUTHORIZED) }
    }
    let event = world.event(1, "ctrlplane.trigger.acme.standard.invoice_paid").await;
    assert_eq!(event.attributes.id, "msg_1");
    assert_eq!(event.payload(&world.bus).await.unwrap(), body);
    assert_eq!(world.stored().await, 1);
    world.end().await;
}

/// The headers `webhook-timestamp` and `webhook-signature` of the message `msg_1`.
fn signed(at: i64, body: &str) -> (String, String) {
    let key = STANDARD.decode(STANDARD_SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("msg_1.{at}.{body}").as_bytes());
    (at.to_string(), format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}
