//! Folding a bucket or stream in memory: what is there, then what changes, in order and without gaps.
//! Opens again by itself after every loss, after the last change it told.

use async_nats::HeaderMap;
use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use bytes::Bytes;
use domain::Timestamp;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::bucket::is_deletion;
use crate::clock;
use crate::connect::{Bus, REQUEST_WITHIN};
use crate::error::{BusError, chain};
use crate::pull::{EXPIRES, Heard, Pull};
use crate::topology::{BucketSpec, Needs, StreamSpec};

/// How many changes may be on their way.
const AHEAD_MAX: usize = 512;
const IDLE_MAX: Duration = EXPIRES.saturating_mul(3);
const SOUND_AFTER: Duration = Duration::from_secs(30);
/// The server forgets our consumer this long after we are gone.
const FORGET_AFTER: Duration = Duration::from_secs(30);

/// What is followed.
#[derive(Debug, Clone)]
pub enum FollowSource {
    /// A bucket; the keys that match the filter (`None`: all).
    Bucket(&'static BucketSpec, Option<String>),
    /// A stream; the subjects that match the filter (`None`: all).
    Stream(&'static StreamSpec, Option<String>),
}

/// Where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// With the last message of every subject.
    LastPerSubject,
    /// With the message after this sequence.
    After(u64),
    /// With the oldest.
    All,
}

/// One thing that changed.
#[derive(Debug, Clone)]
pub enum Change {
    /// A value or message.
    Put {
        /// The key of a bucket, else the subject.
        key: String,
        /// Its sequence; in a bucket this is the revision.
        sequence: u64,
        /// Its bytes.
        payload: Bytes,
        /// Its headers.
        headers: HeaderMap,
        /// When it was stored.
        published_at: Timestamp,
    },
    /// A key of a bucket has no value any more.
    Delete {
        /// The key.
        key: String,
        /// The sequence of its deletion.
        sequence: u64,
        /// When that was stored.
        published_at: Timestamp,
    },
    /// All that was there when the fold began has been told. Comes once, also when nothing was there.
    CaughtUp {
        /// Everything up to this sequence has been told.
        sequence: u64,
    },
}

/// Tells every change, in the order of the stream and each once, until `drain` is cancelled.
///
/// # Errors
/// Only what no waiting will change: a stream that is missing and may not be created, or was replaced by another.
pub async fn follow(
    bus: &Bus,
    source: FollowSource,
    from: From,
    on: impl FnMut(Change) + Send,
    drain: CancellationToken,
) -> Result<(), BusError> {
    let mut fold = Fold { bus: bus.clone(), place: Place::of(&source), from, told: 0, caught_up: false, on };
    let mut backoff = Backoff::of_server();
    let mut epoch = bus.epoch();
    loop {
        epoch.mark_unchanged();
        let opened_at = Instant::now();
        let lost = tokio::select! {
            biased;
            () = drain.cancelled() => return Ok(()),
            lost = fold.until_lost(&mut epoch) => lost,
        };
        let why = match lost {
            Ok(why) => why,
            Err(error) if error.is_transient() => chain(&error),
            Err(error) => return Err(error),
        };
        tracing::warn!(stream = fold.place.stream, after = fold.told, why, "lost the fold, opening it again");
        metrics::counter!("bus_reopened_total", "consumer" => format!("follow-{}", fold.place.stream))
            .increment(1);
        if opened_at.elapsed() > SOUND_AFTER {
            backoff.reset();
        }
        tokio::select! {
            () = drain.cancelled() => return Ok(()),
            () = sleep(backoff.next_delay()) => {}
        }
    }
}

/// Where the changes are.
struct Place {
    needs: Needs,
    stream: String,
    filter: String,
    /// What stands before the key of a bucket; `None` for a stream.
    key_prefix: Option<String>,
}

impl Place {
    fn of(source: &FollowSource) -> Self {
        match source {
            FollowSource::Bucket(bucket, filter) => Self {
                needs: Needs { buckets: vec![bucket], ..Needs::default() },
                stream: bucket.stream(),
                filter: bucket.subject(filter.as_deref().unwrap_or(">")),
                key_prefix: Some(bucket.subject("")),
            },
            FollowSource::Stream(stream, filter) => Self {
                needs: Needs { streams: vec![stream], ..Needs::default() },
                stream: stream.name.to_owned(),
                filter: filter.clone().unwrap_or_else(|| stream.subjects[0].to_owned()),
                key_prefix: None,
            },
        }
    }
}

struct Fold<F> {
    bus: Bus,
    place: Place,
    from: From,
    /// Everything up to this sequence has been told.
    told: u64,
    caught_up: bool,
    on: F,
}

impl<F: FnMut(Change) + Send> Fold<F> {
    /// Tells changes until something is lost, and says what.
    async fn until_lost(&mut self, epoch: &mut watch::Receiver<u64>) -> Result<String, BusError> {
        self.bus.ensure(&self.place.needs).await?;
        let last = self.bus.stream_info(&self.place.stream).await?.state.last_sequence;
        if last < self.told {
            return Err(BusError::Misfit {
                what: format!("stream {}", self.place.stream),
                difference: format!("it ends at {last} and was seen up to {}: it is another one", self.told),
            });
        }
        let consumer = self.create_consumer().await?;
        let name = &consumer.name;
        if consumer.num_pending == 0 {
            self.reached(last);
        }
        let mut pull = Pull::open(&self.bus, &self.place.stream, name).await?;
        let mut delivered = 0;
        let mut busy_at = Instant::now();
        loop {
            if pull.asked() <= AHEAD_MAX / 2 {
                pull.ask(AHEAD_MAX - pull.asked()).await?;
            }
            tokio::select! {
                biased;
                _changed_or_closed = epoch.changed() => return Ok("the connection is a new one".to_owned()),
                heard = pull.next() => match heard {
                    Heard::Message(message) => {
                        busy_at = Instant::now();
                        delivered += 1;
                        match self.tell(&message, delivered) {
                            Ok(pending) if pending == 0 || self.told >= last => self.reached(last),
                            Ok(_more) => {}
                            Err(why) => return Ok(why),
                        }
                    }
                    // The count that came with the messages may be stale: ask.
                    Heard::Quiet if !self.caught_up || busy_at.elapsed() > IDLE_MAX => {
                        busy_at = Instant::now();
                        match self.bus.consumer_info(&self.place.stream, name).await {
                            Ok(info) if info.delivered.consumer_sequence > delivered => {}
                            Ok(info) if info.num_pending == 0 => self.reached(last),
                            Ok(info) if self.caught_up => {
                                return Ok(format!("{} changes wait and none is delivered", info.num_pending));
                            }
                            Ok(_more) => {}
                            Err(BusError::Missing { what }) => return Ok(format!("{what} is gone")),
                            Err(error) => return Err(error),
                        }
                    }
                    Heard::Quiet => {}
                    Heard::Lost(why) => return Ok(why),
                },
            }
        }
    }

    /// A consumer of our own, which the server keeps in memory and forgets when we are gone.
    async fn create_consumer(&self) -> Result<jetstream::consumer::Info, BusError> {
        let deliver_policy = match (self.told, self.from) {
            (0, From::LastPerSubject) => DeliverPolicy::LastPerSubject,
            (0, From::All | From::After(0)) => DeliverPolicy::All,
            (0, From::After(sequence)) => DeliverPolicy::ByStartSequence { start_sequence: sequence + 1 },
            (told, _) => DeliverPolicy::ByStartSequence { start_sequence: told + 1 },
        };
        let config = pull::Config {
            name: Some(format!("{}-{}", self.bus.name(), uuid::Uuid::new_v4().simple())),
            filter_subject: self.place.filter.clone(),
            deliver_policy,
            ack_policy: AckPolicy::None,
            inactive_threshold: FORGET_AFTER,
            memory_storage: true,
            num_replicas: 1,
            ..Default::default()
        };
        let doing = || format!("follow {} of stream {}", self.place.filter, self.place.stream);
        let create = self.bus.jetstream().create_consumer_on_stream(config, &self.place.stream);
        match timeout(REQUEST_WITHIN, create).await {
            Ok(Ok(consumer)) => Ok(consumer.cached_info().clone()),
            Ok(Err(error)) => Err(BusError::unavailable(doing(), chain(&error))),
            Err(_elapsed) => Err(BusError::unavailable(doing(), "no answer in time")),
        }
    }

    /// Tells one change, and how many the server has after it.
    fn tell(&mut self, message: &jetstream::Message, expected: u64) -> Result<u64, String> {
        let info = message.info().map_err(|error| error.to_string())?;
        if info.consumer_sequence != expected {
            return Err(format!("change {expected} is missing, {} came", info.consumer_sequence));
        }
        let sequence = info.stream_sequence;
        // What was told before a loss is not told again.
        if sequence <= self.told {
            return Ok(info.pending);
        }
        self.told = sequence;
        let headers = message.headers.clone().unwrap_or_default();
        let key = match &self.place.key_prefix {
            Some(prefix) => {
                message.subject.strip_prefix(prefix.as_str()).unwrap_or(&message.subject).to_owned()
            }
            None => message.subject.to_string(),
        };
        let published_at = clock::of_nanos(info.published.unix_timestamp_nanos());
        let change = if self.place.key_prefix.is_some() && is_deletion(&headers) {
            Change::Delete { key, sequence, published_at }
        } else {
            Change::Put { key, sequence, payload: message.payload.clone(), headers, published_at }
        };
        (self.on)(change);
        Ok(info.pending)
    }

    /// Everything up to `last`, the end of the stream when the fold was opened, has been told.
    fn reached(&mut self, last: u64) {
        self.told = self.told.max(last);
        if !self.caught_up {
            self.caught_up = true;
            (self.on)(Change::CaughtUp { sequence: self.told });
        }
    }
}
