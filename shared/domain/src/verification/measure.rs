//! What measurements mean: rows of good and bad ones, a limit, an end; and when the next is due. Time is an argument, and the
//! outcome depends on nothing but the readings of each metric, in their order.

use crate::Timestamp;
use crate::entity::{Metric, MetricProvider};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// So many errors of a provider in a row end a metric.
pub const ERRORS_MAX: u32 = 5;
/// How often at most a metric tells its progress: whoever measures ten thousand times tells of every five hundredth.
const STEPS: u64 = 20;
/// The longest message of a verification, in characters.
const MESSAGE_CHARS_MAX: usize = 1000;
/// The longest words about one reading, in characters.
const WHY_CHARS_MAX: usize = 200;

/// What one measurement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reading {
    /// It works.
    Good,
    /// It does not.
    Bad,
    /// Neither.
    Unclear,
    /// The provider could not be asked, or gave no answer that can be read.
    Error,
}

/// What came of a metric, or of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It works.
    Passed,
    /// It does not.
    Failed,
    /// The measurements do not tell.
    Inconclusive,
}

/// How far a verification has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Course {
    /// When it began.
    pub started_at: Timestamp,
    /// One per metric, in their order.
    pub metrics: Vec<Progress>,
}

/// How far a metric has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// How many measurements were made.
    pub measured: u32,
    /// How many good ones came last, in a row.
    pub good: u32,
    /// How many bad ones came last, in a row.
    pub bad: u32,
    /// How many errors came last, in a row.
    pub errors: u32,
    /// When the last was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Timestamp>,
    /// What the last said, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What came of it; absent while it is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

impl Course {
    /// The beginning.
    pub fn begin(metrics: &[Metric], now: Timestamp) -> Self {
        Self { started_at: now, metrics: metrics.iter().map(|_| Progress::default()).collect() }
    }

    /// Which metrics are to be measured next, and when each. Nothing once the verdict is there.
    pub fn due(&self, metrics: &[Metric]) -> Vec<(usize, Timestamp)> {
        if self.verdict().is_some() {
            return Vec::new();
        }
        let pairs = self.metrics.iter().zip(metrics).enumerate();
        pairs
            .filter_map(|(n, (progress, metric))| Some((n, progress.due(metric, self.started_at)?)))
            .collect()
    }

    /// Takes in a measurement of the n-th metric that was begun at that instant, and says whether people should hear of it:
    /// what they hear of is bounded, however often is measured. One that comes after the metric's end changes nothing.
    pub fn take(&mut self, metrics: &[Metric], n: usize, reading: Reading, why: &str, at: Timestamp) -> bool {
        match (self.metrics.get_mut(n), metrics.get(n)) {
            (Some(progress), Some(metric)) => progress.take(metric, reading, why, at),
            (None, _) | (_, None) => false,
        }
    }

    /// What came of the verification. A failed metric decides at once; else all must be over.
    pub fn verdict(&self) -> Option<Verdict> {
        let all = || self.metrics.iter().map(|progress| progress.verdict);
        if all().any(|verdict| verdict == Some(Verdict::Failed)) {
            return Some(Verdict::Failed);
        }
        if all().any(|verdict| verdict.is_none()) {
            return None;
        }
        let passed = !self.metrics.is_empty() && all().all(|verdict| verdict == Some(Verdict::Passed));
        Some(if passed { Verdict::Passed } else { Verdict::Inconclusive })
    }

    /// How it stands, in words.
    pub fn message(&self, metrics: &[Metric]) -> String {
        let each = self.metrics.iter().zip(metrics).map(|(progress, metric)| progress.message(metric));
        cut(&each.collect::<Vec<_>>().join("; "), MESSAGE_CHARS_MAX)
    }
}

impl Progress {
    fn due(&self, metric: &Metric, started_at: Timestamp) -> Option<Timestamp> {
        if self.verdict.is_some() {
            return None;
        }
        let after = |since: Timestamp, seconds: u32| {
            since.checked_add_signed(TimeDelta::seconds(seconds.into())).unwrap_or(Timestamp::MAX_UTC)
        };
        match (&metric.provider, self.last_at) {
            (MetricProvider::Sleep(sleep), _) => Some(after(started_at, sleep.duration_seconds)),
            (_, None) => Some(started_at),
            (_, Some(last)) => Some(after(last, metric.interval_seconds.max(1))),
        }
    }

    fn take(&mut self, metric: &Metric, reading: Reading, why: &str, at: Timestamp) -> bool {
        if self.verdict.is_some() {
            return false;
        }
        let step = self.step(metric);
        self.measured += 1;
        self.last_at = Some(at);
        self.why = (!why.is_empty()).then(|| cut(why, WHY_CHARS_MAX));
        // A row is a row: whatever else comes in between ends it.
        let (good, bad, errors) = (self.good, self.bad, self.errors);
        (self.good, self.bad, self.errors) = match reading {
            Reading::Good => (good + 1, 0, 0),
            Reading::Bad => (0, bad + 1, 0),
            Reading::Unclear => (0, 0, 0),
            Reading::Error => (0, 0, errors + 1),
        };
        self.verdict = if self.good >= passes_at(metric) {
            Some(Verdict::Passed)
        } else if self.bad >= metric.fails_at().max(1) {
            Some(Verdict::Failed)
        } else if self.errors >= ERRORS_MAX || self.measured >= count(metric) {
            Some(Verdict::Inconclusive)
        } else {
            None
        };
        self.verdict.is_some() || self.step(metric) != step
    }

    fn step(&self, metric: &Metric) -> u64 {
        let count = u64::from(count(metric));
        u64::from(self.measured) * STEPS.min(count) / count
    }

    fn message(&self, metric: &Metric) -> String {
        let because = self.why.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
        let name = &metric.name;
        match (&metric.provider, self.verdict) {
            (_, Some(Verdict::Passed)) => format!("{name}: passed"),
            (_, Some(Verdict::Failed)) => format!("{name}: failed{because}"),
            (_, Some(Verdict::Inconclusive)) => format!("{name}: inconclusive{because}"),
            (MetricProvider::Sleep(sleep), None) => format!("{name}: waits {} s", sleep.duration_seconds),
            (_, None) if self.errors > 0 => format!("{name}: cannot be measured{because}"),
            (_, None) => format!("{name}: {} of {} good", self.good, passes_at(metric)),
        }
    }
}

/// How many measurements at most. A pause is over once.
fn count(metric: &Metric) -> u32 {
    match &metric.provider {
        MetricProvider::Sleep(_) => 1,
        MetricProvider::Http(_) | MetricProvider::Prometheus(_) | MetricProvider::Datadog(_) => {
            metric.count.max(1)
        }
    }
}

fn passes_at(metric: &Metric) -> u32 {
    match &metric.provider {
        MetricProvider::Sleep(_) => 1,
        MetricProvider::Http(_) | MetricProvider::Prometheus(_) | MetricProvider::Datadog(_) => {
            metric.passes_at().max(1)
        }
    }
}

fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
