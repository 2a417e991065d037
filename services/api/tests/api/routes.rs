//! Laws that every route keeps, read from the API's own description, which has every route there is: another's workspace does
//! not exist, and every write leaves an event in the audit.

use std::collections::BTreeSet;

use crate::harness::{World, acme, job};
use domain::id::{DeploymentId, derive};
use domain::job::{JobFact, TerminalStatus};
use futures::StreamExt as _;
use reqwest::header::SET_COOKIE;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Ask much and change nothing.
const WITHOUT_EFFECT: [&str; 5] = [
    "POST /workspaces/{w}/policies/backtest",
    "POST /workspaces/{w}/resources/search",
    "POST /workspaces/{w}/release-targets/state",
    "POST /workspaces/{w}/release-targets/resource-preview",
    "POST /workspaces/{w}/release-targets/{key}/eligible-versions",
];
/// Needs a message that nobody could handle: see the test of dead letters.
const ELSEWHERE: [&str; 1] = ["POST /dead-letters/{sequence}/redrive"];

/// Every route below `/api/v1`, as `GET /path`.
async fn routes(world: &World) -> BTreeSet<String> {
    let document = world.get("", "/openapi.json").await.json;
    let paths = document["paths"].as_object().expect("paths");
    let mut routes = BTreeSet::new();
    for (path, item) in paths {
        let Some(path) = path.strip_prefix("/api/v1") else { continue };
        let methods = item.as_object().expect("operations").keys();
        routes.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
    }
    routes
}

fn filled(path: &str, workspace: &str) -> String {
    let key = job(1).target.to_string();
    let mut path = format!("/api/v1{path}").replace("{w}", workspace).replace("{kind}", "policy");
    for (name, value) in [("name", "gate"), ("d", "web"), ("v", "web:2.0"), ("key", &key)] {
        path = path.replace(&format!("{{{name}}}"), value);
    }
    path = path.replace("{slug}", workspace).replace("{identifier}", "cluster-eu").replace("{sequence}", "1");
    let filled = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
    filled.collect::<Vec<_>>().join("/")
}

#[tokio::test(flavor = "multi_thread")]
async fn another_workspace_does_not_exist_on_any_route() {
    let world = World::with_shop().await;
    let all = routes(&world).await;
    let tenants: Vec<(&str, &str)> = all
        .iter()
        .filter(|route| route.contains("{w}") || route.contains("{slug}"))
        .filter_map(|route| route.split_once(' '))
        .collect();
    assert!(tenants.len() > 100, "{tenants:?}");
    let id = domain::id::WorkspaceId::of(&crate::harness::acme()).to_string();
    for (method, path) in tenants {
        let method: Method = method.parse().unwrap();
        let body = (method != Method::GET).then(|| json!({}));
        let nowhere = world.ask("olga", method.clone(), &filled(path, "nowhere"), body.clone()).await;
        for workspace in ["acme", id.as_str()] {
            let answer = world.ask("olga", method.clone(), &filled(path, workspace), body.clone()).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}: {answer:?}");
            let text = answer.json.to_string().replace(workspace, "nowhere");
            assert_eq!(text, nowhere.json.to_string(), "{method} {path} tells that there is something");
        }
    }
    // The same requests say something else to who is there.
    let there = world.get("vera", &filled("/workspaces/{w}/jobs/counts", "acme")).await;
    assert_eq!(there.status, StatusCode::OK, "{there:?}");
    world.end().await;
}

/// What was asked, and what the audit said of it.
struct Audited {
    world: World,
    seen: BTreeSet<String>,
}

impl Audited {
    async fn total(&self) -> u64 {
        let audit = self.world.get("adam", "/api/v1/audit?limit=1").await;
        audit.json["total"].as_u64().unwrap_or_else(|| panic!("{audit:?}"))
    }

    /// Asks, and fails when it is refused or leaves no event of its actor with what changed.
    async fn write(&mut self, route: &str, path: Option<&str>, body: Value) -> Value {
        let (method, template) = route.split_once(' ').expect("a method and a path");
        let path = path.map_or_else(|| filled(template, "acme"), |path| format!("/api/v1{path}"));
        let before = self.total().await;
        let answer = self.world.ask("adam", method.parse().unwrap(), &path, Some(body)).await;
        assert!(answer.status.is_success(), "{route}: {answer:?}");
        self.left(route, before).await;
        answer.json
    }

    async fn left(&mut self, route: &str, before: u64) {
        assert!(self.total().await > before, "{route} leaves nothing in the audit");
        let audit = self.world.get("adam", "/api/v1/audit?limit=1").await;
        let event = &audit.json["items"][0];
        assert_eq!(event["actor"]["key"], "adam", "{route}: {event}");
        let told = event["before"].is_object() || event["after"].is_object();
        assert!(told || event["object"]["kind"] == "Session", "{route} does not tell what changed: {event}");
        self.seen.insert(route.to_owned());
    }

    /// What has its own route for every kind of entity.
    async fn declared_over_rest(&mut self) {
        let w = "/workspaces/{w}";
        self.write("POST /workspaces", None, json!({ "name": "New", "slug": "new" })).await;
        let change = json!({ "name": "Newer" });
        self.write(&format!("PATCH {w}"), Some("/workspaces/new"), change).await;
        self.write(&format!("DELETE {w}"), Some("/workspaces/new"), json!({})).await;

        let rule = json!({ "name": "vpc", "reference": "vpc", "cel": "true" });
        let changed = json!({ "name": "vpc", "reference": "net", "cel": "true" });
        let set = json!({ "name": "europe", "selector": "true", "variables": { "cdn": "eu" } });
        let more = json!({ "name": "europe", "selector": "true", "variables": { "cdn": "us" } });
        let named = |name: &str, description: &str| json!({ "name": name, "description": description });
        for (kind, one, name, first, second) in [
            ("systems", "{s}", "blog", named("blog", "one"), named("blog", "two")),
            ("environments", "{e}", "qa", named("qa", "one"), named("qa", "two")),
            ("deployments", "{d}", "posts", named("posts", "one"), named("posts", "two")),
            ("policies", "{p}", "calm", named("calm", "one"), named("calm", "two")),
            ("relationship-rules", "{r}", "vpc", rule, changed),
            ("variable-sets", "{v}", "europe", set, more),
        ] {
            self.write(&format!("POST {w}/{kind}"), None, first).await;
            let path = format!("/workspaces/acme/{kind}/{name}");
            self.put_and_delete(&format!("{w}/{kind}/{one}"), &path, second).await;
        }
        let agent =
            json!({ "name": "other", "type": "github-actions", "config": { "owner": "a", "repo": "b" } });
        self.put_and_delete(&format!("{w}/job-agents/{{a}}"), "/workspaces/acme/job-agents/other", agent)
            .await;

        self.write(&format!("POST {w}/systems"), None, named("side", "beside")).await;
        for (others, one, name) in [("deployments", "{d}", "web"), ("environments", "{e}", "staging")] {
            let path = format!("/workspaces/acme/systems/side/{others}/{name}");
            self.put_and_delete(&format!("{w}/systems/{{s}}/{others}/{one}"), &path, json!({})).await;
        }
        self.variables().await;
        self.resources().await;
        self.workflows().await;
    }

    async fn workflows(&mut self) {
        let w = "/workspaces/{w}";
        let jobs = json!([{ "name": "build", "agent": { "ref": "github" } }]);
        let ship = json!({ "name": "ship", "jobs": jobs });
        self.write(&format!("POST {w}/workflows"), None, ship).await;
        let path = Some("/workspaces/acme/workflows/ship/runs");
        let run = self.write(&format!("POST {w}/workflows/{{id}}/runs"), path, json!({})).await;
        let path = Some("/workspaces/acme/workflows/slug/ship/runs");
        self.write(&format!("POST {w}/workflows/slug/{{s}}/runs"), path, json!({})).await;
        let path = format!("/workspaces/acme/workflow-runs/{}/cancel", run["id"].as_str().expect("an id"));
        self.write(&format!("POST {w}/workflow-runs/{{run}}/cancel"), Some(&path), json!({})).await;
        let other = json!({ "name": "ship", "description": "two", "jobs": jobs });
        self.put_and_delete(&format!("{w}/workflows/{{id}}"), "/workspaces/acme/workflows/ship", other).await;
    }

    async fn variables(&mut self) {
        let routes = ["deployment-variables", "deployment-variable-values"];
        let [variable, value] = routes.map(|kind| format!("/workspaces/{{w}}/{kind}/{{id}}"));
        let chosen = derive(&["chosen by the client"]).to_string();
        let sent = json!({ "deploymentId": DeploymentId::of(&acme(), "web"), "key": "replicas" });
        let path = format!("/workspaces/acme/deployment-variables/{chosen}");
        let made = self.write(&format!("PUT {variable}"), Some(&path), sent).await;
        let sent = json!({ "deploymentVariableId": made["id"], "priority": 1, "value": 3 });
        let path = format!("/workspaces/acme/deployment-variable-values/{chosen}");
        self.put_and_delete(&value, &path, sent).await;
        let path = format!("/workspaces/acme/deployment-variables/{}", made["id"].as_str().expect("an id"));
        self.write(&format!("DELETE {variable}"), Some(&path), json!({})).await;
    }

    async fn resources(&mut self) {
        let w = "/workspaces/{w}";
        let (route, vm) =
            (format!("{w}/resources/identifier/{{i}}"), "/workspaces/acme/resources/identifier/vm");
        let sent = json!({ "name": "vm", "kind": "vm", "config": {}, "metadata": {} });
        self.write(&format!("PUT {route}"), Some(vm), sent).await;
        let path = format!("{vm}/variables");
        self.write(&format!("PATCH {route}/variables"), Some(&path), json!({ "size": 3 })).await;
        self.write(&format!("DELETE {route}"), Some(vm), json!({})).await;

        let made = self.write(&format!("PUT {w}/resource-providers"), None, json!({ "name": "aws" })).await;
        let path = format!("/workspaces/acme/resource-providers/{}/set", made["id"].as_str().expect("an id"));
        let set = json!({ "resources": [{ "identifier": "a", "name": "a", "kind": "vm" }] });
        self.write(&format!("PUT {w}/resource-providers/{{id}}/set"), Some(&path), set).await;
        let path = Some("/workspaces/acme/resource-providers/name/aws");
        self.write(&format!("DELETE {w}/resource-providers/name/{{n}}"), path, json!({})).await;
    }

    /// What programs that run jobs tell. The keeper of their queue is played.
    async fn told_by_programs(&mut self) {
        let w = "/workspaces/{w}";
        let runs = self.world.requested(3).await;
        let path = format!("/workspaces/acme/jobs/{}/status", runs.id);
        let ended = json!({ "status": "invalidJobAgent", "message": "told" });
        self.write(&format!("PUT {w}/jobs/{{j}}/status"), Some(&path), ended).await;

        let agent = json!({ "name": "runner", "type": "http-pull", "config": { "keySecret": "runner-key" } });
        let path = Some("/workspaces/acme/job-agents/runner");
        self.write(&format!("PUT {w}/job-agents/{{a}}"), path, agent).await;
        let client = self.world.bus.client().clone();
        let mut asked = client.subscribe("ctrlplane.desk.acme.*.claim").await.expect("subscribed");
        client.flush().await.expect("flushed");
        let keeper = tokio::spawn(async move {
            for _ in 0..2 {
                let request = asked.next().await.expect("a request");
                let to = request.reply.expect("an inbox");
                client.publish(to, json!({ "fence": 1 }).to_string().into()).await.expect("answered");
            }
        });
        let queued = self.world.requested(4).await;
        let path = format!("/workspaces/acme/job-agents/runner/jobs/{}/claim", queued.id);
        self.write(&format!("POST {w}/job-agents/{{a}}/jobs/{{j}}/claim"), Some(&path), json!({})).await;
        let again = self.world.request(Method::POST, &format!("/api/v1{path}")).header("x-api-key", "adam");
        let answer = again.json(&json!({})).send().await.expect("answered");
        assert_eq!(answer.headers()["cache-control"], "no-store", "it holds secrets");
        keeper.await.expect("it was asked");
    }

    async fn put_and_delete(&mut self, route: &str, path: &str, body: Value) {
        self.write(&format!("PUT {route}"), Some(path), body).await;
        self.write(&format!("DELETE {route}"), Some(path), json!({})).await;
    }
}

const MORE: &str = "kind: Deployment\nmetadata: { name: db, workspace: acme }\nspec: { systems: [shop] }\n---\n\
     kind: Resource\nmetadata: { name: cluster-us, workspace: acme, metadata: { stage: production } }\n\
     spec: { identifier: cluster-us, type: kubernetes-cluster }\n";

#[tokio::test(flavor = "multi_thread")]
async fn every_write_is_audited() {
    let mut audited = Audited { world: World::with_shop().await, seen: BTreeSet::new() };
    let w = "/workspaces/{w}";
    let files = json!({ "files": [{ "name": "more.yaml", "content": MORE }] });
    audited.write("POST /apply", None, files).await;
    audited.write(&format!("POST {w}/deployments/{{d}}/versions"), None, json!({ "tag": "2.0" })).await;
    for (n, path) in ["deployment-versions", "deploymentversions"].iter().enumerate() {
        let change = json!({ "metadata": { "build": n.to_string() } });
        audited.write(&format!("PATCH {w}/{path}/{{v}}"), None, change).await;
    }
    let yes = json!({ "status": "approved", "environmentIds": ["staging"] });
    audited.write(&format!("PUT {w}/deployment-versions/{{v}}/user-approval-records"), None, yes).await;
    let on = Some("/workspaces/acme/deployment-versions/web:2.0/dependencies/db");
    let needed = json!({ "versionSelector": "true" });
    audited.write(&format!("PUT {w}/deployment-versions/{{v}}/dependencies/{{d}}"), on, needed).await;
    audited.write(&format!("DELETE {w}/deployment-versions/{{v}}/dependencies/{{d}}"), on, json!({})).await;

    let freeze = json!({ "name": "gate", "reason": "holidays" });
    audited.write(&format!("POST {w}/freezes"), None, freeze).await;
    audited.write(&format!("DELETE {w}/freezes/{{name}}"), None, json!({})).await;
    let skip = json!({ "rule": "anyApproval", "deployment": "web", "version": "2.0", "reason": "hotfix" });
    let skip = audited.write(&format!("POST {w}/skips"), None, skip).await;
    let one = format!("/workspaces/acme/skips/{}", skip["id"].as_str().unwrap());
    audited.write(&format!("DELETE {w}/skips/{{id}}"), Some(&one), json!({})).await;
    let pin = json!({ "deployment": "web", "version": "2.0", "reason": "incident" });
    let pin = audited.write(&format!("POST {w}/pins"), None, pin).await;
    let one = format!("/workspaces/acme/pins/{}", pin["id"].as_str().unwrap());
    audited.write(&format!("DELETE {w}/pins/{{id}}"), Some(&one), json!({})).await;
    let here = json!({ "version": "2.0", "reason": "here" });
    audited.write(&format!("POST {w}/release-targets/{{key}}/pin"), None, here).await;
    audited.write(&format!("DELETE {w}/release-targets/{{key}}/pin"), None, json!({})).await;
    let again = json!({ "deployment": "web", "environment": "staging" });
    audited.write(&format!("POST {w}/release-targets/redeploy"), None, again).await;
    let again = json!({ "reason": "once more" });
    audited.write(&format!("POST {w}/release-targets/{{key}}/redeploy"), None, again).await;
    let pause = json!({ "environment": "staging", "action": "pause" });
    audited.write(&format!("POST {w}/deployment-versions/{{v}}/rollout"), None, pause).await;
    audited
        .write(&format!("POST {w}/deployment-versions/{{v}}/reject"), None, json!({ "reason": "leaks" }))
        .await;

    let running = audited.world.requested(1).await;
    let path = format!("/workspaces/acme/jobs/{}/cancel", running.id);
    audited.write(&format!("POST {w}/jobs/{{j}}/cancel"), Some(&path), json!({ "reason": "stuck" })).await;
    let failed = audited.world.requested(2).await;
    audited.world.record(&failed, JobFact::ended(TerminalStatus::Failure, None, "failed")).await;
    let path = format!("/workspaces/acme/jobs/{}/retry", failed.id);
    audited.write(&format!("POST {w}/jobs/{{j}}/retry"), Some(&path), json!({})).await;
    audited.write(&format!("DELETE {w}/catalog/{{kind}}/{{name}}"), None, json!({})).await;

    let roles = json!([{ "workspace": "acme", "role": "viewer" }]);
    let key = audited.write("POST /keys", None, json!({ "name": "x", "roles": roles })).await;
    let one = format!("/keys/{}", key["id"].as_str().unwrap());
    audited.write("DELETE /keys/{id}", Some(&one), json!({})).await;
    audited.write("DELETE /sessions", Some("/sessions?user=nobody"), json!({})).await;

    let before = audited.total().await;
    let login = audited.world.request(Method::POST, "/api/v1/session").json(&json!({ "key": "adam" }));
    let login = login.send().await.unwrap();
    let cookie = login.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    let told: Value = login.json().await.unwrap();
    audited.left("POST /session", before).await;
    let before = audited.total().await;
    let logout = audited.world.request(Method::DELETE, "/api/v1/session").header("cookie", cookie);
    let logout = logout.header("x-csrf-token", told["csrf"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(logout.status(), StatusCode::NO_CONTENT);
    audited.left("DELETE /session", before).await;

    audited.declared_over_rest().await;
    audited.told_by_programs().await;

    let except: Vec<&str> = WITHOUT_EFFECT.iter().chain(&ELSEWHERE).copied().collect();
    let all = routes(&audited.world).await;
    let untold: Vec<&String> = all
        .iter()
        .filter(|route| !route.starts_with("GET ") && !audited.seen.contains(*route))
        .filter(|route| !except.contains(&route.as_str()))
        .collect();
    assert!(untold.is_empty(), "nobody tried whether these writes are audited: {untold:#?}");
    let unknown: Vec<&String> = audited.seen.iter().filter(|route| !all.contains(*route)).collect();
    assert!(unknown.is_empty(), "there are no such routes: {unknown:?}");
    audited.world.end().await;
}
