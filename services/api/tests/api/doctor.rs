//! The doctor sees what the bus and the agents tell, with the api's own permissions, and shows each caller its part.

use crate::harness::{World, until};
use bus::topology::{BUDGETS, WEBHOOKS};
use domain::budget::{BudgetRecord, SharedBudget};
use domain::id::JobAgentId;
use domain::job::{Dispatch, JobFact, TerminalStatus};
use domain::webhook::{Account, Answer, Attempt, Hook, HookUser};
use reqwest::StatusCode;
use serde_json::{Value, json};

fn check<'a>(told: &'a Value, name: &str) -> &'a Value {
    let checks = told["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("no {name}: {told:#}"))
}

async fn write(world: &World) {
    let acme = "acme".parse().expect("the test's own");
    let now = bus::clock::now();
    let hook = Hook {
        platform: "github-app".parse().expect("the test's own"),
        host: "api.github.com".to_owned(),
        scope: "app 1".to_owned(),
    };
    let user =
        HookUser { agent: JobAgentId::of(&acme, "github"), workspace: acme, name: "github".to_owned() };
    let mut account = Account::begin(hook.clone(), vec![user], now - chrono::TimeDelta::hours(1), now);
    let attempt = |id: &str, status| Attempt {
        id: id.to_owned(),
        delivery: id.to_owned(),
        event: "workflow_run".to_owned(),
        at: now,
        answer: Answer::of_status(status),
        is_repeat: false,
    };
    account.take_in(vec![attempt("1", 202), attempt("2", 503)], |_| true);
    account.looked_at = Some(now);
    world.bus.bucket(&WEBHOOKS).put_json(&hook.key(), &account).await.expect("the test's own");
    let budget = SharedBudget {
        platform: "github-app".parse().expect("the test's own"),
        host: "api.github.com".to_owned(),
        credential: "app 1 on acme".to_owned(),
        known: BudgetRecord { limit: Some(5_000), remaining: Some(7), ..BudgetRecord::default() },
    };
    world
        .bus
        .bucket(&BUDGETS)
        .put_json("github-app.api-github-com.x", &budget)
        .await
        .expect("the test's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_looked_at_and_what_is_not_fine_says_what_to_do() {
    let world = World::with_shop().await;
    let source = "kind: TriggerSource\nmetadata: { name: github, workspace: acme }\n\
                  spec: { sender: { type: github }, secretRefs: [hook] }\n";
    assert_eq!(world.apply("adam", source, false).await.status, StatusCode::OK);
    write(&world).await;
    let told = until("what agents keep is known", || async {
        let answer = world.get("vera", "/api/v1/doctor").await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let known = answer.json["budgets"][0].is_object() && answer.json["webhooks"][0].is_object();
        known.then_some(answer.json)
    })
    .await;
    assert_eq!(told["status"], "fail", "{told:#}");
    for (name, status, words) in [
        ("bus", "ok", "answers"),
        ("service/dispatcher", "fail", "nobody works"),
        ("service/agent-github-actions", "ok", "not in use"),
        ("dead-letters", "ok", "none"),
        ("views", "warn", "not complete"),
        ("agent/acme/github", "warn", "sent 2, accepted 1, missing 1"),
        ("source/acme/github", "warn", "nothing came in"),
        ("budget/github-app/api.github.com/app 1 on acme", "warn", "7 of 5000"),
        ("clocks", "ok", "agree"),
    ] {
        let check = check(&told, name);
        assert_eq!(check["status"], status, "{check:#}");
        assert!(check["message"].as_str().unwrap().contains(words), "{check:#}");
        assert_eq!(check["status"] == "ok", check.get("todo").is_none(), "{check:#}");
    }
    let webhook = &told["webhooks"][0];
    assert_eq!((&webhook["health"], &webhook["missing"]), (&json!("failing"), &json!(1)));
    assert_eq!(webhook["users"][0]["name"], "github");

    // Of what belongs to all tenants, and of another one, a key of one tenant sees nothing.
    let other = world.get("olga", "/api/v1/doctor").await.json;
    assert_eq!(
        (&other["checks"], &other["budgets"], &other["webhooks"]),
        (&json!([]), &json!([]), &json!([]))
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_judged_by_its_own_jobs() {
    let world = World::with_shop().await;
    let pulled = "kind: JobAgent\nmetadata: { name: runner, workspace: acme }\n\
                  spec: { type: http-pull, config: { keySecret: runner-key } }\n";
    assert_eq!(world.apply("adam", pulled, false).await.status, StatusCode::OK);
    let acme = "acme".parse().expect("the test's own");
    let dispatched = |agent: &str, platform: &str| {
        JobFact::Dispatched(Dispatch {
            agent: JobAgentId::of(&acme, agent),
            agent_name: agent.to_owned(),
            platform: platform.parse().expect("the test's own"),
            config: Default::default(),
            context: Value::Null,
            deadlines: Default::default(),
            secrets: Default::default(),
        })
    };
    let (refused, waits) = (world.requested(1).await, world.requested(2).await);
    world.record(&refused, dispatched("github", "github-app")).await;
    let why = "config field `baseUrl` names host git.example, which is not allowed";
    world.record(&refused, JobFact::ended(TerminalStatus::InvalidJobAgent, None, why)).await;
    world.record(&waits, dispatched("runner", "http-pull")).await;
    for job in [&refused, &waits] {
        world.viewed(job).await;
    }
    let told = world.get("vera", "/api/v1/doctor").await.json;
    let github = check(&told, "agent/acme/github");
    assert_eq!(github["status"], "fail", "{github:#}");
    assert!(github["message"].as_str().unwrap().contains("git.example"), "{github:#}");
    assert!(github["todo"].as_str().unwrap().contains("`hosts`"), "{github:#}");
    // A puller may be on its way to it.
    let runner = check(&told, "agent/acme/runner");
    assert_eq!((&runner["status"], runner["message"].to_string().contains("pullers")), (&json!("ok"), true));
    let job = world.get("vera", &format!("/api/v1/workspaces/acme/jobs/{}", waits.id)).await.json;
    assert!(job["message"].to_string().contains("a puller of runner"), "{job:#}");
    world.end().await;
}
