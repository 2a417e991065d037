//! The audit: who did what, the newest first, what changed, and for whom it is.

use crate::harness::{SHOP, World, until};
use bus::topology::CATALOG;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const AUDIT: &str = "/api/v1/workspaces/acme/audit";

async fn items(world: &World, query: &str) -> (u64, Vec<Value>) {
    let answer = world.get("vera", &format!("{AUDIT}?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.json["complete"], true, "{answer:?}");
    (answer.json["total"].as_u64().unwrap(), answer.json["items"].as_array().unwrap().clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_told_with_what_was_and_what_is() {
    let world = World::with_shop().await;
    let changed = SHOP.replace("minApprovals: 1", "minApprovals: 2");
    assert_eq!(world.apply("adam", &changed, false).await.status, StatusCode::OK);
    let (total, all) = items(&world, "limit=100").await;
    assert_eq!((total, all.len()), (9, 9), "eight were created, one was changed");
    let newest = &all[0];
    assert_eq!((&newest["action"], &newest["object"]["name"]), (&json!("update"), &json!("gate")));
    assert_eq!(newest["actor"], json!({ "key": "adam", "role": "admin" }));
    let rule = |state: &Value| state["spec"]["rules"][0]["anyApproval"]["minApprovals"].clone();
    assert_eq!((rule(&newest["before"]), rule(&newest["after"])), (json!(1), json!(2)), "{newest}");
    for state in ["before", "after"] {
        assert_eq!(newest[state].as_object().unwrap().len(), 1, "only what differs: {newest}");
        assert_eq!(newest[state]["spec"].as_object().unwrap().len(), 1, "{newest}");
    }
    let revisions = &newest["revisions"];
    assert!(revisions["after"].as_u64() > revisions["before"].as_u64(), "{newest}");
    let created = all.iter().find(|event| event["object"]["name"] == "shop").unwrap();
    assert_eq!((&created["before"], &created["action"]), (&Value::Null, &json!("create")));
    assert_eq!(created["after"]["spec"]["description"], "Everything customers see");
    let times: Vec<&str> = all.iter().map(|event| event["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|one, other| one >= other), "{times:?}");

    // Applying the same again is no write.
    assert_eq!(world.apply("adam", &changed, false).await.status, StatusCode::OK);
    assert_eq!(items(&world, "").await.0, 9);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_asked_by_who_what_and_when_and_page_by_page() {
    let world = World::with_shop().await;
    let versions = "/api/v1/workspaces/acme/deployments/web/versions";
    for tag in ["1", "2", "3"] {
        let answer = world.post("otto", versions, json!({ "tag": tag })).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    let names = |items: &[Value]| {
        items.iter().map(|event| event["object"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (total, found) = items(&world, "actor=otto").await;
    assert_eq!((total, names(&found)), (3, vec!["web 3".into(), "web 2".into(), "web 1".into()]));
    let (total, found) = items(&world, "actor=otto&limit=1&offset=1").await;
    assert_eq!((total, names(&found)), (3, vec!["web 2".into()]));
    let (total, found) = items(&world, "limit=2&offset=2").await;
    assert_eq!((total, found.len(), names(&found)[0].as_str()), (11, 2, "web 1"));
    for (query, total) in [
        ("kind=version", 3),
        ("kind=Version&object=2", 1),
        ("kind=Version&object=web%202", 1),
        ("object=gate", 1),
        ("action=delete", 0),
        ("kind=nothing", 0),
        ("actor=nobody", 0),
        ("since=2020-01-01T00:00:00Z", 11),
        ("since=2999-01-01T00:00:00Z", 0),
    ] {
        assert_eq!(items(&world, query).await.0, total, "{query}");
    }
    let since = found[0]["at"].as_str().unwrap().replace("+00:00", "Z");
    assert_eq!(items(&world, &format!("since={since}")).await.0, 3);
    let wrong = world.get("vera", &format!("{AUDIT}?since=yesterday")).await;
    assert_eq!((wrong.status, &wrong.json["errors"][0]["field"]), (StatusCode::BAD_REQUEST, &json!("since")));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_what_was_done_elsewhere() {
    let world = World::with_shop().await;
    let other = "kind: Workspace\nmetadata: { name: other }\nspec: {}\n";
    assert_eq!(world.apply("olga", other, false).await.status, StatusCode::OK);
    let own = world.get("olga", "/api/v1/workspaces/other/audit").await;
    assert_eq!(own.json["total"], 1, "{own:?}");
    assert_eq!(world.get("olga", AUDIT).await.status, StatusCode::NOT_FOUND);
    assert_eq!(items(&world, "actor=olga").await.0, 0);
    let all = world.get("adam", "/api/v1/audit").await;
    assert_eq!(all.json["total"], 9, "{all:?}");
    for (key, status) in [("olga", StatusCode::NOT_FOUND), ("anna", StatusCode::FORBIDDEN)] {
        assert_eq!(world.get(key, "/api/v1/audit").await.status, status);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_leaves_no_write_half_done_or_unaudited() {
    const RESOURCES: usize = 150;
    let world = World::with_shop().await;
    let before = items(&world, "limit=1").await.0;
    let manifests: Vec<String> = (0..RESOURCES)
        .map(|n| {
            format!(
                "kind: Resource\nmetadata: {{ name: r{n}, workspace: acme }}\nspec: {{ identifier: r{n}, type: kubernetes-cluster }}\n"
            )
        })
        .collect();
    let body = json!({ "files": [{ "name": "r.yaml", "content": manifests.join("---\n") }] }).to_string();
    let mut connection = TcpStream::connect(world.address()).await.unwrap();
    let head = format!(
        "POST /api/v1/apply HTTP/1.1\r\nhost: api\r\nx-api-key: adam\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let written = || async { world.bus.bucket(&CATALOG).list("acme.resource.>").await.unwrap().len() };
    until("the first are written", || async { (written().await > 5).then_some(()) }).await;
    assert!(written().await < RESOURCES, "it is hung up in the middle");
    drop(connection);
    until("all are written and audited", || async {
        let audited = items(&world, "limit=1").await.0 - before;
        (audited == RESOURCES as u64).then_some(())
    })
    .await;
    assert!(written().await >= RESOURCES);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_to_tell_is_told_without_its_documents() {
    // The documents of an event may have 32 KiB together: here the bus takes less.
    let world = World::on("max_payload: 12000").await;
    let applied = world.apply("adam", SHOP, false).await;
    assert_eq!(applied.status, StatusCode::OK, "{applied:?}");
    let described = |filler: &str| {
        let metadata: Vec<String> = (0..8).map(|n| format!("k{n}: {}", filler.repeat(1_000))).collect();
        format!(
            "kind: System\nmetadata: {{ name: large, workspace: acme, metadata: {{ {} }} }}\nspec: {{}}\n",
            metadata.join(", ")
        )
    };
    for filler in ["a", "b"] {
        let applied = world.apply("adam", &described(filler), false).await;
        assert_eq!(applied.status, StatusCode::OK, "{applied:?}");
    }
    let (_, told) = items(&world, "object=large").await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(
        (&told[0]["action"], &told[0]["before"], &told[0]["after"]),
        (&json!("update"), &Value::Null, &Value::Null)
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_workspace_is_called_as_what_belongs_to_all() {
    let world = World::start().await;
    let all = "kind: Workspace\nmetadata: { name: all }\nspec: {}\n";
    assert_eq!(world.apply("adam", all, false).await.status, StatusCode::BAD_REQUEST);
    let made = world.post("adam", "/api/v1/workspaces", json!({ "name": "All", "slug": "all" })).await;
    assert!(made.status.is_client_error(), "{made:?}");
    assert!(world.bus.bucket(&CATALOG).list("all.>").await.unwrap().is_empty());
    world.end().await;
}
