//! Release targets: how each stands, and why.

use std::collections::HashSet;

use crate::openapi::shapes::{Listed, Thing};
use axum::Json;
use axum::extract::State;
use domain::decision::{JobOnTarget, TargetDecision, TargetState};
use domain::entity::Kind;
use domain::id::{DeploymentId, EnvironmentId, ResourceId};
use domain::job::TerminalStatus;
use domain::target::TargetKey;
use domain::token::Slug;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::applicable::Places;
use crate::caller::Caller;
use crate::candidates;
use crate::context::App;
use crate::explain;
use crate::filter;
use crate::problem::Problem;
use crate::request::{Cel, Page, Params, Segments, words};
use crate::spelling::spelt;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(super) struct Names {
    deployment: Option<String>,
    environment: Option<String>,
    resource: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Only those that failed: the last job ended badly with nothing on its way since, or nothing will be tried again.
    #[serde(default)]
    failed: bool,
    /// Only those in one of these states, separated by commas.
    state: Option<String>,
    /// Only those on these resources, by id, separated by commas.
    resources: Option<String>,
    /// `state`: those first that do not run what they should.
    order: Option<String>,
}

/// `GET /release-targets?deployment=&environment=&resource=&failed=&state=&resources=&order=`
#[utoipa::path(get, path = "/release-targets", params(Page, Names, Wanted, Cel), responses((status = 200, description = "A page of them", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
    Params(names): Params<Names>,
    Params(wish): Params<Wanted>,
    Params(cel): Params<Cel>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let deployment = wanted(&app, &workspace, Kind::Deployment, "deployment", names.deployment)?;
    let environment = wanted(&app, &workspace, Kind::Environment, "environment", names.environment)?;
    let resource = wanted(&app, &workspace, Kind::Resource, "resource", names.resource)?;
    let (states, on, by_state) = (wish.states()?, wish.resources()?, wish.is_by_state()?);
    let mut decisions = app.decisions.of(&workspace);
    decisions.retain(|decision| {
        let target = decision.target;
        deployment.is_none_or(|id| target.deployment.0 == id)
            && environment.is_none_or(|id| target.environment.0 == id)
            && resource.is_none_or(|id| target.resource.0 == id)
            && (!wish.failed || has_failed(decision))
            && (states.is_empty() || states.contains(&decision.state))
            && (on.is_empty() || on.contains(&target.resource))
    });
    if by_state {
        decisions.sort_by_key(|decision| rank(decision.state));
    }
    let Some(cel) = cel.text() else {
        return Ok(Json(page.show(&decisions, |decision| line(&app, &workspace, decision))));
    };
    let lines = decisions.iter().map(|decision| line(&app, &workspace, decision)).collect();
    Ok(Json(page.of(filter::matching_values("releaseTarget", lines, cel)?)))
}

impl Wanted {
    fn states(&self) -> Result<Vec<TargetState>, Problem> {
        let read = |word: &str| {
            serde_json::from_value(json!(word)).map_err(|_| {
                let known = "noVersion, upToDate, deploying, waiting, blocked, failed, gone";
                Problem::invalid_field("state", format!("{word:?} is none of {known}"))
            })
        };
        words(self.state.as_deref()).map(read).collect()
    }

    fn resources(&self) -> Result<HashSet<ResourceId>, Problem> {
        let read = |word: &str| {
            let parsed = Uuid::parse_str(word).map(ResourceId);
            parsed.map_err(|_| Problem::invalid_field("resources", format!("{word:?} is no id")))
        };
        words(self.resources.as_deref()).map(read).collect()
    }

    fn is_by_state(&self) -> Result<bool, Problem> {
        match self.order.as_deref() {
            None | Some("") => Ok(false),
            Some("state") => Ok(true),
            Some(other) => Err(Problem::invalid_field("order", format!("{other:?} is no order: state is"))),
        }
    }
}

/// What people look at first.
fn rank(state: TargetState) -> u8 {
    match state {
        TargetState::Failed => 0,
        TargetState::Deploying => 1,
        TargetState::Blocked => 2,
        TargetState::Waiting => 3,
        TargetState::NoVersion => 4,
        TargetState::UpToDate => 5,
        TargetState::Gone => 6,
    }
}

fn has_failed(decision: &TargetDecision) -> bool {
    let is_bad = |job: &JobOnTarget| match TerminalStatus::try_from(job.status) {
        Ok(TerminalStatus::Successful | TerminalStatus::Skipped | TerminalStatus::Cancelled) | Err(_) => {
            false
        }
        Ok(
            TerminalStatus::Failure
            | TerminalStatus::InvalidJobAgent
            | TerminalStatus::InvalidIntegration
            | TerminalStatus::ExternalRunNotFound,
        ) => true,
    };
    let ended_badly = decision.active.is_none() && decision.last.as_ref().is_some_and(is_bad);
    decision.state == TargetState::Failed || (ended_badly && decision.state != TargetState::Gone)
}

/// `GET /release-targets/{key}/explain`
#[utoipa::path(get, path = "/release-targets/{key}/explain", responses((status = 200, description = "Why it is as it is", body = Thing)))]
pub(super) async fn explain(
    State(app): State<App>,
    caller: Caller,
    Segments((w, key)): Segments<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    explained(&app, &workspace, parse_target(&key)?).await
}

/// `GET /release-targets/explain?deployment=&environment=&resource=`
#[utoipa::path(get, path = "/release-targets/explain", params(Names), responses((status = 200, description = "Why it is as it is", body = Thing)))]
pub(super) async fn explain_by_names(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(names): Params<Names>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let needed = |field: &str, kind: Kind, text: Option<String>| {
        wanted(&app, &workspace, kind, field, text)?.ok_or_else(|| {
            Problem::invalid_field(
                field,
                "is needed: a release target is deployment, environment and resource",
            )
        })
    };
    let target = TargetKey {
        deployment: DeploymentId(needed("deployment", Kind::Deployment, names.deployment)?),
        environment: EnvironmentId(needed("environment", Kind::Environment, names.environment)?),
        resource: ResourceId(needed("resource", Kind::Resource, names.resource)?),
    };
    explained(&app, &workspace, target).await
}

async fn explained(app: &App, workspace: &Slug, target: TargetKey) -> Result<Json<Value>, Problem> {
    let decision = app.decisions.get(workspace, &target);
    let decision = decision.ok_or_else(|| Problem::not_found(format_args!("release target {target}")))?;
    Ok(Json(json!({
        "target": explain::target(&app.catalog, workspace, &target),
        "decision": spelt(&*decision),
        "more": spelt(candidates::beyond(app, workspace, &decision).await),
        "chain": explain::chain(app, workspace, &decision).await?,
    })))
}

/// The release target of a path.
pub(super) fn parse_target(key: &str) -> Result<TargetKey, Problem> {
    key.parse().map_err(|_| Problem::not_found(format_args!("release target {key}")))
}

/// The release target of a path, if the catalog has it now.
pub(super) fn known_target(app: &App, workspace: &Slug, key: &str) -> Result<TargetKey, Problem> {
    let target = parse_target(key)?;
    let places = Places {
        deployment: target.deployment,
        environment: Some(target.environment),
        resource: Some(target.resource),
    };
    let known = app.catalog.targets(workspace, places).pop();
    known.ok_or_else(|| Problem::not_found(format_args!("release target {key}")))
}

fn line(app: &App, workspace: &Slug, decision: &TargetDecision) -> Value {
    let mut line = explain::target(&app.catalog, workspace, &decision.target);
    if let Value::Object(line) = &mut line {
        line.insert("state".to_owned(), json!(decision.state));
        line.insert("summary".to_owned(), json!(decision.summary));
        line.insert("desired".to_owned(), json!(decision.desired));
        line.insert("current".to_owned(), json!(decision.current));
        line.insert("active".to_owned(), spelt(&decision.active));
        line.insert("last".to_owned(), spelt(&decision.last));
        line.insert("nextLook".to_owned(), json!(decision.next_look));
        line.insert("decidedAt".to_owned(), json!(decision.decided_at));
    }
    line
}

fn wanted(
    app: &App,
    workspace: &Slug,
    kind: Kind,
    field: &str,
    text: Option<String>,
) -> Result<Option<Uuid>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    // An id may be of something that is gone; what was decided on it can still be seen.
    if let Ok(id) = Uuid::parse_str(&text) {
        return Ok(Some(id));
    }
    let found = app.catalog.find(workspace, kind, &text).map(|entity| Some(entity.meta().id));
    found.ok_or_else(|| Problem::invalid_field(field, format!("there is no {} {text}", kind.name())))
}
