//! Tokens that do not reach, each said so; and none of them to be seen anywhere.

use crate::rig::{PLANTED, Rig, invalid, new_job, number, unauthorized};
use fake_gitlab::{Fault, FaultKind, Script};
use platform::{CancelMode, Platform as _, Seen};
use serde_json::{Value, json};

#[tokio::test]
async fn what_does_not_reach_says_so_and_starts_nothing() {
    for (edits, words) in [
        (vec![("tokenSecret", json!("nowhere"))], "nowhere"),
        (vec![("tokenSecret", json!("wrong"))], "401 Unauthorized"),
        (vec![("tokenSecret", json!("stranger"))], "no project acme/shop, or does not show it"),
        (vec![("project", json!("acme/missing"))], "no project acme/missing"),
        (vec![("tokenSecret", json!("reader"))], "higher privileges"),
        (vec![("triggerTokenSecret", json!("wrong"))], "the trigger token is none of its"),
        (vec![("triggerTokenSecret", json!("nowhere"))], "nowhere"),
    ] {
        let mut rig = Rig::of(Script::hold()).await;
        rig.config.extend(edits.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        let error = unauthorized(rig.trigger(new_job()).await);
        assert!(error.contains(words), "{edits:?}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
        assert_eq!(rig.fake.start_count(), 0, "{edits:?}");
    }
}

#[tokio::test]
async fn a_trigger_token_alone_is_refused_before_anything_starts() {
    let rig = Rig::of(Script::hold()).await.with("tokenSecret", Value::Null);
    let rig = rig.with("triggerTokenSecret", json!("trigger"));
    let error = invalid(rig.gitlab.ready(&rig.config).await);
    assert!(error.contains("`tokenSecret` is missing") && error.contains("read_api"), "{error}");
    assert!(rig.fake.calls().is_empty());
}

#[tokio::test]
async fn a_token_that_reads_is_enough_beside_a_trigger_token_until_something_is_to_be_ended() {
    let rig = Rig::of(Script::hold()).await.with("triggerTokenSecret", json!("trigger"));
    let rig = rig.with("tokenSecret", json!("reader"));
    let run = rig.run(new_job()).await;
    rig.snapshot(&run).await;
    let error = unauthorized(rig.cancel(&run, CancelMode::Graceful).await);
    assert!(error.contains("higher privileges"), "{error}");
}

#[tokio::test]
async fn what_is_out_of_sight_is_not_called_gone() {
    let rig = Rig::of(Script::hold()).await;
    let run = rig.run(new_job()).await;
    rig.fake.delete(number(&run));
    assert_eq!(rig.observe(&run).await, Ok(Seen::Gone));
    let rig = rig.with("tokenSecret", json!("stranger"));
    unauthorized(rig.observe(&run).await);
    unauthorized(rig.cancel(&run, CancelMode::Graceful).await);
}

/// Whatever goes wrong, and if GitLab itself repeats a token in its answer.
#[tokio::test]
async fn no_token_is_in_any_answer_or_error() {
    let rig = Rig::of(Script::hold()).await.with("triggerTokenSecret", json!("trigger"));
    let run = rig.run(new_job()).await;
    let mut said = vec![format!("{run:?}"), format!("{:?}", rig.snapshot(&run).await)];
    let echo = json!({ "message": format!("no such token: {}", PLANTED.join(" ")) }).to_string();
    for status in [400, 401, 403, 409, 422, 429, 500] {
        for (method, path) in [("POST", "*/trigger/pipeline"), ("GET", "*/pipelines/*")] {
            let kind = FaultKind::Answer { status, headers: Vec::new(), body: echo.clone() };
            rig.fake.inject(Fault::once(method, path, kind));
        }
        said.push(format!(
            "{:?}",
            rig.gitlab.trigger(&platform::TriggerRequest { job: new_job(), config: &rig.config }).await
        ));
        said.push(format!("{:?}", rig.observe(&run).await));
        rig.hand.pass(std::time::Duration::from_secs(61));
    }
    rig.fake.inject(Fault::once("POST", "*/trigger/pipeline", FaultKind::DropAfterEffect));
    said.push(format!("{:?}", rig.trigger(new_job()).await));
    assert!(said.len() > 10);
    for text in said {
        assert!(PLANTED.iter().all(|secret| !text.contains(secret)), "{text}");
    }
}
