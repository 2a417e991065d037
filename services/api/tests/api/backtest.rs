//! Proposed policies on a real past: read from the bus with the api's own permissions, and without a trace.

use crate::harness::{World, acme, until};
use bus::clock;
use bus::topology::TARGETS;
use domain::TimeDelta;
use domain::job::{JobFact, JobRef, TerminalStatus};
use domain::subject::target_key;
use futures::TryStreamExt;
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::collections::BTreeMap;

const BACKTEST: &str = "/api/v1/workspaces/acme/policies/backtest";

/// A gate for staging, with that rule.
fn gate(rule: &str) -> String {
    format!(
        "kind: Policy\nmetadata: {{ name: quiet }}\nspec:\n  selector: environment.name == \"staging\"\n  \
         rules: [{{ {rule} }}]\n"
    )
}

/// Every stream and bucket with how many messages it has and has ever had, and every key of Redis with its value.
async fn traces(world: &World) -> BTreeMap<String, String> {
    let mut streams = world.bus.jetstream().streams();
    let mut traces = BTreeMap::new();
    while let Some(stream) = streams.try_next().await.expect("told") {
        let state = (stream.state.last_sequence, stream.state.messages, stream.state.bytes);
        traces.insert(stream.config.name, format!("{state:?}"));
    }
    for known in ["KV_catalog", "KV_targets", "JOBS", "COMMANDS", "EVALUATE", "STATUS", "AUDIT", "DEAD"] {
        assert!(traces.contains_key(known), "{known} is no stream: {traces:?}");
    }
    let redis = redis::Client::open(world.servers.redis.url()).expect("a client");
    let mut redis = redis.get_multiplexed_async_connection().await.expect("connected");
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut redis).await.expect("told");
    for key in keys {
        let value: Vec<u8> = redis::cmd("DUMP").arg(&key).query_async(&mut redis).await.expect("told");
        traces.insert(format!("redis {key}"), format!("{value:?}"));
    }
    traces
}

async fn a_job_that_succeeded() -> (World, JobRef) {
    let world = World::with_shop().await;
    let versions = "/api/v1/workspaces/acme/deployments/web/versions";
    let created = world.post("otto", versions, json!({ "tag": "1.0.1" })).await;
    assert_eq!(created.status, StatusCode::OK, "{created:?}");
    let job = world.requested(1).await;
    world.record(&job, JobFact::ended(TerminalStatus::Successful, None, "done")).await;
    (world, job)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_tried_on_what_happened_and_leaves_no_trace() {
    let (world, job) = a_job_that_succeeded().await;
    let before = traces(&world).await;

    let approval = gate("anyApproval: { minApprovals: 1 }");
    let body = json!({ "manifests": approval, "since": 3600 });
    let tried = world.post("vera", BACKTEST, body.clone()).await;
    assert_eq!(tried.status, StatusCode::OK, "{tried:?}");
    assert_eq!(tried.json["totals"]["stopped"], 1, "{tried:?}");
    let told = &tried.json["jobs"][0];
    assert_eq!(
        [&told["version"], &told["deployment"], &told["environment"], &told["resource"], &told["outcome"]],
        ["1.0.1", "web", "staging", "cluster-eu", "stopped"]
    );
    assert_eq!(told["heldBy"][0]["rule"], "anyApproval", "{told}");
    assert_eq!(told["heldBy"][0]["policy"], "quiet", "{told}");

    let harmless = json!({ "manifests": gate("versionSelector: { selector: 'true' }"), "since": 3600 });
    let tried = world.post("vera", BACKTEST, harmless).await;
    assert_eq!((&tried.json["totals"]["allowed"], &tried.json["totals"]["jobs"]), (&json!(1), &json!(1)));
    let looked_at = &tried.json["lookedAt"];
    for (what, count) in [("facts", 2), ("targets", 1), ("days", 1)] {
        assert_eq!(looked_at[what], count, "{what} of {looked_at}");
    }
    assert!(looked_at["changes"].as_u64().is_some_and(|changes| changes > 5), "{looked_at}");
    assert!(looked_at["cut"].is_null() && looked_at["limits"]["facts"].is_u64(), "{looked_at}");
    assert_eq!(looked_at["unreadable"], json!({ "facts": 0, "changes": 0, "first": [] }));
    assert_eq!(traces(&world).await, before, "nothing was written");

    // A word that comes later lets it go later.
    let approve =
        format!("/api/v1/workspaces/acme/deployment-versions/{}/user-approval-records", job.version);
    let said = json!({ "environmentIds": [job.target.environment], "status": "approved" });
    let said = world.ask("anna", Method::PUT, &approve, Some(said)).await;
    assert!(said.status.is_success(), "{said:?}");
    // What nobody can read is told.
    let subject = format!("ctrlplane.job.acme.{}", uuid::Uuid::nil());
    let broken = world.bus.jetstream().publish(subject.clone(), "{}".into()).await.expect("sent");
    broken.await.expect("stored");
    let before = traces(&world).await;
    let tried = world.post("vera", BACKTEST, body).await;
    let told = &tried.json["jobs"][0];
    let unreadable = &tried.json["lookedAt"]["unreadable"];
    assert_eq!((&unreadable["facts"], &unreadable["first"][0]["key"]), (&json!(1), &json!(subject)));
    assert_eq!((&told["outcome"], &tried.json["totals"]["delayed"]), (&json!("delayed"), &json!(1)));
    assert!(told["bySeconds"].is_number() && told["until"].is_string(), "{told}");
    assert_eq!(traces(&world).await, before, "nothing was written");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_decisions_remember_of_the_time_before_the_facts_counts() {
    let (world, job) = a_job_that_succeeded().await;
    // A minute of a month that is half a year away.
    let month = (clock::now() + TimeDelta::days(182)).format("%m");
    let rrule = format!("FREQ=YEARLY;BYMONTH={month};BYMONTHDAY=1;BYHOUR=0;BYMINUTE=0;BYSECOND=0");
    let window = gate(&format!("deploymentWindow: {{ rrule: '{rrule}', durationMinutes: 1 }}"));
    let body = json!({ "manifests": window, "since": "2020-01-01T00:00:00Z" });
    let tried = world.post("vera", BACKTEST, body.clone()).await;
    assert_eq!(tried.json["lookedAt"]["remembered"], 0, "{tried:?}");
    assert_eq!(tried.json["jobs"][0]["outcome"], "allowed", "the first deployment of all: {tried:?}");

    let now = clock::now();
    let decision = json!({
        "workspace": acme(), "target": job.target, "state": "upToDate", "summary": "1.0.1 runs", "decidedAt": now,
        "current": { "version": job.version, "tag": job.tag, "release": job.release, "since": now },
        "earlier": [{
            "version": uuid::Uuid::nil(), "tag": "1.0.0", "release": uuid::Uuid::nil(), "since": now - TimeDelta::days(40),
        }],
    });
    let key = target_key(&acme(), &job.target);
    world.bus.bucket(&TARGETS).create_json(&key, &decision).await.expect("stored");
    let before = traces(&world).await;
    let tried = until("the decision is known", || async {
        let tried = world.post("vera", BACKTEST, body.clone()).await;
        (tried.json["lookedAt"]["remembered"] == json!(1)).then_some(tried)
    })
    .await;
    let told = &tried.json["jobs"][0];
    assert_eq!(
        (&told["outcome"], &tried.json["totals"]["jobs"]),
        (&json!("waiting"), &json!(1)),
        "{tried:?}"
    );
    assert_eq!(told["heldBy"][0]["rule"], "deploymentWindow", "{told}");
    assert_eq!(traces(&world).await, before, "nothing was written");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_tried_is_refused_with_its_place() {
    let world = World::with_shop().await;
    let before = traces(&world).await;
    let wrong = gate("anyApproval: { minApproval: 1 }");
    let sent = json!({ "manifests": [{ "name": "proposed.yaml", "content": wrong }], "since": 60 });
    let refused = world.post("vera", BACKTEST, sent).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
    let fault = &refused.json["errors"][0];
    assert_eq!((&fault["file"], &fault["line"]), (&json!("proposed.yaml"), &json!(5)), "{refused:?}");
    assert!(fault["field"].as_str().expect("a field").starts_with("spec.rules[0]"), "{refused:?}");

    let fine = gate("anyApproval: { minApprovals: 1 }");
    let system = "kind: System\nmetadata: { name: s }\nspec: {}\n";
    let stranger = fine.replace("name: quiet", "name: quiet, workspace: other");
    for (manifests, since, field) in [
        (fine.as_str(), json!("yesterday"), "since"),
        (&fine, json!("2999-01-01T00:00:00Z"), "since"),
        (system, json!(60), "kind"),
        (&stranger, json!(60), "metadata.workspace"),
    ] {
        let refused = world.post("vera", BACKTEST, json!({ "manifests": manifests, "since": since })).await;
        let said = (refused.status, &refused.json["errors"][0]["field"]);
        assert_eq!(said, (StatusCode::BAD_REQUEST, &json!(field)), "{refused:?}");
    }
    let nothing = world.post("vera", BACKTEST, json!({ "manifests": "", "since": 60 })).await;
    assert_eq!(nothing.status, StatusCode::BAD_REQUEST, "{nothing:?}");
    let tried = world.post("olga", BACKTEST, json!({ "manifests": fine, "since": 60 })).await;
    assert_eq!(tried.status, StatusCode::NOT_FOUND, "another tenant's past is nobody's business");
    assert_eq!(traces(&world).await, before);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_while_one_runs_is_told_to_come_again() {
    let world = World::with_shop().await;
    let body = json!({ "manifests": gate("anyApproval: { minApprovals: 1 }"), "since": 60 });
    let answers = futures::future::join_all((0..8).map(|_| world.post("vera", BACKTEST, body.clone()))).await;
    let mut done = 0;
    for answer in answers {
        match answer.status {
            StatusCode::OK => done += 1,
            StatusCode::TOO_MANY_REQUESTS => {
                assert!(answer.json["detail"].as_str().expect("a reason").contains("another back-test"));
            }
            _ => panic!("{answer:?}"),
        }
    }
    assert!(done > 0, "nobody was served");
    assert_eq!(world.post("vera", BACKTEST, body).await.status, StatusCode::OK, "the next one is served");
    world.end().await;
}
