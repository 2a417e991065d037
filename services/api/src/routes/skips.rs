//! Skips: people say that one rule does not count for one version.

use crate::openapi::shapes::{Accepted, Flat, Listed};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::Timestamp;
use domain::entity::{Entity, Kind, Policy, PolicyRule, Record, Skip};
use domain::id::{DeploymentId, EnvironmentId, PolicyId, ResourceId, SkipId, VersionId};
use domain::token::Slug;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::entities;
use crate::applicable::Places;
use crate::auth::Role;
use crate::caller::Caller;
use crate::context::App;
use crate::problem::Problem;
use crate::request::{Body, Cel, Page, Params, Segments};
use crate::rest::etag::{Precondition, Tagged};
use crate::shape::flat;
use crate::wishes;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewSkip {
    policy: Option<String>,
    #[serde(default)]
    rule: String,
    rule_index: Option<u32>,
    #[serde(default)]
    deployment: String,
    #[serde(default)]
    version: String,
    environment: Option<String>,
    resource: Option<String>,
    #[schema(value_type = Option<String>)]
    expires_at: Option<Timestamp>,
    for_seconds: Option<u64>,
    #[serde(default)]
    reason: String,
}

/// `POST /skips`: the skip of the same rule, version and place becomes this one.
#[utoipa::path(post, path = "/skips", params(Precondition), request_body = NewSkip, responses((status = 202, description = "It is skipped", body = Flat)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    precondition: Precondition,
    Body(new): Body<NewSkip>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Approver)?;
    let of = |kind: Kind, field: &str, text: Option<&String>| {
        wishes::named_if(&app, &workspace, kind, field, text)
    };
    let deployment = wishes::named(&app, &workspace, Kind::Deployment, "deployment", &new.deployment)?;
    let deployment = DeploymentId(deployment.meta().id);
    let version = wishes::version(&app, &workspace, deployment, &new.version)?;
    let environment = of(Kind::Environment, "environment", new.environment.as_ref())?;
    let resource = of(Kind::Resource, "resource", new.resource.as_ref())?;
    let places = Places {
        deployment,
        environment: environment.map(|environment| EnvironmentId(environment.meta().id)),
        resource: resource.map(|resource| ResourceId(resource.meta().id)),
    };
    let expires_at = wishes::end("expiresAt", new.expires_at, new.for_seconds)?;
    let policy = match of(Kind::Policy, "policy", new.policy.as_ref())? {
        Some(policy) => PolicyId(policy.meta().id),
        None => only_policy(&app, &workspace, places, &new.rule)?,
    };
    let spec = Skip {
        policy,
        rule: new.rule,
        rule_index: new.rule_index,
        version: VersionId(version.meta.id),
        environment: places.environment,
        resource: places.resource,
        expires_at,
        reason: new.reason,
        created_by: caller.name.clone(),
    };
    let name = format!("skip of {}", spec.rule);
    let meta = wishes::meta(&workspace, SkipId::of(&spec).0, name);
    let written = wishes::declare(&app, &caller, Entity::Skip(Record { meta, spec }), &precondition).await?;
    Ok(Tagged::new(StatusCode::ACCEPTED, written.revision, flat(&written.after)))
}

/// `GET /skips`, those that have expired among them
#[utoipa::path(get, path = "/skips", params(Page, Cel), responses((status = 200, description = "A page of them", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
    Params(cel): Params<Cel>,
) -> Result<Json<Value>, Problem> {
    entities::list(&app, &caller, &w, Kind::Skip, page, &cel)
}

/// `DELETE /skips/{id}`
#[utoipa::path(delete, path = "/skips/{id}", params(Precondition), responses((status = 200, description = "It is gone", body = Accepted)))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Segments((w, id)): Segments<(String, String)>,
    precondition: Precondition,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Approver)?;
    let key = wishes::key_of(&workspace, Kind::Skip, &id)?;
    Ok(Json(wishes::withdraw(&app, &caller, &key, &format!("skip {id}"), &precondition).await?))
}

/// The policy that is meant where none is named: the only one there with that rule.
fn only_policy(app: &App, workspace: &Slug, places: Places, rule: &str) -> Result<PolicyId, Problem> {
    if !PolicyRule::GATES.contains(&rule) {
        let all = PolicyRule::GATES.join(", ");
        return Err(Problem::invalid_field("rule", format!("{rule:?} is none of {all}")));
    }
    let mut policies = app.catalog.policies(workspace, places);
    policies.retain(|policy| has(&policy.spec, rule));
    match policies.as_slice() {
        [only] => Ok(PolicyId(only.meta.id)),
        [] => Err(Problem::invalid_field("policy", format!("is missing: no policy has a rule {rule} there"))),
        several => {
            let names: Vec<&str> = several.iter().map(|policy| policy.meta.name.as_str()).collect();
            let message = format!("is missing: {} have a rule {rule} there", names.join(", "));
            Err(Problem::invalid_field("policy", message))
        }
    }
}

fn has(policy: &Policy, rule: &str) -> bool {
    policy.enabled && policy.rules.iter().any(|known| known.name() == rule)
}
