//! One message from delivery to settlement: counted, read, handled within its deadline, settled.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::{self, AckKind};
use domain::token::Slug;
use futures::FutureExt as _;
use metrics::{Counter, Histogram};
use tokio::time::{Instant, sleep, timeout};
use tracing::{Instrument as _, Span, field};

use super::attempts::Attempts;
use super::handler::{Decode as _, Delivery, Failure, Handler, RawMessage};
use super::settle::{Limits, Settlement, settle};
use crate::clock;
use crate::connect::{Bus, REQUEST_WITHIN};
use crate::dead::{self, Given};
use crate::error::{BusError, chain};
use crate::topology::ConsumerSpec;

/// When the bus itself is in trouble, not the message.
const BUS_TROUBLE: Duration = Duration::from_secs(1);

/// What every message of a consumer needs.
pub(super) struct Worker<H> {
    pub(super) bus: Bus,
    pub(super) spec: ConsumerSpec,
    pub(super) limits: Limits,
    name: Slug,
    handler: Arc<H>,
    attempts: Attempts,
    meters: Meters,
}

struct Meters {
    acked: Counter,
    retried: Counter,
    delayed: Counter,
    dead: Counter,
    redelivered: Counter,
    seconds: Histogram,
}

impl<H: Handler> Worker<H> {
    pub(super) fn new(
        bus: Bus,
        spec: ConsumerSpec,
        handler: Arc<H>,
        limits: Limits,
    ) -> Result<Self, BusError> {
        let name: Slug = spec.name.parse().map_err(|error| BusError::Misfit {
            what: format!("consumer {}", spec.name),
            difference: format!("its name {error}"),
        })?;
        let attempts = Attempts::new(&bus, &spec.name);
        let outcome = |outcome: &'static str| metrics::counter!("bus_handled_total", "consumer" => spec.name.clone(), "outcome" => outcome);
        let meters = Meters {
            acked: outcome("ack"),
            retried: outcome("retry"),
            delayed: outcome("later"),
            dead: outcome("dead"),
            redelivered: metrics::counter!("bus_redeliveries_total", "consumer" => spec.name.clone()),
            seconds: metrics::histogram!("bus_handle_seconds", "consumer" => spec.name.clone()),
        };
        Ok(Self { bus, spec, limits, name, handler, attempts, meters })
    }

    /// Handles and settles one message.
    pub(super) async fn handle(self: Arc<Self>, message: jetstream::Message) {
        let (deliveries, delivery) = match read(&message) {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(consumer = %self.name, %error, "a message without delivery data cannot be settled");
                return;
            }
        };
        let span = tracing::info_span!(
            "consume",
            otel.kind = "consumer",
            consumer = %self.name,
            subject = %delivery.subject,
            sequence = delivery.sequence,
            attempt = field::Empty,
        );
        let parent = delivery.headers.get(telemetry::context::TRACEPARENT).map(|value| value.as_str());
        telemetry::set_parent(&span, parent);
        self.in_span(message, deliveries, delivery).instrument(span).await;
    }

    async fn in_span(&self, message: jetstream::Message, deliveries: u64, mut delivery: Delivery) {
        if deliveries > 1 {
            self.meters.redelivered.increment(1);
        }
        let failed = match self.attempts.failed(delivery.sequence, deliveries).await {
            Ok(failed) => failed,
            Err(error) => return self.postpone(&message, &error).await,
        };
        delivery.attempt = failed + 1;
        Span::current().record("attempt", delivery.attempt);
        if failed >= self.limits.attempts_max {
            let reason = format!("{failed} attempts failed, the last one without a word");
            return self.bury(&message, &delivery, failed, &reason).await;
        }
        let raw = RawMessage {
            subject: delivery.subject.clone(),
            headers: delivery.headers.clone(),
            payload: message.payload.clone(),
        };
        let event = match H::Event::decode(&raw) {
            Ok(event) => event,
            Err(error) => {
                return self.bury(&message, &delivery, failed, &format!("cannot be read: {error}")).await;
            }
        };
        if deliveries > 1 {
            // Counted before it runs: if it kills us, it was counted.
            if let Err(error) = self.attempts.keep(delivery.sequence, delivery.attempt).await {
                return self.postpone(&message, &error).await;
            }
        }
        let started = Instant::now();
        let result = self.run(event, &delivery, &message).await;
        self.meters.seconds.record(started.elapsed());
        self.settle(&message, &delivery, failed, &result).await;
    }

    /// Runs the handler within its deadline. While it works, the server is told so.
    async fn run(
        &self,
        event: H::Event,
        delivery: &Delivery,
        message: &jetstream::Message,
    ) -> Result<(), Failure> {
        let handling = AssertUnwindSafe(self.handler.handle(event, delivery)).catch_unwind();
        let mut handling = pin!(timeout(self.limits.deadline, handling));
        loop {
            tokio::select! {
                biased;
                ended = &mut handling => return match ended {
                    Ok(Ok(result)) => result,
                    Ok(Err(panic)) => Err(Failure::retry(format!("the handler panicked: {}", words(&*panic)))),
                    Err(_elapsed) => {
                        Err(Failure::retry(format!("not done within {:?}", self.limits.deadline)))
                    }
                },
                () = sleep(self.bus.ack_wait(&self.spec) / 3) => self.answer(message, AckKind::Progress).await,
            }
        }
    }

    async fn settle(
        &self,
        message: &jetstream::Message,
        delivery: &Delivery,
        failed: u64,
        result: &Result<(), Failure>,
    ) {
        let attempt = delivery.attempt;
        match (settle(result, attempt, &self.limits), result) {
            (Settlement::Ack, _) => {
                self.meters.acked.increment(1);
                self.answer(message, AckKind::Ack).await;
            }
            (Settlement::Nak(after), Err(Failure::Later { why, .. })) => {
                tracing::debug!(?after, why, "later");
                self.meters.delayed.increment(1);
                // Taken back. Without it one wait would count as a failure, which only makes us give up earlier.
                if let Err(error) = self.attempts.keep(delivery.sequence, failed).await {
                    tracing::warn!(error = %chain(&error), "a wait is counted as a failed attempt");
                }
                self.answer(message, AckKind::Nak(Some(after))).await;
            }
            (Settlement::Nak(after), Ok(()) | Err(Failure::Retry(_) | Failure::Reject(_))) => {
                let error = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
                tracing::warn!(error = %telemetry::redact(&error), attempt, ?after, "failed, will be tried again");
                self.meters.retried.increment(1);
                self.answer(message, AckKind::Nak(Some(after))).await;
            }
            (Settlement::DeadLetter(reason), _) => self.bury(message, delivery, attempt, &reason).await,
        }
    }

    /// First kept as a dead letter, then done.
    async fn bury(&self, message: &jetstream::Message, delivery: &Delivery, attempts: u64, reason: &str) {
        let reason = telemetry::redact(reason);
        let given = Given {
            consumer: &self.name,
            stream: self.spec.stream.name,
            sequence: delivery.sequence,
            subject: &delivery.subject,
            headers: &delivery.headers,
            payload: &message.payload,
            attempts,
            reason: &reason,
        };
        match dead::keep(&self.bus, &given).await {
            Ok(()) => {
                tracing::error!(reason = %reason, attempts, "given up: kept as a dead letter");
                self.meters.dead.increment(1);
                metrics::counter!("bus_dead_letters_total", "consumer" => self.spec.name.clone())
                    .increment(1);
                self.answer(message, AckKind::Ack).await;
            }
            Err(error) => self.postpone(message, &error.into()).await,
        }
    }

    /// Neither run nor counted: the bus is in trouble.
    async fn postpone(&self, message: &jetstream::Message, error: &BusError) {
        tracing::warn!(error = %chain(error), "the bus is in trouble, the message will come again");
        self.answer(message, AckKind::Nak(Some(BUS_TROUBLE))).await;
    }

    /// Sent and forgotten: when it is lost, the message comes again.
    async fn answer(&self, message: &jetstream::Message, kind: AckKind) {
        match timeout(REQUEST_WITHIN, message.ack_with(kind)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "could not settle, the message will come again"),
            Err(_elapsed) => tracing::warn!("could not settle, the bus is away: the message will come again"),
        }
    }
}

fn read(message: &jetstream::Message) -> Result<(u64, Delivery), async_nats::Error> {
    let info = message.info()?;
    let headers = message.headers.clone().unwrap_or_default();
    let previous =
        headers.get(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE).and_then(|value| value.as_str().parse().ok());
    let delivery = Delivery {
        subject: message.subject.to_string(),
        sequence: info.stream_sequence,
        attempt: 1,
        headers,
        published_at: clock::of_nanos(info.published.unix_timestamp_nanos()),
        previous,
    };
    Ok((u64::try_from(info.delivered).unwrap_or(1), delivery))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}
