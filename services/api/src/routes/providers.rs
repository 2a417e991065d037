//! Resource providers: each owns a set of resources and says all of it at once. What it says no more is gone.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::entity::{Entity, Kind, Metadata};
use domain::id::ResourceProviderId;
use domain::token::Slug;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::entities;
use super::resources::CALLED;
use crate::apply::role_for;
use crate::caller::Caller;
use crate::context::App;
use crate::openapi::shapes::{Flat, Listed, Thing};
use crate::problem::{Fault, Problem};
use crate::request::{Body, Cel, Page, Params, Segments};
use crate::rest::etag::{Precondition, Tagged};
use crate::rest::remove::Named;
use crate::rest::{self, Draft, To};
use crate::shape::flat;
use crate::store::{Action, Mode};

/// A set has at most so many resources.
const RESOURCES_MAX: usize = 10_000;
/// So many are written at once.
const AT_ONCE: usize = 32;

/// `GET /resource-providers`
#[utoipa::path(get, path = "/resource-providers", params(Page, Cel), responses((status = 200, description = "A page of them", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
    Params(cel): Params<Cel>,
) -> Result<Json<Value>, Problem> {
    entities::list(&app, &caller, &w, Kind::ResourceProvider, page, &cel)
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewProvider {
    name: String,
    /// The client's own, or empty: the provider's id follows from its name, and the answer tells it.
    #[serde(default)]
    #[allow(dead_code, reason = "clients of the field send it")]
    id: Option<String>,
    description: Option<String>,
    metadata: Option<Metadata>,
}

/// `PUT /resource-providers`
#[utoipa::path(put, path = "/resource-providers", params(Precondition), request_body = NewProvider, responses((status = 202, description = "It is there", body = Flat)))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    precondition: Precondition,
    Body(body): Body<NewProvider>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let says_metadata = body.metadata.is_some();
    let entity = Draft::new(Kind::ResourceProvider, body.name, body.metadata)
        .with("description", body.description)
        .entity(&app, &caller, &workspace)?;
    let keep = move |before: &Entity, after: &mut Entity| {
        if !says_metadata {
            after.meta_mut().metadata.clone_from(&before.meta().metadata);
        }
    };
    let written = rest::write(&app, &caller, To::Key, &precondition, entity, keep).await?;
    Ok(entities::written(&app, StatusCode::ACCEPTED, &written))
}

/// `GET /resource-providers/name/{n}`
#[utoipa::path(get, path = "/resource-providers/name/{n}", responses((status = 200, description = "A provider", body = Flat)))]
pub(super) async fn by_name(
    State(app): State<App>,
    caller: Caller,
    Segments((w, n)): Segments<(String, String)>,
) -> Result<Tagged, Problem> {
    entities::one(&app, &caller, &w, Kind::ResourceProvider, &n).await
}

/// `DELETE /resource-providers/name/{n}`: its resources go with it.
#[utoipa::path(delete, path = "/resource-providers/name/{n}", params(Precondition), responses((status = 202, description = "It is gone", body = Flat)))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Segments((w, n)): Segments<(String, String)>,
    precondition: Precondition,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(role_for(Kind::ResourceProvider))?;
    let provider = entities::find(&app, &workspace, Kind::ResourceProvider, &n)?;
    let there = app.store.read(&provider.key()).await?;
    precondition.check(there.map(|(_, revision)| revision))?;
    let owned = owned_by(&app, &workspace, ResourceProviderId(provider.meta().id));
    let revision = remove_all(&app, &caller, &workspace, &owned).await?;
    app.store.seen(revision).await;
    entities::delete(&app, &caller, &w, Kind::ResourceProvider, &n, &precondition).await
}

/// `GET /resource-providers/name/{n}/resources`
#[utoipa::path(get, path = "/resource-providers/name/{n}/resources", params(Page, Cel), responses((status = 200, description = "Its set; a page of it where a limit is given", body = Listed)))]
pub(super) async fn resources(
    State(app): State<App>,
    caller: Caller,
    Segments((w, n)): Segments<(String, String)>,
    Params(page): Params<Page>,
    Params(cel): Params<Cel>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let provider = entities::find(&app, &workspace, Kind::ResourceProvider, &n)?;
    let owned = owned_by(&app, &workspace, ResourceProviderId(provider.meta().id));
    let owned = cel.of(Kind::Resource, owned)?;
    // Clients of the field ask for no page and take the answer for the whole set.
    Ok(Json(page.or_all(owned.len()).show(&owned, flat)))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewSet {
    resources: Vec<NewResource>,
}

/// Times and locks that clients of the field send beside it are not looked at.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewResource {
    identifier: String,
    name: Option<String>,
    kind: Option<String>,
    version: Option<String>,
    #[schema(value_type = Option<Thing>)]
    config: Option<Map<String, Value>>,
    metadata: Option<Metadata>,
    /// Values by key. Left out: as they are.
    #[schema(value_type = Option<Thing>)]
    variables: Option<Map<String, Value>>,
}

/// `PUT /resource-providers/{id}/set`: its set is this. A resource of another provider is refused, and the answer says
/// so; where that is all of them, nothing is done.
#[utoipa::path(put, path = "/resource-providers/{id}/set", params(Precondition), request_body = NewSet, responses((status = 202, description = "What became of each", body = Thing)))]
pub(super) async fn set(
    State(app): State<App>,
    caller: Caller,
    Segments((w, id)): Segments<(String, String)>,
    precondition: Precondition,
    Body(set): Body<NewSet>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(role_for(Kind::Resource))?;
    let (provider, revision) = rest::read(&app, &workspace, Kind::ResourceProvider, &id).await?;
    precondition.check(revision)?;
    let provider = ResourceProviderId(provider.meta().id);
    let declared = declared(&app, &caller, &workspace, provider, set)?;
    let (mut refused, mut ours) = (Vec::new(), Vec::new());
    for declared in declared {
        match owner(&app, &workspace, &declared.entity) {
            Some(other) if other != provider => refused.push((declared, other)),
            Some(_) | None => ours.push(declared),
        }
    }
    if ours.is_empty() && !refused.is_empty() {
        let faults = refused.iter().map(|(declared, other)| {
            let message = format!("belongs to the provider {}", provider_name(&app, &workspace, *other));
            Fault::of_field(format!("resources[{}].identifier", declared.index), message)
        });
        let faults: Vec<Fault> = faults.collect();
        return Err(Problem::conflict("every resource of the set belongs to another provider").with(faults));
    }
    let said: BTreeSet<_> = ours.iter().map(|declared| declared.entity.meta().id).collect();
    let mut gone = owned_by(&app, &workspace, provider);
    gone.retain(|resource| !said.contains(&resource.meta().id));
    let writes = ours.into_iter().map(|declared| write(&app, &caller, provider, declared));
    let written: Vec<(Action, u64)> =
        futures::stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await?;
    let last = remove_all(&app, &caller, &workspace, &gone).await?;
    app.store.seen(written.iter().map(|(_, revision)| *revision).max().unwrap_or(0).max(last)).await;
    let count = |action: Action| written.iter().filter(|(done, _)| *done == action).count();
    let refused: Vec<Value> = refused
        .iter()
        .map(|(declared, other)| {
            let identifier = if let Entity::Resource(resource) = &declared.entity {
                resource.spec.identifier.as_str()
            } else {
                ""
            };
            json!({
                "identifier": identifier, "providerId": other,
                "message": format!("belongs to the provider {}", provider_name(&app, &workspace, *other)),
            })
        })
        .collect();
    let answer = json!({
        "ok": refused.is_empty(), "method": "set", "created": count(Action::Created), "updated": count(Action::Updated),
        "unchanged": count(Action::Unchanged), "deleted": gone.len(), "refused": refused,
    });
    Ok(Tagged::new(StatusCode::ACCEPTED, None, answer))
}

struct Declared {
    index: usize,
    entity: Entity,
    says_variables: bool,
}

/// The resources of a set, or everything that is wrong with any of them.
fn declared(
    app: &App,
    caller: &Caller,
    workspace: &Slug,
    provider: ResourceProviderId,
    set: NewSet,
) -> Result<Vec<Declared>, Problem> {
    if set.resources.len() > RESOURCES_MAX {
        return Err(Problem::invalid_field("resources", format!("are more than {RESOURCES_MAX}")));
    }
    let provider = provider_name(app, workspace, provider);
    let (mut declared, mut faults): (Vec<Declared>, Vec<Fault>) = (Vec::new(), Vec::new());
    let mut first = BTreeMap::new();
    for (index, new) in set.resources.into_iter().enumerate() {
        if let Some(first) = first.insert(new.identifier.clone(), index) {
            let message = format!("is that of resources[{first}] as well");
            faults.push(Fault::of_field(format!("resources[{index}].identifier"), message));
            continue;
        }
        let variables = new.variables.map(super::resources::read_values);
        let says_variables = variables.is_some();
        let draft =
            Draft::new(Kind::Resource, new.name.unwrap_or_else(|| new.identifier.clone()), new.metadata)
                .with("identifier", Some(new.identifier))
                .with("type", new.kind)
                .with("version", new.version)
                .with("config", new.config)
                .with("variables", variables)
                .with("provider", Some(&provider))
                .called(CALLED);
        match draft.entity(app, caller, workspace) {
            Ok(entity) => declared.push(Declared { index, entity, says_variables }),
            Err(problem) => faults.extend(problem.into_faults().into_iter().map(|fault| {
                let field = fault.field.clone().unwrap_or_default();
                Fault { field: Some(format!("resources[{index}].{field}")), ..fault }
            })),
        }
    }
    if faults.is_empty() { Ok(declared) } else { Err(Problem::invalid_fields(faults)) }
}

async fn write(
    app: &App,
    caller: &Caller,
    provider: ResourceProviderId,
    declared: Declared,
) -> Result<(Action, u64), Problem> {
    let Declared { entity, says_variables, .. } = declared;
    let desire = |before: Option<&Entity>| {
        let mut after = entity.clone();
        if let (Some(Entity::Resource(before)), Entity::Resource(after)) = (before, &mut after) {
            if before.spec.provider.is_some_and(|owner| owner != provider) {
                let identifier = &before.spec.identifier;
                return Err(Problem::conflict(format!(
                    "another provider took {identifier} at the same time; try again"
                )));
            }
            if !says_variables {
                after.spec.variables.clone_from(&before.spec.variables);
            }
        }
        Ok(after)
    };
    let written = app.store.write(caller, &entity.key(), Mode::Write, desire).await?;
    Ok((written.action, written.revision))
}

/// Deletes the resources and what is said of them, and tells the last revision.
async fn remove_all(app: &App, caller: &Caller, workspace: &Slug, gone: &[Entity]) -> Result<u64, Problem> {
    if gone.is_empty() {
        return Ok(0);
    }
    let (named, anything) = (Named::of(app, workspace), Precondition::default());
    let (named, anything) = (&named, &anything);
    let removed = futures::stream::iter(gone.to_vec())
        .map(|resource| async move { named.remove(app, caller, &resource, true, anything).await });
    let removed: Vec<(usize, u64)> = removed.buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(removed.into_iter().map(|(_, revision)| revision).max().unwrap_or(0))
}

/// Whose the resource is that is there.
fn owner(app: &App, workspace: &Slug, entity: &Entity) -> Option<ResourceProviderId> {
    let Entity::Resource(resource) = app.catalog.get(workspace, Kind::Resource, entity.meta().id)? else {
        return None;
    };
    resource.spec.provider
}

fn owned_by(app: &App, workspace: &Slug, provider: ResourceProviderId) -> Vec<Entity> {
    let mut resources = app.catalog.entities(workspace, Kind::Resource);
    resources.retain(
        |entity| matches!(entity, Entity::Resource(resource) if resource.spec.provider == Some(provider)),
    );
    resources
}

fn provider_name(app: &App, workspace: &Slug, provider: ResourceProviderId) -> String {
    let name = app.catalog.name(workspace, Kind::ResourceProvider, provider.0);
    name.unwrap_or_else(|| provider.to_string())
}
