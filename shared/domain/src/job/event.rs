//! Facts: what happened to a job, as the `JOBS` stream keeps it.

use super::status::{ActiveStatus, Reason, TerminalStatus};
use crate::Timestamp;
use crate::decision::Grounds;
use crate::entity::Deadlines;
use crate::id::{FreezeId, JobAgentId, JobId, PolicyId, ReleaseId, VersionId, WorkflowId, WorkflowRunId};
use crate::target::TargetKey;
use crate::token::Slug;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Names shown as links, by what they lead to: `run`, `logs`, ….
pub type Links = BTreeMap<String, String>;

/// Which job, and what it is for. Every event repeats it, so that the last event of a subject
/// tells what the job is about without the ones before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobRef {
    /// The tenant.
    pub workspace: Slug,
    /// The job.
    pub id: JobId,
    /// Where it brings the release. Absent where a workflow asks for it.
    #[serde(default = "TargetKey::none", skip_serializing_if = "TargetKey::is_none")]
    pub target: TargetKey,
    /// The version it brings. Absent where a workflow asks for it.
    #[serde(default = "VersionId::none", skip_serializing_if = "VersionId::is_none")]
    pub version: VersionId,
    /// The version's tag; where a workflow asks for it, its name in the run.
    pub tag: String,
    /// Version and variables. Absent where a workflow asks for it.
    #[serde(default = "ReleaseId::none", skip_serializing_if = "ReleaseId::is_none")]
    pub release: ReleaseId,
    /// The n-th job of this release, from 1.
    pub attempt: u32,
    /// The deployment's token in status subjects. Absent where a workflow asks for it: `~workflow`.
    #[serde(default = "Slug::workflow", skip_serializing_if = "Slug::is_workflow")]
    pub deployment: Slug,
    /// The environment's token in status subjects. Absent where a workflow asks for it: `~workflow`.
    #[serde(default = "Slug::workflow", skip_serializing_if = "Slug::is_workflow")]
    pub environment: Slug,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Purpose::is_deploy")]
    pub purpose: Purpose,
    /// Names the content of the version that its rules let go. Absent where no rules did, and with jobs of before it was
    /// kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Uuid>,
}

/// What a job is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Purpose {
    /// Brings a release to its target.
    #[default]
    Deploy,
    /// Measures whether what another job brought works.
    Verify {
        /// The job that brought it.
        of: JobId,
        /// The policy that wants it.
        policy: PolicyId,
        /// Which of the policy's rules, from 0.
        rule_index: u32,
    },
    /// Does what a workflow says, in one of its runs.
    Workflow {
        /// The workflow.
        workflow: WorkflowId,
        /// The run.
        run: WorkflowRunId,
    },
}

impl Purpose {
    /// Whether it brings a release.
    pub fn is_deploy(&self) -> bool {
        match self {
            Purpose::Deploy => true,
            Purpose::Verify { .. } | Purpose::Workflow { .. } => false,
        }
    }

    /// Whether it starts something that a freeze may hold. What only measures does not.
    pub fn may_be_frozen(&self) -> bool {
        match self {
            Purpose::Deploy | Purpose::Workflow { .. } => true,
            Purpose::Verify { .. } => false,
        }
    }

    /// The run it is a job of.
    pub fn run(&self) -> Option<WorkflowRunId> {
        match self {
            Purpose::Workflow { run, .. } => Some(*run),
            Purpose::Deploy | Purpose::Verify { .. } => None,
        }
    }
}

/// One fact, as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobEvent {
    /// Which job.
    pub job: JobRef,
    /// When it was recorded.
    pub at: Timestamp,
    /// What caused it: a delivery, a person, a message; for the causal chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// W3C trace context of the work that recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub fact: JobFact,
}

/// What can happen to a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum JobFact {
    /// The evaluator decided that it must run.
    Requested {
        /// The catalog revision the decision saw; the dispatcher waits until it has seen as much.
        catalog_revision: u64,
        /// What was decided: why the job may run. Absent where no decision asked for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grounds: Option<Box<Grounds>>,
    },
    /// It must wait before it may be dispatched.
    Held {
        /// For what.
        why: HeldWhy,
    },
    /// An agent was chosen and its config rendered.
    Dispatched(Dispatch),
    /// The agent is about to call the platform. Recorded before the call.
    TriggerStarted {
        /// Counts the tries of this dispatch, from 1.
        fence: u32,
    },
    /// The platform has the run.
    Triggered {
        /// The run.
        external: ExternalRef,
        /// Deep links into the platform.
        links: Links,
    },
    /// The call was sent and no answer came.
    TriggerUnknown {
        /// The try.
        fence: u32,
        /// What went wrong.
        message: String,
    },
    /// The run was seen, not over.
    Observed(Snapshot<ActiveStatus>),
    /// Somebody wishes it to end.
    CancelRequested {
        /// A person's name, or the service that decided.
        by: String,
        /// Why.
        reason: CancelReason,
    },
    /// The platform was asked to end it.
    CancelSent {
        /// Whether by force.
        force: bool,
    },
    /// Somebody wishes a finished job to run again on the platform.
    RetryRequested {
        /// Who.
        by: String,
    },
    /// The run was seen to be over, or there will be none.
    Finished(Snapshot<TerminalStatus>),
}

impl JobFact {
    /// The name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            JobFact::Requested { .. } => "requested",
            JobFact::Held { .. } => "held",
            JobFact::Dispatched(_) => "dispatched",
            JobFact::TriggerStarted { .. } => "triggerStarted",
            JobFact::Triggered { .. } => "triggered",
            JobFact::TriggerUnknown { .. } => "triggerUnknown",
            JobFact::Observed(_) => "observed",
            JobFact::CancelRequested { .. } => "cancelRequested",
            JobFact::CancelSent { .. } => "cancelSent",
            JobFact::RetryRequested { .. } => "retryRequested",
            JobFact::Finished(_) => "finished",
        }
    }

    /// The first and last fact of a job that was decided and not asked for yet, when the gates do not let it go any more.
    pub fn withdrawn() -> Self {
        let why = "taken back before it was asked for: its gates do not let it go any more";
        Self::ended(TerminalStatus::Cancelled, Some(Reason::Withdrawn), why)
    }

    /// Whether it may be a job's first fact although it ends it.
    pub(super) fn withdraws(&self) -> bool {
        matches!(self, JobFact::Finished(end) if end.reason == Some(Reason::Withdrawn))
    }

    /// A job that ends without a run on a platform.
    pub fn ended(status: TerminalStatus, reason: Option<Reason>, message: impl Into<String>) -> Self {
        JobFact::Finished(Snapshot {
            status,
            order: None,
            raw: None,
            reason,
            message: Some(message.into()),
            links: Links::new(),
            source: Source::Ctrlplane,
            external: None,
        })
    }
}

/// Why a job waits for its dispatch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "for", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum HeldWhy {
    /// All slots of its agent are taken.
    Concurrency {
        /// The agent.
        agent: JobAgentId,
        /// How many slots it has.
        limit: u32,
        /// How many wait before it, when it was put on hold.
        ahead: u32,
    },
    /// A freeze.
    Freeze {
        /// Which; absent where it was only seen that one came or went since the dispatch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        freeze: Option<FreezeId>,
        /// Why it is frozen, for people.
        reason: String,
        /// When it thaws by itself, if it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
}

/// Who runs it and with what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dispatch {
    /// The agent.
    pub agent: JobAgentId,
    /// Its name.
    pub agent_name: String,
    /// Its platform; the token in command and status subjects.
    pub platform: Slug,
    /// The merged and rendered config the agent works with.
    pub config: Map<String, Value>,
    /// Where in the config secrets belong, by JSON pointer, and their names. Only the agent knows their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// What templates saw: the dispatch context.
    pub context: Value,
    /// How long it may take.
    pub deadlines: Deadlines,
}

/// A run on a platform.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalRef {
    /// The platform.
    pub platform: Slug,
    /// The host of its API, e.g. `api.github.com`.
    pub host: String,
    /// Repository, project or namespace.
    pub scope: String,
    /// The run's id there.
    pub id: String,
    /// The run's attempt there, from 1.
    pub attempt: u32,
    /// Where people look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What orders observations of one run: its attempt, then the platform's own clock or counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderKey {
    /// The run's attempt.
    pub attempt: u32,
    /// Milliseconds since the epoch by the platform's clock, or its watch order. Comparable within one run only.
    pub version: i64,
}

/// The platform's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RawStatus {
    /// The status as the platform says it.
    pub status: String,
    /// The conclusion as the platform says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conclusion: Option<String>,
}

/// One look at a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot<S> {
    /// What it means to us.
    pub status: S,
    /// Orders it among other looks. Absent where no platform was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderKey>,
    /// The platform's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<RawStatus>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// For a person, to act on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Deep links into the platform.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: Links,
    /// How it came to us.
    pub source: Source,
    /// The run, where this look is the first to know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalRef>,
}

/// A look at a run before it is known whether the run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SnapshotStatus {
    /// Not over.
    Active(ActiveStatus),
    /// Over.
    Terminal(TerminalStatus),
}

impl Snapshot<SnapshotStatus> {
    /// The fact this look is.
    pub fn into_fact(self) -> JobFact {
        let Snapshot { status, order, raw, reason, message, links, source, external } = self;
        match status {
            SnapshotStatus::Active(status) => {
                JobFact::Observed(Snapshot { status, order, raw, reason, message, links, source, external })
            }
            SnapshotStatus::Terminal(status) => {
                JobFact::Finished(Snapshot { status, order, raw, reason, message, links, source, external })
            }
        }
    }
}

/// How a look at a run came to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The platform told us.
    Webhook,
    /// We read the run after the state we judge it by: authoritative for ties.
    Read,
    /// We decided it ourselves.
    Ctrlplane,
}

/// Why somebody wishes a job to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CancelReason {
    /// A person asked.
    User,
    /// A newer version takes its place.
    Superseded,
    /// A deadline passed.
    TimedOut,
    /// Its target or deployment is gone.
    Removed,
}
