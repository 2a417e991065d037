//! Subjects: the one place where they are spelled. Every token is an id, a checked slug or a fixed word.

use crate::command::Verb;
use crate::id::{DeploymentId, JobAgentId, JobId};
use crate::target::TargetKey;
use crate::token::Slug;

/// `ctrlplane.trigger.<workspace>.<source>.<event type>`
pub fn trigger(workspace: &Slug, source: &Slug, event_token: &Slug) -> String {
    format!("ctrlplane.trigger.{workspace}.{source}.{event_token}")
}

/// Every trigger of one source.
pub fn triggers_of_source(workspace: &Slug, source: &Slug) -> String {
    format!("ctrlplane.trigger.{workspace}.{source}.*")
}

/// Every trigger of one event token, in every workspace and from every source.
pub fn triggers_of_event(event_token: &Slug) -> String {
    format!("ctrlplane.trigger.*.*.{event_token}")
}

/// `ctrlplane.evaluate.<workspace>.<deployment>`
pub fn evaluate(workspace: &Slug, deployment: DeploymentId) -> String {
    format!("ctrlplane.evaluate.{workspace}.{deployment}")
}

/// `ctrlplane.job.<workspace>.<job>`
pub fn job(workspace: &Slug, job: JobId) -> String {
    format!("ctrlplane.job.{workspace}.{job}")
}

/// `ctrlplane.command.<platform>.<agent>.<verb>.<job>`
pub fn command(platform: &Slug, agent: JobAgentId, verb: Verb, job: JobId) -> String {
    format!("ctrlplane.command.{platform}.{agent}.{verb}.{job}")
}

/// Every command to agents of one platform.
pub fn commands_of(platform: &Slug) -> String {
    format!("ctrlplane.command.{platform}.>")
}

/// `ctrlplane.status.<workspace>.<platform>.<deployment>.<environment>.<job>`.
/// A job that has no platform yet stands under `none`, and moves when it is dispatched.
pub fn status(
    workspace: &Slug,
    platform: Option<&Slug>,
    deployment: &Slug,
    environment: &Slug,
    job: JobId,
) -> String {
    let platform = platform.map_or("none", Slug::as_str);
    format!("ctrlplane.status.{workspace}.{platform}.{deployment}.{environment}.{job}")
}

/// The header that says where a job's status stands now, on its last message where it stood before.
pub const MOVED_TO: &str = "Ctrlplane-Moved-To";

/// Which statuses a subscriber wants: absent parts match anything.
pub fn status_filter(
    workspace: &Slug,
    platform: Option<&Slug>,
    deployment: Option<&Slug>,
    environment: Option<&Slug>,
) -> String {
    let any = |part: Option<&Slug>| part.map_or("*", Slug::as_str).to_owned();
    format!("ctrlplane.status.{workspace}.{}.{}.{}.*", any(platform), any(deployment), any(environment))
}

/// `ctrlplane.pull.<workspace>.<agent>.<verb>`: what a puller asks of the service that keeps its agent's queue.
pub fn pull(workspace: &Slug, agent: JobAgentId, verb: &Slug) -> String {
    format!("ctrlplane.pull.{workspace}.{agent}.{verb}")
}

/// `ctrlplane.desk.<workspace>.<agent>.<verb>`: the same, asked by the api for whom it has let in.
pub fn desk(workspace: &Slug, agent: JobAgentId, verb: &Slug) -> String {
    format!("ctrlplane.desk.{workspace}.{agent}.{verb}")
}

/// The workspace, the agent and the verb of a request of the api.
pub fn parse_desk(subject: &str) -> Option<(Slug, JobAgentId, &str)> {
    parts_of(subject.strip_prefix("ctrlplane.desk.")?)
}

/// Everything that pullers of one agent may ask.
pub fn pulls_of(workspace: &Slug, agent: JobAgentId) -> String {
    format!("ctrlplane.pull.{workspace}.{agent}.>")
}

/// Where pullers of one agent hear answers, without the last dot: the prefix of their inboxes.
pub fn pull_inbox(workspace: &Slug, agent: JobAgentId) -> String {
    format!("_INBOX.pull.{workspace}.{agent}")
}

/// The workspace, the agent and the verb of a puller's request.
pub fn parse_pull(subject: &str) -> Option<(Slug, JobAgentId, &str)> {
    parts_of(subject.strip_prefix("ctrlplane.pull.")?)
}

fn parts_of(asked: &str) -> Option<(Slug, JobAgentId, &str)> {
    let mut parts = asked.split('.');
    let parsed = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
    parts.next().is_none().then_some(parsed)
}

/// `ctrlplane.dead.<handler>`
pub fn dead(handler: &Slug) -> String {
    format!("ctrlplane.dead.{handler}")
}

/// `ctrlplane.audit.<workspace>.<kind>`
pub fn audit(workspace: &Slug, kind: &Slug) -> String {
    format!("ctrlplane.audit.{workspace}.{kind}")
}

/// The key of a decision in the `targets` bucket: `<workspace>.<deployment>.<environment>.<resource>`.
pub fn target_key(workspace: &Slug, target: &TargetKey) -> String {
    format!("{workspace}.{}.{}.{}", target.deployment, target.environment, target.resource)
}

/// The workspace and target of a key of the `targets` bucket.
pub fn parse_target_key(key: &str) -> Option<(Slug, TargetKey)> {
    let mut parts = key.split('.');
    let workspace = parts.next()?.parse().ok()?;
    let target = TargetKey {
        deployment: parts.next()?.parse().ok()?,
        environment: parts.next()?.parse().ok()?,
        resource: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some((workspace, target))
}
