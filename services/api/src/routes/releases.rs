//! Release targets and releases as clients of the field read them: what is desired, what runs, what ran last.

use axum::Json;
use axum::extract::State;
use domain::Timestamp;
use domain::catalog::resource_context;
use domain::decision::TargetDecision;
use domain::entity::{Entity, Kind, Metadata};
use domain::id::{JobId, ReleaseId, VersionId};
use domain::selector::{Scope, Selector, value_of};
use domain::target::{TargetKey, Variables, release_id};
use domain::token::Slug;
use domain::variables::secret_of;
use projections::JobFilter;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::jobs::{self, field_job};
use super::resources::CALLED;
use super::targets::parse_target;
use crate::caller::Caller;
use crate::context::App;
use crate::filter;
use crate::openapi::shapes::{Listed, Thing};
use crate::problem::Problem;
use crate::request::{Body, Cel, MaybeBody, Page, Params, Segments};
use crate::rest::{Draft, values};
use crate::shape::flat;

/// The decision on a release target of a path.
fn decision(app: &App, workspace: &Slug, key: &str) -> Result<std::sync::Arc<TargetDecision>, Problem> {
    let target = parse_target(key)?;
    let decision = app.decisions.get(workspace, &target);
    decision.ok_or_else(|| Problem::not_found(format_args!("release target {key}")))
}

/// `GET /release-targets/{key}/desired-release`
#[utoipa::path(get, path = "/release-targets/{key}/desired-release", responses((status = 200, description = "What should run: a release, or nothing", body = Thing)))]
pub(super) async fn desired(
    State(app): State<App>,
    caller: Caller,
    Segments((w, key)): Segments<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let decision = decision(&app, &workspace, &key)?;
    let Some(desired) = &decision.desired else { return Ok(Json(json!({}))) };
    let release =
        Release { id: desired.release, version: desired.version, target: decision.target, at: desired.since };
    let shown = release.shown(&app, &workspace).await?;
    Ok(Json(json!({ "desiredRelease": shown })))
}

/// `GET /release-targets/{key}/state`
#[utoipa::path(get, path = "/release-targets/{key}/state", responses((status = 200, description = "What should run, what runs, and the last job", body = Thing)))]
pub(super) async fn state(
    State(app): State<App>,
    caller: Caller,
    Segments((w, key)): Segments<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let decision = decision(&app, &workspace, &key)?;
    let (mut state, job) = state_of(&app, &workspace, &decision).await?;
    if let Some(job) = job {
        let verifications: Vec<Value> = decision
            .verifications
            .iter()
            .filter(|verification| job["id"] == json!(verification.of))
            .map(|verification| {
                json!({ "id": verification.job, "jobId": verification.of, "createdAt": verification.at,
                        "status": verification.result, "metrics": [] })
            })
            .collect();
        state["latestJob"] = json!({ "job": job, "verifications": verifications });
    }
    Ok(Json(state))
}

/// What should run and what runs; and the job that is active, or was last.
async fn state_of(
    app: &App,
    workspace: &Slug,
    decision: &TargetDecision,
) -> Result<(Value, Option<Value>), Problem> {
    let mut state = json!({ "state": decision.state, "summary": decision.summary });
    for (field, there) in [("desiredRelease", &decision.desired), ("currentRelease", &decision.current)] {
        if let Some(there) = there {
            let release = Release {
                id: there.release,
                version: there.version,
                target: decision.target,
                at: there.since,
            };
            state[field] = release.shown(app, workspace).await?;
        }
    }
    let told = match decision.active.as_ref().or(decision.last.as_ref()) {
        Some(job) => jobs::told(app, workspace, job.job).await?,
        None => None,
    };
    Ok((state, told.as_ref().map(jobs::Told::field)))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Place {
    /// By id or name.
    deployment_id: String,
    environment_id: String,
}

/// `POST /release-targets/state`: of a deployment in an environment
#[utoipa::path(post, path = "/release-targets/state", params(Page), request_body = Place, responses((status = 200, description = "A page of targets and their states", body = Listed)))]
pub(super) async fn states(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
    Body(place): Body<Place>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let named = |kind, field, text: &str| {
        crate::wishes::named(&app, &workspace, kind, field, text).map(|found| found.meta().id)
    };
    let deployment = named(Kind::Deployment, "deploymentId", &place.deployment_id)?;
    let environment = named(Kind::Environment, "environmentId", &place.environment_id)?;
    let mut decisions = app.decisions.of(&workspace);
    decisions.retain(|it| it.target.deployment.0 == deployment && it.target.environment.0 == environment);
    let mut items = Vec::new();
    for decision in decisions.iter().skip(page.offset()).take(page.limit()) {
        let (mut state, job) = state_of(&app, &workspace, decision).await?;
        if let Some(job) = job {
            state["latestJob"] = job;
        }
        let resource = app.catalog.get(&workspace, Kind::Resource, decision.target.resource.0);
        items.push(json!({ "releaseTarget": target_of(&decision.target), "state": state, "resource": resource.as_ref().map(flat) }));
    }
    Ok(Json(
        json!({ "items": items, "total": decisions.len(), "limit": page.limit(), "offset": page.offset() }),
    ))
}

/// `GET /release-targets/{key}/jobs`, newest first
#[utoipa::path(get, path = "/release-targets/{key}/jobs", params(Page, Cel), responses((status = 200, description = "A page of its jobs", body = Listed)))]
pub(super) async fn jobs(
    State(app): State<App>,
    caller: Caller,
    Segments((w, key)): Segments<(String, String)>,
    Params(page): Params<Page>,
    Params(cel): Params<Cel>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let TargetKey { deployment, environment, resource } = parse_target(&key)?;
    let filter = JobFilter {
        deployment: Some(deployment),
        environment: Some(environment),
        resource: Some(resource),
        ..JobFilter::default()
    };
    if cel.text().is_some() {
        let all = jobs::all(&app, &workspace, &filter).await?;
        let all = all.iter().map(|view| field_job(view, None)).collect();
        return Ok(Json(page.of(cel.of_values("job", all)?)));
    }
    let found = app.views.jobs(&workspace, &filter, jobs::page_of(page)).await?;
    let items: Vec<Value> = found.items.iter().map(|view| field_job(view, None)).collect();
    Ok(Json(json!({ "items": items, "total": found.total, "limit": page.limit(), "offset": page.offset() })))
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Eligible {
    /// CEL over `version`.
    filter: Option<String>,
    /// Rules that do not count: their ids, as policies show them, or their names.
    exclude_rule_ids: Vec<String>,
}

/// `POST /release-targets/{key}/eligible-versions`: of the newest versions that the last decision looked at, those that
/// every rule lets pass
#[utoipa::path(post, path = "/release-targets/{key}/eligible-versions", params(Page), request_body = Eligible, responses((status = 200, description = "A page of versions", body = Listed)))]
pub(super) async fn eligible(
    State(app): State<App>,
    caller: Caller,
    Segments((w, key)): Segments<(String, String)>,
    Params(page): Params<Page>,
    MaybeBody(asked): MaybeBody<Eligible>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let decision = decision(&app, &workspace, &key)?;
    let is_excluded = |rule: &domain::decision::RuleVerdict| {
        let id = rule.policy.map(|policy| {
            domain::id::derive(&["policy-rule", &policy.to_string(), &rule.rule_index.to_string()])
                .to_string()
        });
        asked.exclude_rule_ids.iter().any(|excluded| *excluded == rule.rule || id.as_ref() == Some(excluded))
    };
    let passes = decision.considered.iter().filter(|considered| {
        considered.allowed || considered.rules.iter().all(|rule| rule.verdict.allows() || is_excluded(rule))
    });
    let mut versions: Vec<Entity> = passes
        .filter_map(|considered| app.catalog.get(&workspace, Kind::Version, considered.version.0))
        .collect();
    if let Some(cel) = asked.filter.as_deref().filter(|cel| !cel.trim().is_empty()) {
        versions =
            filter::matching(Kind::Version, versions, cel).map_err(|problem| problem.of_field("filter"))?;
    }
    Ok(Json(page.show(&versions, flat)))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Preview {
    identifier: String,
    name: Option<String>,
    kind: Option<String>,
    version: Option<String>,
    #[schema(value_type = Option<Thing>)]
    config: Option<Map<String, Value>>,
    metadata: Option<Metadata>,
}

/// `POST /release-targets/resource-preview`: what would be deployed to a resource like this
#[utoipa::path(post, path = "/release-targets/resource-preview", params(Page), request_body = Preview, responses((status = 200, description = "A page of what would be deployed where", body = Listed)))]
pub(super) async fn preview(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
    Body(body): Body<Preview>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let entity =
        Draft::new(Kind::Resource, body.name.unwrap_or_else(|| body.identifier.clone()), body.metadata)
            .with("identifier", Some(body.identifier))
            .with("type", body.kind)
            .with("version", body.version)
            .with("config", body.config)
            .called(CALLED)
            .entity(&app, &caller, &workspace)?;
    let Entity::Resource(resource) = &entity else {
        return Err(Problem::internal(&"a resource is a resource"));
    };
    let value = value_of(&resource_context(resource)).map_err(|error| Problem::invalid(error.to_string()))?;
    let selects = |selector: Option<&str>, scope: &Scope, variables: &[&str]| {
        let Some(selector) = selector else { return true };
        // What cannot be evaluated selects nothing, here as in a decision.
        Selector::compile(selector, variables).and_then(|selector| selector.matches(scope)).unwrap_or(false)
    };
    let (mut found, deployments) = (Vec::new(), app.catalog.entities(&workspace, Kind::Deployment));
    for environment in app.catalog.entities(&workspace, Kind::Environment) {
        let Entity::Environment(in_it) = &environment else { continue };
        let scope = Scope::default().with("resource", value.clone());
        if !selects(Some(&in_it.spec.resource_selector), &scope, &["resource"]) {
            continue;
        }
        let Ok(seen) = value_of(&domain::catalog::environment_context(in_it)) else { continue };
        let scope = scope.with("environment", seen);
        for deployment in &deployments {
            let Entity::Deployment(what) = deployment else { continue };
            let shared = what.spec.systems.iter().find(|system| in_it.spec.systems.contains(system));
            let Some(system) = shared else { continue };
            if selects(what.spec.resource_selector.as_deref(), &scope, &["resource", "environment"]) {
                let system = app.catalog.get(&workspace, Kind::System, system.0);
                found.push(json!({
                    "deployment": flat(deployment), "environment": flat(&environment), "system": system.as_ref().map(flat),
                }));
            }
        }
    }
    Ok(Json(page.of(found)))
}

/// `GET /releases/{id}`
#[utoipa::path(get, path = "/releases/{id}", responses((status = 200, description = "A release", body = Thing)))]
pub(super) async fn release(
    State(app): State<App>,
    caller: Caller,
    Segments((w, id)): Segments<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let missing = || Problem::not_found(format_args!("release {id}"));
    let wanted = Uuid::parse_str(&id).map(ReleaseId).map_err(|_| missing())?;
    let release = app
        .decisions
        .of(&workspace)
        .iter()
        .find_map(|decision| known(decision, wanted))
        .ok_or_else(missing)?;
    Ok(Json(release.shown(&app, &workspace).await?))
}

/// A release as the decision on its target knows it.
fn known(decision: &TargetDecision, wanted: ReleaseId) -> Option<Release> {
    let target = decision.target;
    let versions = decision.desired.iter().chain(&decision.current).chain(&decision.earlier);
    let versions = versions.map(|it| Release { id: it.release, version: it.version, target, at: it.since });
    let jobs = decision.active.iter().chain(&decision.last);
    let jobs = jobs.map(|it| Release { id: it.release, version: it.version, target, at: it.at });
    let held =
        decision.held.iter().map(|it| Release { id: it.release, version: it.version, target, at: it.since });
    versions.chain(jobs).chain(held).find(|release| release.id == wanted)
}

/// A version with its variables on a target.
pub(super) struct Release {
    pub(super) id: ReleaseId,
    pub(super) version: VersionId,
    pub(super) target: TargetKey,
    pub(super) at: Timestamp,
}

impl Release {
    pub(super) async fn shown(&self, app: &App, workspace: &Slug) -> Result<Value, Problem> {
        let variables = self.variables(app, workspace).await?;
        Ok(self.with(app, workspace, &variables))
    }

    /// With variables that are known already.
    pub(super) fn with(&self, app: &App, workspace: &Slug, variables: &Variables) -> Value {
        let version = app.catalog.get(workspace, Kind::Version, self.version.0);
        let secrets: Vec<&String> =
            variables.iter().filter(|(_, value)| secret_of(value).is_some()).map(|(key, _)| key).collect();
        let shown: Map<String, Value> =
            variables.iter().map(|(key, value)| (key.clone(), values::shown(value))).collect();
        json!({
            "id": self.id, "createdAt": self.at, "releaseTarget": target_of(&self.target),
            "version": version.as_ref().map_or_else(|| json!({ "id": self.version }), flat),
            "variables": shown, "encryptedVariables": secrets,
        })
    }

    /// Those of now, where the release is of now; else those its job was given.
    async fn variables(&self, app: &App, workspace: &Slug) -> Result<Variables, Problem> {
        if let Some(now) = app.catalog.variables(workspace, &self.target)
            && release_id(&self.target, self.version, &now) == self.id
        {
            return Ok(now);
        }
        let decision = app.decisions.get(workspace, &self.target);
        let known = decision.iter().flat_map(|decision| decision.active.iter().chain(&decision.last));
        let ids: Vec<JobId> = known.filter(|job| job.release == self.id).map(|job| job.job).collect();
        for id in ids {
            if let Some(told) = jobs::told(app, workspace, id).await? {
                return Ok(told.variables());
            }
        }
        Ok(Variables::new())
    }
}

fn target_of(target: &TargetKey) -> Value {
    let TargetKey { deployment, environment, resource } = target;
    json!({ "key": target.to_string(), "resourceId": resource, "environmentId": environment, "deploymentId": deployment })
}
