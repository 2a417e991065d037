//! The job agents: whether their jobs can run, their platforms' webhooks arrive, and what is left of the platforms' limits.

use domain::Timestamp;
use domain::budget::SharedBudget;
use domain::entity::{Entity, JobAgent, Kind, Record};
use domain::id::JobAgentId;
use domain::token::Slug;
use domain::webhook::{Account, Health, TroubleKind};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::Check;
use super::jobs::{self, Jobs};
use super::known::KnownAccount;
use crate::context::App;

/// A webhook that was not looked at for so long is not looked after.
const LOOKED_AFTER_MINUTES: i64 = 15;
/// So many agents are looked at at once: each look is a few lists of jobs.
const AT_ONCE: usize = 16;
/// With less than this share of calls left, a person should know.
const LOW_PERCENT: u64 = 10;

/// One check per agent of the workspace: of each webhook it uses, and of what its jobs tell.
pub(super) async fn check(
    app: &App,
    workspace: &Slug,
    accounts: &[KnownAccount],
    now: Timestamp,
) -> Vec<Check> {
    let agents = app
        .catalog
        .entities(workspace, Kind::JobAgent)
        .into_iter()
        .filter_map(|entity| if let Entity::JobAgent(agent) = entity { Some(agent) } else { None });
    let looks = stream::iter(agents).map(|agent| of_agent(app, workspace, agent, accounts, now));
    looks.buffered(AT_ONCE).collect::<Vec<_>>().await.concat()
}

async fn of_agent(
    app: &App,
    workspace: &Slug,
    agent: Record<JobAgent>,
    accounts: &[KnownAccount],
    now: Timestamp,
) -> Vec<Check> {
    let name = format!("agent/{workspace}/{}", agent.meta.name);
    let id = JobAgentId(agent.meta.id);
    let of_jobs = match Jobs::of(app, workspace, &agent).await {
        Ok(jobs) => jobs::judge(&name, &agent, &jobs, now),
        Err(error) => {
            let message = format!("how its jobs stand is not known: {error}");
            Some(Check::warn(name.as_str(), message, "see the check of the views"))
        }
    };
    let mut checks: Vec<Check> = accounts
        .iter()
        .filter(|known| known.account.users.iter().any(|user| user.agent == id))
        .map(|known| webhook(&name, &known.account, now))
        .collect();
    checks.extend(of_jobs);
    if checks.is_empty() {
        checks.push(Check::ok(name, jobs::ways(&agent.spec.platform)));
    }
    checks
}

/// What the account of a webhook says of an agent.
pub(super) fn webhook(name: &str, account: &Account, now: Timestamp) -> Check {
    let counts = account.counts;
    let (open, hook) = (account.open(), &account.hook.scope);
    let sum =
        format!("webhook of {hook}: sent {}, accepted {}, missing {open}", counts.sent, counts.accepted);
    if let Some(trouble) = &account.trouble {
        let message = format!("webhook of {hook}: its deliveries cannot be read: {}", trouble.message);
        return match trouble.kind {
            TroubleKind::Refused => Check::fail(
                name,
                message,
                "mend the agent's credentials, permissions or webhook; until then missed deliveries come by looking only",
            ),
            TroubleKind::Passing => Check::warn(name, message, "it is tried again by itself"),
        };
    }
    let is_looked_after = account.looked_at.is_some_and(|at| (now - at).num_minutes() < LOOKED_AFTER_MINUTES);
    if !is_looked_after {
        let message = format!("{sum}; nobody has looked for missed deliveries lately");
        return Check::warn(
            name,
            message,
            format!("see whether the agent for {} runs", account.hook.platform),
        );
    }
    if let Some((status, count)) = account.refused() {
        return Check::fail(
            name,
            format!("{sum}; {count} were refused by us with {status}"),
            refusal_todo(status),
        );
    }
    match account.health(now) {
        Health::Arriving => Check::ok(name, sum),
        Health::Failing => {
            let todo = "they are asked for again by themselves; if it stays so, see whether the trigger-ingester can be \
                        reached at the webhook's URL";
            Check::warn(name, sum, todo)
        }
        Health::Unknown if account.unread.is_some() => Check::warn(
            name,
            format!("{sum}; older deliveries are not counted yet"),
            "they are read bit by bit",
        ),
        Health::Unknown if counts.lost > 0 || counts.sent > 0 => {
            Check::warn(name, format!("{sum}; no event that the agent reads came lately"), SUBSCRIBE)
        }
        Health::Unknown => Check::warn(name, format!("{sum}; it has sent nothing yet"), SUBSCRIBE),
    }
}

const SUBSCRIBE: &str = "if jobs ran meanwhile: see that the webhook is active and subscribed to the events the agent reads; \
                         statuses come by looking until then";

fn refusal_todo(status: u16) -> String {
    let why = match status {
        401 | 403 => "the webhook's secret is not one of the source's secretRefs",
        404 => "the webhook's URL names no trigger source of the workspace",
        413 => "they are larger than what is taken",
        _ => "the trigger-ingester's log says why",
    };
    format!("{why}; mend it, and send them again from the platform's page of deliveries")
}

/// What is left of a credential's limits.
pub(super) fn budget(budget: &SharedBudget, now: Timestamp) -> Check {
    let SharedBudget { platform, host, credential, known } = budget;
    let name = format!("budget/{platform}/{host}/{credential}");
    let is_current = known.reset_at.is_none_or(|at| at > now);
    let left = known.remaining.filter(|_| is_current);
    let words = match (left, known.limit) {
        (Some(left), Some(limit)) => format!("{left} of {limit} calls left"),
        (Some(left), None) => format!("{left} calls left"),
        (None, Some(limit)) => format!("{limit} calls left"),
        (None, None) => "the platform tells no limit".to_owned(),
    };
    let until = |at: Timestamp| at.format("%H:%M:%S").to_string();
    if let Some(at) = known.blocked_until.filter(|at| *at > now) {
        let todo = "calls go on by themselves then; if it happens often, give the agent a credential of its own or lower \
                    its rateLimit";
        return Check::warn(
            name,
            format!("{words}; the platform asked for a pause until {} UTC", until(at)),
            todo,
        );
    }
    match (left, known.limit, known.reset_at) {
        (Some(0), _, Some(at)) => {
            let todo = "calls go on by themselves then; use a GitHub App, or one credential per agent, for a larger limit";
            Check::fail(name, format!("{words}; the next come at {} UTC", until(at)), todo)
        }
        (Some(left), Some(limit), _) if left * 100 < limit * LOW_PERCENT => {
            Check::warn(name, words, "see what else uses this credential")
        }
        _ => Check::ok(name, words),
    }
}

/// An account as the API shows it: without the deliveries' ids, and with the users the caller may see.
pub(super) fn shown(account: &Account, workspaces: &[Slug], now: Timestamp) -> Value {
    let users = account.users.iter().filter(|user| workspaces.contains(&user.workspace));
    json!({
        "hook": account.hook,
        "users": users.collect::<Vec<_>>(),
        "since": account.since,
        "counts": account.counts,
        "missing": account.open(),
        "health": match account.health(now) {
            Health::Arriving => "arriving",
            Health::Failing => "failing",
            Health::Unknown => "unknown",
        },
        "heardAt": account.heard_at,
        "lookedAt": account.looked_at,
        "nextLookAt": account.next_look_at,
        "trouble": account.trouble,
        "unreadSince": account.unread.as_ref().map(|rest| rest.since),
    })
}
