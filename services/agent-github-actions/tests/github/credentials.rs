//! Apps and personal tokens, old and new token formats, expiry, clocks that differ, and credentials that do not reach.

use crate::rig::{Rig, new_job, options, unauthorized};
use chrono::TimeDelta;
use fake_github::{Installation, Options, Repo, Script, TokenKind};
use serde_json::{Value, json};
use std::time::Duration;

/// The kinds of credentials the calls carried, in order.
fn kinds(rig: &Rig) -> Vec<TokenKind> {
    rig.fake.calls().iter().map(|call| call.token).collect()
}

fn mints(rig: &Rig) -> usize {
    rig.count("POST", "/access_tokens")
}

#[tokio::test]
async fn a_personal_token_goes_as_it_is() {
    let rig = Rig::of(Script::hold()).await;
    rig.run(new_job()).await;
    assert_eq!(kinds(&rig), [TokenKind::Personal]);
}

#[tokio::test]
async fn an_app_finds_its_installation_and_mints_one_token_for_many_calls() {
    let rig = Rig::of(Script::hold()).await.by_app();
    let run = rig.run(new_job()).await;
    rig.snapshot(&run).await;
    rig.run(new_job()).await;
    use TokenKind::{AppJwt, Installation};
    assert_eq!(kinds(&rig), [AppJwt, AppJwt, Installation, Installation, Installation]);
}

#[tokio::test]
async fn many_jobs_at_once_mint_one_token() {
    let rig = Rig::of(Script::hold()).await.by_app().with("installationId", json!(52_000_001));
    let runs = (0..20).map(|_| rig.run(new_job()));
    futures::future::join_all(runs).await;
    assert_eq!((mints(&rig), rig.fake.dispatch_count()), (1, 20));
    assert_eq!(rig.count("GET", "/installation"), 0, "its id was given");
}

#[tokio::test]
async fn both_token_formats_are_carried() {
    let options = Options { stateless_tokens: true, ..options(Script::hold()) };
    let rig = Rig::start(options).await.by_app();
    let run = rig.run(new_job()).await;
    rig.snapshot(&run).await;
    assert_eq!(kinds(&rig)[2..], [TokenKind::StatelessInstallation; 2]);
}

#[tokio::test]
async fn a_token_that_was_revoked_is_minted_anew_once_and_the_call_is_made() {
    let rig = Rig::of(Script::hold()).await.by_app();
    rig.run(new_job()).await;
    rig.hand.pass(Duration::from_secs(10));
    rig.fake.advance_clock(TimeDelta::seconds(10));
    rig.fake.expire_tokens();
    rig.run(new_job()).await;
    assert_eq!((mints(&rig), rig.fake.dispatch_count()), (2, 2));
}

#[tokio::test]
async fn a_token_is_not_used_in_its_last_minute() {
    let rig = Rig::of(Script::hold()).await.by_app();
    let run = rig.run(new_job()).await;
    for (minutes, minted) in [(58, 1), (1, 2)] {
        rig.hand.pass(Duration::from_secs(minutes * 60));
        rig.fake.advance_clock(TimeDelta::minutes(minutes.try_into().unwrap()));
        rig.snapshot(&run).await;
        assert_eq!(mints(&rig), minted);
    }
    assert!(!kinds(&rig).contains(&TokenKind::Rejected), "no refused token was needed to notice");
}

#[tokio::test]
async fn a_token_that_is_not_yet_known_everywhere_is_tried_again() {
    let options = Options { token_usable_after: Duration::from_millis(300), ..options(Script::hold()) };
    let rig = Rig::start(options).await.by_app();
    rig.run(new_job()).await;
    assert_eq!((mints(&rig), rig.fake.dispatch_count()), (1, 1));
    assert!(kinds(&rig).contains(&TokenKind::Rejected));
}

#[tokio::test]
async fn a_clock_that_differs_is_corrected_by_githubs() {
    let rig = Rig::of(Script::hold()).await.by_app();
    rig.hand.pass(Duration::from_secs(3_600));
    rig.run(new_job()).await;
    assert_eq!(kinds(&rig)[0], TokenKind::Rejected, "an hour ahead is refused");
    let refused = |rig: &Rig| kinds(rig).iter().filter(|kind| **kind == TokenKind::Rejected).count();
    assert_eq!(refused(&rig), 1, "and learned from at once");
    assert_eq!(mints(&rig), 1);
}

#[tokio::test]
async fn credentials_that_do_not_reach_say_so_and_start_nothing() {
    let rig = Rig::of(Script::hold()).await;
    let told = async |edits: &[(&str, Value)]| {
        let mut config = rig.config.clone();
        config.extend(edits.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        unauthorized(platform::Platform::ready(&rig.github, &config).await)
    };
    let app = |key: &str| {
        [("tokenSecret", Value::Null), ("appId", json!("12345")), ("privateKeySecret", json!(key))]
    };
    let error = told(&[("tokenSecret", json!("nowhere"))]).await;
    assert!(error.contains("nowhere"), "{error}");
    let error = told(&app("no-key")).await;
    assert!(
        error.contains("no-key of acme is not a private RSA key") && !error.contains("hunter2"),
        "{error}"
    );
    let error = told(&[&app("app-key")[..], &[("appId", json!(999))]].concat()).await;
    assert!(error.contains("401") && error.contains("'iss'"), "{error}");
    let error = told(&[&app("app-key")[..], &[("owner", json!("Other"))]].concat()).await;
    assert!(error.contains("not installed on Other/Shop"), "{error}");
    let error = told(&[&app("app-key")[..], &[("installationId", json!(4))]].concat()).await;
    assert!(error.contains("no installation 4"), "{error}");
    assert_eq!(rig.fake.dispatch_count(), 0);
}

#[tokio::test]
async fn a_wrong_personal_token_is_not_tried_again() {
    let rig = Rig::of(Script::hold()).await.with("tokenSecret", json!("no-key"));
    unauthorized(rig.trigger(new_job()).await);
    assert_eq!(rig.count("POST", "/dispatches"), 1);
}

#[tokio::test]
async fn a_suspended_installation_is_a_matter_of_credentials() {
    let rig = Rig::of(Script::hold()).await.by_app();
    let run = rig.run(new_job()).await;
    rig.fake.suspend_installation(52_000_001);
    let error = unauthorized(rig.observe(&run).await);
    assert!(error.contains("suspended"), "{error}");
    unauthorized(rig.trigger(new_job()).await);
    rig.fake.unsuspend_installation(52_000_001);
    rig.snapshot(&run).await;
}

#[tokio::test]
async fn what_an_app_may_not_see_is_not_called_gone() {
    let mut options = options(Script::hold());
    options.repos.push(Repo::new("Acme", "Secret"));
    let app = options.app.as_mut().unwrap();
    app.installations = vec![Installation {
        repositories: Some(vec!["Shop".to_owned()]),
        ..Installation::of(52_000_001, "Acme")
    }];
    let rig = Rig::start(options).await.by_app();
    let run = rig.run(new_job()).await;
    let rig = rig.with("repo", json!("Secret"));
    unauthorized(rig.observe(&run).await);
}

#[tokio::test]
async fn an_app_that_may_only_read_is_told_so_before_anything_starts() {
    let mut options = options(Script::hold());
    let mut installation = Installation::of(52_000_001, "Acme");
    installation.permissions.insert("actions".to_owned(), "read".to_owned());
    options.app.as_mut().unwrap().installations = vec![installation];
    let rig = Rig::start(options).await.by_app();
    let error = unauthorized(rig.trigger(new_job()).await);
    assert!(error.contains("permissions requested are not granted"), "{error}");
    assert_eq!(rig.count("POST", "/dispatches"), 0);
}
