//! Dead letters: seen by those who see everything, and sent back once.

use std::sync::Arc;

use crate::harness::{World, acme, job, until};
use async_trait::async_trait;
use bus::topology::{EVALUATE, evaluator_hints};
use bus::{Delivery, Failure, Handler, Limits, RawMessage, consume};
use domain::subject;
use reqwest::StatusCode;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Takes nothing.
struct Unwilling;

#[async_trait]
impl Handler for Unwilling {
    type Event = RawMessage;

    async fn handle(&self, _event: RawMessage, _delivery: &Delivery) -> Result<(), Failure> {
        Err(Failure::Reject("not today".to_owned()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_listed_and_sent_back_once() {
    let world = World::start().await;
    let subject = subject::evaluate(&acme(), job(1).target.deployment);
    world.bus.publish_json(subject.clone(), &json!({ "x": 1 }), None).await.unwrap();
    let drain = CancellationToken::new();
    let working = tokio::spawn({
        let (bus, drain) = (world.bus.clone(), drain.clone());
        async move { consume(&bus, evaluator_hints(), Arc::new(Unwilling), Limits::default(), drain).await }
    });
    let path = "/api/v1/dead-letters";
    let listed = until("a dead letter", || async {
        let page = world.get("adam", path).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        page.json["items"][0].is_object().then_some(page)
    })
    .await;
    drain.cancel();
    working.await.unwrap().unwrap();
    assert_eq!((&listed.json["total"], &listed.json["offset"]), (&json!(1), &json!(0)), "{listed:?}");
    let rest = world.get("adam", &format!("{path}?offset=1")).await;
    assert_eq!((&rest.json["total"], &rest.json["items"]), (&json!(1), &json!([])), "{rest:?}");
    let letter = &listed.json["items"][0];
    assert_eq!((&letter["reason"], &letter["subject"]), (&json!("not today"), &json!(subject)));

    let redrive = format!("{path}/{}/redrive", letter["sequence"]);
    let sent = world.post("adam", &redrive, json!({})).await;
    assert_eq!(sent.status, StatusCode::ACCEPTED, "{sent:?}");
    assert_eq!(json!(world.bus.last_sequence(&EVALUATE).await.unwrap()), sent.json["sequence"]);
    let audit = world.get("adam", "/api/v1/audit?kind=DeadLetter").await;
    assert_eq!((&audit.json["total"], &audit.json["items"][0]["action"]), (&json!(1), &json!("redrive")));
    assert_eq!(world.post("adam", &redrive, json!({})).await.status, StatusCode::NOT_FOUND);
    let none = world.get("adam", path).await;
    assert_eq!((&none.json["items"], &none.json["total"]), (&json!([]), &json!(0)));
    world.end().await;
}
