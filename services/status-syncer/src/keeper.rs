//! Keeps the views whole: rebuilds them when Redis has lost them, forgets what is old, and says how far they are.

use crate::rebuild::{RebuildError, rebuild};
use crate::settings::Views;
use bus::topology::JOBS;
use bus::{Bus, clock};
use chrono::TimeDelta;
use projections::{ProjectionError, Projections};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often we look.
const EVERY: Duration = Duration::from_secs(10);
/// How soon we look again while something is missing.
const SOON: Duration = Duration::from_secs(1);
/// How often old jobs are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60 * 60);

/// Keeps the views until the drain.
pub(crate) async fn run(
    bus: Bus,
    views: Projections,
    settings: Views,
    incomplete: Arc<Notify>,
    drain: CancellationToken,
) -> anyhow::Result<()> {
    let mut forget_at = Instant::now();
    let mut told = String::new();
    loop {
        let looked = drain.run_until_cancelled(look(&bus, &views, &settings, &mut forget_at)).await;
        let well = match looked {
            None => return Ok(()),
            Some(Ok(())) => true,
            Some(Err(RebuildError::Views(ProjectionError::Busy))) => {
                tracing::debug!("somebody else rebuilds the views");
                false
            }
            Some(Err(error)) => {
                // Each fault is said once.
                let words = error.to_string();
                if told != words {
                    tracing::warn!(%error, "cannot look after the views, trying again");
                    told = words;
                }
                false
            }
        };
        if well {
            told.clear();
        }
        tokio::select! {
            () = drain.cancelled() => return Ok(()),
            () = incomplete.notified(), if well => {}
            () = tokio::time::sleep(if well { EVERY } else { SOON }) => {}
        }
    }
}

async fn look(
    bus: &Bus,
    views: &Projections,
    settings: &Views,
    forget_at: &mut Instant,
) -> Result<(), RebuildError> {
    if !views.is_complete().await? {
        tracing::info!("the views are not complete: rebuilding them");
        let report = rebuild(bus, views, |_| {}).await?;
        tracing::info!(facts = report.facts, sequence = report.sequence, "the views are complete");
        metrics::counter!("syncer_rebuilds_total").increment(1);
    }
    let (last, applied) = (bus.last_sequence(&JOBS).await?, views.applied_sequence().await?);
    metrics::gauge!("syncer_views_behind").set(last.saturating_sub(applied) as f64);
    if Instant::now() >= *forget_at {
        let before = clock::now() - TimeDelta::days(settings.keep_days.into());
        for workspace in views.workspaces().await? {
            let forgotten = views.forget_before(&workspace, before).await?;
            if forgotten > 0 {
                tracing::info!(%workspace, forgotten, "forgot old jobs");
            }
        }
        *forget_at = Instant::now() + FORGET_EVERY;
    }
    Ok(())
}
