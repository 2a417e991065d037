//! What a client missed, or what is true now, read from the stream for this client alone, until memory has the rest.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use bus::Bus;
use bus::topology::STATUS;
use futures::StreamExt as _;

use super::newest::Newest;
use super::news::News;
use super::{Client, Position, Stopped};

/// How many messages are asked for at once.
const BATCH: usize = 256;
const PULL_EXPIRES: Duration = Duration::from_secs(10);
const PULL_HEARTBEAT: Duration = Duration::from_secs(2);
/// The server forgets our consumer this long after we are gone; longer than a slow client may keep us waiting.
const FORGET_AFTER: Duration = Duration::from_secs(120);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Reads until the client is where the stream ended when this began.
pub(super) async fn read(bus: &Bus, client: &mut Client) -> Result<Option<Stopped>, async_nats::Error> {
    let mut connected = bus.connected();
    connected.wait_for(|connected| *connected).await?;
    connected.mark_unchanged();
    let get = bus.jetstream().get_stream(STATUS.name);
    let stream = tokio::time::timeout(ANSWER_WITHIN, get).await??;
    let state = &stream.cached_info().state;
    if let Position::After(after) = client.position
        && is_gone(after, state.first_sequence, state.last_sequence)
        && let Some(stopped) = client.reset().await
    {
        return Ok(Some(stopped));
    }
    let opened_at = state.last_sequence;
    let create = stream.create_consumer(config(client));
    let consumer = tokio::time::timeout(ANSWER_WITHIN, create).await??;
    if consumer.cached_info().num_pending == 0 {
        client.position = client.position.at_least(opened_at);
        return Ok(None);
    }
    let (mut expected, mut told) = (1, Newest::default());
    let mut messages = consumer
        .stream()
        .max_messages_per_batch(BATCH)
        .expires(PULL_EXPIRES)
        .heartbeat(PULL_HEARTBEAT)
        .messages()
        .await?;
    loop {
        let message = tokio::select! {
            biased;
            // A server that came back may have forgotten our consumer: do not wait until it is missed.
            _changed_or_closed = connected.changed() => {
                return Ok(Some(Stopped::Lost("the connection is a new one".to_owned())));
            }
            message = messages.next() => message,
        };
        let Some(message) = message else {
            return Ok(Some(Stopped::Lost("the consumer ended".to_owned())));
        };
        let message = message?;
        let info = message.info()?;
        if info.consumer_sequence != expected {
            let why = format!("event {expected} is missing, {} came", info.consumer_sequence);
            return Ok(Some(Stopped::Lost(why)));
        }
        expected += 1;
        let (sequence, pending) = (info.stream_sequence, info.pending);
        if let Some(news) = news_of(&message, sequence)
            && client.wanted.wants(&news)
            && (news.is_farewell() || told.is_news(news.job, news.fact))
            && let Some(stopped) = client.send(news.frame).await
        {
            return Ok(Some(stopped));
        }
        // Under steady news there is always more pending: the rest comes from memory.
        let is_through = pending == 0 || sequence >= opened_at;
        client.position = Position::After(sequence);
        if is_through {
            client.position = client.position.at_least(opened_at);
            return Ok(None);
        }
    }
}

fn news_of(message: &jetstream::Message, sequence: u64) -> Option<News> {
    let headers = message.headers.clone().unwrap_or_default();
    News::read(&message.subject, sequence, &headers, &message.payload)
}

fn config(client: &Client) -> pull::Config {
    let deliver_policy = match client.position {
        Position::Snapshot => DeliverPolicy::LastPerSubject,
        Position::After(sequence) => DeliverPolicy::ByStartSequence { start_sequence: sequence + 1 },
    };
    pull::Config {
        name: Some(format!("api-{}", uuid::Uuid::new_v4().simple())),
        filter_subject: client.wanted.subjects(),
        deliver_policy,
        ack_policy: AckPolicy::None,
        inactive_threshold: FORGET_AFTER,
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
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
