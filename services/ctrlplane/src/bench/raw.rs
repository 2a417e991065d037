//! The bare bus: four streams, from one to the next. Each hop pulls, publishes the next message with an id, waits until
//! that is stored, and acknowledges, as our services must; it does nothing else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use async_nats::HeaderMap;
use async_nats::jetstream::{self, consumer, stream};
use bus::Bus;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use service::Supervisor;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Load;
use super::pace::paced;
use super::sizes::Sizes;
use crate::measure::Latency;

const HOPS: usize = 4;
/// How many messages one hop works on at once.
const SLOTS: usize = 64;
/// How many publishes of a burst await their ack at once.
const PUBLISHES: usize = 256;
const ARRIVE_WITHIN: Duration = Duration::from_secs(120);
const STREAM_AGE_MAX: Duration = Duration::from_secs(3_600);

/// The four hops, working.
pub(super) struct Raw {
    pipeline: Arc<Pipeline>,
    /// Ends the hops.
    over: CancellationToken,
    next: Mutex<u64>,
}

struct Pipeline {
    jetstream: jetstream::Context,
    bodies: [Bytes; HOPS],
    arrived: Mutex<BTreeMap<u64, Instant>>,
    news: Notify,
}

impl Raw {
    /// Makes the streams and starts the hops.
    pub(super) async fn start(bus: &Bus, sizes: Sizes, supervisor: &Supervisor) -> anyhow::Result<Self> {
        let pipeline = Arc::new(Pipeline {
            jetstream: bus.jetstream().clone(),
            bodies: sizes.in_order().map(|bytes| Bytes::from(vec![b'x'; bytes])),
            arrived: Mutex::default(),
            news: Notify::new(),
        });
        let over = supervisor.token().child_token();
        for hop in 0..HOPS {
            let consumer = pipeline.prepare(hop).await.with_context(|| stream_of(hop))?;
            let (pipeline, over) = (Arc::clone(&pipeline), over.clone());
            supervisor.spawn(&format!("raw-hop-{hop}"), async move {
                tokio::select! {
                    () = over.cancelled() => Ok(()),
                    // A hop that lost its consumer because it is over is no failure.
                    ended = pipeline.work(hop, consumer) => if over.is_cancelled() { Ok(()) } else { ended },
                }
            });
        }
        Ok(Self { pipeline, over, next: Mutex::new(0) })
    }

    /// From before the first publish until the fourth hop has the message.
    pub(super) async fn latency(&self, load: Load) -> anyhow::Result<Latency> {
        let first = self.reserve(load.samples);
        let began = paced(load.samples, load.every, |index| {
            let pipeline = Arc::clone(&self.pipeline);
            async move { pipeline.publish(0, first + u64::from(index)).await }
        });
        let began = began.await?;
        let arrived = self.pipeline.all_arrived(first, load.samples).await?;
        Ok(Latency::of(
            began.iter().zip(arrived).map(|(began, arrived)| arrived.duration_since(*began)).collect(),
        ))
    }

    /// Messages a second through all hops, all published as fast as the bus takes them.
    pub(super) async fn burst(&self, count: u32) -> anyhow::Result<f64> {
        let first = self.reserve(count);
        let began = Instant::now();
        let publishes = (first..first + u64::from(count)).map(|id| self.pipeline.publish(0, id));
        futures::stream::iter(publishes).buffer_unordered(PUBLISHES).try_collect::<Vec<()>>().await?;
        let arrived = self.pipeline.all_arrived(first, count).await?;
        let took = arrived.iter().max().map_or(Duration::ZERO, |last| last.duration_since(began));
        Ok(f64::from(count) / took.as_secs_f64().max(f64::EPSILON))
    }

    /// Ends the hops and removes the streams; another run makes them anew.
    pub(super) async fn remove(&self) {
        self.over.cancel();
        for hop in 0..HOPS {
            if let Err(error) = self.pipeline.jetstream.delete_stream(stream_of(hop)).await {
                tracing::warn!(%error, stream = stream_of(hop), "stays");
            }
        }
    }

    fn reserve(&self, count: u32) -> u64 {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let first = *next;
        *next += u64::from(count);
        first
    }
}

/// Why a hop stopped.
enum Lost {
    Consumer(consumer::pull::MessagesError),
    Message(anyhow::Error),
}

impl Pipeline {
    async fn prepare(&self, hop: usize) -> anyhow::Result<consumer::PullConsumer> {
        let name = stream_of(hop);
        if self.jetstream.get_stream(&name).await.is_ok() {
            self.jetstream.delete_stream(&name).await?;
        }
        let config = stream::Config {
            name,
            subjects: vec![format!("bench.{hop}.*")],
            max_age: STREAM_AGE_MAX,
            storage: stream::StorageType::File,
            duplicate_window: Duration::from_secs(120),
            ..stream::Config::default()
        };
        let stream = self.jetstream.create_stream(config).await?;
        let config = consumer::pull::Config {
            durable_name: Some("hop".to_owned()),
            max_ack_pending: 4_096,
            ..consumer::pull::Config::default()
        };
        Ok(stream.create_consumer(config).await?)
    }

    /// Works the hop; a machine too busy for the server's heartbeat makes it ask again, as our own loop does.
    async fn work(&self, hop: usize, consumer: consumer::PullConsumer) -> anyhow::Result<()> {
        loop {
            let messages = consumer
                .stream()
                .max_messages_per_batch(SLOTS)
                .expires(Duration::from_secs(10))
                .heartbeat(Duration::from_secs(2))
                .messages()
                .await?;
            let handled = messages
                .map_err(Lost::Consumer)
                .try_for_each_concurrent(SLOTS, |message| async move {
                    self.one(hop, message).await.map_err(Lost::Message)
                })
                .await;
            match handled {
                Err(Lost::Consumer(error)) => tracing::warn!(%error, hop, "a bare hop asks again"),
                Err(Lost::Message(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
    }

    async fn one(&self, hop: usize, message: async_nats::jetstream::Message) -> anyhow::Result<()> {
        let now = Instant::now();
        let id =
            message.subject.rsplit('.').next().and_then(|id| id.parse().ok()).context("a foreign message")?;
        if hop + 1 < HOPS {
            self.publish(hop + 1, id).await?;
        } else {
            self.arrived.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_insert(now);
            self.news.notify_one();
        }
        message.ack().await.map_err(|error| anyhow::anyhow!("ack: {error}"))
    }

    async fn publish(&self, hop: usize, id: u64) -> anyhow::Result<()> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("{hop}-{id}"));
        let body = self.bodies[hop].clone();
        self.jetstream.publish_with_headers(format!("bench.{hop}.{id}"), headers, body).await?.await?;
        Ok(())
    }

    /// When each of these came to the last hop.
    async fn all_arrived(&self, first: u64, count: u32) -> anyhow::Result<Vec<Instant>> {
        // Those before them have arrived: nobody sends on while others are awaited.
        let ids = first..first + u64::from(count);
        let all = async {
            loop {
                let news = self.news.notified();
                {
                    let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
                    if arrived.len() as u64 >= ids.end {
                        return arrived.range(ids.clone()).map(|(_, at)| *at).collect();
                    }
                }
                news.await;
            }
        };
        match tokio::time::timeout(ARRIVE_WITHIN, all).await {
            Ok(arrived) => Ok(arrived),
            Err(_elapsed) => {
                bail!("the bare bus did not bring {count} messages through within {ARRIVE_WITHIN:?}")
            }
        }
    }
}

fn stream_of(hop: usize) -> String {
    format!("BENCH_{hop}")
}
