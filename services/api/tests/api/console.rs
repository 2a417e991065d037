//! The console's files as browsers get them, and the views it shows that no other client asks for.

use crate::harness::{World, acme, job, until};
use bus::topology::{CATALOG, SLOTS, TARGETS};
use bus::{HeaderMap, TriggerEvent};
use bytes::Bytes;
use domain::decision::TargetDecision;
use domain::entity::Entity;
use domain::id::JobAgentId;
use domain::slots::{self, Slots};
use domain::subject::{self, target_key};
use domain::token::Slug;
use domain::trigger::TriggerAttributes;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const WORKSPACE: &str = "/api/v1/workspaces/acme";

#[tokio::test(flavor = "multi_thread")]
async fn the_page_comes_without_a_key_and_lets_nothing_in_from_elsewhere() {
    let world = World::start().await;
    for (path, status) in
        [("/", StatusCode::TEMPORARY_REDIRECT), ("/console", StatusCode::PERMANENT_REDIRECT)]
    {
        let away = world.request(Method::GET, path).send().await.unwrap();
        assert_eq!(away.status(), status, "{path}");
        assert_eq!(away.headers()["location"], "/console/", "{path}");
    }
    for path in ["/console/", "/console/acme/jobs/x?status=failure"] {
        let page = world.request(Method::GET, path).send().await.unwrap();
        assert_eq!(page.status(), StatusCode::OK, "{path}");
        let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.headers()["x-content-type-options"], "nosniff");
        assert!(page.text().await.unwrap().contains("<div id=\"app\">"), "{path}");
    }
    let script = world.request(Method::GET, "/console/static/app.js").send().await.unwrap();
    assert_eq!(script.headers()["content-type"], "text/javascript; charset=utf-8");
    let etag = script.headers()["etag"].clone();
    let again = world.request(Method::GET, "/console/static/app.js").header("if-none-match", etag);
    let again = again.send().await.unwrap();
    assert_eq!((again.status(), again.bytes().await.unwrap().len()), (StatusCode::NOT_MODIFIED, 0));
    let answer = world.get("", "/console/static/nothing.js").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(world.ask("", Method::POST, "/console/", None).await.status, StatusCode::METHOD_NOT_ALLOWED);
    world.end().await;
}

async fn came(world: &World, workspace: &str, id: &str) -> u64 {
    let slug = |text: &str| text.parse::<Slug>().unwrap();
    let attributes = TriggerAttributes {
        specversion: "1.0".into(),
        id: id.into(),
        source: "https://github.com/acme/shop".into(),
        event_type: "push".into(),
        subject: Some("refs/heads/main".into()),
        time: "2026-01-01T00:00:00Z".parse().unwrap(),
        datacontenttype: None,
        dataref: None,
        workspace: slug(workspace),
        triggersource: slug("github"),
        sourcekind: slug("github"),
        traceparent: None,
    };
    let (headers, body) =
        TriggerEvent::new(attributes, Bytes::from_static(b"{\"planted\":\"secret\"}")).encode();
    let subject = subject::trigger(&slug(workspace), &slug("github"), &slug("push"));
    world.bus.publish(subject, headers, body, None).await.unwrap().sequence
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_in_is_told_newest_first_with_what_it_caused() {
    let world = World::with_shop().await;
    // A version as a trigger makes it of a delivery.
    let job = job(1);
    let at = "2026-01-01T00:00:00Z";
    let version = json!({ "kind": "Version", "meta": { "id": job.version, "workspace": "acme", "name": job.tag,
        "metadata": { "ctrlplane/delivery": "d-1" }, "createdAt": at, "updatedAt": at },
        "spec": { "deployment": job.target.deployment, "tag": job.tag } });
    let version: Entity = serde_json::from_value(version).unwrap();
    world.bus.bucket(&CATALOG).create_json(&version.key().to_string(), &version).await.unwrap();
    until("the version is known", || async {
        let version = world.get("vera", &format!("{WORKSPACE}/deployment-versions/{}", job.version)).await;
        (version.status == StatusCode::OK).then_some(())
    })
    .await;
    let mut sequences = Vec::new();
    for (workspace, id) in [("acme", "d-0"), ("acme", "d-1"), ("other", "d-2"), ("acme", "d-3")] {
        sequences.push(came(&world, workspace, id).await);
    }
    let ids = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = world.get("vera", &format!("{WORKSPACE}/triggers")).await;
    assert_eq!(ids(&all.json), ["d-3", "d-1", "d-0"], "{all:?}");
    assert_eq!(all.json["next"], json!(null), "there is nothing before them");
    assert!(!all.json.to_string().contains("planted"), "payloads are the sender's");
    let second = &all.json["items"][1];
    assert_eq!((&second["type"], &second["sizeBytes"]), (&json!("push"), &json!(20)));
    assert_eq!(second["caused"][0]["tag"], "1.0.1");
    assert_eq!(all.json["items"][0]["caused"], json!([]));

    let first = world.get("vera", &format!("{WORKSPACE}/triggers?limit=2")).await.json;
    assert_eq!(ids(&first), ["d-3", "d-1"]);
    assert_eq!((&first["total"], &first["limit"], &first["offset"]), (&json!(3), &json!(2), &json!(0)));
    let later = world.get("vera", &format!("{WORKSPACE}/triggers?limit=1&offset=1")).await.json;
    assert_eq!((ids(&later), &later["offset"]), (vec!["d-1".to_owned()], &json!(1)));
    let rest =
        world.get("vera", &format!("{WORKSPACE}/triggers?limit=2&before={}", first["next"])).await.json;
    assert_eq!(ids(&rest), ["d-0"]);
    assert_eq!(ids(&world.get("vera", &format!("{WORKSPACE}/triggers?source=gitlab")).await.json), [""; 0]);
    assert_eq!(world.get("olga", &format!("{WORKSPACE}/triggers")).await.status, StatusCode::NOT_FOUND);
    world.end().await;
}

/// A decision: version 2 waits for people and has its place in a rollout, version 1 runs.
fn waits() -> TargetDecision {
    let (old, new) = (job(1), job(2));
    let at = "2026-01-01T00:00:00Z";
    let rollout = json!({ "of": "rollout", "position": 1, "targets": 2, "offsetSeconds": 60, "startedAt": at,
        "dueAt": "2026-01-01T00:01:00Z", "failures": 0, "maxFailures": 0 });
    let rules = json!([
        { "policyName": "gate", "rule": "anyApproval", "verdict": { "is": "wait", "until": null }, "reason": "0 of 1 approvals" },
        { "policyName": "waves", "rule": "gradualRollout", "verdict": { "is": "allow" }, "reason": "its turn", "inputs": rollout },
    ]);
    let decision = json!({
        "workspace": "acme", "target": old.target, "state": "waiting", "summary": "1.0.2 waits", "decidedAt": at,
        "current": { "version": old.version, "tag": old.tag, "release": old.release, "since": at },
        "considered": [
            { "version": new.version, "tag": new.tag, "allowed": false, "rules": rules },
            { "version": old.version, "tag": old.tag, "allowed": true, "rules": [] },
        ],
    });
    serde_json::from_value(decision).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_told_with_what_it_waits_for() {
    let world = World::with_shop().await;
    let decision = waits();
    world.bus.bucket(&TARGETS).create_json(&target_key(&acme(), &decision.target), &decision).await.unwrap();
    let waiting = until("the decision is known", || async {
        let page = world.get("vera", &format!("{WORKSPACE}/waiting?rule=anyApproval")).await.json;
        (page["total"] == json!(1)).then_some(page)
    })
    .await;
    let held = &waiting["items"][0];
    assert_eq!(
        (&held["version"]["tag"], &held["target"]["environment"]["name"]),
        (&json!("1.0.2"), &json!("staging"))
    );
    assert_eq!((held["rules"].as_array().unwrap().len(), &held["newest"]), (1, &json!(true)), "{held:#}");
    assert_eq!(world.get("vera", &format!("{WORKSPACE}/waiting?rule=retry")).await.json["total"], 0);
    let resource = decision.target.resource;
    for (query, total) in [
        ("state=waiting".to_owned(), 1),
        ("state=failed,waiting&order=state".to_owned(), 1),
        ("state=failed".to_owned(), 0),
        (format!("resources={resource}"), 1),
        (format!("resources={}", decision.target.environment), 0),
    ] {
        let page = world.get("vera", &format!("{WORKSPACE}/release-targets?{query}")).await;
        assert_eq!(page.json["total"], total, "{query}: {page:?}");
    }
    for query in ["state=odd", "resources=odd", "order=odd"] {
        let page = world.get("vera", &format!("{WORKSPACE}/release-targets?{query}")).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{query}: {page:?}");
    }
    let versions = world.get("vera", &format!("{WORKSPACE}/waiting/versions")).await.json;
    let group = &versions["items"][0];
    assert_eq!(
        (&group["version"]["tag"], &group["targets"], &group["newest"], &group["rules"][0]["targets"]),
        (&json!("1.0.2"), &json!(1), &json!(true), &json!(1)),
        "{versions:#}"
    );
    assert_eq!(group["named"][0], held["target"]);
    assert_eq!(
        versions["summary"],
        json!({ "targets": 1, "forPeople": 1, "forRules": 0, "policies": {} }),
        "{versions:#}"
    );

    let rollouts = world.get("vera", &format!("{WORKSPACE}/rollouts?environment=staging")).await.json;
    assert_eq!(rollouts["total"], 1, "{rollouts:#}");
    let rollout = &rollouts["items"][0];
    assert_eq!((&rollout["policy"], &rollout["paused"]), (&json!("waves"), &json!(false)));
    let step = &rollout["targets"][0];
    assert_eq!((&step["position"], &step["standing"]), (&json!(1), &json!("due")));
    assert_eq!(
        world.get("vera", &format!("{WORKSPACE}/rollouts?environment=production")).await.json["total"],
        0
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_says_who_holds_its_slots_and_who_waits() {
    let world = World::with_shop().await;
    let limited = "kind: JobAgent\nmetadata: { name: github, workspace: acme }\n\
                   spec: { type: github-actions, maxConcurrent: 1, config: { owner: acme, repo: shop } }\n";
    assert_eq!(world.apply("adam", limited, false).await.status, StatusCode::OK);
    let mut record = Slots::default();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    for number in 1..=3 {
        record.ask(job(number).id, 1, now);
    }
    let agent = world.get("vera", &format!("{WORKSPACE}/job-agents/github")).await.json;
    let agent = JobAgentId(agent["id"].as_str().unwrap().parse().unwrap());
    world.bus.bucket(&SLOTS).create_json(&slots::key(&acme(), agent), &record).await.unwrap();
    let standing = world.get("vera", &format!("{WORKSPACE}/agents/standing")).await;
    assert_eq!(standing.status, StatusCode::OK, "{standing:?}");
    let agent = &standing.json["items"][0];
    assert_eq!((&agent["maxConcurrent"], &agent["held"][0]["job"]), (&json!(1), &json!(job(1).id)));
    let waiting: Vec<&Value> = agent["waiting"].as_array().unwrap().iter().map(|slot| &slot["job"]).collect();
    assert_eq!(waiting, [&json!(job(2).id), &json!(job(3).id)], "in their order");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_headless_event_is_shown_as_unreadable_and_hides_no_other() {
    let world = World::with_shop().await;
    let subject = "ctrlplane.trigger.acme.github.push".to_owned();
    world.bus.publish(subject, HeaderMap::new(), Bytes::from_static(b"{}"), None).await.unwrap();
    came(&world, "acme", "d-1").await;
    let page = world.get("vera", &format!("{WORKSPACE}/triggers")).await.json;
    assert_eq!(page["items"][0]["id"], "d-1");
    assert!(page["items"][1]["unreadable"].is_string(), "{page:#}");
    world.end().await;
}
