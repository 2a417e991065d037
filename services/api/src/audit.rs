//! Who did what: one event per write, published before the write is answered.

use bus::{Bus, clock, crash_point};
use domain::Timestamp;
use domain::subject;
use domain::token::Slug;
use serde::Serialize;

use crate::auth::Role;
use crate::caller::Caller;
use crate::problem::Problem;

/// An audit event.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditEvent<'a> {
    pub(crate) at: Timestamp,
    pub(crate) actor: Actor<'a>,
    pub(crate) action: &'a str,
    pub(crate) workspace: &'a Slug,
    pub(crate) object: Object<'a>,
    /// The revision that was replaced: of the catalog entry, or the sequence of the job's last fact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<u64>,
    /// The revision that replaced it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<u64>,
}

/// Who.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Actor<'a> {
    pub(crate) key: &'a str,
    pub(crate) role: Role,
}

/// On what.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Object<'a> {
    pub(crate) kind: &'a str,
    pub(crate) id: String,
    pub(crate) name: &'a str,
}

/// What was done to what.
pub(crate) struct Deed<'a> {
    pub(crate) action: &'a str,
    pub(crate) workspace: &'a Slug,
    pub(crate) object: Object<'a>,
    pub(crate) before: Option<u64>,
    pub(crate) after: Option<u64>,
}

/// Publishes what the caller did. When that fails the deed is done and the log has it; the caller is told to try
/// again, which changes nothing further.
pub(crate) async fn note(bus: &Bus, caller: &Caller, deed: Deed<'_>) -> Result<(), Problem> {
    let Deed { action, workspace, object, before, after } = deed;
    let actor = Actor { key: &caller.name, role: caller.role };
    let event = AuditEvent { at: clock::now(), actor, action, workspace, object, before, after };
    let subject = subject::audit(workspace, &Slug::of_name(event.object.kind));
    crash_point("api.audit.before");
    let published = bus.publish_json(subject, &event, None).await;
    crash_point("api.audit.after");
    if let Err(error) = published {
        tracing::error!(
            %error, key = caller.name, action, %workspace, kind = event.object.kind, id = event.object.id, before, after,
            "a write was made and could not be audited on the bus"
        );
        return Err(error.into());
    }
    tracing::info!(
        key = caller.name, action, %workspace, kind = event.object.kind, id = event.object.id, name = event.object.name,
        "done"
    );
    Ok(())
}
