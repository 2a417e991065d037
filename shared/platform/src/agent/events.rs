//! Webhooks: what the platform tells of its own accord, read and handed on to be judged. A delivery that cannot be applied is
//! dropped with its reason; it stays in `TRIGGERS` as it came.

use super::Agent;
use super::signals::{Judged, Told, not_yet};
use crate::platform::{Platform, PlatformEvent};
use bus::{BusError, Delivery, Failure, TriggerEvent};
use std::time::Duration;

impl<P: Platform> Agent<P> {
    /// Takes in a webhook delivery.
    pub(super) async fn webhook(&self, event: &TriggerEvent, delivery: &Delivery) -> Result<(), Failure> {
        let attributes = &event.attributes;
        if self.platform.source_kind() != Some(attributes.sourcekind.as_str()) {
            self.drop_event(event, "other_sender", "it was let in by a trigger source of another kind");
            return Ok(());
        }
        let payload = match event.payload(&self.bus).await {
            Ok(payload) => payload,
            Err(error @ BusError::Corrupt { .. }) => {
                self.drop_event(event, "unreadable", &error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let read =
            self.platform.read_event(&PlatformEvent { event_type: &attributes.event_type, data: &payload });
        let signals = match read {
            Ok(signals) => signals,
            Err(not_readable) => {
                self.drop_event(event, "unreadable", &not_readable.reason);
                return Ok(());
            }
        };
        let told = Told {
            workspace: &attributes.workspace,
            cause: Some(format!("{} {}", attributes.source, attributes.id)),
            age: Some(self.age(delivery)),
        };
        for signal in signals {
            match self.signal(&told, signal).await? {
                Judged::Applied => {}
                Judged::Stranger => self.stranger(event, delivery)?,
                Judged::Dropped { why, detail } => self.drop_event(event, why, detail),
            }
        }
        Ok(())
    }

    /// A run nobody knows: our own record of it may be on its way; else it is not ours.
    fn stranger(&self, event: &TriggerEvent, delivery: &Delivery) -> Result<(), Failure> {
        let age = self.age(delivery);
        if age >= self.settings.stranger_grace {
            self.drop_event(event, "stranger", "no job of ours has this run");
            return Ok(());
        }
        Err(not_yet(age))
    }

    fn age(&self, delivery: &Delivery) -> Duration {
        (self.clock.now() - delivery.published_at).to_std().unwrap_or_default()
    }

    /// Nothing is lost by this: the delivery stays in `TRIGGERS` as it came.
    fn drop_event(&self, event: &TriggerEvent, why: &'static str, detail: &str) {
        let attributes = &event.attributes;
        metrics::counter!("platform_events_dropped_total", "platform" => self.platform.name().to_string(), "why" => why).increment(1);
        if why == "stranger" || why == "unknown_job" {
            tracing::debug!(delivery = attributes.id, event = attributes.event_type, "{detail}");
        } else {
            tracing::warn!(workspace = %attributes.workspace, delivery = attributes.id, event = attributes.event_type,
                "a webhook is not applied: {}", telemetry::redact(detail));
        }
    }
}
