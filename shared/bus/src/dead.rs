//! Dead letters: messages nobody could handle, kept with where they came from and why. List them, or send one back.

use std::collections::BTreeMap;

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use bytes::Bytes;
use domain::Timestamp;
use domain::subject;
use domain::token::Slug;
use serde::Serialize;

use crate::connect::Bus;
use crate::direct::{self, Stored};
use crate::error::{BusError, PublishError, chain};
use crate::topology::{DEAD, JOBS};

const SUBJECT: &str = "Ctrlplane-Dead-Subject";
const STREAM: &str = "Ctrlplane-Dead-Stream";
const SEQUENCE: &str = "Ctrlplane-Dead-Sequence";
const CONSUMER: &str = "Ctrlplane-Dead-Consumer";
const ATTEMPTS: &str = "Ctrlplane-Dead-Attempts";
const REASON: &str = "Ctrlplane-Dead-Reason";
const HEADERS: &str = "Ctrlplane-Dead-Headers";
/// Present when the original was too large to be kept here as well; it is still in its stream.
const WITHOUT_PAYLOAD: &str = "Ctrlplane-Dead-Without-Payload";
const REASON_BYTES_MAX: usize = 2_048;
/// The longest page of [`list`].
pub const PAGE_MAX: usize = 200;

/// A message nobody could handle.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Its sequence among the dead letters: what [`redrive`] takes.
    pub sequence: u64,
    /// When it was given up.
    pub at: Timestamp,
    /// Whose work it was.
    pub consumer: String,
    /// Why it was given up.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u64,
    /// The stream it came from.
    pub stream: String,
    /// Its sequence there.
    pub original_sequence: u64,
    /// Its subject.
    pub subject: String,
    /// Its headers.
    pub headers: BTreeMap<String, Vec<String>>,
    /// Its size.
    pub size_bytes: usize,
    /// Its bytes.
    #[serde(skip)]
    pub payload: Bytes,
    /// Whether it was too large to be kept here; then it is in its stream, as long as that keeps it.
    pub without_payload: bool,
}

/// Why a dead letter was not sent back.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    /// There is none of that sequence.
    #[error("there is no dead letter {0}")]
    NotFound(u64),
    /// It is a fact of a job that has moved on since: its fact is history, and repeating it would tell a lie.
    #[error("the job has moved on since; there is nothing to repeat")]
    MovedOn,
    /// Its stream no longer keeps the original.
    #[error("the original is no longer kept")]
    Gone,
    /// The bus failed.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// At most `limit` (and [`PAGE_MAX`]) dead letters with a sequence above `after`, oldest first.
///
/// # Errors
/// When the bus does not answer.
pub async fn list(bus: &Bus, after: u64, limit: usize) -> Result<Vec<DeadLetter>, BusError> {
    let mut page = Vec::new();
    let mut from = after.saturating_add(1);
    while page.len() < limit.min(PAGE_MAX) {
        let Some(stored) = direct::next(bus, DEAD.name, DEAD.subjects[0], from).await? else { break };
        from = stored.sequence + 1;
        page.push(read(stored)?);
    }
    Ok(page)
}

/// Sends the original back to where it came from, and forgets the dead letter. Tells its new sequence.
/// Every consumer of its stream gets it again, which is safe: handlers are idempotent.
///
/// # Errors
/// [`RedriveError`] says why not.
pub async fn redrive(bus: &Bus, sequence: u64) -> Result<u64, RedriveError> {
    let stored = direct::at(bus, DEAD.name, sequence).await?.ok_or(RedriveError::NotFound(sequence))?;
    let letter = read(stored)?;
    let mut headers = HeaderMap::new();
    for (name, values) in &letter.headers {
        // What the server acts on belonged to the first publish.
        if !name.starts_with("Nats-") {
            values.iter().for_each(|value| headers.append(name.as_str(), value.as_str()));
        }
    }
    headers.insert(NATS_MESSAGE_ID, format!("redrive-{sequence}"));
    if letter.stream == JOBS.name {
        // Only the last fact of a job may be said again.
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, letter.original_sequence.to_string());
    }
    let payload = if letter.without_payload {
        let original = direct::at(bus, &letter.stream, letter.original_sequence).await?;
        original.ok_or(RedriveError::Gone)?.payload
    } else {
        letter.payload
    };
    let published = match bus.publish_until_confirmed(&letter.subject, &headers, &payload).await {
        Ok(published) => published,
        Err(PublishError::Conflict { .. }) => return Err(RedriveError::MovedOn),
        Err(error) => return Err(RedriveError::Bus(error.into())),
    };
    forget(bus, sequence).await?;
    tracing::info!(dead = sequence, subject = letter.subject, sequence = published.sequence, "redriven");
    Ok(published.sequence)
}

/// A message that is given up.
#[derive(Debug)]
pub(crate) struct Given<'a> {
    pub(crate) consumer: &'a Slug,
    pub(crate) stream: &'a str,
    pub(crate) sequence: u64,
    pub(crate) subject: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) payload: &'a Bytes,
    pub(crate) attempts: u64,
    pub(crate) reason: &'a str,
}

/// Keeps a message as a dead letter.
pub(crate) async fn keep(bus: &Bus, given: &Given<'_>) -> Result<(), PublishError> {
    let original: BTreeMap<String, Vec<String>> = given
        .headers
        .iter()
        .map(|(name, values)| (name.to_string(), values.iter().map(ToString::to_string).collect()))
        .collect();
    let mut headers = HeaderMap::new();
    headers.insert(SUBJECT, given.subject);
    headers.insert(STREAM, given.stream);
    headers.insert(SEQUENCE, given.sequence.to_string());
    headers.insert(CONSUMER, given.consumer.as_str());
    headers.insert(ATTEMPTS, given.attempts.to_string());
    headers.insert(REASON, one_line(given.reason));
    headers.insert(HEADERS, serde_json::to_string(&original).expect("a map of texts is JSON"));
    if let Some(traceparent) = given.headers.get(telemetry::context::TRACEPARENT) {
        headers.insert(telemetry::context::TRACEPARENT, traceparent.as_str());
    }
    let id = format!("dead-{}-{}-{}", given.consumer, given.stream, given.sequence);
    let subject = subject::dead(given.consumer);
    let kept = bus.publish(subject.clone(), headers.clone(), given.payload.clone(), Some(&id)).await;
    match kept {
        Err(PublishError::TooLarge { .. }) => {
            headers.insert(WITHOUT_PAYLOAD, "true");
            bus.publish(subject, headers, Bytes::new(), Some(&id)).await.map(|_| ())
        }
        settled => settled.map(|_| ()),
    }
}

async fn forget(bus: &Bus, sequence: u64) -> Result<(), BusError> {
    let doing = || format!("delete the dead letter {sequence}");
    let stream = bus
        .jetstream()
        .get_stream_no_info(DEAD.name)
        .await
        .map_err(|error| BusError::refused(doing(), chain(&error)))?;
    stream.delete_message(sequence).await.map_err(|error| BusError::unavailable(doing(), chain(&error)))?;
    Ok(())
}

fn read(stored: Stored) -> Result<DeadLetter, BusError> {
    let corrupt = |why: &str| BusError::Corrupt {
        what: format!("dead letter {}", stored.sequence),
        why: why.to_owned(),
    };
    let text = |name: &str| stored.headers.get(name).map(|value| value.as_str().to_owned());
    let number = |name: &str| text(name).and_then(|value| value.parse().ok());
    let headers = text(HEADERS).ok_or_else(|| corrupt("its headers are missing"))?;
    Ok(DeadLetter {
        sequence: stored.sequence,
        at: stored.published_at,
        consumer: text(CONSUMER).ok_or_else(|| corrupt("its consumer is missing"))?,
        reason: text(REASON).unwrap_or_default(),
        attempts: number(ATTEMPTS).unwrap_or_default(),
        stream: text(STREAM).ok_or_else(|| corrupt("its stream is missing"))?,
        original_sequence: number(SEQUENCE).ok_or_else(|| corrupt("its sequence is missing"))?,
        subject: text(SUBJECT).ok_or_else(|| corrupt("its subject is missing"))?,
        headers: serde_json::from_str(&headers).map_err(|error| corrupt(&error.to_string()))?,
        size_bytes: stored.payload.len(),
        without_payload: text(WITHOUT_PAYLOAD).is_some(),
        payload: stored.payload,
    })
}

/// A header holds one line.
fn one_line(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let end =
        (0..=REASON_BYTES_MAX.min(line.len())).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
    line.truncate(end);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_bounded_line() {
        assert_eq!(one_line("a\r\nb"), "a  b");
        assert_eq!(one_line(&"é".repeat(2_000)).len(), REASON_BYTES_MAX);
        assert_eq!(one_line(""), "");
    }
}
