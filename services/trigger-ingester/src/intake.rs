//! From a believed delivery to a stored event: claims its id for the days in which it may come again, then stores it.
//! It does not know who sent it or how that was proved.

use crate::envelope::{Incoming, event_token};
use bus::topology::{DELIVERIES, TRIGGERS};
use bus::{Bucket, Bus, BusError, CasError, PublishError, TriggerEvent, clock, crash_point};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::subject;
use domain::token::Slug;
use domain::trigger::TriggerAttributes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::sync::atomic::{AtomicU64, Ordering};

/// For so long the stream itself surely knows a message id: its window (one hour) less a margin for slow clocks.
const STREAM_REMEMBERS: TimeDelta = TimeDelta::minutes(50);
/// A claim is followed by its message within this, or the message is not there: the longest a publish can take, and a margin.
const STORED_WITHIN: TimeDelta = TimeDelta::minutes(5);
/// Chances to win a claim against other replicas.
const RACES_MAX: usize = 16;

/// Where an event goes.
#[derive(Debug, Clone)]
pub struct Door {
    /// The tenant.
    pub workspace: Slug,
    /// The trigger source's name.
    pub source: Slug,
    /// The kind of the trigger source, e.g. `github`.
    pub kind: Slug,
}

/// What became of an event. In every case it is in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is new.
    New,
    /// It had come before.
    Before,
}

/// Why an event is not stored. The sender is told to come again.
#[derive(Debug, thiserror::Error)]
pub enum NotStored {
    /// The bus did not confirm.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The bus did not confirm the message.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Many deliveries of one id at once.
    #[error("too many deliveries of one id at once")]
    Contended,
}

/// A delivery id that came in, in the `deliveries` bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    /// When it was claimed; the message was stored right after, if at all.
    at: Timestamp,
    /// A sequence of `TRIGGERS` before which the message cannot be.
    after: u64,
}

/// The way into `TRIGGERS`.
pub struct Intake {
    bus: Bus,
    claims: Bucket,
    /// The highest sequence of `TRIGGERS` this replica has seen.
    seen: AtomicU64,
}

impl Intake {
    /// An intake on this bus.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub async fn new(bus: Bus) -> Result<Self, BusError> {
        let seen = AtomicU64::new(bus.last_sequence(&TRIGGERS).await?);
        Ok(Self { claims: bus.bucket(&DELIVERIES), bus, seen })
    }

    /// Stores the event, unless it is there already. When this returns, it is durable.
    ///
    /// # Errors
    /// When it is not certain to be stored.
    pub async fn store(
        &self,
        door: &Door,
        incoming: Incoming,
        traceparent: Option<String>,
    ) -> Result<Stored, NotStored> {
        let id = delivery_key(door, &incoming.delivery_id);
        let event_subject = subject::trigger(&door.workspace, &door.source, &token_of(&incoming.event_type));
        crash_point("trigger-ingester.claim.before");
        if self.is_stored(&id, &event_subject).await? {
            return Ok(Stored::Before);
        }
        crash_point("trigger-ingester.claim.after");
        let event = self.event(door, incoming, traceparent).fit(&self.bus, &id).await?;
        let (headers, body) = event.encode();
        crash_point("trigger-ingester.publish.before");
        let published = self.bus.publish(event_subject, headers, body, Some(&id)).await?;
        crash_point("trigger-ingester.publish.after");
        self.seen.fetch_max(published.sequence, Ordering::Relaxed);
        Ok(if published.duplicate { Stored::Before } else { Stored::New })
    }

    fn event(&self, door: &Door, incoming: Incoming, traceparent: Option<String>) -> TriggerEvent {
        let Incoming { delivery_id, event_type, source_attr, subject, time, content_type, data, extensions } =
            incoming;
        let attributes = TriggerAttributes {
            specversion: "1.0".to_owned(),
            id: delivery_id,
            source: source_attr,
            event_type,
            subject,
            time: time.unwrap_or_else(clock::now),
            datacontenttype: content_type,
            dataref: None,
            workspace: door.workspace.clone(),
            triggersource: door.source.clone(),
            sourcekind: door.kind.clone(),
            traceparent: extensions.get("traceparent").cloned().or(traceparent),
        };
        TriggerEvent::new(attributes, data)
    }

    /// Claims the id. `true`: it had been claimed, and its message is in the stream.
    ///
    /// A fresh claim, or one so young that the stream itself still knows the message id, is followed by a publish
    /// with that id: the stream drops it if it is there. An older one is looked up: a crash may have come between
    /// the claim and the message.
    async fn is_stored(&self, id: &str, event_subject: &str) -> Result<bool, NotStored> {
        for _ in 0..RACES_MAX {
            let now = clock::now();
            let mine = Claim { at: now, after: self.seen.load(Ordering::Relaxed) };
            match self.claims.create_json(id, &mine).await {
                Ok(_) => return Ok(false),
                Err(CasError::Conflict) => {}
                Err(CasError::Bus(error)) => return Err(error.into()),
            }
            let Some(entry) = self.claims.get(id).await? else { continue };
            let claim: Claim = serde_json::from_slice(&entry.value)
                .map_err(|error| BusError::Corrupt { what: format!("claim {id}"), why: error.to_string() })?;
            if now < claim.at + STREAM_REMEMBERS {
                return Ok(false);
            }
            if self.is_in_stream(id, event_subject, &claim).await? {
                return Ok(true);
            }
            match self.claims.update_json(id, &mine, entry.revision).await {
                Ok(_) => return Ok(false),
                Err(CasError::Conflict) => {}
                Err(CasError::Bus(error)) => return Err(error.into()),
            }
        }
        Err(NotStored::Contended)
    }

    async fn is_in_stream(&self, id: &str, event_subject: &str, claim: &Claim) -> Result<bool, BusError> {
        let mut sequence = claim.after;
        while let Some(stored) = self.bus.next_of_subject(&TRIGGERS, event_subject, sequence + 1).await? {
            if stored.message_id.as_deref() == Some(id) {
                return Ok(true);
            }
            if stored.published_at > claim.at + STORED_WITHIN {
                return Ok(false);
            }
            sequence = stored.sequence;
        }
        Ok(false)
    }
}

fn token_of(event_type: &str) -> Slug {
    event_token(event_type).parse().expect("an event token is one to 64 token characters")
}

/// The key of a claim and the message id of its event: the door, and a hash of the delivery id.
fn delivery_key(door: &Door, delivery_id: &str) -> String {
    let hash = hex::encode(Sha256::digest(delivery_id.as_bytes()));
    format!("{}.{}.{hash}", door.workspace, door.source)
}
