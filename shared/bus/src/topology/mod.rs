//! The one table of streams, buckets, object stores and consumers, and of who may do what with them.
//! Knows names and limits; does not talk to a server.

mod consumers;
mod needs;
mod permissions;

use std::time::Duration;

pub use consumers::{
    ARGO_WORKFLOWS, ConsumerSpec, GITHUB_ACTIONS, GITHUB_EVENTS, GITLAB_CI, GITLAB_EVENTS, HTTP_PULL,
    KUBERNETES_JOBS, agent_commands, agent_events, dispatcher_jobs, evaluator_hints, evaluator_triggers,
    syncer_jobs,
};
pub use needs::{Needs, Service, consumers, needs_of};
pub use permissions::{
    Permissions, SUBSCRIBER, listener_conf, permissions_of, puller_conf, puller_permissions,
    subscriber_permissions, users_conf,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MIB: u32 = 1024 * 1024;
const FOR_EVER: Duration = Duration::ZERO;

/// A stream. All of them: file storage, limits retention, discard old, direct get.
#[derive(Debug, PartialEq, Eq)]
pub struct StreamSpec {
    /// Its name.
    pub name: &'static str,
    /// What it stores.
    pub subjects: &'static [&'static str],
    /// How long messages are kept. Set at creation; afterwards the operator's to change. Zero: for ever.
    pub max_age: Duration,
    /// How many messages of one subject are kept; `None`: all.
    pub max_messages_per_subject: Option<u32>,
    /// How long a message id is remembered.
    pub duplicate_window: Duration,
}

/// A key-value bucket, stored in the stream `KV_<name>`.
#[derive(Debug, PartialEq, Eq)]
pub struct BucketSpec {
    /// Its name.
    pub name: &'static str,
    /// How many values of one key are kept.
    pub history: u32,
    /// How long a value is kept. Zero: for ever.
    pub max_age: Duration,
    /// How many bytes all together may have; more is refused. Absent: as many as there is room for.
    pub bytes_max: Option<u32>,
}

/// An object store, stored in the stream `OBJ_<name>`.
#[derive(Debug, PartialEq, Eq)]
pub struct ObjectStoreSpec {
    /// Its name.
    pub name: &'static str,
    /// How long an object is kept.
    pub max_age: Duration,
}

/// Everything that came in from outside.
pub static TRIGGERS: StreamSpec = StreamSpec {
    name: "TRIGGERS",
    subjects: &["ctrlplane.trigger.>"],
    max_age: DAY.saturating_mul(30),
    max_messages_per_subject: None,
    duplicate_window: HOUR,
};

/// Hints, coalesced: a newer one replaces an unread one.
pub static EVALUATE: StreamSpec = StreamSpec {
    name: "EVALUATE",
    subjects: &["ctrlplane.evaluate.>"],
    max_age: DAY.saturating_mul(7),
    max_messages_per_subject: Some(1),
    duplicate_window: MINUTE.saturating_mul(2),
};

/// The facts of jobs.
pub static JOBS: StreamSpec = StreamSpec {
    name: "JOBS",
    subjects: &["ctrlplane.job.>"],
    max_age: DAY.saturating_mul(30),
    max_messages_per_subject: None,
    duplicate_window: MINUTE.saturating_mul(2),
};

/// What agents are asked to do.
pub static COMMANDS: StreamSpec = StreamSpec {
    name: "COMMANDS",
    subjects: &["ctrlplane.command.>"],
    max_age: DAY.saturating_mul(7),
    max_messages_per_subject: None,
    duplicate_window: MINUTE.saturating_mul(2),
};

/// The public status of every job.
pub static STATUS: StreamSpec = StreamSpec {
    name: "STATUS",
    subjects: &["ctrlplane.status.>"],
    max_age: DAY.saturating_mul(30),
    max_messages_per_subject: Some(32),
    duplicate_window: MINUTE.saturating_mul(2),
};

/// Messages nobody could handle.
pub static DEAD: StreamSpec = StreamSpec {
    name: "DEAD",
    subjects: &["ctrlplane.dead.>"],
    max_age: DAY.saturating_mul(30),
    max_messages_per_subject: None,
    duplicate_window: MINUTE.saturating_mul(2),
};

/// Who did what.
pub static AUDIT: StreamSpec = StreamSpec {
    name: "AUDIT",
    subjects: &["ctrlplane.audit.>"],
    max_age: DAY.saturating_mul(365),
    max_messages_per_subject: None,
    duplicate_window: MINUTE.saturating_mul(2),
};

/// Intent: what people and CI declare.
pub static CATALOG: BucketSpec =
    BucketSpec { name: "catalog", history: 16, max_age: FOR_EVER, bytes_max: None };
/// Decisions, one per release target.
pub static TARGETS: BucketSpec =
    BucketSpec { name: "targets", history: 1, max_age: FOR_EVER, bytes_max: None };
/// Delivery ids that came in; outlives the three days in which a sender may deliver again.
pub static DELIVERIES: BucketSpec =
    BucketSpec { name: "deliveries", history: 1, max_age: DAY.saturating_mul(4), bytes_max: None };
/// Which jobs hold which slots of an agent, and which ones freezes hold.
pub static SLOTS: BucketSpec = BucketSpec { name: "slots", history: 1, max_age: FOR_EVER, bytes_max: None };
/// When a freeze of a workspace last changed, as a revision of the catalog.
pub static FREEZES: BucketSpec =
    BucketSpec { name: "freezes", history: 1, max_age: FOR_EVER, bytes_max: None };
/// Which job a run on a platform belongs to.
pub static RUNS: BucketSpec =
    BucketSpec { name: "runs", history: 1, max_age: DAY.saturating_mul(30), bytes_max: None };
/// Verifications: what was measured so far, and who is measuring.
pub static VERIFICATIONS: BucketSpec =
    BucketSpec { name: "verifications", history: 1, max_age: DAY.saturating_mul(30), bytes_max: None };
/// Jobs that pullers may claim, and who has claimed which: their leases and fences.
pub static PULLS: BucketSpec =
    BucketSpec { name: "pulls", history: 1, max_age: DAY.saturating_mul(60), bytes_max: None };
/// What is left of a platform's rate limits.
pub static BUDGETS: BucketSpec = BucketSpec { name: "budgets", history: 1, max_age: DAY, bytes_max: None };
/// The accounts of webhooks: what platforms sent, what we have, what is missing.
pub static WEBHOOKS: BucketSpec =
    BucketSpec { name: "webhooks", history: 1, max_age: DAY.saturating_mul(30), bytes_max: None };
/// When active jobs were last looked at with nothing new to see.
pub static CONFIRMATIONS: BucketSpec =
    BucketSpec { name: "confirmations", history: 1, max_age: DAY, bytes_max: None };
/// Answers to requests that may be sent again, by their idempotency keys.
pub static IDEMPOTENCY: BucketSpec =
    BucketSpec { name: "idempotency", history: 1, max_age: DAY, bytes_max: Some(512 * MIB) };
/// How often the handling of a message failed.
pub static ATTEMPTS: BucketSpec = BucketSpec { name: "attempts", history: 1, max_age: DAY, bytes_max: None };
/// API keys that were made over the API, as hashes.
pub static KEYS: BucketSpec = BucketSpec { name: "keys", history: 1, max_age: FOR_EVER, bytes_max: None };
/// Who is logged in at the console, by the hash of the session's token. None lives longer than this.
pub static SESSIONS: BucketSpec =
    BucketSpec { name: "sessions", history: 1, max_age: DAY.saturating_mul(7), bytes_max: Some(128 * MIB) };

/// Payloads larger than a message.
pub static PAYLOADS: ObjectStoreSpec = ObjectStoreSpec { name: "payloads", max_age: DAY.saturating_mul(30) };

/// Every stream.
pub static STREAMS: [&StreamSpec; 7] = [&TRIGGERS, &EVALUATE, &JOBS, &COMMANDS, &STATUS, &DEAD, &AUDIT];
/// Every bucket.
pub static BUCKETS: [&BucketSpec; 15] = [
    &CATALOG,
    &TARGETS,
    &DELIVERIES,
    &SLOTS,
    &FREEZES,
    &RUNS,
    &VERIFICATIONS,
    &PULLS,
    &BUDGETS,
    &WEBHOOKS,
    &CONFIRMATIONS,
    &IDEMPOTENCY,
    &ATTEMPTS,
    &KEYS,
    &SESSIONS,
];
/// Every object store.
pub static OBJECT_STORES: [&ObjectStoreSpec; 1] = [&PAYLOADS];

impl BucketSpec {
    /// The stream that stores it.
    pub fn stream(&self) -> String {
        format!("KV_{}", self.name)
    }

    /// The subject that stores the key, or the filter of the keys.
    pub fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.name)
    }
}

impl ObjectStoreSpec {
    /// The stream that stores it.
    pub fn stream(&self) -> String {
        format!("OBJ_{}", self.name)
    }
}
