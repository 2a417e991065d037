//! Redeployments: people wish that what is desired is brought to a release target once more.

use crate::openapi::shapes::Thing;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bus::clock;
use domain::entity::{Entity, Kind, Record, Redeploy};
use domain::id::{DeploymentId, EnvironmentId, RedeployId, ResourceId, VersionId};
use domain::target::TargetKey;
use domain::token::Slug;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::targets::known_target;
use crate::applicable::Places;
use crate::auth::Role;
use crate::caller::Caller;
use crate::context::App;
use crate::explain;
use crate::problem::Problem;
use crate::request::{Body, MaybeBody, Segments};
use crate::rest::etag::Precondition;
use crate::wishes;

/// One request redeploys at most so many targets.
const TARGETS_MAX: usize = 1_000;

#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Wish {
    version: Option<String>,
    reason: Option<String>,
}

/// `POST /release-targets/{key}/redeploy`
#[utoipa::path(post, path = "/release-targets/{key}/redeploy", request_body = Option<Wish>, responses((status = 202, description = "The wish is recorded", body = Thing)))]
pub(super) async fn of_target(
    State(app): State<App>,
    caller: Caller,
    Segments((w, key)): Segments<(String, String)>,
    MaybeBody(wish): MaybeBody<Wish>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let target = known_target(&app, &workspace, &key)?;
    declare(&app, &caller, &workspace, &[target], wish).await
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WishByNames {
    #[serde(default)]
    deployment: String,
    #[serde(default)]
    environment: String,
    resource: Option<String>,
    version: Option<String>,
    reason: Option<String>,
}

/// `POST /release-targets/redeploy`: without a resource every target of the deployment in the environment
#[utoipa::path(post, path = "/release-targets/redeploy", request_body = WishByNames, responses((status = 202, description = "The wishes are recorded", body = Thing)))]
pub(super) async fn by_names(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Body(wish): Body<WishByNames>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let deployment = wishes::named(&app, &workspace, Kind::Deployment, "deployment", &wish.deployment)?;
    let environment = wishes::named(&app, &workspace, Kind::Environment, "environment", &wish.environment)?;
    let resource = wishes::named_if(&app, &workspace, Kind::Resource, "resource", wish.resource.as_ref())?;
    let places = Places {
        deployment: DeploymentId(deployment.meta().id),
        environment: Some(EnvironmentId(environment.meta().id)),
        resource: resource.map(|resource| ResourceId(resource.meta().id)),
    };
    let targets = app.catalog.targets(&workspace, places);
    if targets.is_empty() {
        let field = if places.resource.is_some() { "resource" } else { "environment" };
        let message = format!("{} has no release target there", deployment.meta().name);
        return Err(Problem::invalid_field(field, message));
    }
    if targets.len() > TARGETS_MAX {
        let message = format!("is needed: there are more than {TARGETS_MAX} release targets");
        return Err(Problem::invalid_field("resource", message));
    }
    let wish = Wish { version: wish.version, reason: wish.reason };
    declare(&app, &caller, &workspace, &targets, wish).await
}

async fn declare(
    app: &App,
    caller: &Caller,
    workspace: &Slug,
    targets: &[TargetKey],
    wish: Wish,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let reason = wish.reason.filter(|reason| !reason.trim().is_empty());
    let (mut redeployed, now) = (Vec::new(), clock::now());
    for target in targets {
        let version = match &wish.version {
            None => None,
            Some(text) => Some(VersionId(wishes::version(app, workspace, target.deployment, text)?.meta.id)),
        };
        let meta = wishes::meta(workspace, RedeployId::of(target).0, "redeploy".to_owned());
        let spec =
            Redeploy { target: *target, version, at: now, reason: reason.clone(), by: caller.name.clone() };
        let written =
            wishes::declare(app, caller, Entity::Redeploy(Record { meta, spec }), &Precondition::default())
                .await?;
        let mut line = explain::target(&app.catalog, workspace, target);
        line["id"] = json!(written.after.meta().id);
        // A request that was sent again is the wish of before.
        if let Entity::Redeploy(wish) = &written.after {
            line["at"] = json!(wish.spec.at);
        }
        redeployed.push(line);
    }
    let message = match redeployed.len() {
        1 => "1 release target is to be deployed again, as soon as nothing holds it back".to_owned(),
        count => {
            format!("{count} release targets are to be deployed again, as soon as nothing holds them back")
        }
    };
    Ok((StatusCode::ACCEPTED, Json(json!({ "targets": redeployed, "message": message }))))
}
