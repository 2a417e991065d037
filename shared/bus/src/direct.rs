//! Reading single messages straight from a stream, last of a subject or next of a subject. Works on nats-server 2.9.

use std::time::Duration;

use async_nats::client::{Request, RequestErrorKind};
use async_nats::jetstream::message::StreamMessage;
use async_nats::{HeaderMap, StatusCode};
use bytes::Bytes;
use domain::Timestamp;
use serde_json::json;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::clock;
use crate::connect::{Bus, REQUEST_WITHIN};
use crate::error::{BusError, chain};

const TRY_WITHIN: Duration = Duration::from_secs(2);

/// A stored message.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) subject: String,
    pub(crate) sequence: u64,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
    pub(crate) published_at: Timestamp,
}

/// The last message of the subject.
pub(crate) async fn last(bus: &Bus, stream: &str, subject: &str) -> Result<Option<Stored>, BusError> {
    get(bus, &format!("$JS.API.DIRECT.GET.{stream}.{subject}"), Bytes::new()).await
}

/// The last message of any subject that matches the filter.
pub(crate) async fn last_matching(bus: &Bus, stream: &str, filter: &str) -> Result<Option<Stored>, BusError> {
    let body = json!({ "last_by_subj": filter }).to_string();
    get(bus, &format!("$JS.API.DIRECT.GET.{stream}"), body.into()).await
}

/// The first message of the subject at or after that sequence.
pub(crate) async fn next(
    bus: &Bus,
    stream: &str,
    subject: &str,
    from: u64,
) -> Result<Option<Stored>, BusError> {
    let body = json!({ "seq": from, "next_by_subj": subject }).to_string();
    get(bus, &format!("$JS.API.DIRECT.GET.{stream}"), body.into()).await
}

/// The message of that sequence.
pub(crate) async fn at(bus: &Bus, stream: &str, sequence: u64) -> Result<Option<Stored>, BusError> {
    // Sequences begin with 1, and the server takes 0 for none asked for.
    if sequence == 0 {
        return Ok(None);
    }
    get(bus, &format!("$JS.API.DIRECT.GET.{stream}"), json!({ "seq": sequence }).to_string().into()).await
}

/// Reading changes nothing, so it is tried until there is an answer or no time left.
async fn get(bus: &Bus, api: &str, body: Bytes) -> Result<Option<Stored>, BusError> {
    let give_up = Instant::now() + REQUEST_WITHIN;
    let mut backoff = Backoff::of_server();
    loop {
        let request = Request::new().payload(body.clone()).timeout(Some(TRY_WITHIN));
        let answer =
            tokio::time::timeout(TRY_WITHIN, bus.client().send_request(api.to_owned(), request)).await;
        let why = match answer {
            Ok(Ok(message)) => return read(api, message),
            Ok(Err(error)) => match error.kind() {
                RequestErrorKind::TimedOut | RequestErrorKind::NoResponders | RequestErrorKind::Other => {
                    chain(&error)
                }
                RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
                    return Err(BusError::refused(api, chain(&error)));
                }
            },
            Err(_elapsed) => "the connection takes nothing".to_owned(),
        };
        let delay = backoff.next_delay();
        if Instant::now() + delay >= give_up {
            return Err(BusError::unavailable(api, why));
        }
        tokio::time::sleep(delay).await;
    }
}

fn read(api: &str, message: async_nats::Message) -> Result<Option<Stored>, BusError> {
    match message.status {
        None | Some(StatusCode::OK) => {}
        Some(StatusCode::NOT_FOUND) => return Ok(None),
        Some(status) => {
            let why = format!("{status} {}", message.description.unwrap_or_default());
            return Err(BusError::refused(api, why));
        }
    }
    let StreamMessage { subject, sequence, headers, payload, time, .. } = StreamMessage::try_from(message)
        .map_err(|error| BusError::Corrupt { what: api.to_owned(), why: chain(&error) })?;
    let published_at = clock::of_nanos(time.unix_timestamp_nanos());
    Ok(Some(Stored { subject: subject.to_string(), sequence, headers, payload, published_at }))
}
