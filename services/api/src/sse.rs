//! Live events: the statuses of jobs as server-sent events. First what is true now, then what changes; or, for a
//! client that comes back, what it missed. One consumer of `STATUS` per client, which the client's own pace drives.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use axum::response::sse::Event;
use bus::Bus;
use bus::topology::STATUS;
use domain::job::{JobStatus, JobView};
use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio_util::sync::CancellationToken;

use self::newest::Newest;

mod newest;

/// How many events a client may lag behind before its buffer is full.
pub(crate) const BUFFER_EVENTS: usize = 256;
/// How many messages are asked for at once.
const BATCH: usize = 256;
const PULL_EXPIRES: Duration = Duration::from_secs(10);
const PULL_HEARTBEAT: Duration = Duration::from_secs(2);
/// The server forgets our consumer this long after we are gone; longer than a slow client may keep us waiting.
const FORGET_AFTER: Duration = Duration::from_secs(120);
const REOPEN_FIRST: Duration = Duration::from_millis(50);
const REOPEN_CAP: Duration = Duration::from_secs(2);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What a client listens to.
pub(crate) struct Listening {
    pub(crate) bus: Bus,
    /// The subjects.
    pub(crate) filter: String,
    /// Only these statuses; empty: all.
    pub(crate) statuses: Vec<JobStatus>,
    /// Where it left off; absent: it begins with what is true now.
    pub(crate) after: Option<u64>,
    pub(crate) events: mpsc::Sender<Event>,
    /// How long the client may leave its buffer full.
    pub(crate) slow: Duration,
    pub(crate) drain: CancellationToken,
}

/// Where to read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// With the last status of every job.
    Snapshot,
    /// After this sequence of `STATUS`.
    After(u64),
}

/// Why the reading stopped.
enum Stopped {
    /// The client is gone, too slow, or we drain: it comes back with its last id, or not at all.
    Ended(&'static str),
    /// The consumer was lost: read on.
    Lost(String),
}

impl Listening {
    /// Feeds the client until it is gone, too slow, or we drain. Opens again by itself after a lost consumer.
    pub(crate) async fn run(self) {
        let mut feed = Feed {
            position: self.after.map_or(Position::Snapshot, Position::After),
            told: Newest::default(),
            is_live: false,
            listening: self,
        };
        let mut pause = REOPEN_FIRST;
        loop {
            let before = feed.position;
            let drain = feed.listening.drain.clone();
            let events = feed.listening.events.clone();
            let stopped = tokio::select! {
                biased;
                () = drain.cancelled() => Stopped::Ended("we drain"),
                () = events.closed() => Stopped::Ended("it is gone"),
                stopped = feed.until_lost() => stopped,
            };
            match stopped {
                Stopped::Ended(why) => {
                    tracing::debug!(filter = feed.listening.filter, why, "a client of live events ends");
                    return;
                }
                Stopped::Lost(why) => {
                    tracing::debug!(filter = feed.listening.filter, why, after = ?feed.position, "reading events again");
                    metrics::counter!("api_events_reopened_total").increment(1);
                }
            }
            pause = if feed.position == before { (pause * 2).min(REOPEN_CAP) } else { REOPEN_FIRST };
            tokio::select! {
                biased;
                () = drain.cancelled() => return,
                () = events.closed() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

struct Feed {
    listening: Listening,
    position: Position,
    told: Newest,
    is_live: bool,
}

impl Feed {
    async fn until_lost(&mut self) -> Stopped {
        match self.read().await {
            Ok(stopped) => stopped,
            Err(error) => Stopped::Lost(error.to_string()),
        }
    }

    async fn read(&mut self) -> Result<Stopped, async_nats::Error> {
        let mut connected = self.listening.bus.connected();
        connected.wait_for(|connected| *connected).await?;
        connected.mark_unchanged();
        let stream =
            tokio::time::timeout(ANSWER_WITHIN, self.listening.bus.jetstream().get_stream(STATUS.name))
                .await??;
        let state = &stream.cached_info().state;
        if let Position::After(after) = self.position
            && is_gone(after, state.first_sequence, state.last_sequence)
        {
            self.position = Position::Snapshot;
            self.told = Newest::default();
            self.is_live = false;
            if let Some(stopped) = self.send(Event::default().event("reset").data("{}")).await {
                return Ok(stopped);
            }
        }
        let opened_at = state.last_sequence;
        let consumer = tokio::time::timeout(ANSWER_WITHIN, stream.create_consumer(self.config())).await??;
        let (mut expected, mut caught_up) = (1, consumer.cached_info().num_pending == 0);
        let mut messages = consumer
            .stream()
            .max_messages_per_batch(BATCH)
            .expires(PULL_EXPIRES)
            .heartbeat(PULL_HEARTBEAT)
            .messages()
            .await?;
        loop {
            if caught_up && let Some(stopped) = self.live(opened_at).await {
                return Ok(stopped);
            }
            let message = tokio::select! {
                biased;
                // A server that came back may have forgotten our consumer: do not wait until it is missed.
                _changed_or_closed = connected.changed() => {
                    return Ok(Stopped::Lost("the connection is a new one".to_owned()));
                }
                message = messages.next() => message,
            };
            let Some(message) = message else {
                return Ok(Stopped::Lost("the consumer ended".to_owned()));
            };
            let message = message?;
            let info = message.info()?;
            if info.consumer_sequence != expected {
                return Ok(Stopped::Lost(format!(
                    "event {expected} is missing, {} came",
                    info.consumer_sequence
                )));
            }
            expected += 1;
            let (sequence, pending) = (info.stream_sequence, info.pending);
            if let Some(stopped) = self.tell(sequence, &message).await {
                return Ok(stopped);
            }
            self.position = Position::After(sequence);
            // Under steady news there is always more pending.
            caught_up = pending == 0 || sequence >= opened_at;
        }
    }

    fn config(&self) -> pull::Config {
        let deliver_policy = match self.position {
            Position::Snapshot => DeliverPolicy::LastPerSubject,
            Position::After(sequence) => DeliverPolicy::ByStartSequence { start_sequence: sequence + 1 },
        };
        pull::Config {
            name: Some(format!("api-{}", uuid::Uuid::new_v4().simple())),
            filter_subject: self.listening.filter.clone(),
            deliver_policy,
            ack_policy: AckPolicy::None,
            inactive_threshold: FORGET_AFTER,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        }
    }

    /// Says, once, that everything that was true when the client came has been told.
    async fn live(&mut self, opened_at: u64) -> Option<Stopped> {
        if self.is_live {
            return None;
        }
        self.is_live = true;
        if self.position == Position::Snapshot {
            self.position = Position::After(opened_at);
        }
        let Position::After(sequence) = self.position else { return None };
        self.send(Event::default().event("live").id(sequence.to_string()).data("{}")).await
    }

    async fn tell(&mut self, sequence: u64, message: &jetstream::Message) -> Option<Stopped> {
        let view: JobView = match serde_json::from_slice(&message.payload) {
            Ok(view) => view,
            Err(error) => {
                tracing::warn!(sequence, %error, "a status cannot be read");
                return None;
            }
        };
        // Several writers may be late, and a job that was given to a platform leaves its old subject behind.
        if !self.told.is_news(view.id, view.sequence) {
            return None;
        }
        if !self.listening.statuses.is_empty() && !self.listening.statuses.contains(&view.status) {
            return None;
        }
        // What was stored is sent, to the byte; it is one line of JSON, or is made one.
        let data = match std::str::from_utf8(&message.payload) {
            Ok(text) if !text.contains(['\n', '\r']) => text.to_owned(),
            Ok(_) | Err(_) => serde_json::to_string(&view).expect("a view that was read is JSON"),
        };
        self.send(Event::default().event("job").id(sequence.to_string()).data(data)).await
    }

    async fn send(&mut self, event: Event) -> Option<Stopped> {
        match self.listening.events.send_timeout(event, self.listening.slow).await {
            Ok(()) => None,
            Err(SendTimeoutError::Closed(_)) => Some(Stopped::Ended("it is gone")),
            Err(SendTimeoutError::Timeout(_)) => {
                metrics::counter!("api_events_cut_off_total").increment(1);
                Some(Stopped::Ended("it is too slow"))
            }
        }
    }
}

/// Whether what followed this sequence may no longer be there, or the sequence is of another stream.
fn is_gone(after: u64, first: u64, last: u64) -> bool {
    after > last || after + 1 < first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_gone_when_what_followed_it_may_be() {
        for (after, first, last, gone) in [
            (0, 0, 0, false),
            (5, 1, 9, false),
            (9, 1, 9, false),
            (10, 1, 9, true),
            (4, 5, 9, false),
            (3, 5, 9, true),
            (9, 10, 9, false),
        ] {
            assert_eq!(is_gone(after, first, last), gone, "after {after} of {first}..={last}");
        }
    }
}
