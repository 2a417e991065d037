//! From a believed delivery to a stored event: claims its id for the days in which it may come again, then stores it.
//! It does not know who sent it or how that was proved.

use crate::claims::{Claimed, Claims};
use crate::envelope::Incoming;
use bus::{Bus, BusError, PublishError, TriggerEvent, clock, crash_point};
use domain::event_token::event_token;
use domain::subject;
use domain::token::Slug;
use domain::trigger::TriggerAttributes;
use sha2::{Digest as _, Sha256};

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

/// The way into `TRIGGERS`.
pub struct Intake {
    bus: Bus,
    claims: Claims,
}

impl Intake {
    /// An intake on this bus.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub async fn new(bus: Bus) -> Result<Self, BusError> {
        Ok(Self { claims: Claims::new(bus.clone()).await?, bus })
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
        let id = delivery_key(door, &incoming);
        let event_subject =
            subject::trigger(&door.workspace, &door.source, &event_token(&incoming.event_type));
        crash_point("trigger-ingester.claim.before");
        // The same body may have come as another event.
        let stored_on = match is_known_by_body(door, &incoming) {
            true => subject::triggers_of_source(&door.workspace, &door.source),
            false => event_subject.clone(),
        };
        match self.claims.claim(&id, &stored_on).await? {
            Claimed::Stored => return Ok(Stored::Before),
            Claimed::ToPublish => {}
        }
        crash_point("trigger-ingester.claim.after");
        let event = self.event(door, incoming, traceparent).fit(&self.bus, &id).await?;
        let (headers, body) = event.encode();
        crash_point("trigger-ingester.publish.before");
        let published = self.bus.publish(event_subject, headers, body, Some(&id)).await?;
        crash_point("trigger-ingester.publish.after");
        self.claims.saw(published.sequence);
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
}

/// Events of GitHub of which no two have the same body: it tells the commit, the run, or an id and the moment. Others, such as
/// `repository_dispatch`, may be meant twice.
const UNIQUE_BODIES: [&str; 10] = [
    "check_run",
    "check_suite",
    "deployment",
    "deployment_status",
    "pull_request",
    "push",
    "registry_package",
    "release",
    "workflow_job",
    "workflow_run",
];

fn is_unique_at_github(door: &Door, incoming: &Incoming) -> bool {
    door.kind.as_str() == "github" && UNIQUE_BODIES.contains(&incoming.event_type.as_str())
}

fn is_known_by_body(door: &Door, incoming: &Incoming) -> bool {
    is_unique_at_github(door, incoming) || incoming.is_known_by_body()
}

/// The key of a claim and the message id of its event: the door, and a hash of what no repetition changes. GitHub signs the
/// body alone: whoever has seen a delivery could send it again under another delivery id, so where the body can be told
/// from every other one, the body is what counts.
fn delivery_key(door: &Door, incoming: &Incoming) -> String {
    let hash = if is_unique_at_github(door, incoming) {
        Sha256::new().chain_update(b"body\0").chain_update(&incoming.data).finalize()
    } else {
        Sha256::digest(incoming.delivery_id.as_bytes())
    };
    format!("{}.{}.{}", door.workspace, door.source, hex::encode(hash))
}
