//! What people say of a version on its way: its rollout pauses or goes on, or it goes nowhere any more.

use crate::openapi::shapes::Flat;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bus::clock;
use domain::entity::{Entity, Kind, PolicyRule, Record, RolloutAction, RolloutControl, VersionStatus};
use domain::id::{EnvironmentId, RolloutControlId, VersionId};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::applicable::Places;
use crate::auth::Role;
use crate::caller::Caller;
use crate::changes::{self, REASON};
use crate::context::App;
use crate::documents;
use crate::problem::Problem;
use crate::request::{Body, Segments};
use crate::rest::etag::Precondition;
use crate::shape::flat;
use crate::store::Mode;
use crate::wishes;

/// As long as reasons of other wishes.
const REASON_CHARS_MAX: usize = 2_000;
const NO_ROLLOUT: &str =
    "no policy there has a rule gradualRollout: nothing is held by this; a freeze or `reject` stops it";

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Word {
    #[serde(default)]
    environment: String,
    #[schema(value_type = String)]
    action: RolloutAction,
    reason: Option<String>,
}

/// `POST /deployment-versions/{v}/rollout`: `hint` says where no rule of a policy is about it
#[utoipa::path(post, path = "/deployment-versions/{v}/rollout", request_body = Word, responses((status = 202, description = "The word is recorded", body = Flat)))]
pub(super) async fn control(
    State(app): State<App>,
    caller: Caller,
    Segments((w, v)): Segments<(String, String)>,
    Body(word): Body<Word>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let version = app.catalog.find(&workspace, Kind::Version, &v);
    let version = version.ok_or_else(|| Problem::not_found(format_args!("version {v}")))?;
    let environment = wishes::named(&app, &workspace, Kind::Environment, "environment", &word.environment)?;
    let spec = RolloutControl {
        version: VersionId(version.meta().id),
        environment: EnvironmentId(environment.meta().id),
        action: word.action,
        at: clock::now(),
        reason: word.reason.filter(|reason| !reason.trim().is_empty()),
        by: caller.name.clone(),
        pauses: Vec::new(),
    };
    let id = RolloutControlId::of(spec.version, spec.environment).0;
    let meta = wishes::meta(&workspace, id, "rollout control".to_owned());
    let places = version_there(version, environment.meta().id);
    let written = wishes::declare(
        &app,
        &caller,
        Entity::RolloutControl(Record { meta, spec }),
        &Precondition::default(),
    )
    .await?;
    let mut answer = flat(&written.after);
    let is_gradual = |rule: &PolicyRule| matches!(rule, PolicyRule::GradualRollout(_));
    let policies = places.map(|places| app.catalog.policies(&workspace, places)).unwrap_or_default();
    if !policies.iter().any(|policy| policy.spec.enabled && policy.spec.rules.iter().any(is_gradual)) {
        answer["hint"] = json!(NO_ROLLOUT);
    }
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// Where a word on the version counts.
fn version_there(version: Entity, environment: Uuid) -> Option<Places> {
    let Entity::Version(version) = version else { return None };
    let environment = Some(EnvironmentId(environment));
    Some(Places { deployment: version.spec.deployment, environment, resource: None })
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Veto {
    #[serde(default)]
    reason: String,
}

/// `POST /deployment-versions/{v}/reject`: everywhere; what runs it goes back. Why stands in its metadata.
#[utoipa::path(post, path = "/deployment-versions/{v}/reject", request_body = Veto, responses((status = 202, description = "The version is rejected", body = Flat)))]
pub(super) async fn reject(
    State(app): State<App>,
    caller: Caller,
    Segments((w, v)): Segments<(String, String)>,
    Body(veto): Body<Veto>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    if veto.reason.trim().is_empty() {
        return Err(Problem::invalid_field("reason", "is empty"));
    }
    if veto.reason.chars().count() > REASON_CHARS_MAX {
        return Err(Problem::invalid_field("reason", format!("has more than {REASON_CHARS_MAX} characters")));
    }
    let missing = || Problem::not_found(format_args!("version {v}"));
    let known = app.catalog.find(&workspace, Kind::Version, &v).ok_or_else(missing)?;
    let written = app
        .store
        .write(&caller, &known.key(), Mode::Write, |before| {
            let Some(Entity::Version(version)) = before else { return Err(missing()) };
            let mut version = version.clone();
            version.spec.status = VersionStatus::Rejected;
            version.meta.metadata.insert(REASON.to_owned(), veto.reason.clone());
            let version = Entity::Version(version);
            documents::check(&version)?;
            Ok(changes::declared(&caller, before, version, clock::now()))
        })
        .await?;
    app.store.seen(written.revision).await;
    Ok((StatusCode::ACCEPTED, Json(flat(&written.after))))
}
