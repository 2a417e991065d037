//! Missed deliveries: GitLab's log of a webhook is read page by page, and what is missing is sent again on demand.

use crate::rig::{PROJECT, Rig, invalid, unauthorized};
use domain::token::Slug;
use domain::webhook::{Answer, Attempt};
use fake_gitlab::{Hook, Script};
use platform::{HookAt, Platform as _, Recover, Redelivered};
use serde_json::{Value, json};

const PUSHES: usize = 25;

/// The whole log, newest first.
async fn log(recover: &dyn Recover, at: &HookAt<'_>) -> Vec<Attempt> {
    let since = bus::clock::now() - chrono::TimeDelta::hours(1);
    let (mut all, mut page) = (Vec::new(), None);
    loop {
        let read = recover.attempts(at, since, page.as_deref()).await.unwrap();
        all.extend(read.attempts);
        page = read.next;
        if page.is_none() {
            return all;
        }
    }
}

#[tokio::test]
async fn what_was_missed_is_in_the_log_and_is_sent_again_on_demand() {
    let rig = Rig::of(Script::hold()).await;
    // Nobody listens there.
    rig.fake.set_hook(Some(Hook::with_token("http://127.0.0.1:1/webhooks/acme/gitlab", "t0ken")));
    for n in 0..PUSHES {
        rig.fake.push(PROJECT, "refs/heads/main", &n.to_string()).await.unwrap();
    }
    let recover = rig.gitlab.recover().unwrap();
    let hook = recover.hook(&rig.config).unwrap().unwrap();
    assert_eq!((hook.platform.as_str(), hook.scope.as_str()), ("gitlab", PROJECT));
    let workspace: Slug = "acme".parse().unwrap();
    let at = HookAt { hook: &hook, workspace: &workspace, config: &rig.config };
    let missed = log(recover, &at).await;
    assert_eq!(missed.len(), PUSHES);
    let unanswered = Answer::Unanswered { status: None };
    assert!(missed.iter().all(|attempt| attempt.answer == unanswered && !attempt.is_repeat), "{missed:?}");
    assert!(missed.iter().all(|attempt| attempt.event == "Push_Hook"));

    assert_eq!(recover.redeliver(&at, &missed[3].id).await, Ok(Redelivered::Asked));
    let again = log(recover, &at).await;
    assert_eq!(again.len(), PUSHES + 1);
    assert_eq!((&again[0].delivery, again[0].is_repeat), (&missed[3].delivery, true));
    assert_eq!(recover.redeliver(&at, "1/7").await, Ok(Redelivered::NotKept));
}

#[tokio::test]
async fn a_webhook_that_is_not_ours_or_out_of_sight_is_said_so() {
    let rig = Rig::of(Script::hold()).await;
    rig.fake.set_hook(Some(Hook::with_token("http://127.0.0.1:1/elsewhere", "t0ken")));
    let recover = rig.gitlab.recover().unwrap();
    let hook = recover.hook(&rig.config).unwrap().unwrap();
    let workspace: Slug = "acme".parse().unwrap();
    let since = bus::clock::now();
    let at = HookAt { hook: &hook, workspace: &workspace, config: &rig.config };
    let error = invalid(recover.attempts(&at, since, None).await);
    assert!(error.contains("no webhook that leads to /webhooks/acme/"), "{error}");
    let mut named = rig.config.clone();
    named.insert("hookId".to_owned(), json!(fake_gitlab::HOOK_ID));
    let at = HookAt { config: &named, ..at };
    assert_eq!(recover.attempts(&at, since, None).await.unwrap().attempts, []);

    let mut reader = rig.config.clone();
    reader.insert("tokenSecret".to_owned(), json!("reader"));
    let at = HookAt { config: &reader, ..at };
    let error = unauthorized(recover.attempts(&at, since, None).await);
    assert!(error.contains("Maintainer"), "{error}");

    let mut rendered_later = rig.config.clone();
    rendered_later.insert("project".to_owned(), Value::from("acme/{{ deployment.slug }}"));
    rendered_later.insert("inputs".to_owned(), json!("{{ nonsense"));
    assert_eq!(recover.hook(&rendered_later), Ok(None));
}
