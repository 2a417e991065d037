//! Answering requests that nobody stores: a puller asks and waits. Replicas share the questions of one queue group. What
//! must not be lost is stored by whoever answers, before it answers.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{HeaderMap, Message};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::connect::Bus;
use crate::error::{BusError, chain};

/// After a subscription that ended by itself.
const SUBSCRIBE_AGAIN: Duration = Duration::from_secs(1);

/// Answers requests.
#[async_trait]
pub trait Responder: Send + Sync + 'static {
    /// The answer to one request.
    async fn respond(&self, request: Request) -> Answer;

    /// Whether an answer may go there. Whoever asks chooses the subject, and we may publish more than he may.
    fn may_answer(&self, subject: &str, reply: &str) -> bool;
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its subject.
    pub subject: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its bytes.
    pub payload: Bytes,
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its bytes.
    pub payload: Bytes,
}

/// Answers requests on the subject until `drain`, at most `at_once` at a time, then finishes what it holds. Requests beyond
/// that wait in the client.
///
/// # Errors
/// When the subject is not one to subscribe to.
pub async fn serve<R: Responder>(
    bus: &Bus,
    subject: &str,
    queue_group: &str,
    responder: Arc<R>,
    at_once: usize,
    drain: CancellationToken,
) -> Result<(), BusError> {
    let slots = Arc::new(Semaphore::new(at_once.max(1)));
    let mut running = JoinSet::new();
    'subscribed: while !drain.is_cancelled() {
        let subscribed = bus.client().queue_subscribe(subject.to_owned(), queue_group.to_owned()).await;
        let mut requests = subscribed
            .map_err(|error| BusError::refused(format!("subscribe to {subject}"), chain(&error)))?;
        loop {
            let slot = tokio::select! {
                () = drain.cancelled() => break 'subscribed,
                slot = Arc::clone(&slots).acquire_owned() => slot,
            };
            while let Some(ended) = running.try_join_next() {
                reaped(subject, ended);
            }
            tokio::select! {
                () = drain.cancelled() => break 'subscribed,
                message = requests.next() => match message {
                    Some(message) => {
                        let (bus, responder) = (bus.clone(), Arc::clone(&responder));
                        running.spawn(async move {
                            answer(&bus, &*responder, message).await;
                            drop(slot);
                        });
                    }
                    // The client lost it; a reconnect does not end it.
                    None => break,
                },
            }
        }
        tokio::select! {
            () = drain.cancelled() => {}
            () = tokio::time::sleep(SUBSCRIBE_AGAIN) => {}
        }
    }
    while let Some(ended) = running.join_next().await {
        reaped(subject, ended);
    }
    bus.flush().await;
    Ok(())
}

fn reaped(subject: &str, ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(subject, %error, "answering a request failed; it is asked again");
    }
}

async fn answer<R: Responder>(bus: &Bus, responder: &R, message: Message) {
    let subject = message.subject.to_string();
    let Some(reply) = message.reply.filter(|reply| responder.may_answer(&subject, reply)) else {
        metrics::counter!("bus_requests_refused_total").increment(1);
        tracing::warn!(subject, "a request names no inbox of its own to answer to: it is dropped");
        return;
    };
    let headers = message.headers.unwrap_or_default();
    let Answer { headers, payload } =
        responder.respond(Request { subject: subject.clone(), headers, payload: message.payload }).await;
    if let Err(error) = bus.client().publish_with_headers(reply, headers, payload).await {
        tracing::warn!(subject, error = %chain(&error), "a request could not be answered: it will be asked again");
    }
}
