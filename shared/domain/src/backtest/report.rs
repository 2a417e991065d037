//! What a back-test tells.

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
    /// Where history ends.
    pub until: Timestamp,
    /// The names of the proposed policies.
    pub policies: Vec<String>,
    /// Every job that was asked for in that time, in this order.
    pub jobs: Vec<JudgedJob>,
    /// How many of each outcome.
    pub totals: Totals,
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
