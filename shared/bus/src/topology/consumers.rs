//! The durable consumers: whose work queue is which part of which stream.

use std::time::Duration;

pub use domain::dispatch::HTTP_PULL;
use domain::subject;
use domain::token::Slug;

use super::{COMMANDS, EVALUATE, JOBS, StreamSpec, TRIGGERS};

/// The platform token of GitHub Actions.
pub const GITHUB_ACTIONS: &str = "github-app";
/// The platform token of Argo Workflows.
pub const ARGO_WORKFLOWS: &str = "argo-workflow";
/// The event tokens of GitHub that its agent listens to.
pub const GITHUB_EVENTS: [&str; 4] =
    ["workflow_run", "workflow_job", "deployment_review", "deployment_protection_rule"];

/// The platform token of GitLab CI/CD.
pub const GITLAB_CI: &str = "gitlab";
/// The event tokens of GitLab that its agent listens to.
pub const GITLAB_EVENTS: [&str; 2] = ["Pipeline_Hook", "Job_Hook"];
/// The platform token of Kubernetes Jobs, of which news come by watches.
pub const KUBERNETES_JOBS: &str = "kubernetes-job";

/// A dead worker's messages return after this long. A living one extends it while it works.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Messages waiting for a delayed retry count here too, so this is far above any number of slots.
const ACKS_PENDING_MAX: u32 = 8_192;

/// A durable pull consumer, shared by all replicas of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// The stream it reads.
    pub stream: &'static StreamSpec,
    /// Its name; a slug.
    pub name: String,
    /// The subjects it takes.
    pub filter: String,
    /// After this long without a sign of life, a message goes to another worker.
    pub ack_wait: Duration,
    /// How many messages may be unsettled at once, over all replicas.
    pub max_ack_pending: u32,
}

/// The evaluator's triggers.
pub fn evaluator_triggers() -> ConsumerSpec {
    spec(&TRIGGERS, "evaluator-triggers", "ctrlplane.trigger.>")
}

/// The evaluator's hints.
pub fn evaluator_hints() -> ConsumerSpec {
    spec(&EVALUATE, "evaluator-hints", "ctrlplane.evaluate.>")
}

/// The dispatcher's job facts.
pub fn dispatcher_jobs() -> ConsumerSpec {
    spec(&JOBS, "dispatcher-jobs", "ctrlplane.job.>")
}

/// The syncer's job facts.
pub fn syncer_jobs() -> ConsumerSpec {
    spec(&JOBS, "syncer-jobs", "ctrlplane.job.>")
}

/// The commands to the agents of a platform.
pub fn agent_commands(platform: &Slug) -> ConsumerSpec {
    spec(&COMMANDS, format!("agent-{platform}-commands"), subject::commands_of(platform))
}

/// One kind of platform events, for the agents of a platform.
pub fn agent_events(platform: &Slug, event_token: &Slug) -> ConsumerSpec {
    spec(&TRIGGERS, format!("agent-{platform}-{event_token}"), subject::triggers_of_event(event_token))
}

fn spec(stream: &'static StreamSpec, name: impl Into<String>, filter: impl Into<String>) -> ConsumerSpec {
    ConsumerSpec {
        stream,
        name: name.into(),
        filter: filter.into(),
        ack_wait: ACK_WAIT,
        max_ack_pending: ACKS_PENDING_MAX,
    }
}
