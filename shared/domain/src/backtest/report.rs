//! What a back-test tells.

use super::reading::Limits;
use crate::Timestamp;
use crate::decision::RuleVerdict;
use crate::id::JobId;
use serde::{Deserialize, Serialize};

/// What proposed policies would have done to the jobs of a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// From when on jobs are judged.
    pub since: Timestamp,
    /// Where history ends: now, or where it is cut.
    pub until: Timestamp,
    /// How much of what happened this is about.
    pub looked_at: LookedAt,
    /// The names of the proposed policies.
    pub policies: Vec<String>,
    /// Every job that was asked for in that time, in this order.
    pub jobs: Vec<JudgedJob>,
    /// How many of each outcome.
    pub totals: Totals,
}

/// How much of what happened was looked at, and what was not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LookedAt {
    /// So many facts of jobs, also from before `since`: they say how things stood then.
    pub facts: u64,
    /// Of so many release targets.
    pub targets: u64,
    /// From so many days, begun ones included: from the oldest fact to the end of history.
    pub days: u64,
    /// When the oldest fact that is kept was stored. Of the time before it is known only what decisions remember.
    pub oldest_fact: Option<Timestamp>,
    /// Of so many release targets decisions remember what ran before the oldest fact.
    #[serde(default)]
    pub remembered: u64,
    /// So many changes of the catalog.
    pub changes: u64,
    /// What could not be read.
    pub unreadable: Unreadable,
    /// Where history was cut, if it was: nothing from there on was looked at. Everything before was, in whole instants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// How much is looked at, at most.
    pub limits: Limits,
}

/// What could not be read. The fact of a job is then missing; an entity is there and blocks what depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unreadable {
    /// So many facts of jobs.
    pub facts: u64,
    /// So many changes of the catalog.
    pub changes: u64,
    /// The first of them. At most five.
    pub first: Vec<UnreadableMessage>,
}

/// A message that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnreadableMessage {
    /// The subject of a fact, the key of an entity.
    pub key: String,
    /// Its sequence or revision.
    pub sequence: u64,
    /// When it was stored.
    pub at: Timestamp,
    /// Why.
    pub why: String,
}

/// Where history was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cut {
    /// The first instant that was not looked at.
    pub at: Timestamp,
    /// Which limit it was.
    pub by: CutBy,
}

/// A limit of a back-test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CutBy {
    /// There are more facts.
    Facts,
    /// There are more changes of the catalog.
    Changes,
    /// They are too large.
    Bytes,
    /// It took too long.
    Time,
}

/// One job and what would have become of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JudgedJob {
    /// The job.
    pub job: JobId,
    /// The version's tag.
    pub version: String,
    /// The deployment's name.
    pub deployment: String,
    /// The environment's name.
    pub environment: String,
    /// The resource's name.
    pub resource: String,
    /// When it was really asked for.
    pub requested_at: Timestamp,
    /// What would have become of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What held it, each rule once with what it first said; empty where nothing did.
    pub held_by: Vec<HeldBy>,
}

/// What would have become of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// It would have been asked for when it was.
    Allowed,
    /// It would have been asked for later.
    Delayed {
        /// When.
        until: Timestamp,
        /// That many whole seconds later.
        by_seconds: i64,
    },
    /// A newer version came before it was allowed.
    Overtaken {
        /// The newer version's tag.
        by: String,
    },
    /// It was not allowed until history ended.
    Stopped,
    /// It was not allowed until history ended, but time alone would let it go.
    Waiting {
        /// When all that holds it has passed.
        until: Timestamp,
    },
    /// It cannot be told: the catalog of that time is not kept any more.
    Unknown,
}

/// A rule that held a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldBy {
    /// The policy's name.
    pub policy: String,
    /// The rule, as manifests name it.
    pub rule: String,
    /// Which of the policy's rules it is, from 0.
    pub rule_index: u32,
    /// Why.
    pub reason: String,
}

/// How many jobs of each outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// All of them.
    pub jobs: u64,
    /// Those that nothing would have held.
    pub allowed: u64,
    /// Those that would have come later.
    pub delayed: u64,
    /// Those in whose place a newer version came.
    pub overtaken: u64,
    /// Those that would not have come.
    pub stopped: u64,
    /// Those that would come after the end of history.
    pub waiting: u64,
    /// Those of which it cannot be told.
    pub unknown: u64,
    /// By how many seconds those that would have come later are late, all together.
    pub delayed_seconds: i64,
    /// By how many seconds the latest of them is late.
    pub longest_delay_seconds: i64,
}

impl Totals {
    pub(super) fn of(jobs: &[JudgedJob]) -> Self {
        let mut totals = Self::default();
        for job in jobs {
            totals.jobs += 1;
            match &job.outcome {
                Outcome::Allowed => totals.allowed += 1,
                Outcome::Delayed { by_seconds, .. } => {
                    totals.delayed += 1;
                    totals.delayed_seconds = totals.delayed_seconds.saturating_add(*by_seconds);
                    totals.longest_delay_seconds = totals.longest_delay_seconds.max(*by_seconds);
                }
                Outcome::Overtaken { .. } => totals.overtaken += 1,
                Outcome::Stopped => totals.stopped += 1,
                Outcome::Waiting { .. } => totals.waiting += 1,
                Outcome::Unknown => totals.unknown += 1,
            }
        }
        totals
    }
}

impl JudgedJob {
    /// Notes what holds it now.
    pub(super) fn note(&mut self, obstacles: &[RuleVerdict]) {
        for said in obstacles {
            let known = self.held_by.iter().any(|held| {
                (&held.policy, &held.rule, held.rule_index)
                    == (&said.policy_name, &said.rule, said.rule_index)
            });
            if !known {
                self.held_by.push(HeldBy {
                    policy: said.policy_name.clone(),
                    rule: said.rule.clone(),
                    rule_index: said.rule_index,
                    reason: said.reason.clone(),
                });
            }
        }
    }
}
