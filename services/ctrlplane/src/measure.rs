//! Durations as statistics. Pure.

use std::time::Duration;

use serde::Serialize;

/// Milliseconds at which a share of samples lies. `None` without samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Latency {
    /// Half of the samples are at most this.
    pub(crate) p50: Option<f64>,
    /// 99 of 100 samples are at most this.
    pub(crate) p99: Option<f64>,
}

impl Latency {
    /// Of these samples, by nearest rank.
    pub(crate) fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        Self { p50: at(&samples, 50), p99: at(&samples, 99) }
    }
}

fn at(sorted: &[Duration], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).map(|sample| milliseconds(*sample))
}

/// With three decimals: microseconds are as fine as our clocks are meaningful.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// With two decimals.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let samples: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(Latency::of(samples), Latency { p50: Some(100.0), p99: Some(198.0) });
        let one = vec![Duration::from_micros(1_500)];
        assert_eq!(Latency::of(one), Latency { p50: Some(1.5), p99: Some(1.5) });
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }
}
