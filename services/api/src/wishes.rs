//! What people declare one at a time and take back again: checked, written and audited like a document of a file.

use bus::clock;
use chrono::TimeDelta;
use domain::Timestamp;
use domain::entity::{CatalogKey, Entity, Kind, Meta, Record, Version};
use domain::id::{DeploymentId, VersionId};
use domain::token::Slug;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::caller::Caller;
use crate::changes;
use crate::context::App;
use crate::documents;
use crate::problem::{Fault, Problem};
use crate::references::{names_no_rule, references};
use crate::rest::etag::Precondition;
use crate::said;
use crate::store::{Mode, Written};

/// Ten years: who wishes something for longer wishes it for good.
const SECONDS_MAX: u64 = 315_360_000;

/// Makes the catalog say what the caller declares. A request that is sent again changes nothing.
pub(crate) async fn declare(
    app: &App,
    caller: &Caller,
    entity: Entity,
    precondition: &Precondition,
) -> Result<Written, Problem> {
    let declared = changes::declared(caller, None, entity, clock::now());
    documents::check(&declared)?;
    check_references(app, &declared).await?;
    let written = app
        .store
        .write_if(caller, &declared.key(), Mode::Say, precondition, |before| {
            let after = changes::declared(caller, before, declared.clone(), clock::now());
            Ok(changes::same_request(before, after, |wish| {
                said::is_open(wish, app.decisions.get(&declared.meta().workspace, &wish.target).as_deref())
            }))
        })
        .await?;
    app.store.seen(written.revision).await;
    Ok(written)
}

/// Takes the entity of the key back. One that is not there is `what` there is none of.
pub(crate) async fn withdraw(
    app: &App,
    caller: &Caller,
    key: &CatalogKey,
    what: &str,
    precondition: &Precondition,
) -> Result<Value, Problem> {
    let found = app.store.read(key).await?;
    precondition.check(found.as_ref().map(|(_, at)| *at))?;
    let (entity, at) =
        found.filter(|(entity, _)| !is_thawed(entity)).ok_or_else(|| Problem::not_found(what))?;
    let revision = app.store.withdraw(caller, &entity, at).await?;
    app.store.seen(revision).await;
    let meta = entity.meta();
    Ok(json!({ "id": meta.id, "kind": entity.kind().name(), "name": meta.name, "message": "deleted" }))
}

/// Whether it is a freeze that somebody took back already.
fn is_thawed(entity: &Entity) -> bool {
    matches!(entity, Entity::Freeze(freeze) if freeze.spec.thawed_by.is_some())
}

/// The key of the entity of this id; one that is no id is `what` there is none of.
pub(crate) fn key_of(workspace: &Slug, kind: Kind, id: &str) -> Result<CatalogKey, Problem> {
    let parsed = Uuid::parse_str(id);
    let id = parsed.map_err(|_| Problem::not_found(format_args!("{} {id}", kind.name())))?;
    Ok(CatalogKey { workspace: workspace.clone(), kind, id })
}

/// What is said of something that is declared now.
pub(crate) fn meta(workspace: &Slug, id: Uuid, name: String) -> Meta {
    let now = clock::now();
    Meta { id, workspace: workspace.clone(), name, metadata: [].into(), created_at: now, updated_at: now }
}

/// The entity that a field of the body names.
pub(crate) fn named(
    app: &App,
    workspace: &Slug,
    kind: Kind,
    field: &str,
    text: &str,
) -> Result<Entity, Problem> {
    if text.trim().is_empty() {
        return Err(Problem::invalid_field(field, format!("is empty; it names a {}", kind.name())));
    }
    let found = app.catalog.find(workspace, kind, text);
    found.ok_or_else(|| Problem::invalid_field(field, format!("there is no {} {text}", kind.name())))
}

/// As [`named`], where the field may be left out.
pub(crate) fn named_if(
    app: &App,
    workspace: &Slug,
    kind: Kind,
    field: &str,
    text: Option<&String>,
) -> Result<Option<Entity>, Problem> {
    text.map(|text| named(app, workspace, kind, field, text)).transpose()
}

/// The version of the deployment that the field `version` names, by tag or id.
pub(crate) fn version(
    app: &App,
    workspace: &Slug,
    deployment: DeploymentId,
    text: &str,
) -> Result<Record<Version>, Problem> {
    let by_tag = || app.catalog.get(workspace, Kind::Version, VersionId::of(deployment, text).0);
    let found = by_tag().or_else(|| app.catalog.find(workspace, Kind::Version, text));
    match found {
        Some(Entity::Version(version)) if version.spec.deployment == deployment => Ok(version),
        _ if text.trim().is_empty() => {
            Err(Problem::invalid_field("version", "is empty; it names a version of the deployment"))
        }
        _ => {
            let deployment = app.catalog.name(workspace, Kind::Deployment, deployment.0);
            let of = deployment.map(|name| format!(" of {name}")).unwrap_or_default();
            Err(Problem::invalid_field("version", format!("there is no version {text}{of}")))
        }
    }
}

/// When it ends by itself: at the instant of the field, or after so many seconds.
pub(crate) fn end(
    field: &str,
    at: Option<Timestamp>,
    for_seconds: Option<u64>,
) -> Result<Option<Timestamp>, Problem> {
    let now = clock::now();
    match (at, for_seconds) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            Err(Problem::invalid_field("forSeconds", format!("is given together with {field}; give one")))
        }
        (Some(at), None) if at <= now => {
            Err(Problem::invalid_field(field, format!("{} is over already", at.to_rfc3339())))
        }
        (Some(at), None) => Ok(Some(at)),
        (None, Some(seconds)) => {
            let length = i64::try_from(seconds)
                .ok()
                .filter(|_| (1..=SECONDS_MAX).contains(&seconds))
                .and_then(TimeDelta::try_seconds);
            let message = || format!("{seconds} is not between 1 and {SECONDS_MAX}");
            let length = length.ok_or_else(|| Problem::invalid_field("forSeconds", message()))?;
            Ok(Some(now + length))
        }
    }
}

pub(crate) async fn check_references(app: &App, entity: &Entity) -> Result<(), Problem> {
    let mut faults = Vec::new();
    for reference in references(entity, &app.catalog) {
        let key = &reference.to;
        let known = app.catalog.get(&key.workspace, key.kind, key.id).is_some();
        if !known && app.store.read(key).await?.is_none() {
            let message = format!("there is no such {}", key.kind.name());
            faults.push(Fault::of_field(documents::sent_as(&reference.field), message));
        }
    }
    if let Entity::Skip(skip) = entity
        && let Some(Entity::Policy(policy)) =
            app.catalog.get(&skip.meta.workspace, Kind::Policy, skip.spec.policy.0)
        && let Some((field, message)) = names_no_rule(&skip.spec, &policy.spec)
    {
        faults.push(Fault::of_field(documents::sent_as(field), message));
    }
    if faults.is_empty() { Ok(()) } else { Err(Problem::invalid_fields(faults)) }
}
