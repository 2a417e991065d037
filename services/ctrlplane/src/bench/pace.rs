//! Does something at a steady pace, whatever the answers take. It does not know what.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// How much may be under way at once; more is not a pace any more.
const IN_FLIGHT_MAX: usize = 1_024;

/// Sends `count` times, each `every`; answers when each sending began, on the monotonic clock.
pub(super) async fn paced<F>(
    count: u32,
    every: Duration,
    mut send: impl FnMut(u32) -> F,
) -> anyhow::Result<Vec<Instant>>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut began, mut under_way) = (Vec::new(), JoinSet::new());
    for index in 0..count {
        tick.tick().await;
        if under_way.len() >= IN_FLIGHT_MAX {
            finished(&mut under_way).await?;
        }
        let sending = send(index);
        began.push(Instant::now());
        under_way.spawn(sending);
    }
    while !under_way.is_empty() {
        finished(&mut under_way).await?;
    }
    Ok(began)
}

async fn finished(under_way: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    match under_way.join_next().await {
        Some(joined) => joined.context("a sender ended")?,
        None => Ok(()),
    }
}
