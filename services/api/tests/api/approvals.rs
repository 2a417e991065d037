//! Approvals: whose word it is, when it was said, and when saying it again is another word.

use crate::harness::{World, acme, until};
use bus::topology::CATALOG;
use domain::Timestamp;
use domain::audit::Role;
use domain::entity::{Approval, ApprovalStatus, CatalogKey, Entity, Kind, Meta, Record};
use domain::id::{ApprovalId, DeploymentId, EnvironmentId, VersionId};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const WORD: &str = "/api/v1/workspaces/acme/deployment-versions/web:2.0/user-approval-records";
/// A target in production, where a yes counts for an hour; a disabled policy and one of staging count for nothing.
const EXPIRING: &str = "kind: Resource\nmetadata: { name: prod, workspace: acme, metadata: { stage: production } }\n\
    spec: { identifier: prod, type: kubernetes-cluster }\n---\n\
    kind: Resource\nmetadata: { name: stage, workspace: acme, metadata: { stage: staging } }\n\
    spec: { identifier: stage, type: kubernetes-cluster }\n---\n\
    kind: Policy\nmetadata: { name: fresh, workspace: acme }\n\
    spec: { selector: environment.name == 'production', rules: [{ anyApproval: { minApprovals: 1, expiresAfterSeconds: 3600 } }] }\n---\n\
    kind: Policy\nmetadata: { name: off, workspace: acme }\n\
    spec: { enabled: false, selector: 'true', rules: [{ anyApproval: { minApprovals: 1, expiresAfterSeconds: 1 } }] }\n";

async fn world() -> World {
    let world = World::with_shop().await;
    assert_eq!(world.apply("adam", EXPIRING, false).await.status, StatusCode::OK);
    let version = "/api/v1/workspaces/acme/deployments/web/versions";
    assert_eq!(world.post("otto", version, json!({ "tag": "2.0" })).await.status, StatusCode::OK);
    world
}

fn word(environment: &str, status: &str) -> Value {
    json!({ "status": status, "environmentIds": [environment] })
}

fn key_of(environment: &str, user: &str) -> (VersionId, EnvironmentId, CatalogKey) {
    let version = VersionId::of(DeploymentId::of(&acme(), "web"), "2.0");
    let environment = EnvironmentId::of(&acme(), environment);
    let id = ApprovalId::of(version, environment, user).0;
    (version, environment, CatalogKey { workspace: acme(), kind: Kind::Approval, id })
}

/// What is stored of a person's word, and its revision.
async fn stored(world: &World, environment: &str, user: &str) -> (Approval, u64) {
    let (.., key) = key_of(environment, user);
    let found = world.bus.bucket(&CATALOG).get_json::<Entity>(&key.to_string()).await.expect("read");
    let (Entity::Approval(approval), revision) = found.expect("it is there") else { panic!("an approval") };
    (approval.spec, revision)
}

/// Somebody said it then.
async fn said(world: &World, environment: &str, user: &str, status: ApprovalStatus, at: Timestamp) {
    let (version, environment, key) = key_of(environment, user);
    let meta = Meta {
        id: key.id,
        workspace: acme(),
        name: "a word".into(),
        metadata: [].into(),
        created_at: at,
        updated_at: at,
    };
    let role = Some(if user == "adam" { Role::Admin } else { Role::Approver });
    let spec = Approval {
        version,
        environment,
        user: user.into(),
        status,
        reason: None,
        role,
        at,
        of_content: None,
    };
    let entity = Entity::Approval(Record { meta, spec });
    world.bus.bucket(&CATALOG).create_json(&key.to_string(), &entity).await.expect("created");
}

/// The version was there a year before anybody said anything.
async fn long_there(world: &World) {
    let (version, ..) = key_of("production", "anna");
    let key = CatalogKey { workspace: acme(), kind: Kind::Version, id: version.0 }.to_string();
    let bucket = world.bus.bucket(&CATALOG);
    let (mut entity, revision) = bucket.get_json::<Entity>(&key).await.expect("read").expect("it is there");
    entity.meta_mut().created_at = "2025-01-01T00:00:00Z".parse().unwrap();
    bucket.update_json(&key, &entity, revision).await.expect("updated");
    until("the version is seen to be old", async || {
        let seen = world.get("vera", "/api/v1/workspaces/acme/deployment-versions/web:2.0").await;
        let lists = world.get("vera", "/api/v1/workspaces/acme/deployments/web/versions").await;
        let is_old = |version: &Value| version["createdAt"] == json!("2025-01-01T00:00:00Z");
        let items = lists.json["items"].as_array()?;
        (is_old(&seen.json) && items.iter().any(is_old)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_approved_and_then_changed_is_approved_again() {
    let world = world().await;
    let yes = async |key: &str| world.ask(key, Method::PUT, WORD, Some(word("staging", "approved"))).await;
    let version = "/api/v1/workspaces/acme/deployment-versions/web:2.0";
    let patch = async |change: Value| world.ask("otto", Method::PATCH, version, Some(change)).await.json;
    assert_eq!(yes("anna").await.status, StatusCode::ACCEPTED);
    let (first, _) = stored(&world, "staging", "anna").await;
    assert_eq!(first.role, Some(Role::Approver));
    assert!(first.of_content.is_some(), "{first:?}");

    let links = json!({ "metadata": { "ctrlplane/links": "{\"CI\": \"https://ci.example/1\"}" } });
    for harmless in
        [links, json!({ "status": "paused" }), json!({ "status": "ready" }), json!({ "config": {} })]
    {
        let changed = patch(harmless).await;
        assert!(changed["contentSince"].is_null() && changed["editedBy"].is_null(), "{changed}");
    }
    yes("anna").await;
    assert_eq!(stored(&world, "staging", "anna").await.0, first, "it is the same word");

    let changed = patch(json!({ "config": { "image": "web:other" } })).await;
    let since: Timestamp = changed["contentSince"].as_str().expect("told").parse().unwrap();
    assert!(since >= first.at, "{changed}");
    assert_eq!(changed["editedBy"], json!(["otto"]));
    yes("anna").await;
    let (second, _) = stored(&world, "staging", "anna").await;
    assert!(second.at >= since, "{second:?} is about what it is now");
    assert!(second.of_content.is_some() && second.of_content != first.of_content, "{second:?}");
    yes("anna").await;
    assert_eq!(stored(&world, "staging", "anna").await.0, second);
    // The same again, as CI would declare it, is the same.
    let again = json!({ "tag": "2.0", "config": { "image": "web:other" }, "metadata": changed["metadata"] });
    let again =
        world.post("otto", "/api/v1/workspaces/acme/deployments/web/versions?upsert=true", again).await;
    assert_eq!(again.json["contentSince"], changed["contentSince"], "{again:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_that_has_expired_may_be_said_again_and_no_other_word_moves() {
    let world = world().await;
    long_there(&world).await;
    let long_ago: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    said(&world, "production", "anna", ApprovalStatus::Approved, long_ago).await;
    said(&world, "staging", "anna", ApprovalStatus::Approved, long_ago).await;
    said(&world, "production", "adam", ApprovalStatus::Rejected, long_ago).await;

    let began = bus::clock::now();
    let again = world.ask("anna", Method::PUT, WORD, Some(word("production", "approved"))).await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{again:?}");
    let (renewed, revision) = stored(&world, "production", "anna").await;
    assert!(renewed.at >= began && renewed.at <= bus::clock::now(), "{renewed:?}");
    for _ in 0..2 {
        world.ask("anna", Method::PUT, WORD, Some(word("production", "approved"))).await;
        assert_eq!(stored(&world, "production", "anna").await, (renewed.clone(), revision), "it counts yet");
    }

    // Nothing expires in staging, and a no nowhere.
    world.ask("anna", Method::PUT, WORD, Some(word("staging", "approved"))).await;
    assert_eq!(stored(&world, "staging", "anna").await.0.at, long_ago);
    world.ask("adam", Method::PUT, WORD, Some(word("production", "rejected"))).await;
    assert_eq!(stored(&world, "production", "adam").await.0.at, long_ago);
    // Another word is one at once.
    world.ask("adam", Method::PUT, WORD, Some(word("production", "approved"))).await;
    let (changed, _) = stored(&world, "production", "adam").await;
    assert_eq!((changed.status, changed.at >= began), (ApprovalStatus::Approved, true));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_the_word_of_the_key_now_whoever_and_whenever_the_client_says() {
    let world = world().await;
    let began = bus::clock::now();
    let claimed = json!({ "status": "approved", "environmentIds": ["production"], "user": "adam", "userId": "adam",
        "at": "2020-01-01T00:00:00Z", "createdBy": "adam" });
    let answer = world.ask("anna", Method::PUT, WORD, Some(claimed)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let file = "kind: Approval\nmetadata: { workspace: acme }\nspec: { deployment: web, version: '2.0', environment: staging,\n  \
                user: adam, status: approved, at: '2036-01-01T00:00:00Z' }\n";
    for actions in [["created"], ["unchanged"]] {
        assert_eq!(world.apply("anna", file, false).await.actions(), actions);
    }
    for environment in ["production", "staging"] {
        let (approval, _) = stored(&world, environment, "anna").await;
        assert_eq!(approval.user, "anna");
        assert!(approval.at >= began && approval.at <= bus::clock::now(), "{approval:?}");
        let (.., adams) = key_of(environment, "adam");
        let path = format!("/api/v1/workspaces/acme/catalog/approval/{}", adams.id);
        assert_eq!(world.get("vera", &path).await.status, StatusCode::NOT_FOUND, "adam said nothing");
    }
    assert_eq!(
        world.ask("otto", Method::PUT, WORD, Some(word("production", "approved"))).await.status,
        StatusCode::FORBIDDEN
    );
    world.end().await;
}
