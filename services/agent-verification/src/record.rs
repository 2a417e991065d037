//! The record of one verification in the bucket, and what may happen to it. Every change is a compare-and-set, so a change
//! decides on the record it is made to and on nothing else.

use chrono::TimeDelta;
use domain::Timestamp;
use domain::entity::{Metric, MetricProvider};
use domain::id::JobId;
use domain::job::{
    ActiveStatus, ExternalRef, Links, OrderKey, Reason, Snapshot, SnapshotStatus, Source, TerminalStatus,
};
use domain::token::Slug;
use domain::verification::{Config, Course, PLATFORM, Reading, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The host in the names of our runs.
const HOST: &str = "ctrlplane";
/// A claim outlives the measurement's own limit by this: for storing the result, and for clocks that differ.
const CLAIM_MARGIN: TimeDelta = TimeDelta::seconds(15);

/// A verification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// How often it was begun, from 1.
    pub(crate) attempt: u32,
    /// Counts what people can see of it, over all attempts.
    pub(crate) version: i64,
    /// What is measured.
    pub(crate) config: Config,
    /// How far it has come.
    pub(crate) course: Course,
    /// How it stood at this version, for people.
    pub(crate) message: String,
    /// Who measures what, by the metric's place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) claims: BTreeMap<usize, Claim>,
    /// Why it ended without a verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Ended>,
}

/// A measurement that is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Claim {
    /// Whose result counts.
    pub(crate) id: Uuid,
    /// When it was begun.
    pub(crate) at: Timestamp,
    /// Whoever comes after this may measure instead.
    pub(crate) until: Timestamp,
}

/// Why a verification ended without a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Ended {
    /// Somebody wished so.
    Cancelled,
    /// Its job is no verification of the workspace it names.
    Refused,
}

/// What became of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It counts.
    Counted,
    /// Somebody else's counts, or none any more.
    Dropped,
}

impl Record {
    /// A new one.
    pub(crate) fn begin(config: Config, now: Timestamp) -> Self {
        Self::of(config, 1, 1, now)
    }

    /// The next attempt after this one.
    pub(crate) fn again(&self, config: Config, now: Timestamp) -> Self {
        Self::of(config, self.attempt + 1, self.version + 1, now)
    }

    /// An attempt, counting on from that version.
    pub(crate) fn of(config: Config, attempt: u32, version: i64, now: Timestamp) -> Self {
        let course = Course::begin(&config.metrics, now);
        let message = course.message(&config.metrics);
        Self { attempt, version, config, course, message, claims: BTreeMap::new(), ended: None }
    }

    /// Whether nothing more is measured.
    pub(crate) fn is_over(&self) -> bool {
        self.ended.is_some() || self.course.verdict().is_some()
    }

    /// When which metric may be measured next by somebody who is not doing so already.
    pub(crate) fn due(&self) -> Vec<(usize, Timestamp)> {
        if self.is_over() {
            return Vec::new();
        }
        let due = self.course.due(&self.config.metrics).into_iter();
        due.map(|(n, at)| (n, self.claims.get(&n).map_or(at, |claim| at.max(claim.until)))).collect()
    }

    /// Claims the next measurement of the n-th metric. `false`: it is not due, or somebody else is at it.
    pub(crate) fn claim(&mut self, n: usize, id: Uuid, now: Timestamp) -> bool {
        let due = self.due().into_iter().any(|(m, at)| m == n && at <= now);
        let Some(metric) = self.config.metrics.get(n).filter(|_| due) else { return false };
        let limit = TimeDelta::from_std(time_limit(metric)).unwrap_or(TimeDelta::MAX);
        self.claims.insert(n, Claim { id, at: now, until: now + limit + CLAIM_MARGIN });
        true
    }

    /// Takes in what a claimed measurement says.
    pub(crate) fn settle(&mut self, n: usize, id: Uuid, reading: Reading, why: &str) -> Settled {
        let claim = self.claims.get(&n).copied().filter(|claim| claim.id == id);
        let Some(claim) = claim.filter(|_| !self.is_over()) else { return Settled::Dropped };
        self.claims.remove(&n);
        if self.course.take(&self.config.metrics, n, reading, why, claim.at) {
            self.version += 1;
            self.message = self.course.message(&self.config.metrics);
        }
        Settled::Counted
    }

    /// Ends it, unless it is over.
    pub(crate) fn end(&mut self, ended: Ended, message: &str) -> bool {
        if self.is_over() {
            return false;
        }
        self.ended = Some(ended);
        self.claims.clear();
        self.version += 1;
        message.clone_into(&mut self.message);
        true
    }

    /// Its name as a run.
    pub(crate) fn external(&self, job: JobId) -> ExternalRef {
        external(&self.config.workspace, job, self.attempt)
    }

    /// How it stands.
    pub(crate) fn snapshot(&self) -> Snapshot<SnapshotStatus> {
        let (status, reason) = match (self.ended, self.course.verdict()) {
            (Some(Ended::Cancelled), _) => (SnapshotStatus::Terminal(TerminalStatus::Cancelled), None),
            (Some(Ended::Refused), _) => (SnapshotStatus::Terminal(TerminalStatus::InvalidJobAgent), None),
            (None, Some(Verdict::Passed)) => (SnapshotStatus::Terminal(TerminalStatus::Successful), None),
            (None, Some(Verdict::Failed)) => (SnapshotStatus::Terminal(TerminalStatus::Failure), None),
            (None, Some(Verdict::Inconclusive)) => {
                (SnapshotStatus::Terminal(TerminalStatus::Failure), Some(Reason::Inconclusive))
            }
            (None, None) => (SnapshotStatus::Active(ActiveStatus::InProgress), None),
        };
        Snapshot {
            status,
            order: Some(OrderKey { attempt: self.attempt, version: self.version }),
            raw: None,
            reason,
            message: Some(telemetry::redact(&self.message).into_owned()),
            links: Links::new(),
            source: Source::Read,
            external: None,
        }
    }
}

/// The name of an attempt as a run.
pub(crate) fn external(workspace: &Slug, job: JobId, attempt: u32) -> ExternalRef {
    ExternalRef {
        platform: Slug::of_name(PLATFORM),
        host: HOST.to_owned(),
        scope: workspace.to_string(),
        id: job.to_string(),
        attempt,
        url: None,
    }
}

/// How long one measurement may take.
pub(crate) fn time_limit(metric: &Metric) -> std::time::Duration {
    /// No measurement takes longer, whatever a rule says.
    const SECONDS_MAX: u32 = 60;
    let seconds = match &metric.provider {
        MetricProvider::Http(http) => http.timeout_seconds,
        MetricProvider::Prometheus(prometheus) => prometheus.timeout_seconds,
        MetricProvider::Datadog(datadog) => datadog.timeout_seconds,
        MetricProvider::Sleep(_) => 1,
    };
    std::time::Duration::from_secs(seconds.clamp(1, SECONDS_MAX).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn record() -> Record {
        let config = json!({ "workspace": "acme", "metrics": [
            { "name": "home", "intervalSeconds": 10, "count": 2, "provider": { "type": "http", "url": "http://x" } },
            { "name": "settle", "provider": { "type": "sleep", "durationSeconds": 30 } },
        ] });
        Record::begin(serde_json::from_value(config).unwrap(), at(0))
    }

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn one_measures_at_a_time_and_a_dead_claim_is_taken_over() {
        let mut record = record();
        assert!(!record.claim(1, id(1), at(0)), "not due");
        assert!(record.claim(0, id(1), at(0)));
        assert!(!record.claim(0, id(2), at(1)), "somebody is at it");
        // Ten seconds of its own and the margin.
        assert_eq!(record.due()[0], (0, at(25)));
        assert!(record.claim(0, id(2), at(25)));
        assert_eq!(record.settle(0, id(1), Reading::Bad, ""), Settled::Dropped, "too late");
        assert_eq!(record.settle(0, id(2), Reading::Good, ""), Settled::Counted);
        assert_eq!(record.settle(0, id(2), Reading::Good, ""), Settled::Dropped, "counted once");
        assert_eq!(record.course.metrics[0].measured, 1);
        assert_eq!(record.due(), [(0, at(35)), (1, at(30))], "from when the one that counts was begun");
    }

    #[test]
    fn what_people_see_is_numbered_and_an_end_is_an_end() {
        let mut record = record();
        let versions = |record: &Record| record.snapshot().order.unwrap().version;
        assert_eq!(versions(&record), 1);
        record.claim(0, id(1), at(0));
        assert_eq!(versions(&record), 1, "a claim is nobody's business");
        record.settle(0, id(1), Reading::Good, "");
        assert_eq!(
            (versions(&record), record.message.as_str()),
            (2, "home: 1 of 2 good; settle: waits 30 s")
        );
        assert!(record.end(Ended::Cancelled, "cancelled") && !record.end(Ended::Refused, "x"));
        assert_eq!(versions(&record), 3);
        assert_eq!(record.snapshot().status, SnapshotStatus::Terminal(TerminalStatus::Cancelled));
        assert!(record.due().is_empty() && !record.claim(0, id(2), at(100)));
        let again = record.again(record.config.clone(), at(200));
        assert_eq!((again.attempt, again.version), (2, 4));
        assert_eq!(again.snapshot().status, SnapshotStatus::Active(ActiveStatus::InProgress));
        assert_eq!(again.due()[0], (0, at(200)));
    }

    #[test]
    fn every_end_is_one_that_jobs_know() {
        let ended = |readings: [Reading; 2]| {
            let mut record = record();
            for reading in readings {
                let due = record.due()[0].1;
                record.claim(0, id(1), due);
                record.settle(0, id(1), reading, "");
            }
            record.claim(1, id(1), at(30));
            record.settle(1, id(1), Reading::Good, "");
            let snapshot = record.snapshot();
            (snapshot.status, snapshot.reason)
        };
        let (failure, successful) = (TerminalStatus::Failure, TerminalStatus::Successful);
        assert_eq!(ended([Reading::Good, Reading::Good]), (SnapshotStatus::Terminal(successful), None));
        assert_eq!(ended([Reading::Good, Reading::Bad]), (SnapshotStatus::Terminal(failure), None));
        let unclear = (SnapshotStatus::Terminal(failure), Some(Reason::Inconclusive));
        assert_eq!(ended([Reading::Good, Reading::Error]), unclear);
    }
}
