//! Whole deliveries through [`accept`](super::accept): every kind of source, its good case and who is turned away how.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::*;
use crate::verify::testing::{headers, secrets};

const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;

fn config(written: &str) -> TriggerSource {
    serde_json::from_str(written).expect("configuration is read")
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_614_265_330, 0).expect("in range")
}

fn hex_mac(key: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("any key");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

fn accepted(written: &str, sent: &[(&str, &str)], body: &str, keys: &[&str]) -> Result<Accepted, Refusal> {
    accept(&config(written), &headers(sent), &Bytes::copy_from_slice(body.as_bytes()), &secrets(keys), now())
}

/// The types of the accepted events; empty when nobody asked for them.
fn types(outcome: Result<Accepted, Refusal>) -> Vec<String> {
    match outcome.expect("accepted") {
        Accepted::Events(events) => events.into_iter().map(|event| event.event_type).collect(),
        Accepted::Uninteresting => vec![],
    }
}

fn github(config: &str, event: &str, body: &str, key: &str) -> Result<Accepted, Refusal> {
    let signature = format!("sha256={}", hex_mac(key, body.as_bytes()));
    let sent = [
        ("x-hub-signature-256", signature.as_str()),
        ("x-github-event", event),
        ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("content-type", "application/json"),
    ];
    accepted(config, &sent, body, &["s1", "s2"])
}

#[test]
fn github_deliveries_are_accepted_under_either_secret() {
    let all = r#"{"sender": {"type": "github"}, "secretRefs": ["a", "b"]}"#;
    assert_eq!(types(github(all, "push", "{}", "s1")), ["push"]);
    assert_eq!(types(github(all, "push", "{}", "s2")), ["push"]);
    let refusal = github(all, "push", "{}", "s3").expect_err("another secret");
    assert_eq!(refusal.status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn what_nobody_asked_for_is_uninteresting_and_not_refused() {
    let all = r#"{"sender": {"type": "github"}, "secretRefs": ["a"]}"#;
    let some = r#"{"sender": {"type": "github"}, "secretRefs": ["a"], "events": ["push", "ping"]}"#;
    let none = r#"{"sender": {"type": "github"}, "secretRefs": ["a"], "events": []}"#;
    for (config, event, wanted) in [
        (all, "push", true),
        (all, "ping", false),
        (some, "push", true),
        (some, "ping", false),
        (some, "star", false),
        (some, "Push", false),
        (none, "push", false),
    ] {
        let outcome = github(config, event, "{}", "s1").expect("authentic");
        assert_eq!(matches!(outcome, Accepted::Events(_)), wanted, "{config} {event}");
    }
    assert!(github(some, "star", "{}", "wrong").is_err(), "uninteresting is said only to who is believed");
}

#[test]
fn a_forged_delivery_is_not_even_parsed() {
    let all = r#"{"sender": {"type": "github"}, "secretRefs": ["a"]}"#;
    assert_eq!(github(all, "push", "{", "s1").expect_err("not JSON").status(), StatusCode::BAD_REQUEST);
    assert_eq!(github(all, "push", "{", "wrong").expect_err("forged").status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn a_github_form_is_signed_as_it_travels() {
    let body = "payload=%7B%22ref%22%3A%22main%22%7D";
    let signature = format!("sha256={}", hex_mac("s1", body.as_bytes()));
    let sent = [
        ("x-hub-signature-256", signature.as_str()),
        ("x-github-event", "push"),
        ("x-github-delivery", "1"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let all = r#"{"sender": {"type": "github"}, "secretRefs": ["a"]}"#;
    let Accepted::Events(events) = accepted(all, &sent, body, &["s1"]).expect("accepted") else {
        panic!("uninteresting")
    };
    assert_eq!(events[0].data, r#"{"ref":"main"}"#);
}

#[test]
fn gitlab_hmac_and_token_sources_are_accepted() {
    let mac = hex_mac("k", b"{\"e\":\"made\"}");
    for (config, sent, event_type) in [
        (
            r#"{"sender": {"type": "gitlab"}, "secretRefs": ["a"]}"#,
            vec![("x-gitlab-token", "k"), ("x-gitlab-event", "Push Hook")],
            "Push Hook",
        ),
        (
            r#"{"sender": {"type": "hmac", "signature": {"header": "x-sig"}, "naming": {"eventPointer": "/e"}}, "secretRefs": ["a"]}"#,
            vec![("x-sig", mac.as_str())],
            "made",
        ),
        (
            r#"{"sender": {"type": "token", "token": {"header": "authorization", "prefix": "Bearer "}}, "secretRefs": ["a"]}"#,
            vec![("authorization", "Bearer k")],
            "event",
        ),
    ] {
        let body = r#"{"e":"made"}"#;
        assert_eq!(types(accepted(config, &sent, body, &["k"])), [event_type], "{config}");
        for keys in [&["other"][..], &[][..], &[""][..]] {
            let refusal = accepted(config, &sent, body, keys).expect_err("no such secret");
            assert_eq!(refusal.status(), StatusCode::UNAUTHORIZED, "{config}");
        }
        assert!(accepted(config, &sent[1..], body, &["k"]).is_err(), "no proof: {config}");
    }
}

#[test]
fn standard_webhooks_are_accepted_in_their_time() {
    let config = config(r#"{"sender": {"type": "standard-webhooks"}, "secretRefs": ["a"]}"#);
    let sent = headers(&[
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ]);
    let body = Bytes::from_static(br#"{"test": 2432232314}"#);
    let Accepted::Events(events) =
        accept(&config, &sent, &body, &secrets(&[SIGNING]), now()).expect("accepted")
    else {
        panic!("uninteresting")
    };
    assert_eq!(events[0].delivery_id, "msg_p5jXN8AQM9LWM0D4loKWxJek");
    let later = now() + chrono::TimeDelta::seconds(301);
    assert_eq!(
        accept(&config, &sent, &body, &secrets(&[SIGNING]), later),
        Err(Refusal::Unauthorized(Rejected::TooOld))
    );
}

#[test]
fn cloudevents_are_accepted_with_each_way_to_prove_oneself() {
    let mac = hex_mac("k", EVENT.as_bytes());
    let structured = ("content-type", "application/cloudevents+json");
    for (auth, proof) in [
        (r#"{"type": "hmac", "signature": {"header": "x-sig"}}"#, ("x-sig", mac.as_str())),
        (r#"{"type": "token", "token": {"header": "x-token"}}"#, ("x-token", "k")),
    ] {
        let config =
            format!(r#"{{"sender": {{"type": "cloudevents", "auth": {auth}}}, "secretRefs": ["a"]}}"#);
        assert_eq!(types(accepted(&config, &[structured, proof], EVENT, &["k"])), ["t"]);
        assert!(accepted(&config, &[structured], EVENT, &["k"]).is_err(), "no proof");
        assert!(accepted(&config, &[structured, proof], EVENT, &[]).is_err(), "no secret");
    }
    let signed =
        r#"{"sender": {"type": "cloudevents", "auth": {"type": "standard-webhooks"}}, "secretRefs": ["a"]}"#;
    let refusal = accepted(signed, &[structured], EVENT, &[SIGNING]).expect_err("no signature");
    assert_eq!(refusal, Refusal::Unauthorized(Rejected::MissingHeader("webhook-id".to_owned())));
}

#[test]
fn of_a_batch_only_the_wanted_events_remain() {
    let config = r#"{"sender": {"type": "cloudevents", "auth": {"type": "token", "token": {"header": "x-token"}}},
        "secretRefs": ["a"], "events": ["t"]}"#;
    let sent = [("content-type", "application/cloudevents-batch+json"), ("x-token", "k")];
    let other = EVENT.replace("\"t\"", "\"u\"");
    for (batch, wanted) in [
        (format!("[{EVENT},{other}]"), &["t"][..]),
        (format!("[{other}]"), &[][..]),
        ("[]".to_owned(), &[][..]),
    ] {
        assert_eq!(types(accepted(config, &sent, &batch, &["k"])), wanted, "{batch}");
    }
}

#[test]
fn a_refusal_never_repeats_secret_or_payload() {
    let config = r#"{"sender": {"type": "token", "token": {"header": "x-token"}}, "secretRefs": ["a"]}"#;
    let unauthorized = accepted(config, &[("x-token", "hunter1")], "{}", &["hunter2"]).expect_err("refused");
    let malformed = accepted(
        config,
        &[("x-token", "hunter2"), ("content-type", "application/json")],
        r#"{"password": hunter3}"#,
        &["hunter2"],
    )
    .expect_err("refused");
    for refusal in [unauthorized, malformed] {
        assert!(!format!("{refusal} {refusal:?}").contains("hunter"), "{refusal}");
    }
}
