//! Versions and what people say of them.

use crate::harness::{World, acme, until};
use bus::topology::{AUDIT, CATALOG};
use domain::entity::{ApprovalStatus, Entity, Kind};
use domain::id::{ApprovalId, DeploymentId, EnvironmentId, VersionId};
use reqwest::{Method, StatusCode};
use serde_json::json;

const VERSIONS: &str = "/api/v1/workspaces/acme/deployments/web/versions";

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_created_once_and_changed_by_name() {
    let world = World::with_shop().await;
    let body = json!({ "tag": "2.0", "name": "", "config": {"image": "web:2.0"}, "metadata": {"createdBy": "somebody"} });
    let created = world.post("otto", VERSIONS, body.clone()).await;
    assert_eq!(created.status, StatusCode::OK, "{created:?}");
    assert_eq!((&created.json["name"], &created.json["status"]), (&json!("2.0"), &json!("ready")));
    assert_eq!(created.json["metadata"]["createdBy"], "otto", "nobody says who they are");

    assert_eq!(world.post("otto", VERSIONS, body.clone()).await.status, StatusCode::CONFLICT);
    let again = world.post("adam", &format!("{VERSIONS}?upsert=true"), body).await;
    assert_eq!((again.status, &again.json), (StatusCode::OK, &created.json), "the same again is no change");
    for (wrong, field) in
        [(json!({"tag": " "}), "tag"), (json!({"tag": "3", "dependencies": {"db": "1"}}), "dependencies")]
    {
        let answer = world.post("otto", VERSIONS, wrong).await;
        assert_eq!(
            (answer.status, &answer.json["errors"][0]["field"]),
            (StatusCode::BAD_REQUEST, &json!(field))
        );
    }

    let id = created.json["id"].as_str().unwrap();
    for (path, status) in [("deployment-versions", "paused"), ("deploymentversions", "rejected")] {
        let path = format!("/api/v1/workspaces/acme/{path}/{id}");
        let changed = world.ask("otto", Method::PATCH, &path, Some(json!({ "status": status }))).await;
        assert_eq!(
            (changed.status, &changed.json["status"]),
            (StatusCode::ACCEPTED, &json!(status)),
            "{changed:?}"
        );
        assert_eq!(changed.json["config"], json!({"image": "web:2.0"}));
    }
    for name in ["web:2.0", "web%2F2.0", id] {
        let read = world.get("vera", &format!("/api/v1/workspaces/acme/catalog/version/{name}")).await;
        assert_eq!(
            (read.status, &read.json["spec"]["status"]),
            (StatusCode::OK, &json!("rejected")),
            "{name}"
        );
    }
    let list = world.get("vera", VERSIONS).await;
    assert_eq!(list.json["total"], json!(1));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_the_word_of_the_key_for_the_named_environments_only() {
    let world = World::with_shop().await;
    world.post("otto", VERSIONS, json!({ "tag": "2.0" })).await;
    let path = "/api/v1/workspaces/acme/deployment-versions/web:2.0/user-approval-records";
    let word = |environments: &[&str]| json!({ "status": "approved", "environmentIds": environments, "reason": "fine" });

    let unknown = world.ask("anna", Method::PUT, path, Some(word(&["staging", "moon"]))).await;
    assert_eq!(
        (unknown.status, &unknown.json["errors"][0]["field"]),
        (StatusCode::BAD_REQUEST, &json!("environmentIds[1]"))
    );

    let production = EnvironmentId::of(&acme(), "production");
    let said = world.ask("anna", Method::PUT, path, Some(word(&[&production.to_string()]))).await;
    assert_eq!(said.status, StatusCode::ACCEPTED, "{said:?}");
    let version = VersionId::of(DeploymentId::of(&acme(), "web"), "2.0");
    let id = ApprovalId::of(version, production, "anna");
    assert_eq!(said.json["id"], json!(id));

    let key = domain::entity::CatalogKey { workspace: acme(), kind: Kind::Approval, id: id.0 };
    let (stored, revision) =
        world.bus.bucket(&CATALOG).get_json::<Entity>(&key.to_string()).await.unwrap().expect("written");
    let Entity::Approval(approval) = stored else { panic!("{stored:?}") };
    assert_eq!((approval.spec.user.as_str(), approval.spec.status), ("anna", ApprovalStatus::Approved));
    let all = world.get("vera", "/api/v1/workspaces/acme/catalog/approvals").await;
    assert_eq!(all.json["total"], json!(1), "staging was not approved");

    let again = world.ask("anna", Method::PUT, path, Some(word(&["production"]))).await;
    assert_eq!(again.status, StatusCode::ACCEPTED);
    let (_, unchanged) =
        world.bus.bucket(&CATALOG).get_json::<Entity>(&key.to_string()).await.unwrap().unwrap();
    assert_eq!(unchanged, revision, "saying it again writes nothing");

    let audited = until("the audit", || async {
        let last = world.bus.last_sequence(&AUDIT).await.unwrap();
        (last > 0).then_some(last)
    })
    .await;
    let stream = world.bus.jetstream().get_stream(AUDIT.name).await.unwrap();
    let last = stream.get_raw_message(audited).await.unwrap();
    assert_eq!(last.subject.as_str(), "ctrlplane.audit.acme.Approval");
    let event: serde_json::Value = serde_json::from_slice(&last.payload).unwrap();
    assert_eq!((&event["actor"]["key"], &event["action"]), (&json!("anna"), &json!("create")));
    assert_eq!((&event["object"]["id"], &event["after"]), (&json!(id), &json!(revision)));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_says_what_it_needs_with_its_creation_or_one_by_one() {
    let world = World::with_shop().await;
    let other = "kind: Deployment\nmetadata: { name: db, workspace: acme }\nspec:\n  systems: [shop]\n  \
                 jobAgents: [{ ref: github }]\n  jobAgentConfig: { workflow: db.yml, ref: main }\n";
    assert_eq!(world.apply("adam", other, false).await.status, StatusCode::OK);
    let needs = |deployment: &str, selector: &str| json!({ "tag": "2.0", "dependencies": [{ "deployment": deployment, "versionSelector": selector }] });
    for (wrong, field) in [
        (needs("moon", "true"), "dependencies[0].deployment"),
        (needs("web", "true"), "dependencies[0].deployment"),
        (needs("db", "resource.name == 'x'"), "dependencies[0].versionSelector"),
        (needs("db", ""), "dependencies[0].versionSelector"),
        (
            json!({ "tag": "2.0", "dependencies": [
                { "deployment": "db", "versionSelector": "true" },
                { "deploymentId": "db", "versionSelector": "false" },
            ] }),
            "dependencies[1].deployment",
        ),
    ] {
        let answer = world.post("otto", VERSIONS, wrong.clone()).await;
        let named = (answer.status, &answer.json["errors"][0]["field"]);
        assert_eq!(named, (StatusCode::BAD_REQUEST, &json!(field)), "{wrong}: {answer:?}");
    }
    assert_eq!(world.get("vera", VERSIONS).await.json["total"], json!(0), "nothing was written");

    let created = world.post("otto", VERSIONS, needs("db", "version.tag == '1'")).await;
    assert_eq!(created.status, StatusCode::OK, "{created:?}");
    let version = "/api/v1/workspaces/acme/deployment-versions/web:2.0";
    let (all, one) = (format!("{version}/dependencies"), format!("{version}/dependencies/db"));
    let selector = async || world.get("vera", &all).await.json["items"][0]["versionSelector"].clone();
    assert_eq!(selector().await, json!("version.tag == '1'"));
    let put = async |key: &str, path: &str, selector: &str| {
        world.ask(key, Method::PUT, path, Some(json!({ "versionSelector": selector }))).await
    };
    assert_eq!(put("vera", &one, "true").await.status, StatusCode::FORBIDDEN);
    let wrong = put("otto", &one, "version.").await;
    assert_eq!(wrong.json["errors"][0]["field"], json!("versionSelector"), "{wrong:?}");
    assert_eq!(put("otto", &format!("{all}/moon"), "true").await.status, StatusCode::NOT_FOUND);
    assert_eq!(put("otto", &format!("{all}/web"), "true").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(put("otto", &one, "version.tag == '2'").await.status, StatusCode::ACCEPTED);
    assert_eq!(selector().await, json!("version.tag == '2'"));

    let other = world.ask("otto", Method::PATCH, version, Some(json!({ "name": "two" }))).await;
    assert_eq!(other.json["dependencies"].as_array().map(Vec::len), Some(1), "{other:?}");
    for status in [StatusCode::ACCEPTED, StatusCode::NOT_FOUND] {
        assert_eq!(world.ask("otto", Method::DELETE, &one, None).await.status, status);
    }
    let again = json!({ "dependencies": [{ "deployment": "db", "versionSelector": "true" }] });
    let patched = world.ask("otto", Method::PATCH, version, Some(again)).await;
    assert_eq!(patched.status, StatusCode::ACCEPTED, "{patched:?}");
    assert_eq!(selector().await, json!("true"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_may_say_when_it_was_created_and_not_since_when_it_is_known() {
    let world = World::with_shop().await;
    let body = json!({ "tag": "1.9", "createdAt": "2020-01-01T00:00:00Z" });
    let older = world.post("otto", VERSIONS, body).await;
    assert_eq!(older.json["createdAt"], "2020-01-01T00:00:00Z");
    assert!(older.json["knownSince"].is_string(), "rules count from then: {older:?}");
    let newest = world.post("otto", VERSIONS, json!({ "tag": "2.0" })).await;
    assert!(newest.json["knownSince"].is_null(), "its creation says it: {newest:?}");
}
