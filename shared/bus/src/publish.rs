//! Publishing with a confirmed answer: bounded in flight, repeated with the same id while the answer is missing.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishErrorKind as Kind;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use serde::Serialize;
use tokio::time::{Instant, timeout, timeout_at};

use crate::backoff::Backoff;
use crate::connect::Bus;
use crate::error::{PublishError, chain};

/// How long a publish is tried.
const PUBLISH_WITHIN: Duration = Duration::from_secs(5);
/// How long one try waits for its answer; a living server answers within milliseconds.
const TRY_WITHIN: Duration = Duration::from_secs(2);

/// Where a message was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// Whether a message with the same id was there already; then the sequence is that one's.
    pub duplicate: bool,
}

impl Bus {
    /// Publishes to the stream that stores the subject and waits for its confirmation.
    /// With an `id`, a repetition within the stream's duplicate window is recognised; without one, each call gets
    /// an id of its own, so that trying again within the call stores nothing twice.
    ///
    /// # Errors
    /// [`PublishError::Unconfirmed`] after 5 s without an answer: the message may be stored.
    pub async fn publish(
        &self,
        subject: String,
        mut headers: HeaderMap,
        payload: Bytes,
        id: Option<&str>,
    ) -> Result<Published, PublishError> {
        match id {
            Some(id) => headers.insert(async_nats::header::NATS_MESSAGE_ID, id),
            None => headers.insert(async_nats::header::NATS_MESSAGE_ID, uuid::Uuid::new_v4().to_string()),
        }
        inject_trace(&mut headers);
        self.publish_until_confirmed(&subject, &headers, &payload).await
    }

    /// Publishes a value as JSON; see [`Bus::publish`].
    ///
    /// # Errors
    /// See [`Bus::publish`]; [`PublishError::Refused`] if the value is no JSON.
    pub async fn publish_json<T: Serialize + ?Sized>(
        &self,
        subject: String,
        value: &T,
        id: Option<&str>,
    ) -> Result<Published, PublishError> {
        let payload = match serde_json::to_vec(value) {
            Ok(payload) => payload,
            Err(error) => return Err(PublishError::Refused { subject, why: error.to_string() }),
        };
        self.publish(subject, HeaderMap::new(), payload.into(), id).await
    }

    /// Publishes these headers, which must hold a message id, until confirmed or out of time.
    pub(crate) async fn publish_until_confirmed(
        &self,
        subject: &str,
        headers: &HeaderMap,
        payload: &Bytes,
    ) -> Result<Published, PublishError> {
        let give_up = Instant::now() + PUBLISH_WITHIN;
        let mut backoff = Backoff::of_server();
        loop {
            let why = match self.publish_once(subject, headers.clone(), payload.clone(), give_up).await {
                Err(PublishError::Unconfirmed { why, .. }) => why,
                settled => return settled,
            };
            let delay = backoff.next_delay();
            if Instant::now() + delay >= give_up {
                return Err(PublishError::Unconfirmed { subject: subject.to_owned(), why });
            }
            tracing::debug!(subject, why, "publishing again");
            tokio::time::sleep(delay).await;
        }
    }

    /// One try. [`PublishError::Unconfirmed`] means that the message may or may not be stored, now or soon.
    pub(crate) async fn publish_once(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
        give_up: Instant,
    ) -> Result<Published, PublishError> {
        let unconfirmed =
            |why: &str| PublishError::Unconfirmed { subject: subject.to_owned(), why: why.to_owned() };
        let give_up = give_up.min(Instant::now() + TRY_WITHIN);
        let _permit = match timeout_at(give_up, self.publishes().acquire()).await {
            Ok(permit) => permit.expect("the semaphore is never closed"),
            Err(_elapsed) => return Err(unconfirmed("too many publishes await their answer")),
        };
        let message = PublishMessage::build().payload(payload).headers(headers);
        // A disconnected client blocks once its buffer is full.
        let sent = timeout_at(give_up, self.jetstream().send_publish(subject.to_owned(), message)).await;
        let answer = match sent {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(sorted(subject, &error)),
            Err(_elapsed) => return Err(unconfirmed("the connection takes nothing")),
        };
        match timeout(give_up.saturating_duration_since(Instant::now()), answer.into_future()).await {
            Ok(Ok(ack)) => Ok(Published { sequence: ack.sequence, duplicate: ack.duplicate }),
            Ok(Err(error)) => Err(sorted(subject, &error)),
            Err(_elapsed) => Err(unconfirmed("no answer")),
        }
    }
}

fn sorted(subject: &str, error: &async_nats::jetstream::context::PublishError) -> PublishError {
    let subject = subject.to_owned();
    let why = chain(error);
    match error.kind() {
        Kind::WrongLastSequence | Kind::WrongLastMessageId => PublishError::Conflict { subject },
        Kind::MaxPayloadExceeded => PublishError::TooLarge { subject, why },
        // While JetStream starts, nobody listens: that too passes.
        Kind::TimedOut | Kind::StreamNotFound | Kind::BrokenPipe | Kind::MaxAckPending => {
            PublishError::Unconfirmed { subject, why }
        }
        Kind::Other if is_passing(error) => PublishError::Unconfirmed { subject, why },
        Kind::Other => PublishError::Refused { subject, why },
    }
}

/// Errors of a server that is starting, or of a connection that is being closed.
fn is_passing(error: &async_nats::jetstream::context::PublishError) -> bool {
    let source = std::error::Error::source(error);
    match source.and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>()) {
        Some(server) => server.code() >= 500,
        None => true,
    }
}

/// Writes the context of the span we are in, unless the caller gave another.
pub(crate) fn inject_trace(headers: &mut HeaderMap) {
    if headers.get(telemetry::context::TRACEPARENT).is_none()
        && let Some(traceparent) = telemetry::current_traceparent()
    {
        headers.insert(telemetry::context::TRACEPARENT, traceparent);
    }
}
