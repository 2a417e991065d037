//! What holds for every route: how statuses are spelt, and that nothing a request asks for is passed over in silence.

use std::time::Duration;

use crate::harness::{World, acme, until};
use bus::topology::TARGETS;
use domain::id::{DeploymentId, JobId};
use domain::job::{JobFact, JobRef, TerminalStatus};
use domain::subject::target_key;
use projections::{JobChange, Projections};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const W: &str = "/api/v1/workspaces/acme";

impl World {
    /// A job of the shop that an agent on the platform was given.
    pub(crate) async fn dispatched(&self, number: u32, platform: &str) -> JobRef {
        let job = self.requested(number).await;
        let dispatch = json!({
            "agent": job.release, "agentName": "runner", "platform": platform, "config": { "workflow": "deploy.yml" },
            "context": { "deployment": { "name": "web" }, "variables": { "replicas": 3 } },
            "deadlines": { "queueSeconds": 60, "runSeconds": 60 },
        });
        self.record(&job, JobFact::Dispatched(serde_json::from_value(dispatch).unwrap())).await;
        job
    }

    /// The views show the job as it is now.
    pub(crate) async fn viewed(&self, job: &JobRef) {
        let views = Projections::connect(&self.servers.redis.url()).unwrap();
        views.apply(&JobChange { view: self.view(job).await, history: vec![] }).await.unwrap();
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        header: Option<(&str, &str)>,
        body: Value,
    ) -> (StatusCode, Value) {
        let mut request = self.request(method, path).header("x-api-key", "adam").json(&body);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }
}

fn ended(status: &str) -> TerminalStatus {
    serde_json::from_value(json!(status)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_are_spelt_alike_wherever_they_stand() {
    let world = World::with_shop().await;
    let job = world.requested(1).await;
    world.tell(&world.view(&job).await).await;
    let cancelled = world.post("otto", &format!("{W}/jobs/{}/cancel", job.id), json!({})).await;
    assert_eq!(cancelled.status, StatusCode::ACCEPTED, "{cancelled:?}");
    world.record(&job, JobFact::ended(ended("invalid_job_agent"), None, "no workflow")).await;
    world.viewed(&job).await;
    world.tell(&world.view(&job).await).await;

    let shown = world.get("vera", &format!("{W}/jobs/{}", job.id)).await.json;
    assert_eq!(shown["status"], "invalidJobAgent");
    let last = shown["history"].as_array().unwrap().last().unwrap();
    assert_eq!(last["status"], "invalidJobAgent", "{shown}");
    assert!(!shown["phase"].to_string().contains("invalid_job_agent"), "{}", shown["phase"]);
    let counts = world.get("vera", &format!("{W}/jobs/counts")).await.json;
    assert_eq!(counts["counts"]["invalidJobAgent"], 1, "{counts}");
    assert!(counts["counts"]["invalid_job_agent"].is_null());
    let late =
        world.put("otto", &format!("{W}/jobs/{}/status", job.id), json!({ "status": "inProgress" })).await;
    assert_eq!(
        (late.status, &late.json["detail"]),
        (StatusCode::CONFLICT, &json!("the job is over: invalidJobAgent"))
    );
    let runs = world.dispatched(2, "jenkins").await;
    let report = json!({ "status": "inProgress" });
    let told = world.put("otto", &format!("{W}/jobs/{}/status", runs.id), report).await;
    assert_eq!(told.status, StatusCode::ACCEPTED, "{told:?}");
    let audit = world.get("vera", &format!("{W}/audit?kind=Job")).await.json;
    assert_eq!(audit["items"][0]["after"]["status"], "inProgress", "{audit}");

    let decision = json!({
        "workspace": "acme", "target": job.target, "state": "failed", "summary": "1.0.1 failed", "decidedAt": "2026-01-01T00:00:00Z",
        "last": { "job": job.id, "release": job.release, "version": job.version, "tag": job.tag, "attempt": 1,
                  "status": "invalid_job_agent", "at": "2026-01-01T00:00:00Z" },
        "considered": [{ "version": job.version, "tag": job.tag, "allowed": false, "rules": [
            { "policyName": "again", "rule": "retry", "verdict": { "is": "deny" }, "reason": "no more tries",
              "inputs": { "of": "retry", "failed": 1, "maxRetries": 1, "status": "invalid_job_agent", "endedAt": "2026-01-01T00:00:00Z" } }] }],
    });
    let key = target_key(&acme(), &job.target);
    world.bus.bucket(&TARGETS).create_json(&key, &decision).await.unwrap();
    let line = until("the decision is known", || async {
        let page = world.get("vera", &format!("{W}/release-targets")).await.json;
        Some(page["items"][0].clone()).filter(|line| line["last"]["tag"] == "1.0.1")
    })
    .await;
    assert_eq!(line["last"]["status"], "invalidJobAgent", "{line}");
    let told = world.get("vera", &format!("{W}/release-targets/{}/explain", job.target)).await.json;
    assert_eq!(told["decision"]["last"]["status"], "invalidJobAgent");
    assert_eq!(
        told["decision"]["considered"][0]["rules"][0]["inputs"]["status"], "invalidJobAgent",
        "{told}"
    );
    let step = told["chain"].as_array().unwrap().iter().find(|step| step["step"] == "job").unwrap();
    assert_eq!(step["status"], "invalidJobAgent");
    let place = json!({ "deploymentId": "web", "environmentId": "staging" });
    let states = world.post("vera", &format!("{W}/release-targets/state"), place).await.json;
    let latest = &states["items"][0]["state"]["latestJob"];
    assert_eq!((&latest["id"], &latest["status"]), (&json!(job.id), &json!("invalidJobAgent")), "{states}");
    let state = world.get("vera", &format!("{W}/release-targets/{}/state", job.target)).await.json;
    assert_eq!(
        state["latestJob"]["job"]["status"], "invalidJobAgent",
        "one alone has its verifications: {state}"
    );
    let waiting = world.get("vera", &format!("{W}/waiting")).await.json;
    assert_eq!(waiting["items"][0]["rules"][0]["inputs"]["status"], "invalidJobAgent", "{waiting}");

    let request =
        world.request(Method::GET, &format!("{W}/events?status=invalidJobAgent")).header("x-api-key", "vera");
    let (mut events, mut heard) = (request.send().await.unwrap(), String::new());
    while !heard.contains("event: live") {
        let chunk = tokio::time::timeout(Duration::from_secs(20), events.chunk()).await.unwrap();
        heard.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
    }
    assert!(
        heard.contains("\"status\":\"invalidJobAgent\"") && !heard.contains("invalid_job_agent"),
        "{heard}"
    );
    drop(events);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_name_statuses_as_clients_of_the_field_do() {
    let world = World::with_shop().await;
    let rule = json!({ "retry": { "maxRetries": 2, "retryOnStatuses": ["failure", "invalidIntegration"] } });
    let made = world
        .post(
            "adam",
            &format!("{W}/policies"),
            json!({ "name": "again", "selector": "true", "rules": [rule] }),
        )
        .await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{made:?}");
    let read = world.get("vera", &format!("{W}/policies/again")).await.json;
    let statuses = &read["rules"][0]["retry"]["retryOnStatuses"];
    assert_eq!(statuses, &json!(["failure", "invalidIntegration"]), "as it was sent: {read}");
    let wrong = json!({ "name": "again", "rules": [{ "retry": { "maxRetries": 2, "retryOnStatuses": ["invalidAgent"] } }] });
    assert_eq!(
        world.put("adam", &format!("{W}/policies/again"), wrong).await.status,
        StatusCode::BAD_REQUEST
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_an_operation_does_not_know_is_refused() {
    let world = World::with_shop().await;
    let document = world.get("", "/openapi.json").await.json;
    let mut refused = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let names = operation["parameters"].as_array().into_iter().flatten();
            let names: Vec<&str> = names.filter_map(|one| one["name"].as_str()).collect();
            if operation["security"].is_null()
                || names.contains(&"cel")
                || path.contains("{w}") && method != "get"
            {
                continue;
            }
            let real = path.replace("{w}", "acme");
            let real = real.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
            let path = format!("{}?cel=true", real.collect::<Vec<_>>().join("/"));
            let method: Method = method.to_uppercase().parse().unwrap();
            let (status, answer) = world.send(method.clone(), &path, None, json!({})).await;
            assert_eq!(
                (status, &answer["errors"][0]["field"]),
                (StatusCode::BAD_REQUEST, &json!("cel")),
                "{method} {path}: {answer}"
            );
            refused += 1;
        }
    }
    assert!(refused > 20, "only {refused} were looked at");
    let nothing = world.get("vera", &format!("{W}/jobs?cel=")).await;
    assert_eq!(nothing.status, StatusCode::OK, "an empty one asks for nothing: {nothing:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_are_made_in_memory_are_filtered_by_an_expression() {
    let world = World::with_shop().await;
    let (one, two) = (world.requested(1).await, world.requested(2).await);
    world.record(&two, JobFact::ended(TerminalStatus::Failure, None, "broken")).await;
    world.viewed(&one).await;
    world.viewed(&two).await;
    let jobs = format!("{W}/release-targets/{}/jobs", one.target);
    let failed = world.get("vera", &format!("{jobs}?cel=job.status=='failure'")).await.json;
    assert_eq!((&failed["total"], &failed["items"][0]["id"]), (&json!(1), &json!(two.id)), "{failed}");
    let both = world.get("vera", &format!("{jobs}?cel=job.attempt==1&limit=1&offset=1")).await.json;
    assert_eq!((&both["total"], both["items"].as_array().map(Vec::len)), (&json!(2), Some(1)), "{both}");
    let wrong = world.get("vera", &format!("{jobs}?cel=job.")).await;
    assert_eq!((wrong.status, &wrong.json["errors"][0]["field"]), (StatusCode::BAD_REQUEST, &json!("cel")));

    let web = DeploymentId::of(&acme(), "web");
    for key in ["replicas", "region"] {
        let id = domain::id::derive(&[key]);
        let sent = json!({ "deploymentId": web, "key": key });
        let written = world.put("adam", &format!("{W}/deployment-variables/{id}"), sent).await;
        assert_eq!(written.status, StatusCode::ACCEPTED, "{written:?}");
    }
    let made = world.put("otto", &format!("{W}/resource-providers"), json!({ "name": "aws" })).await;
    let set = format!("{W}/resource-providers/{}/set", made.json["id"].as_str().unwrap());
    let resources: Vec<Value> = (0..120)
        .map(|n| json!({ "identifier": format!("vm-{n}"), "kind": if n % 2 == 0 { "vm" } else { "db" } }))
        .collect();
    assert_eq!(world.put("otto", &set, json!({ "resources": resources })).await.json["created"], 120);
    let owned = format!("{W}/resource-providers/name/aws/resources");
    for (path, total, shown) in [
        (format!("{W}/deployments/web/variables?cel=variable.key=='region'"), 1, 1),
        (format!("{W}/resources/identifier/cluster-eu/deployments?cel=deployment.name=='moon'"), 0, 0),
        (format!("{W}/resources/identifier/cluster-eu/deployments?cel=deployment.name=='web'"), 1, 1),
        (format!("{owned}?cel=resource.kind=='db'"), 60, 60),
        (format!("{owned}?limit=10"), 120, 10),
        (owned, 120, 120),
    ] {
        let page = world.get("vera", &path).await.json;
        let items = page["items"].as_array().map(Vec::len);
        assert_eq!((&page["total"], items), (&json!(total), Some(shown)), "{path}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_is_looked_at_or_refused() {
    let world = World::with_shop().await;
    let version = world.post("otto", &format!("{W}/deployments/web/versions"), json!({ "tag": "1" })).await;
    assert_eq!(version.status, StatusCode::OK, "as the field answers: {version:?}");
    let freeze = json!({ "name": "holiday", "reason": "nobody is there" });
    assert_eq!(
        world.post("otto", &format!("{W}/freezes"), freeze.clone()).await.status,
        StatusCode::ACCEPTED
    );
    let pin = json!({ "deployment": "web", "version": "1", "reason": "it works" });
    let pinned = world.post("otto", &format!("{W}/pins"), pin.clone()).await;
    let provider = world.put("otto", &format!("{W}/resource-providers"), json!({ "name": "aws" })).await;
    let id = |answer: &Value| answer["id"].as_str().unwrap().to_owned();
    let db = json!({ "name": "db", "slug": "db" });
    assert_eq!(world.post("adam", &format!("{W}/deployments"), db).await.status, StatusCode::ACCEPTED);
    let dependency = format!("{W}/deployment-versions/web:1/dependencies/db");
    let needed = json!({ "versionSelector": "true" });
    assert_eq!(world.put("otto", &dependency, needed.clone()).await.status, StatusCode::ACCEPTED);
    let old = Some(("if-match", "\"1\""));
    for (method, path, body) in [
        (Method::PUT, dependency.clone(), needed.clone()),
        (Method::DELETE, dependency.clone(), json!({})),
        (Method::PUT, format!("{W}/systems/shop/deployments/db"), json!({})),
        (Method::DELETE, format!("{W}/systems/shop/deployments/web"), json!({})),
        (Method::POST, format!("{W}/freezes"), freeze),
        (Method::DELETE, format!("{W}/freezes/holiday"), json!({})),
        (Method::POST, format!("{W}/pins"), pin),
        (Method::DELETE, format!("{W}/pins/{}", id(&pinned.json)), json!({})),
        (
            Method::PUT,
            format!("{W}/resource-providers/{}/set", id(&provider.json)),
            json!({ "resources": [] }),
        ),
        (Method::POST, format!("{W}/deployments/web/versions?upsert=true"), json!({ "tag": "1" })),
    ] {
        let (status, answer) = world.send(method.clone(), &path, old, body).await;
        assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{method} {path}: {answer}");
    }
    let linked = world.get("vera", &format!("{W}/systems/shop/deployments/web")).await;
    assert_eq!(linked.status, StatusCode::OK, "nothing was done");
    let read =
        world.request(Method::GET, &format!("{W}/deployment-versions/web:1")).header("x-api-key", "vera");
    let tag = read.send().await.unwrap().headers()["etag"].to_str().unwrap().to_owned();
    let (status, answer) = world.send(Method::PUT, &dependency, Some(("if-match", &tag)), needed).await;
    assert_eq!(status, StatusCode::ACCEPTED, "of this revision it is done: {answer}");

    let job = JobId(domain::id::derive(&["none"]));
    let word = json!({ "status": "approved", "environmentIds": ["staging"] });
    for (method, path, header, field, body) in [
        (
            Method::PUT,
            format!("{W}/deployment-versions/web:1/user-approval-records"),
            "if-match",
            "If-Match",
            word,
        ),
        (
            Method::PUT,
            format!("{W}/jobs/{job}/status"),
            "if-match",
            "If-Match",
            json!({ "status": "failure" }),
        ),
        (Method::POST, format!("{W}/jobs/{job}/cancel"), "if-none-match", "If-None-Match", json!({})),
        (Method::DELETE, "/api/v1/keys/x".to_owned(), "if-match", "If-Match", json!({})),
        (Method::POST, "/api/v1/apply".to_owned(), "if-match", "If-Match", json!({ "files": [] })),
    ] {
        let (status, answer) = world.send(method.clone(), &path, Some((header, "\"1\"")), body).await;
        assert_eq!(
            (status, &answer["errors"][0]["field"]),
            (StatusCode::BAD_REQUEST, &json!(field)),
            "{method} {path}: {answer}"
        );
    }
    let document = world.get("", "/openapi.json").await.json;
    let responses =
        |path: &str, method: &str| document["paths"][path][method]["responses"]["412"].is_object();
    assert!(responses("/api/v1/workspaces/{w}/pins/{id}", "delete"));
    assert!(!responses("/api/v1/workspaces/{w}/jobs/{j}/status", "put"), "it has no revision");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_parameter_is_named() {
    let world = World::with_shop().await;
    for (path, field) in [
        ("jobs?limit=many", "limit"),
        ("jobs?brief=perhaps", "brief"),
        ("systems?offset=-1", "offset"),
        ("triggers?before=x", "before"),
        ("triggers?offset=100000", "offset"),
        ("job-agents/github/jobs?includeDispatchContext=x", "includeDispatchContext"),
    ] {
        let answer = world.get("vera", &format!("{W}/{path}")).await;
        assert_eq!(
            (answer.status, &answer.json["errors"][0]["field"]),
            (StatusCode::BAD_REQUEST, &json!(field)),
            "{path}: {answer:?}"
        );
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_listed_with_its_release_and_where_that_goes() {
    let world = World::with_shop().await;
    let job = world.dispatched(1, "jenkins").await;
    world.viewed(&job).await;
    let page = world.get("vera", &format!("{W}/jobs")).await.json;
    let item = &page["items"][0];
    assert_eq!((&item["job"]["id"], &item["job"]["status"]), (&json!(job.id), &json!("pending")), "{page}");
    assert_eq!(item["job"]["jobAgentConfig"], json!({ "workflow": "deploy.yml" }));
    assert_eq!(
        (&item["release"]["id"], &item["release"]["variables"]),
        (&json!(job.release), &json!({ "replicas": 3 }))
    );
    assert_eq!(item["release"]["releaseTarget"]["key"], json!(job.target.to_string()));
    for (field, name) in [("deployment", "web"), ("environment", "staging"), ("resource", "cluster-eu")] {
        assert_eq!(item[field]["name"], name, "{item}");
    }
    let with = world.get("vera", &format!("{W}/jobs/{}/with-release", job.id)).await.json;
    assert_eq!(with["release"], item["release"]);
    let brief = world.get("vera", &format!("{W}/jobs?brief=true")).await.json;
    let only: Vec<&String> = brief["items"][0].as_object().unwrap().keys().collect();
    assert_eq!(only, ["job"]);
    assert_eq!((&brief["items"][0]["job"]["deployment"], &brief["total"]), (&json!("web"), &json!(1)));

    let whole = world.get("vera", &format!("{W}/jobs/{}", job.id)).await.json;
    assert_eq!(whole["dispatchContext"]["variables"]["replicas"], 3, "what get-job-inputs reads: {whole}");
    assert_eq!(whole["dispatchContext"]["deployment"]["name"], "web");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_reported_beside_the_status_is_kept() {
    let world = World::with_shop().await;
    let job = world.dispatched(1, "jenkins").await;
    let path = |what: &str| format!("{W}/jobs/{}{what}", job.id);
    let told = async |body: Value| {
        let answer = world.put("otto", &path("/status"), body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        answer.json["message"].as_str().unwrap().to_owned()
    };
    let shown = async || world.get("vera", &path("")).await.json;
    assert_eq!(told(json!({ "status": "inProgress", "message": "building" })).await, "recorded");
    let run =
        json!({ "status": "inProgress", "externalId": "17", "links": { "run": "https://ci.example/17" } });
    assert_eq!(told(run.clone()).await, "recorded", "the status is the same, the rest is not");
    let seen = shown().await;
    assert_eq!(
        (&seen["externalId"], &seen["links"]["run"]),
        (&json!("17"), &json!("https://ci.example/17")),
        "{seen}"
    );
    assert_eq!(seen["message"], "building", "nobody said otherwise");
    assert_eq!(told(run).await, "it was so before");
    let logs = json!({ "status": "inProgress", "links": { "logs": "https://ci.example/17/logs" } });
    assert_eq!(told(logs).await, "recorded");
    let seen = shown().await;
    assert_eq!(seen["links"].as_object().map(|links| links.len()), Some(2), "{seen}");
    let other =
        world.put("otto", &path("/status"), json!({ "status": "inProgress", "externalId": "18" })).await;
    assert_eq!(
        (other.status, &other.json["errors"][0]["field"]),
        (StatusCode::CONFLICT, &json!("externalId"))
    );
    let fenced = world.put("otto", &path("/status"), json!({ "status": "failure", "fence": 2 })).await;
    assert_eq!(
        (fenced.status, &fenced.json["errors"][0]["field"]),
        (StatusCode::BAD_REQUEST, &json!("fence"))
    );
    assert_eq!(told(json!({ "status": "successful" })).await, "recorded");
    assert_eq!(told(json!({ "status": "successful" })).await, "it was so before");
    let late = json!({ "status": "successful", "links": { "more": "https://ci.example/more" } });
    assert_eq!(told(late).await, "it was so before, and takes nothing more");
    assert_eq!(shown().await["externalId"], "17");

    let known = world.dispatched(2, "github-app").await;
    let report =
        json!({ "status": "inProgress", "externalId": "30", "links": { "run": "https://ci.example/30" } });
    let path = format!("{W}/jobs/{}", known.id);
    assert_eq!(world.put("otto", &format!("{path}/status"), report).await.status, StatusCode::ACCEPTED);
    let seen = world.get("vera", &path).await.json;
    assert!(seen["externalId"].is_null(), "the agent names its run: {seen}");
    let history = seen["history"].to_string();
    assert!(history.contains("otto: run 30"), "{history}");
    world.end().await;
}
