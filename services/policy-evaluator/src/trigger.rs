//! Trigger rules: events from outside that become versions and runs of workflows.
//! An event is judged by the rules as they are when it is worked; the same event gives the same.

use crate::memory::Memory;
use async_trait::async_trait;
use bus::topology::CATALOG;
use bus::{Bucket, Bus, BusError, CasError, Delivery, Failure, Handler, TriggerEvent, crash_point};
use domain::Timestamp;
use domain::entity::{Entity, Record, Trigger};
use domain::trigger_rule::{self, Rule, RuleError};
use serde_json::Value;
use std::sync::Arc;

/// Works events from outside.
pub(crate) struct TriggerWorker {
    bus: Bus,
    memory: Arc<Memory>,
    catalog: Bucket,
}

impl TriggerWorker {
    pub(crate) fn new(bus: Bus, memory: Arc<Memory>) -> Self {
        let catalog = bus.bucket(&CATALOG);
        Self { bus, memory, catalog }
    }
}

#[async_trait]
impl Handler for TriggerWorker {
    type Event = TriggerEvent;

    /// A rule that cannot be applied keeps the event as a dead letter, with the reason; the other rules
    /// have had their effect by then, and have it once however often the event is worked.
    async fn handle(&self, event: TriggerEvent, delivery: &Delivery) -> Result<(), Failure> {
        let rules = self.rules_for(&event);
        if rules.is_empty() {
            metrics::counter!("evaluator_trigger_events_total", "outcome" => "no-rule").increment(1);
            return Ok(());
        }
        let payload = event.payload(&self.bus).await?;
        let payload: Value = serde_json::from_slice(&payload)
            .map_err(|error| Failure::Reject(format!("the payload is not JSON: {error}")))?;
        let mut wrong = Vec::new();
        let seen = trigger_rule::Event::new(&event.attributes, &payload);
        let made = self.make(&event, &rules, &seen, delivery.published_at);
        for (rule, made) in rules.iter().map(|rule| &rule.trigger).zip(made) {
            match made {
                Ok(Some(entity)) => self.create(rule, &entity).await?,
                Ok(None) => {
                    tracing::debug!(trigger = rule.meta.name, "the event does not meet the condition")
                }
                Err(error) => {
                    metrics::counter!("evaluator_trigger_rule_errors_total").increment(1);
                    tracing::warn!(
                        workspace = %event.attributes.workspace,
                        trigger = rule.meta.name,
                        event = event.attributes.id,
                        %error,
                        "a trigger rule cannot be applied"
                    );
                    wrong.push(error.to_string());
                }
            }
        }
        let outcome = if wrong.is_empty() { "applied" } else { "rule-error" };
        metrics::counter!("evaluator_trigger_events_total", "outcome" => outcome).increment(1);
        if wrong.is_empty() { Ok(()) } else { Err(Failure::Reject(wrong.join("; "))) }
    }
}

impl TriggerWorker {
    fn rules_for(&self, event: &TriggerEvent) -> Vec<Arc<Rule>> {
        let attributes = &event.attributes;
        let catalog = self.memory.catalog();
        let Some(ws) = catalog.workspace(&attributes.workspace) else { return Vec::new() };
        ws.rules_for(attributes.triggersource.as_str(), &attributes.event_type)
    }

    fn make(
        &self,
        event: &TriggerEvent,
        rules: &[Arc<Rule>],
        seen: &trigger_rule::Event<'_>,
        at: Timestamp,
    ) -> Vec<Result<Option<Entity>, RuleError>> {
        let catalog = self.memory.catalog();
        // With the rules, which were found in it, the workspace may have gone meanwhile: then there is nothing to make.
        let Some(ws) = catalog.workspace(&event.attributes.workspace) else { return Vec::new() };
        rules.iter().map(|rule| trigger_rule::apply(rule, seen, ws, at)).collect()
    }

    /// An entity that is there already was made by this event before, or by somebody who was faster: it stays.
    async fn create(&self, rule: &Record<Trigger>, entity: &Entity) -> Result<(), BusError> {
        let key = entity.key().to_string();
        let value = serde_json::to_vec(entity).expect("an entity is JSON");
        crash_point("policy-evaluator.version.before");
        let created = self.catalog.create(&key, value.into()).await;
        crash_point("policy-evaluator.version.after");
        match created {
            Ok(revision) => {
                metrics::counter!("evaluator_versions_created_total").increment(1);
                tracing::info!(key, revision, trigger = rule.meta.name, name = entity.meta().name, "created");
                Ok(())
            }
            Err(CasError::Conflict) => {
                tracing::debug!(key, trigger = rule.meta.name, "is there already");
                Ok(())
            }
            Err(CasError::Bus(error)) => Err(error),
        }
    }
}
