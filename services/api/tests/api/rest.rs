//! Entities over REST, as a client declares them: create, read the same fields back, update, delete, and each twice.

use crate::harness::{Answer, World, acme, until};
use domain::id::{DeploymentId, EnvironmentId, ResourceId, derive};
use domain::target::TargetKey;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const W: &str = "/api/v1/workspaces/acme";

impl World {
    pub(crate) async fn put(&self, key: &str, path: &str, body: Value) -> Answer {
        self.ask(key, Method::PUT, path, Some(body)).await
    }

    async fn delete(&self, key: &str, path: &str) -> Answer {
        self.ask(key, Method::DELETE, path, None).await
    }
}

/// What is sent is what is read.
fn same(sent: &Value, read: &Value) {
    for (field, value) in sent.as_object().expect("an object") {
        assert_eq!(&read[field], value, "{field} of {read}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_created_read_changed_and_deleted_and_each_twice_is_as_once() {
    let world = World::with_shop().await;
    let (metadata, more) = (json!({ "team": "web" }), json!({ "team": "core" }));
    let cases = [
        (
            "systems",
            202,
            json!({ "name": "blog", "description": "What we write", "metadata": metadata }),
            json!({ "name": "blog", "metadata": more }),
        ),
        (
            "environments",
            202,
            json!({ "name": "qa", "description": "Tests", "resourceSelector": "resource.kind == 'x'", "metadata": metadata }),
            json!({ "name": "qa", "resourceSelector": "true", "metadata": more }),
        ),
        (
            "deployments",
            202,
            json!({ "name": "api", "slug": "api", "description": "Serves", "resourceSelector": "true", "jobAgentSelector": "jobAgent.name == 'github'",
                    "jobAgentConfig": { "workflow": "a.yml" }, "metadata": metadata }),
            json!({ "name": "api", "slug": "api-2", "jobAgentSelector": "true", "jobAgentConfig": {}, "metadata": more }),
        ),
        (
            "policies",
            202,
            json!({ "name": "calm", "description": "Slowly", "priority": 3, "enabled": true, "selector": "environment.name == 'qa'", "metadata": metadata }),
            json!({ "name": "calm", "priority": 4, "enabled": false, "selector": "true", "metadata": more, "rules": [] }),
        ),
        (
            "relationship-rules",
            201,
            json!({ "name": "vpc", "reference": "vpc", "cel": "from.metadata.vpc == to.identifier", "metadata": metadata }),
            json!({ "name": "vpc", "reference": "network", "cel": "from.name == to.name", "metadata": more }),
        ),
        (
            "variable-sets",
            201,
            json!({ "name": "europe", "description": "All of it", "selector": "true", "priority": 2,
                    "variables": [{ "key": "cdn", "value": "eu" }, { "key": "limits", "value": { "object": { "cpu": 1 } } }] }),
            json!({ "priority": 5, "variables": [{ "key": "cdn", "value": { "reference": "vpc", "path": ["config", "cdn"] } }] }),
        ),
    ];
    for (kind, created, first, second) in cases {
        let all = format!("{W}/{kind}");
        let answer = world.post("adam", &all, first.clone()).await;
        assert_eq!(answer.status.as_u16(), created, "{kind}: {answer:?}");
        let id = answer.json["id"].as_str().expect("an id").to_owned();
        let one = format!("{all}/{id}");
        let read = world.get("vera", &one).await;
        assert_eq!(read.status, StatusCode::OK, "{kind}: {read:?}");
        same(&first, &read.json);
        let again = world.post("adam", &all, first.clone()).await;
        assert_eq!(
            (again.status.as_u16(), &again.json["message"]),
            (created, &json!("unchanged")),
            "{kind}: {again:?}"
        );

        let changed = world.put("adam", &one, second.clone()).await;
        assert_eq!(
            (changed.status, &changed.json["id"]),
            (StatusCode::ACCEPTED, &json!(id)),
            "{kind}: {changed:?}"
        );
        let read = world.get("vera", &one).await;
        same(&second, &read.json);
        assert_eq!(read.json["createdAt"], answer.json["createdAt"], "{kind}");
        let again = world.put("adam", &one, second).await;
        assert_eq!(again.json["message"], "unchanged", "{kind}: {again:?}");
        let other = world.post("adam", &all, first.clone()).await;
        assert_eq!(
            other.status,
            StatusCode::CONFLICT,
            "{kind}: what is there and different stays: {other:?}"
        );
        let mut renamed = first.clone();
        renamed["name"] = json!("another");
        let renamed = world.put("adam", &one, renamed).await;
        assert_eq!(
            (renamed.status, &renamed.json["id"], &renamed.json["name"]),
            (StatusCode::ACCEPTED, &json!(id), &json!("another")),
            "{kind}"
        );

        let (listed, weak) = (world.get("vera", &all).await, world.delete("otto", &one).await);
        assert!(
            listed.json["items"].as_array().expect("items").iter().any(|item| item["id"] == json!(id)),
            "{kind}"
        );
        assert_eq!(weak.status, StatusCode::FORBIDDEN, "{kind}");
        let gone = world.delete("adam", &one).await;
        assert_eq!((gone.status, &gone.json["id"]), (StatusCode::ACCEPTED, &json!(id)), "{kind}: {gone:?}");
        assert_eq!(world.get("vera", &one).await.status, StatusCode::NOT_FOUND, "{kind}");
        assert_eq!(world.delete("adam", &one).await.status, StatusCode::NOT_FOUND, "{kind}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_created_over_rest_and_linked_has_release_targets_as_if_applied() {
    let world = World::with_shop().await;
    let made = world.post("adam", &format!("{W}/systems"), json!({ "name": "blog" })).await;
    let system = made.json["id"].as_str().expect("an id").to_owned();
    let environment = world
        .post("adam", &format!("{W}/environments"), json!({ "name": "qa", "resourceSelector": "true" }))
        .await;
    let deployment =
        world.post("adam", &format!("{W}/deployments"), json!({ "name": "posts", "slug": "posts" })).await;
    let (e, d) = (environment.json["id"].as_str().unwrap(), deployment.json["id"].as_str().unwrap());
    let links =
        [format!("{W}/systems/{system}/environments/{e}"), format!("{W}/systems/{system}/deployments/{d}")];
    for link in &links {
        assert_eq!(world.get("vera", link).await.status, StatusCode::NOT_FOUND);
        for _twice in 0..2 {
            let linked = world.ask("adam", Method::PUT, link, None).await;
            assert_eq!(
                (linked.status, &linked.json["id"]),
                (StatusCode::ACCEPTED, &json!(system)),
                "{linked:?}"
            );
        }
        assert_eq!(world.get("vera", link).await.json["systemId"], json!(system));
    }
    let whole = world.get("vera", &format!("{W}/systems/{system}")).await;
    assert_eq!(
        (&whole.json["deployments"][0]["id"], &whole.json["environments"][0]["id"]),
        (&json!(d), &json!(e))
    );
    let path = format!("{W}/resources/cluster-eu/release-targets/deployment/{d}");
    let target = world.get("vera", &path).await;
    let wanted = TargetKey {
        deployment: DeploymentId::of(&acme(), "posts"),
        environment: EnvironmentId::of(&acme(), "qa"),
        resource: ResourceId::of(&acme(), "cluster-eu"),
    };
    assert_eq!(target.json["key"], json!(wanted.to_string()), "{target:?}");
    let on_it = world.get("vera", &format!("{W}/resources/identifier/cluster-eu/deployments")).await;
    let names: Vec<&str> =
        on_it.json["items"].as_array().unwrap().iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, ["posts", "web"]);
    let like = json!({ "identifier": "new", "kind": "x", "name": "new", "version": "", "config": {}, "metadata": { "stage": "staging" } });
    let preview = world.post("vera", &format!("{W}/release-targets/resource-preview"), like).await;
    assert_eq!((preview.status, &preview.json["total"]), (StatusCode::OK, &json!(2)), "{preview:?}");

    // A change of the environment does not unlink it, and what is linked keeps its system.
    world
        .put("adam", &format!("{W}/environments/{e}"), json!({ "name": "qa", "resourceSelector": "true" }))
        .await;
    assert_eq!(world.get("vera", &links[0]).await.status, StatusCode::OK);
    assert_eq!(world.delete("adam", &format!("{W}/systems/{system}")).await.status, StatusCode::CONFLICT);
    for link in &links {
        assert_eq!(world.delete("adam", link).await.status, StatusCode::ACCEPTED);
        assert_eq!(world.delete("adam", link).await.status, StatusCode::ACCEPTED, "twice is as once");
    }
    assert_eq!(world.get("vera", &path).await.status, StatusCode::NOT_FOUND);
    // A deployment goes with its versions.
    world
        .post(
            "otto",
            &format!("{W}/deployments/{d}/versions"),
            json!({ "tag": "1", "name": "", "status": "ready" }),
        )
        .await;
    assert_eq!(world.delete("adam", &format!("{W}/deployments/{d}")).await.status, StatusCode::ACCEPTED);
    let versions = world.get("vera", &format!("{W}/catalog/versions")).await;
    assert_eq!(versions.json["total"], json!(0));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_and_their_values_stand_alone_and_belong_to_their_deployment() {
    let world = World::with_shop().await;
    let web = DeploymentId::of(&acme(), "web");
    let chosen = derive(&["chosen by the client"]);
    let sent = json!({ "deploymentId": web, "key": "replicas", "description": "How many" });
    let written = world.put("adam", &format!("{W}/deployment-variables/{chosen}"), sent).await;
    assert_eq!(written.status, StatusCode::ACCEPTED, "{written:?}");
    let id = written.json["id"].as_str().unwrap().to_owned();
    let read = world.get("vera", &format!("{W}/deployment-variables/{id}")).await;
    assert_eq!(
        (&read.json["variable"]["key"], &read.json["values"]),
        (&json!("replicas"), &json!([])),
        "{read:?}"
    );

    let value = format!("{W}/deployment-variable-values/{chosen}");
    for (priority, number) in [(1, 3), (2, 5), (2, 5)] {
        let body = json!({ "deploymentVariableId": id, "priority": priority, "resourceSelector": "resource.name == 'a'", "value": number });
        let written = world.put("adam", &value, body).await;
        assert_eq!(
            (written.status, &written.json["id"]),
            (StatusCode::ACCEPTED, &json!(chosen)),
            "{written:?}"
        );
        let read = world.get("vera", &value).await;
        assert_eq!(read.json["value"], json!(number), "{read:?}");
        assert_eq!(
            (&read.json["priority"], &read.json["deploymentVariableId"]),
            (&json!(priority), &json!(id))
        );
    }
    let wrong =
        json!({ "deploymentVariableId": id, "priority": 1, "resourceSelector": "resource.", "value": 1 });
    assert_eq!(world.put("adam", &value, wrong).await.status, StatusCode::BAD_REQUEST);
    let deployment = world.get("vera", &format!("{W}/deployments/web")).await;
    assert_eq!(deployment.json["variables"][0]["values"][0]["id"], json!(chosen), "{deployment:?}");
    assert_eq!(deployment.json["deployment"]["id"], json!(web));
    let listed = world.get("vera", &format!("{W}/deployments/web/variables")).await;
    assert_eq!(listed.json["total"], json!(1));

    assert_eq!(world.delete("adam", &value).await.status, StatusCode::ACCEPTED);
    assert_eq!(world.get("vera", &value).await.status, StatusCode::NOT_FOUND);
    let variable = format!("{W}/deployment-variables/{id}");
    assert_eq!(world.delete("adam", &variable).await.status, StatusCode::ACCEPTED);
    assert_eq!(world.delete("adam", &variable).await.status, StatusCode::NOT_FOUND);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_says_its_whole_set_and_takes_nothing_from_another() {
    let world = World::with_shop().await;
    let mut ids = Vec::new();
    for name in ["aws", "gcp"] {
        let made =
            world.put("otto", &format!("{W}/resource-providers"), json!({ "name": name, "id": "" })).await;
        assert_eq!((made.status, &made.json["name"]), (StatusCode::ACCEPTED, &json!(name)), "{made:?}");
        ids.push(made.json["id"].as_str().unwrap().to_owned());
    }
    let resource = |identifier: &str| {
        json!({ "identifier": identifier, "name": identifier, "kind": "vm", "version": "v1",
        "config": { "zone": "a" }, "metadata": { "stage": "staging" }, "createdAt": "2026-01-01T00:00:00Z" })
    };
    let set = |id: &str, all: &[&str]| {
        let body = json!({ "resources": all.iter().map(|one| resource(one)).collect::<Vec<_>>() });
        (format!("{W}/resource-providers/{id}/set"), body)
    };
    let (path, body) = set(&ids[0], &["a", "b"]);
    let first = world.put("otto", &path, body.clone()).await;
    assert_eq!(
        (first.status, &first.json["created"], &first.json["ok"]),
        (StatusCode::ACCEPTED, &json!(2), &json!(true)),
        "{first:?}"
    );
    assert_eq!(world.put("otto", &path, body).await.json["unchanged"], json!(2));
    let read = world.get("vera", &format!("{W}/resources/identifier/a")).await;
    assert_eq!((&read.json["kind"], &read.json["providerId"]), (&json!("vm"), &json!(ids[0])), "{read:?}");

    let (theirs, body) = set(&ids[1], &["b", "c"]);
    let partly = world.put("otto", &theirs, body).await;
    assert_eq!(
        (partly.status, &partly.json["refused"][0]["identifier"]),
        (StatusCode::ACCEPTED, &json!("b")),
        "{partly:?}"
    );
    assert_eq!((&partly.json["ok"], &partly.json["created"]), (&json!(false), &json!(1)));
    let (theirs, body) = set(&ids[1], &["b"]);
    let refused = world.put("otto", &theirs, body).await;
    assert_eq!(
        (refused.status, &refused.json["errors"][0]["field"]),
        (StatusCode::CONFLICT, &json!("resources[0].identifier"))
    );
    assert_eq!(
        world.get("vera", &format!("{W}/resources/identifier/c")).await.status,
        StatusCode::OK,
        "nothing was done"
    );

    let (path, body) = set(&ids[0], &["a"]);
    assert_eq!(world.put("otto", &path, body).await.json["deleted"], json!(1));
    assert_eq!(world.get("vera", &format!("{W}/resources/identifier/b")).await.status, StatusCode::NOT_FOUND);
    let owned = world.get("vera", &format!("{W}/resource-providers/name/aws/resources")).await;
    assert_eq!((&owned.json["total"], &owned.json["items"][0]["identifier"]), (&json!(1), &json!("a")));
    assert_eq!(
        world.get("vera", &format!("{W}/resources/identifier/cluster-eu")).await.status,
        StatusCode::OK
    );
    assert_eq!(
        world.delete("otto", &format!("{W}/resource-providers/name/aws")).await.status,
        StatusCode::ACCEPTED
    );
    assert_eq!(world.get("vera", &format!("{W}/resources/identifier/a")).await.status, StatusCode::NOT_FOUND);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_are_written_by_identifier_and_found_by_what_they_are() {
    let world = World::with_shop().await;
    let path = format!("{W}/resources/identifier/vm-1");
    let sent = json!({ "name": "First", "kind": "vm", "version": "v1", "config": { "zone": "a" }, "metadata": { "env": "x" } });
    for message in ["created", "unchanged"] {
        let written = world.put("otto", &path, sent.clone()).await;
        assert_eq!(
            (written.status, &written.json["message"]),
            (StatusCode::ACCEPTED, &json!(message)),
            "{written:?}"
        );
    }
    same(&sent, &world.get("vera", &path).await.json);
    let variables = format!("{path}/variables");
    for values in [json!({ "size": 3, "more": { "object": { "a": 1 } } }), json!({ "size": 4 })] {
        let written = world.ask("otto", Method::PATCH, &variables, Some(values.clone())).await;
        assert_eq!(written.status, StatusCode::ACCEPTED, "{written:?}");
        assert_eq!(world.get("vera", &variables).await.json, values);
    }
    let mut renamed = sent.clone();
    renamed["name"] = json!("The first");
    assert_eq!(world.put("otto", &path, renamed).await.json["message"], "updated");
    assert_eq!(world.get("vera", &variables).await.json, json!({ "size": 4 }), "they stay");
    for (search, total) in [
        (json!({}), 2),
        (json!({ "kinds": ["vm"] }), 1),
        (json!({ "query": "FIRST" }), 1),
        (json!({ "metadata": { "env": "x" } }), 1),
        (json!({ "metadata": { "env": "y" } }), 0),
        (json!({ "identifiers": ["vm-1", "cluster-eu"], "sortBy": "kind", "order": "desc", "limit": 1 }), 2),
    ] {
        let found = world.post("vera", &format!("{W}/resources/search"), search.clone()).await;
        assert_eq!(
            (found.status, &found.json["total"]),
            (StatusCode::OK, &json!(total)),
            "{search}: {found:?}"
        );
    }
    let by_cel = world.get("vera", &format!("{W}/resources?cel=resource.kind=='vm'&limit=1")).await;
    assert_eq!((&by_cel.json["total"], &by_cel.json["items"][0]["identifier"]), (&json!(1), &json!("vm-1")));
    let wrong = world
        .put("otto", &path, json!({ "name": "x", "kind": "vm", "config": { "password": "hunter2hunter2" } }))
        .await;
    assert_eq!(
        (wrong.status, &wrong.json["errors"][0]["field"]),
        (StatusCode::BAD_REQUEST, &json!("config.password")),
        "{wrong:?}"
    );
    assert_eq!(world.delete("otto", &path).await.status, StatusCode::ACCEPTED);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_has_the_id_of_its_name_whatever_the_client_calls_it() {
    let world = World::with_shop().await;
    let path = format!("{W}/job-agents/{}", derive(&["the client's"]));
    let sent = json!({ "name": "runner", "type": "http-pull", "config": { "keySecret": "runner-key" }, "metadata": {} });
    let made = world.put("adam", &path, sent.clone()).await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{made:?}");
    let own = format!("{W}/job-agents/{}", made.json["id"].as_str().unwrap());
    same(&sent, &world.get("vera", &own).await.json);
    let again = world.put("adam", &path, sent).await;
    assert_eq!((&again.json["id"], &again.json["message"]), (&made.json["id"], &json!("unchanged")));
    let jobs = world
        .get("vera", &format!("{W}/job-agents/github/jobs?status=inProgress&includeDispatchContext=true"))
        .await;
    assert_eq!((jobs.status, &jobs.json["total"]), (StatusCode::OK, &json!(0)), "{jobs:?}");
    let away = world.get("otto", &format!("{own}/jobs?status=queued")).await;
    assert_eq!(away.status, StatusCode::SERVICE_UNAVAILABLE, "nobody keeps the queues here: {away:?}");
    let named = world.delete("adam", &format!("{W}/job-agents/github")).await;
    assert_eq!(named.status, StatusCode::CONFLICT, "a deployment names it");
    assert_eq!(world.delete("adam", &own).await.status, StatusCode::ACCEPTED);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_is_made_renamed_and_removed_when_it_is_empty() {
    let world = World::start().await;
    let new = json!({ "name": "Acme Inc", "slug": "acme" });
    for _twice in 0..2 {
        let made = world.post("adam", "/api/v1/workspaces", new.clone()).await;
        assert_eq!((made.status, &made.json["slug"]), (StatusCode::CREATED, &json!("acme")), "{made:?}");
    }
    assert_eq!(world.get("vera", "/api/v1/workspaces/slug/acme").await.json["name"], "Acme Inc");
    assert_eq!(world.post("olga", "/api/v1/workspaces", new).await.status, StatusCode::NOT_FOUND);
    let changed = world.ask("adam", Method::PATCH, W, Some(json!({ "name": "Acme" }))).await;
    assert_eq!((changed.status, &changed.json["name"]), (StatusCode::OK, &json!("Acme")), "{changed:?}");
    let moved = world.ask("adam", Method::PATCH, W, Some(json!({ "slug": "other" }))).await;
    assert_eq!((moved.status, &moved.json["errors"][0]["field"]), (StatusCode::CONFLICT, &json!("slug")));
    world.post("adam", &format!("{W}/systems"), json!({ "name": "shop" })).await;
    assert_eq!(world.delete("adam", W).await.status, StatusCode::CONFLICT);
    world.delete("adam", &format!("{W}/systems/shop")).await;
    assert_eq!(world.delete("adam", W).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.get("vera", W).await.status, StatusCode::NOT_FOUND);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_with_an_old_revision_is_refused() {
    let world = World::with_shop().await;
    let path = format!("{W}/systems/shop");
    let tag = || async {
        let read = world.request(Method::GET, &path).header("x-api-key", "vera").send().await.unwrap();
        read.headers()["etag"].to_str().unwrap().to_owned()
    };
    let put = |tag: String, text: &'static str| {
        let body = json!({ "name": "shop", "description": text });
        let request =
            world.request(Method::PUT, &path).header("x-api-key", "adam").header("if-match", tag).json(&body);
        async move { request.send().await.unwrap() }
    };
    let first = tag().await;
    let changed = put(first.clone(), "one").await;
    assert_eq!(changed.status(), StatusCode::ACCEPTED);
    let second = tag().await;
    assert_eq!(changed.headers()["etag"].to_str().unwrap(), second);
    assert_ne!(first, second);
    assert_eq!(put(first.clone(), "two").await.status(), StatusCode::PRECONDITION_FAILED);
    let catalog = format!("{W}/catalog/environment/staging");
    for path in [&catalog, &format!("{W}/environments/staging")] {
        let request =
            world.request(Method::DELETE, path).header("x-api-key", "adam").header("if-match", "\"1\"");
        assert_eq!(request.send().await.unwrap().status(), StatusCode::PRECONDITION_FAILED, "{path}");
    }
    assert_eq!(world.get("vera", &path).await.json["description"], "one");
    let new = world.request(Method::PUT, &path).header("x-api-key", "adam").header("if-none-match", "*");
    let new = new.json(&json!({ "name": "shop" })).send().await.unwrap();
    assert_eq!(new.status(), StatusCode::PRECONDITION_FAILED);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_with_a_key_is_worked_once_for_its_caller() {
    let world = World::with_shop().await;
    let path = format!("{W}/deployments/web/versions");
    let post = |who: &'static str, key: &'static str, tag: &'static str| {
        let request =
            world.request(Method::POST, &path).header("x-api-key", who).header("idempotency-key", key);
        let request = request.json(&json!({ "tag": tag }));
        async move {
            let response = request.send().await.unwrap();
            let replayed = response.headers().contains_key("idempotency-replayed");
            (response.status(), replayed, response.json::<Value>().await.unwrap())
        }
    };
    let first = post("otto", "k-1", "1").await;
    assert_eq!((first.0, first.1), (StatusCode::OK, false), "{first:?}");
    let again = post("otto", "k-1", "1").await;
    assert_eq!(
        (again.0, again.1, &again.2),
        (StatusCode::OK, true, &first.2),
        "not the conflict it would be"
    );
    assert_eq!(post("otto", "k-1", "2").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(post("otto", "k-2", "1").await.0, StatusCode::CONFLICT, "another key is another request");
    assert_eq!(post("otto", "k-2", "1").await.0, StatusCode::CONFLICT, "and a refusal is an answer, too");
    assert_eq!(post("adam", "k-1", "2").await.0, StatusCode::OK, "a key is its caller's");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_described_and_needs_a_key() {
    let world = World::with_shop().await;
    let document = world.get("", "/openapi.json").await;
    assert_eq!((document.status, document.json["openapi"].as_str()), (StatusCode::OK, Some("3.1.0")));
    let paths = document.json["paths"].as_object().expect("paths");
    let (mut names, mut open) = (std::collections::BTreeSet::new(), Vec::new());
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            let name = operation["operationId"].as_str().expect("a name");
            assert!(names.insert(name.to_owned()), "{name} is named twice");
            if operation["security"].is_null() {
                open.push(format!("{method} {path}"));
                continue;
            }
            let real = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
            let real = real.collect::<Vec<_>>().join("/");
            let method: Method = method.to_uppercase().parse().expect("a method");
            let answer = world.request(method.clone(), &real).send().await.expect("answered");
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
        }
    }
    open.sort();
    let for_anybody = [
        "get /api/healthz",
        "get /api/v1/login",
        "get /api/v1/login/oidc",
        "get /api/v1/login/oidc/callback",
        "get /api/version",
        "get /openapi.json",
        "post /api/v1/session",
    ];
    assert_eq!(open, for_anybody);
    for (path, methods) in
        [("/keys", "get post"), ("/keys/{id}", "delete"), ("/session", "get post delete"), ("/audit", "get")]
    {
        for method in methods.split(' ') {
            let operation = &document.json["paths"][format!("/api/v1{path}")][method];
            assert!(operation.is_object(), "{method} {path} is not described");
        }
    }
    let workspace = "/api/v1/workspaces/{w}";
    for (path, methods) in [
        ("/systems", "get post"),
        ("/systems/{s}", "get put delete"),
        ("/systems/{s}/deployments/{d}", "get put delete"),
        ("/systems/{s}/environments/{e}", "get put delete"),
        ("/deployments", "get post"),
        ("/deployments/name/{name}", "get"),
        ("/deployments/{d}", "get put delete"),
        ("/deployments/{d}/versions", "get post"),
        ("/deployments/{d}/variables", "get"),
        ("/deploymentversions/{v}", "patch"),
        ("/deployment-versions/{v}", "get patch"),
        ("/deployment-variables/{id}", "get put delete"),
        ("/deployment-variable-values/{id}", "get put delete"),
        ("/deployment-versions/{v}/dependencies", "get"),
        ("/deployment-versions/{v}/dependencies/{d}", "put delete"),
        ("/deployment-versions/{v}/user-approval-records", "put"),
        ("/environments", "get post"),
        ("/environments/name/{name}", "get"),
        ("/environments/{e}", "get put delete"),
        ("/resources", "get"),
        ("/resources/search", "post"),
        ("/resources/identifier/{i}", "get put delete"),
        ("/resources/identifier/{i}/deployments", "get"),
        ("/resources/identifier/{i}/variables", "get patch"),
        ("/resources/{r}/release-targets/deployment/{d}", "get"),
        ("/resource-providers", "put"),
        ("/resource-providers/name/{n}", "get delete"),
        ("/resource-providers/name/{n}/resources", "get"),
        ("/resource-providers/{id}/set", "put"),
        ("/job-agents", "get"),
        ("/job-agents/{a}", "get put delete"),
        ("/job-agents/{a}/jobs", "get"),
        ("/job-agents/{a}/jobs/{j}/claim", "post"),
        ("/jobs", "get"),
        ("/jobs/{j}", "get"),
        ("/jobs/{j}/with-release", "get"),
        ("/jobs/{j}/status", "put"),
        ("/jobs/{j}/cancel", "post"),
        ("/jobs/{j}/retry", "post"),
        ("/release-targets/{key}/desired-release", "get"),
        ("/release-targets/{key}/jobs", "get"),
        ("/release-targets/{key}/state", "get"),
        ("/release-targets/{key}/eligible-versions", "post"),
        ("/release-targets/state", "post"),
        ("/release-targets/resource-preview", "post"),
        ("/releases/{id}", "get"),
        ("/policies", "get post"),
        ("/policies/{p}", "get put delete"),
        ("/relationship-rules", "get post"),
        ("/relationship-rules/{r}", "get put delete"),
        ("/variable-sets", "get post"),
        ("/variable-sets/{v}", "get put delete"),
        ("/skips", "get post"),
        ("/freezes", "get post"),
        ("/triggers", "get"),
        ("/approvals/pending", "get"),
        ("/waiting", "get"),
        ("/rollouts", "get"),
        ("/agents/standing", "get"),
        ("/deployment-versions/{v}/outcome", "get"),
        ("/audit", "get"),
        ("/events", "get"),
        ("", "get patch delete"),
    ] {
        let item = &document.json["paths"][format!("{workspace}{path}")];
        for method in methods.split(' ') {
            assert!(item[method].is_object(), "{method} {path} is not described");
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_replaced_as_a_whole_and_ids_of_clients_are_not_in_the_way() {
    let world = World::with_shop().await;
    let rule = |name: &str, body: Value| json!({ "id": derive(&["r"]), "policyId": derive(&["p"]), "createdAt": "2026-01-01T00:00:00Z", name: body });
    let policy = |rules: Vec<Value>| json!({ "name": "both", "selector": "true", "priority": 0, "enabled": true, "metadata": {}, "rules": rules });
    let all = format!("{W}/policies");
    let made = world
        .post(
            "adam",
            &all,
            policy(vec![
                rule("anyApproval", json!({ "minApprovals": 2 })),
                rule("versionCooldown", json!({ "intervalSeconds": 60 })),
            ]),
        )
        .await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{made:?}");
    let rules = made.json["rules"].as_array().unwrap();
    assert_eq!(
        (&rules[0]["anyApproval"]["minApprovals"], &rules[0]["policyId"]),
        (&json!(2), &made.json["id"])
    );
    assert_ne!(rules[0]["id"], rules[1]["id"]);
    let one = format!("{all}/{}", made.json["id"].as_str().unwrap());
    let changed =
        world.put("adam", &one, policy(vec![rule("anyApproval", json!({ "minApprovals": 1 }))])).await;
    assert_eq!(changed.json["rules"].as_array().map(Vec::len), Some(1), "{changed:?}");
    assert_eq!(changed.json["createdAt"], made.json["createdAt"]);
    let wrong = world.put("adam", &one, policy(vec![rule("anyApproval", json!({ "minAprovals": 1 }))])).await;
    assert_eq!(
        (wrong.status, &wrong.json["errors"][0]["field"]),
        (StatusCode::BAD_REQUEST, &json!("rules[0].anyApproval.minApprovals")),
        "{wrong:?}"
    );
    until("the policy is read back", || async {
        let read = world.get("vera", &one).await;
        (read.json["rules"][0]["anyApproval"]["minApprovals"] == json!(1)).then_some(())
    })
    .await;
    world.end().await;
}
