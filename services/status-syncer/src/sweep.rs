//! The sweep: asks agents to look at jobs, slowly while webhooks arrive and fast while they do not. Webhooks are for
//! speed, this is for truth.

use crate::active::Look;
use crate::settings::Sweep;
use crate::watch::Watch;
use bus::{clock, crash_point};
use domain::subject;
use futures::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often we see whose look is due.
const TICK: Duration = Duration::from_secs(1);
/// How many commands are under way at once.
const PUBLISHES: usize = 32;

/// Sweeps until the drain.
pub(crate) async fn run(watch: Arc<Watch>, settings: Sweep, drain: CancellationToken) -> anyhow::Result<()> {
    if !watch.is_caught_up(&drain).await {
        return Ok(());
    }
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while drain.run_until_cancelled(ticks.tick()).await.is_some() {
        let looks = {
            let actives = watch.actives();
            metrics::gauge!("syncer_active_jobs").set(actives.len() as f64);
            actives.looks(clock::now(), &settings)
        };
        let asked =
            futures::stream::iter(looks).for_each_concurrent(PUBLISHES, |look| ask(watch.clone(), look));
        // What is not asked in this tick is asked in the next one.
        if drain.run_until_cancelled(asked).await.is_none() {
            break;
        }
    }
    Ok(())
}

async fn ask(watch: Arc<Watch>, look: Look) {
    let command = &look.command;
    let subject = subject::command(&command.platform, command.agent, command.verb, command.job.id);
    crash_point("status-syncer.observe.before");
    match watch.bus.publish_json(subject, command, Some(&look.message_id)).await {
        Ok(published) => {
            crash_point("status-syncer.observe.after");
            metrics::counter!(
                "syncer_looks_total",
                "platform" => command.platform.to_string(),
                "duplicate" => published.duplicate.to_string()
            )
            .increment(1);
            watch.actives().looked(&look);
        }
        Err(error) => tracing::warn!(job = %command.job.id, %error, "cannot ask for a look, trying again"),
    }
}
