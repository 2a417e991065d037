//! The loop itself: keeps the slots filled, opens again after every loss, and drains.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::handler::Handler;
use super::one::Worker;
use super::settle::Limits;
use crate::backoff::Backoff;
use crate::connect::Bus;
use crate::error::{BusError, chain};
use crate::pull::{EXPIRES, Heard, Pull};
use crate::topology::{ATTEMPTS, ConsumerSpec, DEAD, Needs};

/// After this long without a message, the server is asked whether there is really none.
const IDLE_MAX: Duration = EXPIRES.saturating_mul(3);
/// A loop that held so long was sound: the next loss begins with a short delay again.
const SOUND_AFTER: Duration = Duration::from_secs(30);

/// Works the messages of a consumer until `drain` is cancelled, then finishes what it holds and returns.
/// Losses of the connection, the stream or the consumer are waited out.
///
/// # Errors
/// Only what no waiting will change: a stream or consumer that is missing and may not be created, or does not fit.
pub async fn consume<H: Handler>(
    bus: &Bus,
    consumer: ConsumerSpec,
    handler: Arc<H>,
    limits: Limits,
    drain: CancellationToken,
) -> Result<(), BusError> {
    let worker = Arc::new(Worker::new(bus.clone(), consumer, handler, limits)?);
    let mut running = JoinSet::new();
    let result = keep_working(&worker, &mut running, &drain).await;
    while let Some(ended) = running.join_next().await {
        reaped(&worker, ended);
    }
    bus.flush().await;
    tracing::info!(consumer = worker.spec.name, "drained");
    result
}

async fn keep_working<H: Handler>(
    worker: &Arc<Worker<H>>,
    running: &mut JoinSet<()>,
    drain: &CancellationToken,
) -> Result<(), BusError> {
    let mut backoff = Backoff::of_server();
    let mut epoch = worker.bus.epoch();
    while !drain.is_cancelled() {
        epoch.mark_unchanged();
        let opened = tokio::select! {
            biased;
            () = drain.cancelled() => return Ok(()),
            opened = open(worker) => opened,
        };
        let opened_at = Instant::now();
        let why = match opened {
            Ok(mut pull) => {
                let end = work(worker, &mut pull, running, &mut epoch, drain).await;
                // Also after a loss: what is on its way would else wait for the end of its ack wait.
                for message in pull.rest().await {
                    running.spawn(Arc::clone(worker).handle(message));
                }
                match end {
                    End::Drain => return Ok(()),
                    End::Lost(why) => why,
                }
            }
            Err(error) if error.is_transient() => chain(&error),
            Err(error) => return Err(error),
        };
        tracing::warn!(consumer = worker.spec.name, why, "lost the consumer, opening it again");
        metrics::counter!("bus_reopened_total", "consumer" => worker.spec.name.clone()).increment(1);
        if opened_at.elapsed() > SOUND_AFTER {
            backoff.reset();
        }
        tokio::select! {
            () = drain.cancelled() => {}
            () = sleep(backoff.next_delay()) => {}
        }
    }
    Ok(())
}

async fn open<H: Handler>(worker: &Worker<H>) -> Result<Pull, BusError> {
    let needs = Needs {
        streams: vec![worker.spec.stream, &DEAD],
        buckets: vec![&ATTEMPTS],
        objects: Vec::new(),
        consumers: vec![worker.spec.clone()],
    };
    worker.bus.ensure(&needs).await?;
    Pull::open(&worker.bus, worker.spec.stream.name, &worker.spec.name).await
}

enum End {
    Drain,
    Lost(String),
}

async fn work<H: Handler>(
    worker: &Arc<Worker<H>>,
    pull: &mut Pull,
    running: &mut JoinSet<()>,
    epoch: &mut watch::Receiver<u64>,
    drain: &CancellationToken,
) -> End {
    let slots = worker.limits.slots.max(1);
    let mut busy_at = Instant::now();
    loop {
        while let Some(ended) = running.try_join_next() {
            reaped(worker, ended);
        }
        // Slots first: never more is asked for than can be handled at once. Asked again in lots, not one by one.
        let free = slots.saturating_sub(running.len() + pull.asked());
        if free > 0
            && pull.asked() <= slots / 4
            && let Err(error) = pull.ask(free).await
        {
            return End::Lost(chain(&error));
        }
        tokio::select! {
            biased;
            () = drain.cancelled() => return End::Drain,
            _changed_or_closed = epoch.changed() => return End::Lost("the connection is a new one".to_owned()),
            heard = pull.next() => match heard {
                Heard::Message(message) => {
                    busy_at = Instant::now();
                    running.spawn(Arc::clone(worker).handle(message));
                }
                Heard::Quiet if running.is_empty() && busy_at.elapsed() > IDLE_MAX => {
                    busy_at = Instant::now();
                    if let Some(why) = forgotten(worker).await {
                        return End::Lost(why);
                    }
                }
                Heard::Quiet => {}
                Heard::Lost(why) => return End::Lost(why),
            },
            Some(ended) = running.join_next(), if !running.is_empty() => reaped(worker, ended),
        }
    }
}

/// Whether messages wait that nobody delivers to us: then the server has forgotten our requests.
async fn forgotten<H: Handler>(worker: &Worker<H>) -> Option<String> {
    match worker.bus.consumer_info(worker.spec.stream.name, &worker.spec.name).await {
        Ok(info) => {
            let allowed = usize::try_from(worker.spec.max_ack_pending).unwrap_or(usize::MAX);
            (info.num_pending > 0 && info.num_ack_pending < allowed)
                .then(|| format!("{} messages wait and none is delivered", info.num_pending))
        }
        Err(error) => Some(chain(&error)),
    }
}

fn reaped<H: Handler>(worker: &Worker<H>, ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(consumer = worker.spec.name, %error, "the loop itself failed on a message; it will come again");
    }
}
