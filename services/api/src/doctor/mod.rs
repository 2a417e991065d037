//! What a person would check when something does not move: the bus, the services' work, the views, platforms and their
//! webhooks, sources, dead letters, clocks. Each check that is not fine says what to do. It mends nothing.

mod agents;
mod clocks;
mod jobs;
mod known;
mod sources;
mod system;
#[cfg(test)]
mod tests;

pub(crate) use known::Known;

use domain::Timestamp;
use domain::token::Slug;
use serde::Serialize;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::context::App;

/// How a check turned out. Ordered: the worst is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Outcome {
    /// Fine.
    Ok,
    /// It works, but a person should know.
    Warn,
    /// It does not work, or will not for long.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Check {
    /// What was looked at, as `service/dispatcher` or `agent/acme/github`.
    pub(crate) check: String,
    /// How it turned out.
    pub(crate) status: Outcome,
    /// What was seen.
    pub(crate) message: String,
    /// What to do about it; empty where nothing is to be done.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) todo: String,
}

impl Check {
    fn ok(check: impl Into<String>, message: impl Into<String>) -> Self {
        Self { check: check.into(), status: Outcome::Ok, message: message.into(), todo: String::new() }
    }

    fn warn(check: impl Into<String>, message: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { check: check.into(), status: Outcome::Warn, message: message.into(), todo: todo.into() }
    }

    fn fail(check: impl Into<String>, message: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { check: check.into(), status: Outcome::Fail, message: message.into(), todo: todo.into() }
    }
}

/// Looks at everything the caller may see. What belongs to all tenants is shown to keys of all tenants only.
pub(crate) async fn examine(app: &App, caller: &Caller, now: Timestamp) -> Value {
    let everything = caller.sees_all();
    let mut checks = Vec::new();
    if everything {
        checks.extend(system::services(app).await);
        checks.push(system::dead_letters(app).await);
        checks.push(system::views(app).await);
    }
    let workspaces: Vec<Slug> = app
        .catalog
        .workspaces()
        .iter()
        .map(|workspace| workspace.meta().workspace.clone())
        .filter(|slug| caller.sees(slug))
        .collect();
    let accounts = app.known.accounts();
    for workspace in &workspaces {
        checks.extend(agents::check(app, workspace, &accounts, now).await);
        checks.extend(sources::check(app, workspace, now).await);
    }
    let budgets = if everything { app.known.budgets() } else { Vec::new() };
    checks.extend(budgets.iter().map(|budget| agents::budget(budget, now)));
    if everything {
        checks.extend(clocks::check(&accounts));
    }
    let webhooks: Vec<Value> = accounts
        .iter()
        .filter(|known| known.account.users.iter().any(|user| workspaces.contains(&user.workspace)))
        .map(|known| agents::shown(&known.account, &workspaces, now))
        .collect();
    let status = checks.iter().map(|check| check.status).max().unwrap_or(Outcome::Ok);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "at": now,
        "status": status,
        "checks": checks,
        "webhooks": webhooks,
        "budgets": budgets,
    })
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    match (now - at).num_seconds().max(0) {
        seconds @ 0..=119 => format!("{seconds} s ago"),
        seconds @ 120..=7_199 => format!("{} min ago", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}
