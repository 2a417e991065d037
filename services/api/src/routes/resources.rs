//! Resources, by their identifier, and the variables they have.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bus::clock;
use domain::entity::{Entity, Kind, Metadata, Resource};
use domain::id::DeploymentId;
use domain::token::Slug;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::entities;
use super::versions::deployment;
use crate::apply::role_for;
use crate::caller::Caller;
use crate::changes;
use crate::context::App;
use crate::documents;
use crate::openapi::shapes::{Flat, Listed, Thing};
use crate::problem::Problem;
use crate::request::{Body, Cel, Page, Params, Segments};
use crate::rest::etag::{Precondition, Tagged};
use crate::rest::{self, Draft, To, values};
use crate::shape::flat;
use crate::store::Mode;

/// `GET /resources`
#[utoipa::path(get, path = "/resources", params(Page, Cel), responses((status = 200, description = "A page of them", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
    Params(cel): Params<Cel>,
) -> Result<Json<Value>, Problem> {
    entities::list(&app, &caller, &w, Kind::Resource, page, &cel)
}

/// `GET /resources/{r}`, by id, identifier or name
#[utoipa::path(get, path = "/resources/{r}", responses((status = 200, description = "A resource", body = Flat)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments((w, r)): Segments<(String, String)>,
) -> Result<Tagged, Problem> {
    entities::one(&app, &caller, &w, Kind::Resource, &r).await
}

/// What to look for. What is left out is not looked at.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Search {
    identifiers: Option<Vec<String>>,
    kinds: Option<Vec<String>>,
    versions: Option<Vec<String>>,
    /// Ids or names.
    provider_ids: Option<Vec<String>>,
    /// All of these pairs.
    metadata: Option<Metadata>,
    /// Part of a name or an identifier, in any case.
    query: Option<String>,
    sort_by: Option<SortBy>,
    order: Option<Order>,
    limit: Option<usize>,
    offset: Option<usize>,
}

#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum SortBy {
    CreatedAt,
    UpdatedAt,
    Name,
    Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum Order {
    Asc,
    Desc,
}

/// `POST /resources/search`
#[utoipa::path(post, path = "/resources/search", request_body = Search, responses((status = 200, description = "A page of those that fit", body = Listed)))]
pub(super) async fn search(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Body(search): Body<Search>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let page = Page::new(search.limit, search.offset);
    let providers = search.provider_ids.as_ref().map(|all| -> Vec<_> {
        let of = |text: &String| app.catalog.find(&workspace, Kind::ResourceProvider, text);
        all.iter().filter_map(of).map(|provider| provider.meta().id).collect()
    });
    let query = search.query.as_deref().map(str::to_lowercase).filter(|query| !query.is_empty());
    let among = |list: &Option<Vec<String>>, value: &str| {
        list.as_ref().is_none_or(|list| list.iter().any(|one| one == value))
    };
    let mut found = app.catalog.entities(&workspace, Kind::Resource);
    found.retain(|entity| {
        let Entity::Resource(resource) = entity else { return false };
        let (meta, spec) = (&resource.meta, &resource.spec);
        let has = |(key, value): (&String, &String)| meta.metadata.get(key) == Some(value);
        among(&search.identifiers, &spec.identifier)
            && among(&search.kinds, &spec.resource_type)
            && among(&search.versions, &spec.version)
            && providers.as_ref().is_none_or(|all| spec.provider.is_some_and(|id| all.contains(&id.0)))
            && search.metadata.as_ref().is_none_or(|pairs| pairs.iter().all(has))
            && query.as_ref().is_none_or(|query| {
                meta.name.to_lowercase().contains(query) || spec.identifier.to_lowercase().contains(query)
            })
    });
    match search.sort_by {
        // They come by name.
        None | Some(SortBy::Name) => {}
        Some(SortBy::CreatedAt) => found.sort_by_key(|entity| entity.meta().created_at),
        Some(SortBy::UpdatedAt) => found.sort_by_key(|entity| entity.meta().updated_at),
        Some(SortBy::Kind) => found.sort_by_cached_key(|entity| {
            if let Entity::Resource(resource) = entity {
                resource.spec.resource_type.clone()
            } else {
                String::new()
            }
        }),
    }
    if search.order == Some(Order::Desc) {
        found.reverse();
    }
    Ok(Json(page.show(&found, flat)))
}

/// `GET /resources/identifier/{i}`
#[utoipa::path(get, path = "/resources/identifier/{i}", responses((status = 200, description = "A resource", body = Flat)))]
pub(super) async fn by_identifier(
    State(app): State<App>,
    caller: Caller,
    Segments((w, i)): Segments<(String, String)>,
) -> Result<Tagged, Problem> {
    entities::one(&app, &caller, &w, Kind::Resource, &i).await
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewResource {
    name: String,
    kind: Option<String>,
    version: Option<String>,
    #[schema(value_type = Option<Thing>)]
    config: Option<Map<String, Value>>,
    metadata: Option<Metadata>,
    /// Values by key. Left out: as they are.
    #[schema(value_type = Option<Thing>)]
    variables: Option<Map<String, Value>>,
}

/// What REST calls otherwise than documents do.
pub(super) const CALLED: &[(&str, &str)] = &[("type", "kind"), ("provider", "providerId")];

/// `PUT /resources/identifier/{i}`: it stays in the set of its provider.
#[utoipa::path(put, path = "/resources/identifier/{i}", params(Precondition), request_body = NewResource, responses((status = 202, description = "It is as it was sent", body = Flat)))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Segments((w, i)): Segments<(String, String)>,
    precondition: Precondition,
    Body(body): Body<NewResource>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let variables = body.variables.map(read_values);
    let says_variables = variables.is_some();
    let entity = Draft::new(Kind::Resource, body.name, body.metadata)
        .with("identifier", Some(identifier_of(&app, &workspace, i)))
        .with("type", body.kind)
        .with("version", body.version)
        .with("config", body.config)
        .with("variables", variables)
        .called(CALLED)
        .entity(&app, &caller, &workspace)?;
    let keep = move |before: &Entity, after: &mut Entity| {
        if let (Entity::Resource(before), Entity::Resource(after)) = (before, after) {
            after.spec.provider = before.spec.provider;
            if !says_variables {
                after.spec.variables.clone_from(&before.spec.variables);
            }
        }
    };
    // Its name may change: its key is the identifier.
    let written = rest::write(&app, &caller, To::Key, &precondition, entity, keep).await?;
    Ok(entities::written(&app, StatusCode::ACCEPTED, &written))
}

/// The identifier a path means: that of a resource named by its id, else itself.
fn identifier_of(app: &App, workspace: &Slug, text: String) -> String {
    let Ok(id) = uuid::Uuid::parse_str(&text) else { return text };
    match app.catalog.get(workspace, Kind::Resource, id) {
        Some(Entity::Resource(resource)) => resource.spec.identifier,
        _ => text,
    }
}

/// `DELETE /resources/identifier/{i}`
#[utoipa::path(delete, path = "/resources/identifier/{i}", params(Precondition), responses((status = 202, description = "It is gone", body = Flat)))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Segments((w, i)): Segments<(String, String)>,
    precondition: Precondition,
) -> Result<Tagged, Problem> {
    entities::delete(&app, &caller, &w, Kind::Resource, &i, &precondition).await
}

/// `GET /resources/identifier/{i}/deployments`: those that have a release target on it
#[utoipa::path(get, path = "/resources/identifier/{i}/deployments", params(Page, Cel), responses((status = 200, description = "A page of them", body = Listed)))]
pub(super) async fn deployments(
    State(app): State<App>,
    caller: Caller,
    Segments((w, i)): Segments<(String, String)>,
    Params(page): Params<Page>,
    Params(cel): Params<Cel>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let resource = entities::find(&app, &workspace, Kind::Resource, &i)?.meta().id;
    let mut deployments = app.catalog.entities(&workspace, Kind::Deployment);
    deployments.retain(|deployment| {
        let targets = app.catalog.targets_of(&workspace, DeploymentId(deployment.meta().id));
        targets.iter().any(|target| target.resource.0 == resource)
    });
    let deployments = cel.of(Kind::Deployment, deployments)?;
    Ok(Json(page.show(&deployments, flat)))
}

/// `GET /resources/{r}/release-targets/deployment/{d}`: the first by environment, where there are several
#[utoipa::path(get, path = "/resources/{r}/release-targets/deployment/{d}", responses((status = 200, description = "A release target", body = Thing)))]
pub(super) async fn release_target(
    State(app): State<App>,
    caller: Caller,
    Segments((w, r, d)): Segments<(String, String, String)>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let resource = entities::find(&app, &workspace, Kind::Resource, &r)?.meta().id;
    let deployment = deployment(&app, &workspace, &d)?;
    let targets = app.catalog.targets_of(&workspace, deployment);
    let target = targets.into_iter().find(|target| target.resource.0 == resource);
    let target = target.ok_or_else(|| Problem::not_found(format_args!("release target of {d} on {r}")))?;
    Ok(Json(json!({
        "key": target.to_string(), "resourceId": target.resource, "environmentId": target.environment,
        "deploymentId": target.deployment,
    })))
}

/// `GET /resources/identifier/{i}/variables`: values by key
#[utoipa::path(get, path = "/resources/identifier/{i}/variables", responses((status = 200, description = "Values by key", body = Thing)))]
pub(super) async fn variables(
    State(app): State<App>,
    caller: Caller,
    Segments((w, i)): Segments<(String, String)>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let (entity, revision) = rest::read(&app, &workspace, Kind::Resource, &i).await?;
    let shown = |(key, value): (&String, &Value)| (key.clone(), values::shown(value));
    let variables: Map<String, Value> =
        resource(&entity).map(|it| it.variables.iter().map(shown).collect()).unwrap_or_default();
    Ok(Tagged::new(StatusCode::OK, revision, Value::Object(variables)))
}

/// `PATCH /resources/identifier/{i}/variables`: the values by key are these from now on, and no others.
#[utoipa::path(patch, path = "/resources/identifier/{i}/variables", params(Precondition), request_body = Thing, responses((status = 202, description = "They are as they were sent", body = Flat)))]
pub(super) async fn set_variables(
    State(app): State<App>,
    caller: Caller,
    Segments((w, i)): Segments<(String, String)>,
    precondition: Precondition,
    Body(given): Body<Map<String, Value>>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(role_for(Kind::Resource))?;
    let known = entities::find(&app, &workspace, Kind::Resource, &i)?;
    let variables = read_values(given);
    let desire = |before: Option<&Entity>| {
        let Some(Entity::Resource(resource)) = before else {
            return Err(Problem::not_found(format_args!("resource {i}")));
        };
        let mut resource = resource.clone();
        resource.spec.variables.clone_from(&variables);
        let after = Entity::Resource(resource);
        documents::check(&after)?;
        Ok(changes::declared(&caller, before, after, clock::now()))
    };
    let written = app.store.write_if(&caller, &known.key(), Mode::Write, &precondition, desire).await?;
    app.store.seen(written.revision).await;
    Ok(entities::written(&app, StatusCode::ACCEPTED, &written))
}

fn resource(entity: &Entity) -> Option<&Resource> {
    if let Entity::Resource(resource) = entity { Some(&resource.spec) } else { None }
}

pub(super) fn read_values(given: Map<String, Value>) -> Map<String, Value> {
    given.into_iter().map(|(key, value)| (key, values::read(value))).collect()
}
