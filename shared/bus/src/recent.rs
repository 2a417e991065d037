//! The newest messages of a stream, newest first, by their headers: payloads stay where they are. Changes nothing.

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use domain::Timestamp;
use std::time::Duration;
use tokio::time::timeout;

use crate::clock;
use crate::connect::{Bus, REQUEST_WITHIN};
use crate::error::{BusError, chain};
use crate::pull::{Heard, Pull};
use crate::topology::StreamSpec;

/// How far back the first look goes, in messages of the whole stream; each further one goes four times as far.
const LOOK_FIRST: u64 = 1_000;
/// No answer looks at more of the stream than that: who wants older ones asks for what is before them.
const LOOK_MAX: u64 = 64_000;
/// How many messages are asked for at once.
const BATCH: usize = 512;
const FORGET_AFTER: Duration = Duration::from_secs(10);
/// The server tells the size of what it leaves out.
const SIZE: &str = "Nats-Msg-Size";

/// A message without its payload.
#[derive(Debug, Clone)]
pub struct Headed {
    /// Its subject.
    pub subject: String,
    /// Its place in the stream.
    pub sequence: u64,
    /// Its headers.
    pub headers: HeaderMap,
    /// How large its payload is.
    pub size_bytes: u64,
    /// When it was stored.
    pub published_at: Timestamp,
}

/// A page of them.
#[derive(Debug, Clone, Default)]
pub struct Recent {
    /// Newest first.
    pub messages: Vec<Headed>,
    /// Where to go on: older ones may be before this sequence. Absent: there are none.
    pub before: Option<u64>,
}

impl Bus {
    /// At most `limit` messages whose subject matches the filter, from the one before that sequence (absent: the last)
    /// backwards.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub async fn recent(
        &self,
        stream: &StreamSpec,
        filter: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Recent, BusError> {
        let state = self.stream_info(stream.name).await?.state;
        let last =
            before.map_or(state.last_sequence, |before| before.saturating_sub(1).min(state.last_sequence));
        let first = state.first_sequence.max(1);
        if last < first || limit == 0 {
            return Ok(Recent::default());
        }
        let (mut found, mut to, mut look) = (Vec::new(), last, LOOK_FIRST);
        loop {
            let from = last.saturating_sub(look - 1).max(first);
            found.extend(self.between(stream, filter, from, to).await?.into_iter().rev());
            let is_enough = found.len() >= limit;
            if is_enough || from == first || look >= LOOK_MAX {
                found.truncate(limit);
                let oldest =
                    if is_enough { found.last().map_or(from, |message| message.sequence) } else { from };
                return Ok(Recent { messages: found, before: (oldest > first).then_some(oldest) });
            }
            to = from - 1;
            look = look.saturating_mul(4).min(LOOK_MAX);
        }
    }

    /// Every match from one sequence to another, oldest first.
    async fn between(
        &self,
        stream: &StreamSpec,
        filter: &str,
        from: u64,
        to: u64,
    ) -> Result<Vec<Headed>, BusError> {
        let name = format!("{}-{}", self.name(), uuid::Uuid::new_v4().simple());
        let config = pull::Config {
            name: Some(name.clone()),
            filter_subject: filter.to_owned(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
            ack_policy: AckPolicy::None,
            headers_only: true,
            inactive_threshold: FORGET_AFTER,
            memory_storage: true,
            num_replicas: 1,
            ..Default::default()
        };
        let doing = || format!("look at {filter} of stream {}", stream.name);
        let create = self.jetstream().create_consumer_on_stream(config, stream.name);
        let mut left = match timeout(REQUEST_WITHIN, create).await {
            Ok(Ok(consumer)) => consumer.cached_info().num_pending,
            Ok(Err(error)) => return Err(BusError::unavailable(doing(), chain(&error))),
            Err(_elapsed) => return Err(BusError::unavailable(doing(), "no answer in time")),
        };
        let mut found = Vec::new();
        let mut pull = Pull::open(self, stream.name, &name).await?;
        while left > 0 {
            if pull.asked() == 0 {
                pull.ask(BATCH.min(usize::try_from(left).unwrap_or(BATCH))).await?;
            }
            let heard = timeout(REQUEST_WITHIN, pull.next()).await;
            let message = match heard {
                Ok(Heard::Message(message)) => message,
                Ok(Heard::Quiet) => continue,
                Ok(Heard::Lost(why)) => return Err(BusError::unavailable(doing(), why)),
                Err(_elapsed) => return Err(BusError::unavailable(doing(), "no message in time")),
            };
            let info = message.info().map_err(|error| BusError::unavailable(doing(), error.to_string()))?;
            if info.stream_sequence > to {
                break;
            }
            left = info.pending;
            let headers = message.headers.clone().unwrap_or_default();
            found.push(Headed {
                subject: message.subject.to_string(),
                sequence: info.stream_sequence,
                size_bytes: headers.get(SIZE).and_then(|size| size.as_str().parse().ok()).unwrap_or(0),
                headers,
                published_at: clock::of_nanos(info.published.unix_timestamp_nanos()),
            });
        }
        Ok(found)
    }
}
