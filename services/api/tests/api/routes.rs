//! Laws that every route keeps, read from the table of routes itself: another's workspace does not exist, and every write
//! leaves an event in the audit.

use std::collections::BTreeSet;

use crate::harness::{World, job};
use domain::job::{JobFact, TerminalStatus};
use reqwest::header::SET_COOKIE;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const TABLE: &str = include_str!("../../src/routes/mod.rs");

/// Written in a loop.
const ALIASES: [&str; 4] = [
    "/workspaces/{w}/systems",
    "/workspaces/{w}/resources",
    "/workspaces/{w}/policies/{d}",
    "/workspaces/{w}/deployments/{d}",
];

/// Asks much and changes nothing.
const WITHOUT_EFFECT: [&str; 1] = ["POST /workspaces/{w}/policies/backtest"];
/// Needs a message that nobody could handle: see the test of dead letters.
const ELSEWHERE: [&str; 1] = ["POST /dead-letters/{sequence}/redrive"];

/// Every route below `/api/v1`, as `GET /path`.
fn routes() -> BTreeSet<String> {
    let mut routes: BTreeSet<String> = ALIASES.iter().map(|path| format!("GET {path}")).collect();
    for function in TABLE.split("\nfn ").skip(1) {
        let prefix = if function.starts_with("of_workspace") { "/workspaces/{w}" } else { "" };
        for call in function.split(".route(").skip(1) {
            let path = call.split('"').nth(1).expect("a path");
            let handlers =
                call.split(".nest(").next().expect("something").split(".merge(").next().expect("something");
            for method in ["get", "post", "put", "patch", "delete"] {
                let is_taken = [format!(" {method}("), format!(".{method}("), format!("\t{method}(")];
                if is_taken.iter().any(|text| handlers.contains(text)) {
                    routes.insert(format!("{} {prefix}{path}", method.to_uppercase()));
                }
            }
        }
    }
    routes.into_iter().filter(|route| !route.contains(" /api/")).collect()
}

fn filled(path: &str, workspace: &str) -> String {
    let key = job(1).target.to_string();
    let mut path = format!("/api/v1{path}").replace("{w}", workspace).replace("{kind}", "policy");
    for (name, value) in
        [("name", "gate"), ("d", "web"), ("v", "web:2.0"), ("key", &key), ("id", "x"), ("j", "x")]
    {
        path = path.replace(&format!("{{{name}}}"), value);
    }
    path.replace("{slug}", workspace).replace("{identifier}", "cluster-eu").replace("{sequence}", "1")
}

#[tokio::test(flavor = "multi_thread")]
async fn another_workspace_does_not_exist_on_any_route() {
    let world = World::with_shop().await;
    let all = routes();
    let tenants: Vec<(&str, &str)> = all
        .iter()
        .filter(|route| route.contains("{w}") || route.contains("{slug}"))
        .filter_map(|route| route.split_once(' '))
        .collect();
    assert!(tenants.len() > 40, "{tenants:?}");
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

    let except: Vec<&str> = WITHOUT_EFFECT.iter().chain(&ELSEWHERE).copied().collect();
    let untold: Vec<String> = routes()
        .into_iter()
        .filter(|route| !route.starts_with("GET ") && !audited.seen.contains(route))
        .filter(|route| !except.contains(&route.as_str()))
        .collect();
    assert!(untold.is_empty(), "nobody tried whether these writes are audited: {untold:#?}");
    let unknown: Vec<&String> = audited.seen.iter().filter(|route| !routes().contains(*route)).collect();
    assert!(unknown.is_empty(), "there are no such routes: {unknown:?}");
    audited.world.end().await;
}
