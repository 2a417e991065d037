//! Who did what: one event per write, published before the write is answered.

use bus::{Bus, PublishError, clock, crash_point};
pub(crate) use domain::audit::EVERYWHERE;
use domain::audit::{Actor, AuditEvent, Documents, Object};
use domain::subject;
use domain::token::Slug;

use crate::caller::Caller;
use crate::problem::Problem;

/// What was done to what.
pub(crate) struct Deed<'a> {
    pub(crate) action: &'a str,
    pub(crate) workspace: &'a Slug,
    pub(crate) object: Object,
    pub(crate) before: Option<u64>,
    pub(crate) after: Option<u64>,
    pub(crate) documents: Documents,
}

/// Of what belongs to all tenants.
pub(crate) fn everywhere() -> Slug {
    Slug::of_name(EVERYWHERE)
}

/// Publishes what the caller did. When that fails the deed is done and the log has it; the caller is told to try
/// again, which changes nothing further.
pub(crate) async fn note(bus: &Bus, caller: &Caller, deed: Deed<'_>) -> Result<(), Problem> {
    let Deed { action, workspace, object, before, after, documents } = deed;
    let role = caller.grants.role_in(workspace).unwrap_or(caller.role);
    let means = &caller.means;
    let mut event = AuditEvent {
        at: clock::now(),
        actor: Actor { key: caller.name.clone(), role, key_id: means.key_id, session: means.session },
        action: action.to_owned(),
        workspace: workspace.clone(),
        object,
        before,
        after,
        documents,
    };
    let subject = subject::audit(workspace, &Slug::of_name(&event.object.kind));
    crash_point("api.audit.before");
    let mut published = bus.publish_json(subject.clone(), &event, None).await;
    if let Err(PublishError::TooLarge { .. }) = &published {
        // Who did it to what counts more than what changed.
        event.documents = Documents { cut: true, ..Documents::default() };
        published = bus.publish_json(subject, &event, None).await;
    }
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
