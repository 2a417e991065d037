//! What Argo's words mean to us: one pure table. Source: `workflow_phase.go`, `operator.go` and `exec_control.go` of Argo
//! Workflows 4.0. It never guesses an end: words it does not know leave the last status as it is.

use super::links;
use super::waiting::waiting;
use super::words::{NodePhase, NodeType, Phase};
use super::workflow::{Node, Workflow};
use domain::job::{
    ActiveStatus, ExternalRef, Links, Reason, Snapshot, SnapshotStatus, Source, TerminalStatus,
};
use platform::http::BaseUrl;

/// How many failing steps are named.
const NAMED_MAX: usize = 3;
/// How much of a step's own message is kept.
const STEP_CHARS_MAX: usize = 200;
/// How much of the whole message is kept.
const MESSAGE_CHARS_MAX: usize = 900;
/// About how many times progress is told of one run.
const TOLD_TIMES: u64 = 20;

/// What a workflow's words mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// This.
    Plain(Plain),
    /// Words we do not know.
    Unknown,
}

/// A status with what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plain {
    /// What it means to us.
    pub(super) status: SnapshotStatus,
    /// Why.
    pub(super) reason: Option<Reason>,
    /// For a person.
    pub(super) message: Option<String>,
    /// The node a person should look at.
    pub(super) node: Option<String>,
}

/// What a workflow's words mean.
pub(super) fn meaning(workflow: &Workflow) -> Meaning {
    let status = &workflow.status;
    let plain = match &status.phase {
        Phase::Unknown | Phase::Pending => active(ActiveStatus::Queued, said(&status.message)),
        Phase::Running => running(workflow),
        // The controller ends a workflow that was terminated while it waited for a lock as if it had run.
        Phase::Succeeded if !workflow.spec.shutdown.is_empty() && nothing_ran(workflow) => {
            cancelled("ended before anything of it ran")
        }
        Phase::Succeeded => over(TerminalStatus::Successful, None, None),
        Phase::Failed => failed(workflow, false),
        Phase::Error => failed(workflow, true),
        Phase::Other(_) => return Meaning::Unknown,
    };
    Meaning::Plain(plain)
}

fn running(workflow: &Workflow) -> Plain {
    if !workflow.spec.shutdown.is_empty() {
        return active(ActiveStatus::InProgress, Some(format!("ending: {}", workflow.spec.shutdown)));
    }
    match waiting(workflow) {
        Some(waits) => {
            Plain { node: waits.node, ..active(ActiveStatus::ActionRequired, Some(waits.message)) }
        }
        None => active(ActiveStatus::InProgress, progress(&workflow.status.progress)),
    }
}

/// `n/m done`. Of many nodes not each one is told: every message is a fact that is kept.
fn progress(words: &str) -> Option<String> {
    let (done, all) = words.split_once('/')?;
    let (done, all): (u64, u64) = (done.parse().ok()?, all.parse().ok()?);
    let step = all.div_ceil(TOLD_TIMES).max(1);
    match (all, done / step * step) {
        (0, _) => None,
        (all, told) if told == done || step == 1 => Some(format!("{done}/{all} done")),
        (all, told) => Some(format!("more than {told}/{all} done")),
    }
}

fn failed(workflow: &Workflow, is_error: bool) -> Plain {
    let message = &workflow.status.message;
    let steps = failing(workflow);
    let was_ended = is_shutdown(message)
        || (!workflow.spec.shutdown.is_empty() && steps.iter().any(|step| is_shutdown(&step.message)));
    if was_ended {
        return cancelled(message);
    }
    let told = Some(told(message, &steps));
    if nothing_ran(workflow) && (is_error || message.starts_with("invalid spec")) {
        return over(TerminalStatus::InvalidJobAgent, None, told);
    }
    let late = |step: &&Node| is_deadline(&step.message);
    let timed_out = is_deadline(message) || (!steps.is_empty() && steps.iter().all(late));
    Plain {
        node: steps.first().map(|step| step.id.clone()),
        ..over(TerminalStatus::Failure, timed_out.then_some(Reason::TimedOut), told)
    }
}

/// "Stopped with strategy 'Stop'" of workflows and steps, "workflow shutdown with strategy:  Stop" of pods.
fn is_shutdown(message: &str) -> bool {
    message.contains("Stopped with strategy '") || message.contains("workflow shutdown with strategy")
}

/// Deadlines of workflows and pods, of retries, and of templates, in the controller's and the kubelet's words.
fn is_deadline(message: &str) -> bool {
    [
        "exceeded its deadline",
        "Max duration limit exceeded",
        "exceeded workflow deadline",
        "longer than the specified deadline",
        "DeadlineExceeded",
    ]
    .iter()
    .any(|words| message.contains(words))
}

/// The steps that did something and ended badly, first the earliest. Not what was tried again and then went well.
fn failing(workflow: &Workflow) -> Vec<&Node> {
    let went_well_later = |node: &Node| {
        let of = node.name.rsplit_once('(').map_or("", |(of, _)| of);
        let mut tries = workflow.status.nodes.values().filter(|it| it.node_type == NodeType::Retry);
        node.name.ends_with(')') && tries.any(|it| it.name == of && it.phase == NodePhase::Succeeded)
    };
    let ended_badly = |node: &&Node| {
        let badly = matches!(node.phase, NodePhase::Failed | NodePhase::Error);
        node.node_type.is_leaf() && badly && !went_well_later(node)
    };
    let mut steps: Vec<&Node> = workflow.status.nodes.values().filter(ended_badly).collect();
    steps.sort_by_key(|node| (node.started_at.clone(), node.label().to_owned()));
    steps
}

/// Whether it is sure that no step has begun.
fn nothing_ran(workflow: &Workflow) -> bool {
    let began = |node: &Node| {
        node.node_type.is_leaf()
            && !matches!(node.phase, NodePhase::Pending | NodePhase::Skipped | NodePhase::Omitted)
    };
    !workflow.status.hides_nodes() && !workflow.status.nodes.values().any(began)
}

/// The workflow's own words, and those of the steps that ended badly.
fn told(message: &str, steps: &[&Node]) -> String {
    let step = |node: &&Node| match node.message.is_empty() {
        true => node.label().to_owned(),
        false => format!("{}: {}", node.label(), cut(&node.message, STEP_CHARS_MAX)),
    };
    let mut parts: Vec<String> = said(message).into_iter().collect();
    parts.extend(steps.iter().take(NAMED_MAX).map(step));
    if steps.len() > NAMED_MAX {
        parts.push(format!("and {} more steps", steps.len() - NAMED_MAX));
    }
    match parts.is_empty() {
        true => "Argo does not say why".to_owned(),
        false => cut(&parts.join("; "), MESSAGE_CHARS_MAX),
    }
}

fn said(message: &str) -> Option<String> {
    (!message.is_empty()).then(|| cut(message, MESSAGE_CHARS_MAX))
}

/// One line of at most so many characters. What is cut off ends in `…`.
fn cut(text: &str, chars_max: usize) -> String {
    let text = text.replace(char::is_control, " ");
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// What a workflow that was found means while its words mean nothing certain: it exists, and that is all.
pub(super) fn exists(workflow: &Workflow) -> Plain {
    active(ActiveStatus::Queued, Some(format!("Argo says {:?}", workflow.status.phase.as_str())))
}

/// A look at a workflow, with what its words mean.
pub(super) fn snapshot(
    workflow: &Workflow,
    plain: Plain,
    source: Source,
    ui: Option<&BaseUrl>,
    external: Option<ExternalRef>,
) -> Snapshot<SnapshotStatus> {
    let Plain { status, reason, message, node } = plain;
    let links = ui.map_or_else(Links::new, |ui| links::of(ui, workflow, node.as_deref()));
    Snapshot {
        status,
        order: Some(workflow.order()),
        raw: Some(workflow.raw()),
        reason,
        message,
        links,
        source,
        external,
    }
}

fn active(status: ActiveStatus, message: Option<String>) -> Plain {
    Plain { status: SnapshotStatus::Active(status), reason: None, message, node: None }
}

fn over(status: TerminalStatus, reason: Option<Reason>, message: Option<String>) -> Plain {
    Plain { status: SnapshotStatus::Terminal(status), reason, message, node: None }
}

fn cancelled(message: &str) -> Plain {
    over(TerminalStatus::Cancelled, Some(Reason::CancelledOnPlatform), said(message))
}

#[cfg(test)]
mod tests;
