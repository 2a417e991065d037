//! Who is let in: App JWTs, installation tokens of both formats, personal tokens.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod support;

use chrono::TimeDelta;
use fake_github::{FakeGithub, Options, Script, TokenKind};
use serde_json::json;
use support::{Caller, DISPATCH, PAT, SOON, app_jwt, options};

const MINT: &str = "/app/installations/52000001/access_tokens";

async fn minted(fake: &FakeGithub) -> String {
    let app = Caller::of(fake, &app_jwt("4711", 540));
    let (status, answer) = app.json(app.post(MINT, &json!({ "permissions": { "actions": "write" } }))).await;
    assert_eq!(status, 201, "{answer}");
    answer["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_app_finds_its_installation_mints_a_token_and_dispatches() {
    let fake = FakeGithub::start(options(Script::success())).await.unwrap();
    let app = Caller::of(&fake, &app_jwt("4711", 540));
    let (status, found) = app.json(app.get("/repos/acme/shop/installation")).await;
    assert_eq!((status, found["id"].as_u64()), (200, Some(52_000_001)));
    assert_eq!(app.json(app.get("/repos/acme/none/installation")).await.0, 404);

    let (_, answer) = app.json(app.post(MINT, &json!({ "permissions": { "actions": "write" } }))).await;
    assert_eq!(answer["permissions"], json!({ "actions": "write", "metadata": "read" }));
    assert_eq!(answer["repository_selection"], "all");
    assert!(answer["expires_at"].as_str().unwrap().ends_with('Z'));
    let token = answer["token"].as_str().unwrap();
    assert!(token.starts_with("ghs_") && token.len() == 40, "the classic format");
    Caller::of(&fake, token).dispatch("j1").await;
    assert_eq!(fake.calls().last().unwrap().token, TokenKind::Installation);
    fake.shutdown().await;
}

#[tokio::test]
async fn jwts_are_checked_as_github_checks_them() {
    let fake = FakeGithub::start(options(Script::success())).await.unwrap();
    for (jwt, expected, why) in [
        (app_jwt("4711", 590), 201, "valid"),
        (app_jwt("4712", 540), 401, "another App"),
        (app_jwt("4711", 700), 401, "more than ten minutes"),
        (app_jwt("4711", -5), 401, "expired"),
        (format!("{}x", app_jwt("4711", 540)), 401, "bad signature"),
        (PAT.to_owned(), 401, "no JWT at all"),
    ] {
        let app = Caller::of(&fake, &jwt);
        let (status, answer) = app.json(app.post(MINT, &json!({}))).await;
        assert_eq!(status, expected, "{why}: {}", answer["message"]);
    }
    let app = Caller::of(&fake, &app_jwt("4711", 540));
    let too_much = json!({ "permissions": { "administration": "write" } });
    assert_eq!(app.json(app.post(MINT, &too_much)).await.0, 422);
    assert_eq!(app.json(app.post(MINT, &json!({ "repositories": ["none"] }))).await.0, 422);
}

#[tokio::test]
async fn stateless_tokens_come_by_option_or_header() {
    let fake = FakeGithub::start(options(Script::success())).await.unwrap();
    let app = Caller::of(&fake, &app_jwt("4711", 540));
    let asked = app.post(MINT, &json!({})).header("X-GitHub-Stateless-S2S-Token", "enabled");
    let (_, by_header) = app.json(asked).await;
    let always = Options { stateless_tokens: true, ..options(Script::success()) };
    let other = FakeGithub::start(always).await.unwrap();
    for token in [by_header["token"].as_str().unwrap(), &minted(&other).await] {
        assert!(token.starts_with("ghs_4711_"), "names the App");
        assert!((480..560).contains(&token.len()) && token.matches('.').count() == 2, "{}", token.len());
    }
    Caller::of(&other, &minted(&other).await).dispatch("j1").await;
    assert_eq!(other.calls().last().unwrap().token, TokenKind::StatelessInstallation);
}

#[tokio::test]
async fn tokens_expire_and_installations_are_suspended() {
    let fake = FakeGithub::start(options(Script::success())).await.unwrap();
    let caller = Caller::of(&fake, &minted(&fake).await);
    caller.dispatch("j1").await;
    fake.expire_tokens();
    assert_eq!(caller.json(caller.get("/repos/acme/shop")).await.0, 401);

    let caller = Caller::of(&fake, &minted(&fake).await);
    fake.advance_clock(TimeDelta::minutes(59));
    assert_eq!(caller.json(caller.get("/repos/acme/shop")).await.0, 200);
    fake.advance_clock(TimeDelta::minutes(2));
    let (status, answer) = caller.json(caller.get("/repos/acme/shop")).await;
    assert_eq!((status, answer["message"].as_str()), (401, Some("Bad credentials")));

    let fake = FakeGithub::start(options(Script::success())).await.unwrap();
    let caller = Caller::of(&fake, &minted(&fake).await);
    fake.suspend_installation(52_000_001);
    assert_eq!(caller.json(caller.get("/repos/acme/shop")).await.0, 403);
    let app = Caller::of(&fake, &app_jwt("4711", 540));
    assert_eq!(app.json(app.post(MINT, &json!({}))).await.0, 403);
}

#[tokio::test]
async fn personal_tokens_work_and_strangers_do_not() {
    let fake = FakeGithub::start(options(Script::success())).await.unwrap();
    Caller::of(&fake, PAT).under("/api/v3").dispatch("j1").await;
    let body = json!({ "ref": "main", "inputs": { "job_id": "j2" } });
    let stranger = Caller::of(&fake, "ghp_unknown");
    assert_eq!(stranger.json(stranger.post(DISPATCH, &body)).await.0, 401);
    assert_eq!(fake.dispatch_count(), 1, "a refused dispatch starts nothing");

    let reader = Caller::of(&fake, &app_jwt("4711", 540));
    let (_, answer) = reader.json(reader.post(MINT, &json!({ "permissions": { "metadata": "read" } }))).await;
    let reader = Caller::of(&fake, answer["token"].as_str().unwrap());
    let (status, answer) = reader.json(reader.post(DISPATCH, &body)).await;
    assert_eq!((status, answer["message"].as_str()), (403, Some("Resource not accessible by integration")));

    let call = fake.wait_for_call(SOON, |c| c.status == Some(401)).await.unwrap();
    assert_eq!((call.path.as_str(), call.token), (DISPATCH, TokenKind::Rejected));
}
