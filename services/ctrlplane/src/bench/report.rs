//! The measurements side by side, with what they are to each other, and whether the work was right. Pure.

use std::fmt;

use anyhow::bail;
use serde::Serialize;

use super::sizes::Sizes;
use crate::measure::{Latency, rounded};

/// What was measured on one side.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Side {
    /// One message at a time.
    pub(super) idle_ms: Latency,
    /// At the rate asked for.
    pub(super) loaded_ms: Latency,
    /// Of a burst, from its begin to its last message or job.
    pub(super) per_second: f64,
}

/// Whether what should have been done was done.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Work {
    /// Jobs there are.
    pub(super) jobs: usize,
    /// Jobs there should be.
    pub(super) jobs_expected: usize,
    /// Jobs that ended well.
    pub(super) successful: usize,
    /// Runs on the platform.
    pub(super) external_runs: usize,
    /// Jobs with more than one run.
    pub(super) duplicates: usize,
}

/// Ours to the bare bus: how many times as long, and which share of the rate.
#[derive(Clone, Copy, Debug, Serialize)]
struct Ratio {
    idle_p50: Option<f64>,
    idle_p99: Option<f64>,
    loaded_p50: Option<f64>,
    loaded_p99: Option<f64>,
    per_second: f64,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    ok: bool,
    raw: Side,
    ours: Side,
    ratio: Ratio,
    message_bytes: Sizes,
    work: Work,
}

impl Report {
    pub(super) fn new(mut raw: Side, mut ours: Side, message_bytes: Sizes, work: Work) -> Self {
        let times = |ours: Option<f64>, raw: Option<f64>| Some(rounded(ours? / raw?.max(f64::EPSILON)));
        let ratio = Ratio {
            idle_p50: times(ours.idle_ms.p50, raw.idle_ms.p50),
            idle_p99: times(ours.idle_ms.p99, raw.idle_ms.p99),
            loaded_p50: times(ours.loaded_ms.p50, raw.loaded_ms.p50),
            loaded_p99: times(ours.loaded_ms.p99, raw.loaded_ms.p99),
            per_second: rounded(ours.per_second / raw.per_second.max(f64::EPSILON)),
        };
        (raw.per_second, ours.per_second) = (rounded(raw.per_second), rounded(ours.per_second));
        Self { ok: work.faults().is_empty(), raw, ours, ratio, message_bytes, work }
    }

    /// An error when the work was wrong.
    pub(super) fn verdict(&self) -> anyhow::Result<()> {
        let faults = self.work.faults();
        if !faults.is_empty() {
            bail!("the work was done wrongly: {}", faults.join("; "));
        }
        Ok(())
    }
}

impl Work {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.jobs != self.jobs_expected {
            faults.push(format!("{} jobs should be there, {} are", self.jobs_expected, self.jobs));
        }
        if self.successful != self.jobs {
            faults.push(format!("{} of {} jobs ended well", self.successful, self.jobs));
        }
        if self.external_runs != self.jobs {
            faults.push(format!("{} jobs have {} runs", self.jobs, self.external_runs));
        }
        if self.duplicates > 0 {
            faults.push(format!("{} jobs have more than one run", self.duplicates));
        }
        faults
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (raw, ours, ratio) = (&self.raw, &self.ours, &self.ratio);
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        let mut row = |what: &str, raw: Option<f64>, ours: Option<f64>, ratio: Option<f64>| {
            writeln!(f, "{what:<34} {:>10} {:>10} {:>8}", number(raw), number(ours), number(ratio))
        };
        row("idle, webhook to call, p50 ms", raw.idle_ms.p50, ours.idle_ms.p50, ratio.idle_p50)?;
        row("idle, webhook to call, p99 ms", raw.idle_ms.p99, ours.idle_ms.p99, ratio.idle_p99)?;
        row("under load, p50 ms", raw.loaded_ms.p50, ours.loaded_ms.p50, ratio.loaded_p50)?;
        row("under load, p99 ms", raw.loaded_ms.p99, ours.loaded_ms.p99, ratio.loaded_p99)?;
        row("burst, a second", Some(raw.per_second), Some(ours.per_second), Some(ratio.per_second))?;
        let work = &self.work;
        write!(
            f,
            "(columns: bare bus with four hops, ours, ours to bare)\n{} jobs, {} runs on the platform, {} duplicates",
            work.jobs, work.external_runs, work.duplicates
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_work_is_named_and_slow_work_is_not() {
        let right = Work { jobs: 10, jobs_expected: 10, successful: 10, external_runs: 10, duplicates: 0 };
        assert!(right.faults().is_empty());
        let wrong = Work { jobs: 9, successful: 8, external_runs: 11, duplicates: 2, ..right };
        let faults = wrong.faults();
        assert_eq!(faults.len(), 4, "{faults:?}");
    }
}
