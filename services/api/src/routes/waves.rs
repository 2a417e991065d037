//! Gradual rollouts as they stand: every target of a version in an environment, in the order of its place.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use domain::Timestamp;
use domain::decision::{ConsideredVersion, RuleInputs, RuleVerdict, TargetDecision, TargetState};
use domain::entity::{Entity, Kind, RolloutAction};
use domain::id::{DeploymentId, EnvironmentId, VersionId};
use domain::token::Slug;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::caller::Caller;
use crate::context::App;
use crate::explain;
use crate::openapi::shapes::Listed;
use crate::problem::Problem;
use crate::request::{Page, Params, Segments};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// By id or name.
    deployment: Option<String>,
    /// By id or name.
    environment: Option<String>,
}

/// `GET /rollouts?deployment=&environment=&limit=&offset=`, of the newest version first
#[utoipa::path(get, path = "/rollouts", params(Page, Query), responses((status = 200, description = "A page of gradual rollouts", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
    Params(query): Params<Query>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let decisions = app.decisions.of(&workspace);
    let mut rollouts: Vec<Rollout> =
        gathered(decisions.iter().map(|decision| &**decision)).into_values().collect();
    rollouts.sort_by_key(|rollout| std::cmp::Reverse(known_since(&app, &workspace, rollout)));
    let shown = rollouts.iter().map(|rollout| shown(&app, &workspace, rollout)).filter(|rollout| {
        let is = |part: &str, wanted: &Option<String>| {
            let wanted = wanted.as_deref().filter(|wanted| !wanted.is_empty());
            wanted.is_none_or(|wanted| rollout[part]["name"] == wanted || rollout[part]["id"] == wanted)
        };
        is("deployment", &query.deployment) && is("environment", &query.environment)
    });
    Ok(Json(page.of(shown)))
}

/// One version on its way through one environment, by one rule.
#[derive(Debug)]
struct Rollout<'a> {
    version: VersionId,
    tag: &'a str,
    deployment: DeploymentId,
    environment: EnvironmentId,
    policy_name: &'a str,
    started_at: Option<Timestamp>,
    /// By place.
    targets: BTreeMap<(u32, String), Step<'a>>,
}

#[derive(Debug)]
struct Step<'a> {
    decision: &'a TargetDecision,
    due_at: Option<Timestamp>,
    standing: &'static str,
    reason: &'a str,
}

type Of = (VersionId, EnvironmentId, String, u32);

fn gathered<'a>(decisions: impl Iterator<Item = &'a TargetDecision>) -> BTreeMap<Of, Rollout<'a>> {
    let mut rollouts: BTreeMap<Of, Rollout<'a>> = BTreeMap::new();
    for decision in decisions.filter(|decision| decision.state != TargetState::Gone) {
        for version in &decision.considered {
            for rule in &version.rules {
                let Some(RuleInputs::Rollout { position, started_at, due_at, .. }) = rule.inputs else {
                    continue;
                };
                let environment = decision.target.environment;
                let of = (version.version, environment, rule.policy_name.clone(), rule.rule_index);
                let rollout = rollouts.entry(of).or_insert_with(|| Rollout {
                    version: version.version,
                    tag: &version.tag,
                    deployment: decision.target.deployment,
                    environment,
                    policy_name: &rule.policy_name,
                    started_at: None,
                    targets: BTreeMap::new(),
                });
                rollout.started_at = rollout.started_at.max(started_at);
                let standing = standing(decision, version, rule);
                let step = Step { decision, due_at, standing, reason: &rule.reason };
                rollout.targets.insert((position, decision.target.to_string()), step);
            }
        }
    }
    rollouts
}

/// How far the version is on the target, in one word.
fn standing(decision: &TargetDecision, version: &ConsideredVersion, rule: &RuleVerdict) -> &'static str {
    let id = version.version;
    if decision.active.as_ref().is_some_and(|job| job.version == id) {
        return "running";
    }
    if decision.current.as_ref().is_some_and(|current| current.version == id) {
        return "done";
    }
    if decision.last.as_ref().is_some_and(|job| job.version == id) {
        return "failed";
    }
    if rule.verdict.allows() { "due" } else { "waiting" }
}

fn shown(app: &App, workspace: &Slug, rollout: &Rollout) -> Value {
    let named =
        |kind: Kind, id: uuid::Uuid| json!({ "id": id, "name": app.catalog.name(workspace, kind, id) });
    let targets = rollout.targets.iter().map(|((position, _), step)| {
        let mut target = explain::target(&app.catalog, workspace, &step.decision.target);
        target["position"] = json!(position);
        target["dueAt"] = json!(step.due_at);
        target["standing"] = json!(step.standing);
        target["reason"] = json!(step.reason);
        target
    });
    json!({
        "version": { "id": rollout.version, "tag": rollout.tag, "createdAt": known_since(app, workspace, rollout) },
        "deployment": named(Kind::Deployment, rollout.deployment.0),
        "environment": named(Kind::Environment, rollout.environment.0),
        "policy": rollout.policy_name,
        "startedAt": rollout.started_at,
        "paused": is_paused(app, workspace, rollout),
        "targets": targets.collect::<Vec<_>>(),
    })
}

/// When the version came to be.
fn known_since(app: &App, workspace: &Slug, rollout: &Rollout) -> Option<Timestamp> {
    app.catalog.get(workspace, Kind::Version, rollout.version.0).map(|version| version.meta().created_at)
}

fn is_paused(app: &App, workspace: &Slug, rollout: &Rollout) -> bool {
    app.catalog.entities(workspace, Kind::RolloutControl).iter().any(|entity| {
        let Entity::RolloutControl(control) = entity else { return false };
        let spec = &control.spec;
        spec.version == rollout.version
            && spec.environment == rollout.environment
            && spec.action == RolloutAction::Pause
    })
}
