//! The services as their work shows them, what nobody could handle, and the views.

use bus::ConsumerState;
use bus::topology::{DEAD, JOBS, Service, consumers};
use domain::entity::{Entity, Kind};
use domain::token::Slug;
use std::collections::{BTreeMap, BTreeSet};

use super::Check;
use crate::context::App;

/// So many messages that wait are a queue worth mentioning.
const BEHIND: u64 = 1_000;

/// One check per service that works a queue.
pub(super) async fn services(app: &App) -> Vec<Check> {
    let platforms = platforms(app);
    let mut of_services: BTreeMap<&'static str, Vec<Queue>> = BTreeMap::new();
    for (service, consumer) in consumers() {
        let state = match app.bus.consumer_state(&consumer).await {
            Ok(state) => state,
            Err(error) => {
                let todo =
                    "see whether nats-server runs, and whether the api's log says why it is not reached";
                return vec![Check::fail("bus", format!("the bus does not answer: {error}"), todo)];
            }
        };
        let needed = is_needed(service, &consumer.name, &platforms);
        let queues = of_services.entry(service.name()).or_default();
        queues.push(Queue { name: consumer.name, needed, state });
    }
    let mut checks = vec![Check::ok("bus", "answers")];
    checks.extend(of_services.into_iter().map(|(service, queues)| judge(service, &queues)));
    checks
}

/// The queue of a service.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) name: String,
    /// Whether the catalog has work for it.
    pub(super) needed: bool,
    /// `None`: it does not exist.
    pub(super) state: Option<ConsumerState>,
}

/// What the queues of a service say of it.
pub(super) fn judge(service: &str, queues: &[Queue]) -> Check {
    let check = format!("service/{service}");
    let queues: Vec<&Queue> = queues.iter().filter(|queue| queue.needed).collect();
    if queues.is_empty() {
        return Check::ok(check, "not in use");
    }
    let start = format!("start {service}, or look into its log");
    if let Some(missing) = queues.iter().find(|queue| queue.state.is_none()) {
        return Check::fail(check, format!("it never ran: its queue {} does not exist", missing.name), start);
    }
    let states = queues.iter().filter_map(|queue| Some((queue.name.as_str(), queue.state?)));
    let states: Vec<(&str, ConsumerState)> = states.collect();
    let nobody = states.iter().find(|(_, state)| state.asking == 0 && state.in_hand == 0);
    if let Some((name, state)) = nobody {
        let waits = match state.pending {
            0 => "nothing waits yet".to_owned(),
            count => format!("{count} messages wait"),
        };
        return Check::fail(check, format!("nobody works its queue {name}; {waits}"), start);
    }
    let pending: u64 = states.iter().map(|(_, state)| state.pending).sum();
    if pending >= BEHIND {
        let todo = format!("it catches up by itself; if that takes too long, run more replicas of {service}");
        return Check::warn(check, format!("{pending} messages wait"), todo);
    }
    Check::ok(check, format!("works; {pending} messages wait"))
}

/// An agent is needed when the catalog has agents of its platform, every other service always.
fn is_needed(service: Service, queue: &str, platforms: &BTreeSet<Slug>) -> bool {
    !service.name().starts_with("agent-")
        || platforms.iter().any(|platform| queue.starts_with(&format!("agent-{platform}-")))
}

fn platforms(app: &App) -> BTreeSet<Slug> {
    let workspaces = app.catalog.workspaces();
    let agents = workspaces
        .iter()
        .flat_map(|workspace| app.catalog.entities(&workspace.meta().workspace, Kind::JobAgent));
    agents
        .filter_map(
            |agent| if let Entity::JobAgent(agent) = agent { Some(agent.spec.platform) } else { None },
        )
        .collect()
}

/// What nobody could handle.
pub(super) async fn dead_letters(app: &App) -> Check {
    match app.bus.message_count(&DEAD).await {
        Ok(0) => Check::ok("dead-letters", "none"),
        Ok(count) => {
            let todo = "ctrlplane dead list shows why; ctrlplane dead redrive SEQUENCE tries one again";
            Check::warn(
                "dead-letters",
                if count == 1 {
                    "1 message that nobody could handle".to_owned()
                } else {
                    format!("{count} messages that nobody could handle")
                },
                todo,
            )
        }
        Err(error) => Check::fail("dead-letters", error.to_string(), "see the check of the bus"),
    }
}

/// Whether Redis answers, and how far the views are.
pub(super) async fn views(app: &App) -> Check {
    let todo =
        "see whether Redis runs at redis.url; lists of jobs are missing until then, and nothing else is lost";
    if let Err(error) = app.views.ping().await {
        return Check::fail("views", format!("Redis does not answer: {error}"), todo);
    }
    let is_complete = app.views.is_complete().await;
    let (last, applied) = (app.bus.last_sequence(&JOBS).await, app.views.applied_sequence().await);
    match (is_complete, last, applied) {
        (Ok(false), _, _) => {
            let todo = "the status-syncer rebuilds them by itself; see its log if that takes minutes";
            Check::warn("views", "they are not complete", todo)
        }
        (Ok(true), Ok(last), Ok(applied)) if last.saturating_sub(applied) >= BEHIND => {
            let todo = "see the check of status-syncer";
            Check::warn("views", format!("{} facts behind", last.saturating_sub(applied)), todo)
        }
        (Ok(true), Ok(_), Ok(_)) => Check::ok("views", "up to date"),
        (Err(error), _, _) | (_, _, Err(error)) => Check::fail("views", error.to_string(), todo),
        (_, Err(error), _) => Check::fail("views", error.to_string(), "see the check of the bus"),
    }
}
