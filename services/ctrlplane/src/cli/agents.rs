//! `ctrlplane agents`: each job agent with its health, what it runs, what waits for it, what is left of its platform's
//! limits, and what its webhook missed.

use clap::Args;
use domain::Timestamp;
use domain::entity::Kind;
use domain::job::JobView;
use serde_json::{Value, json};

use super::args::ClientArgs;
use super::failure::Failure;
use super::jobs;
use super::output::{self, Format};
use super::session::Session;
use super::table::Table;
use super::words::{ago, text_at, time_at};

/// More jobs than these under way are not counted one by one.
const JOBS_MAX: u32 = 10_000;
const UNDER_WAY: &str = "pending,queued,in_progress,action_required";

#[derive(Debug, Args)]
pub(crate) struct AgentsArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(super) async fn run(session: &Session) -> Result<(), Failure> {
    let agents = session.all(&["catalog", Kind::JobAgent.token()], &[]).await?;
    let doctor = session.api.get(&["doctor"], &[]).await?;
    let under_way = jobs::newest(session, vec![("status", UNDER_WAY.to_owned())], JOBS_MAX).await?;
    let workspace = session.workspace().await?.to_string();
    let mut all: Vec<Value> =
        agents.iter().map(|agent| told(&workspace, agent, &doctor, &under_way)).collect();
    all.sort_by_key(|agent| text_at(agent, "/name"));
    let unassigned = under_way.iter().filter(|job| job.job_agent.is_none()).count();
    match session.format {
        Format::Json => output::json(&json!({ "items": all, "unassigned": unassigned })),
        Format::Yaml => output::yaml(&all),
        Format::Name => output::print(
            &all.iter().map(|agent| format!("job-agent/{}\n", text_at(agent, "/name"))).collect::<String>(),
        ),
        Format::Table => {
            output::print(&table(&all, bus::clock::now()))?;
            match (all.len(), unassigned) {
                (0, _) => eprintln!("no job agents"),
                (_, 0) => {}
                (_, some) => eprintln!(
                    "{some} jobs wait for an agent, a slot or a thaw: ctrlplane jobs --status pending"
                ),
            }
            Ok(())
        }
    }
}

/// What there is to say of an agent.
fn told(workspace: &str, agent: &Value, doctor: &Value, under_way: &[JobView]) -> Value {
    let (name, id) = (text_at(agent, "/meta/name"), text_at(agent, "/meta/id"));
    let platform = text_at(agent, "/spec/type");
    let list = |name: &str| doctor[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let check = format!("agent/{workspace}/{name}");
    let checks: Vec<&Value> = list("checks").iter().filter(|one| text_at(one, "/check") == check).collect();
    let worst = ["fail", "warn", "ok"]
        .into_iter()
        .find(|status| checks.iter().any(|one| text_at(one, "/status") == *status));
    let says = checks.iter().find(|one| text_at(one, "/status") == worst.unwrap_or_default());
    let hooks: Vec<&Value> = list("webhooks")
        .iter()
        .filter(|hook| {
            hook["users"].as_array().into_iter().flatten().any(|user| text_at(user, "/agent") == id)
        })
        .collect();
    let missing: u64 = hooks.iter().filter_map(|hook| hook["missing"].as_u64()).sum();
    let heard = hooks.iter().filter_map(|hook| time_at(hook, "/heardAt")).max();
    // The one with the least left: it is what stands in the way.
    let budget = list("budgets")
        .iter()
        .filter(|budget| text_at(budget, "/platform") == platform)
        .min_by_key(|budget| budget["remaining"].as_u64().unwrap_or(u64::MAX));
    let its_name = name.as_str();
    let mine = || under_way.iter().filter(move |job| job.job_agent.as_deref() == Some(its_name));
    let running = mine().filter(|job| job.started_at.is_some()).count();
    json!({
        "name": name, "type": platform, "health": worst, "says": says.map(|one| text_at(one, "/message")),
        "todo": says.map(|one| text_at(one, "/todo")).filter(|todo| !todo.is_empty()),
        "running": running, "queued": mine().count() - running, "maxConcurrent": agent["spec"]["maxConcurrent"],
        "budget": budget.map(|budget| json!({ "remaining": budget["remaining"], "limit": budget["limit"],
            "resetAt": budget["resetAt"], "credential": budget["credential"] })),
        "webhook": if hooks.is_empty() { Value::Null } else { json!({ "missing": missing, "heardAt": heard }) },
    })
}

fn table(all: &[Value], now: Timestamp) -> String {
    let mut table = Table::new([
        "HEALTH",
        "AGENT",
        "TYPE",
        "RUNNING",
        "QUEUED",
        "SLOTS",
        "CALLS LEFT",
        "MISSING",
        "HEARD",
        "SAYS",
    ]);
    for agent in all {
        let text = |pointer: &str| text_at(agent, pointer);
        let calls = match (text("/budget/remaining"), text("/budget/limit")) {
            (left, _) if left.is_empty() => String::new(),
            (left, limit) if limit.is_empty() => left,
            (left, limit) => format!("{left}/{limit}"),
        };
        let heard = time_at(agent, "/webhook/heardAt").map(|at| format!("{} ago", ago(at, now)));
        table.row([
            text("/health"),
            text("/name"),
            text("/type"),
            text("/running"),
            text("/queued"),
            text("/maxConcurrent"),
            calls,
            text("/webhook/missing"),
            heard.unwrap_or_default(),
            text("/says"),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::super::told::tests::job;
    use super::*;
    use domain::job::JobStatus;

    #[test]
    fn an_agent_is_told_with_all_that_concerns_it() {
        let agent = json!({ "meta": { "name": "github", "id": "a1" }, "spec": { "type": "github-app", "maxConcurrent": 3 } });
        let doctor = json!({
            "checks": [{ "check": "agent/acme/github", "status": "ok", "message": "fine" },
                { "check": "agent/acme/github", "status": "warn", "message": "late", "todo": "wait" },
                { "check": "agent/other/github", "status": "fail", "message": "not ours" }],
            "webhooks": [{ "users": [{ "agent": "a1" }], "missing": 2, "heardAt": "2026-01-01T00:00:00Z" },
                { "users": [{ "agent": "b2" }], "missing": 9 }],
            "budgets": [{ "platform": "gitlab", "remaining": 1 },
                { "platform": "github-app", "remaining": 70, "limit": 5000, "credential": "app 1" }],
        });
        let (mut running, mut queued) = (job(1, 1, JobStatus::InProgress), job(2, 1, JobStatus::Queued));
        running.started_at = Some("2026-01-01T00:00:00Z".parse().unwrap());
        for mine in [&mut running, &mut queued] {
            mine.job_agent = Some("github".to_owned());
        }
        let other = job(3, 1, JobStatus::Pending);
        let told = told("acme", &agent, &doctor, &[running, queued, other]);
        let lines = table(&[told], "2026-01-01T00:05:00Z".parse().unwrap());
        let cells: Vec<&str> = lines.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(
            cells,
            ["warn", "github", "github-app", "1", "1", "3", "70/5000", "2", "5m", "ago", "late"],
            "{lines}"
        );
    }
}
