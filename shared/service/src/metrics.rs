//! The one Prometheus recorder of a process, shared by all services in it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::supervisor::Supervisor;

/// How often values of histograms that nobody asks for are put into their buckets.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Buckets of every metric that ends in `_seconds`: from a hop on the bus to a long job.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
    1800.0,
];

static RECORDER: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// All metrics of the process in Prometheus's text format.
///
/// # Errors
/// When another recorder was installed in this process.
pub fn render() -> anyhow::Result<String> {
    Ok(recorder()?.render())
}

/// Installs the recorder if it is not there, and keeps its memory bounded between scrapes.
pub(crate) fn start(supervisor: &Supervisor) -> anyhow::Result<()> {
    let recorder = recorder()?;
    let drain = supervisor.token();
    supervisor.spawn("metrics", async move {
        let mut ticks = tokio::time::interval(UPKEEP_EVERY);
        while drain.run_until_cancelled(ticks.tick()).await.is_some() {
            recorder.run_upkeep();
        }
        Ok(())
    });
    Ok(())
}

fn recorder() -> anyhow::Result<PrometheusHandle> {
    let mut recorder = RECORDER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(recorder) = recorder.as_ref() {
        return Ok(recorder.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .context("metrics cannot be recorded")?;
    Ok(recorder.insert(handle).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_shown_and_a_second_start_shares_it() {
        drop(recorder().expect("installed"));
        metrics::counter!("test_total", "kind" => "a").increment(2);
        metrics::histogram!("test_wait_seconds").record(0.003);
        let text = render().expect("the same recorder");
        assert!(text.contains("test_total{kind=\"a\"} 2"), "{text}");
        assert!(text.contains("test_wait_seconds_bucket{le=\"0.005\"} 1"), "{text}");
    }
}
