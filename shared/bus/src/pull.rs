//! Messages of a pull consumer, asked for in exact numbers over one inbox. Notices when the server has forgotten us.
//! Does not know what becomes of a message.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::{StatusCode, Subscriber};
use futures::StreamExt as _;
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout};

use crate::connect::{Bus, REQUEST_WITHIN};
use crate::error::{BusError, chain};

/// How long the server remembers one request.
pub(crate) const EXPIRES: Duration = Duration::from_secs(10);
/// How often the server says that it still remembers us, while there is nothing to deliver.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Two heartbeats and a bit.
const SILENCE_MAX: Duration = Duration::from_secs(5);
const REST_WITHIN: Duration = Duration::from_secs(2);
/// What a request that ended still had to deliver.
const PENDING_MESSAGES: &str = "Nats-Pending-Messages";

/// An open inbox, and how many messages were asked for and have not come.
#[derive(Debug)]
pub(crate) struct Pull {
    bus: Bus,
    api: String,
    inbox: String,
    messages: Subscriber,
    asked: usize,
    /// When the newest request has surely ended.
    asked_until: Instant,
    heard_at: Instant,
}

/// What came.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it is moved once, from the inbox to its handler")]
pub(crate) enum Heard {
    /// A message.
    Message(jetstream::Message),
    /// A sign of life, and nothing to deliver.
    Quiet,
    /// Nothing more will come: open again.
    Lost(String),
}

impl Pull {
    pub(crate) async fn open(bus: &Bus, stream: &str, consumer: &str) -> Result<Self, BusError> {
        let inbox = bus.client().new_inbox();
        let doing = || format!("open consumer {consumer} of stream {stream}");
        let messages = match timeout(REQUEST_WITHIN, bus.client().subscribe(inbox.clone())).await {
            Ok(Ok(messages)) => messages,
            Ok(Err(error)) => return Err(BusError::unavailable(doing(), chain(&error))),
            Err(_elapsed) => return Err(BusError::unavailable(doing(), "the connection takes nothing")),
        };
        let now = Instant::now();
        Ok(Self {
            bus: bus.clone(),
            api: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
            inbox,
            messages,
            asked: 0,
            asked_until: now,
            heard_at: now,
        })
    }

    /// How many messages may still come unasked.
    pub(crate) fn asked(&self) -> usize {
        self.asked
    }

    /// Asks for that many more messages.
    pub(crate) async fn ask(&mut self, count: usize) -> Result<(), BusError> {
        let request = json!({
            "batch": count,
            "expires": nanos(EXPIRES),
            "idle_heartbeat": nanos(HEARTBEAT),
        });
        let sent = self.bus.client().publish_with_reply(
            self.api.clone(),
            self.inbox.clone(),
            request.to_string().into(),
        );
        match timeout(REQUEST_WITHIN, sent).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(BusError::unavailable(self.api.clone(), chain(&error))),
            Err(_elapsed) => {
                return Err(BusError::unavailable(self.api.clone(), "the connection takes nothing"));
            }
        }
        let now = Instant::now();
        if self.asked == 0 {
            self.heard_at = now;
        }
        self.asked += count;
        self.asked_until = now + EXPIRES + SILENCE_MAX;
        Ok(())
    }

    /// The next message or sign. While nothing is asked for, this waits without end. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Heard {
        if self.asked == 0 {
            let message = self.messages.next().await;
            return self.heard(message);
        }
        let silent_at = self.heard_at + SILENCE_MAX;
        let until = silent_at.min(self.asked_until);
        tokio::select! {
            biased;
            message = self.messages.next() => self.heard(message),
            () = sleep_until(until) => {
                if until == silent_at {
                    return Heard::Lost("the server is silent".to_owned());
                }
                // Every request has ended by now, so nothing is owed, whatever was counted.
                self.asked = 0;
                Heard::Quiet
            }
        }
    }

    /// Stops asking, and returns what was already on its way.
    pub(crate) async fn rest(mut self) -> Vec<jetstream::Message> {
        let mut rest = Vec::new();
        let take = async {
            if let Err(error) = self.messages.drain().await {
                tracing::debug!(error = %chain(&error), "the inbox was already closed");
                return;
            }
            while let Some(message) = self.messages.next().await {
                if let Heard::Message(message) = Self::read(&self.bus, &mut self.asked, message) {
                    rest.push(message);
                }
            }
        };
        if timeout(REST_WITHIN, take).await.is_err() {
            tracing::debug!("the bus is away: what it sent before will come again");
        }
        rest
    }

    fn heard(&mut self, message: Option<async_nats::Message>) -> Heard {
        self.heard_at = Instant::now();
        match message {
            Some(message) => Self::read(&self.bus, &mut self.asked, message),
            None => Heard::Lost("the connection was closed".to_owned()),
        }
    }

    fn read(bus: &Bus, asked: &mut usize, message: async_nats::Message) -> Heard {
        match message.status {
            None | Some(StatusCode::OK) => {
                *asked = asked.saturating_sub(1);
                Heard::Message(jetstream::Message { message, context: bus.jetstream().clone() })
            }
            Some(StatusCode::IDLE_HEARTBEAT) => Heard::Quiet,
            Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => {
                let headers = message.headers.as_ref();
                let owed = headers.and_then(|headers| headers.get(PENDING_MESSAGES)?.as_str().parse().ok());
                *asked = asked.saturating_sub(owed.unwrap_or(*asked));
                Heard::Quiet
            }
            Some(status) => Heard::Lost(format!("{status} {}", message.description.unwrap_or_default())),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
