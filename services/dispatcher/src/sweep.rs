//! The slow, regular look at all slots: at the start, after a change of an agent's limit, and every now and then.

use crate::handler::Dispatcher;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Sweeps until the drain. A sweep that fails is tried again at the next tick: it only repairs.
pub(crate) async fn run(
    dispatcher: Arc<Dispatcher>,
    every: Duration,
    drain: CancellationToken,
) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut agents = dispatcher.agents_changed.subscribe();
    loop {
        tokio::select! {
            () = drain.cancelled() => return Ok(()),
            _ = tick.tick() => {}
            changed = agents.changed() => if changed.is_err() { return Ok(()) },
        }
        if let Err(failure) = dispatcher.sweep().await {
            warn!(%failure, "the slots could not be looked over");
        }
    }
}
