//! Jobs: lists from the views, single jobs from their facts, and people's wishes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bus::{Base, Known, Recorded, crash_point};
use domain::audit::Documents;
use domain::decision::{JobOnTarget, TargetDecision};
use domain::dispatch::is_as_asked_for;
use domain::entity::{Entity, Kind};
use domain::id::{
    DeploymentId, EnvironmentId, JobAgentId, JobId, ResourceId, VersionId, WorkflowId, WorkflowRunId,
};
use domain::job::{CancelReason, JobEvent, JobFact, JobState, JobStatus, JobView, Purpose, Refusal, evolve};
use domain::target::{TargetKey, Variables};
use domain::token::Slug;
use futures::{StreamExt as _, TryStreamExt as _};
use projections::{Cursor, HistoryEntry, JobFilter, LIMIT_MAX};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::releases::Release;
use crate::audit::{self, Deed};
use crate::audited;
use crate::auth::Role;
use crate::caller::Caller;
use crate::context::App;
use crate::openapi::shapes::{Accepted, Listed, Thing};
use crate::problem::Problem;
use crate::request::{MaybeBody, Params, Segments, words};
use crate::shape::flat;
use crate::spelling::spelt;

const PAGE: usize = 100;
/// So many jobs are looked up at once.
const AT_ONCE: usize = 16;
/// An expression is tried on at most so many jobs of a release target.
const TRIED_MAX: usize = 10_000;
const REASON_BYTES_MAX: usize = 500;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(super) struct Query {
    status: Option<String>,
    deployment: Option<String>,
    environment: Option<String>,
    resource: Option<String>,
    platform: Option<String>,
    /// That this job agent has, by id or name.
    agent: Option<String>,
    target: Option<String>,
    version: Option<String>,
    /// Of runs of this workflow, by id, name or slug.
    workflow: Option<String>,
    /// Of this run of a workflow, by id.
    workflow_run: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    offset: u64,
    cursor: Option<String>,
    /// Whether each comes alone, without its release and where that goes, and without its config.
    #[serde(default)]
    brief: bool,
}

/// `GET /jobs?…`, newest first: each under `job`, with its release and where that goes
#[utoipa::path(get, path = "/jobs", params(Query), responses((status = 200, description = "A page of them", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(query): Params<Query>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let cursor = query.cursor.as_deref().map(str::parse::<Cursor>).transpose();
    let after = cursor.map_err(|error| Problem::invalid_field("cursor", error.to_string()))?;
    let limit = query.limit.unwrap_or(PAGE).clamp(1, LIMIT_MAX);
    let filter = filter(&app, &workspace, &query)?;
    let page = projections::Page { limit, offset: query.offset.min(projections::OFFSET_MAX), after };
    let jobs = app.views.jobs(&workspace, &filter, page).await?;
    let items = if query.brief {
        jobs.items.iter().map(|view| json!({ "job": shown(view) })).collect()
    } else {
        let (app, workspace) = (&app, &workspace);
        let loads = jobs.items.into_iter().map(|view| listed(app, workspace, view));
        futures::stream::iter(loads).buffered(AT_ONCE).try_collect::<Vec<Value>>().await?
    };
    Ok(Json(json!({
        "items": items, "total": jobs.total, "totalIsFloor": jobs.total_is_floor,
        "limit": limit, "offset": page.offset, "cursor": jobs.next.map(|next| next.to_string()),
    })))
}

/// `GET /jobs/counts`
#[utoipa::path(get, path = "/jobs/counts", responses((status = 200, description = "How many there are in each status", body = Thing)))]
pub(super) async fn counts(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let counts = app.views.counts(&workspace).await?;
    let counts: BTreeMap<&str, u64> =
        counts.into_iter().map(|(status, count)| (status.as_camel(), count)).collect();
    Ok(Json(json!({ "counts": counts })))
}

/// `GET /jobs/{j}`: from the facts, so that it is true while the views are away.
#[utoipa::path(get, path = "/jobs/{j}", responses((status = 200, description = "A job and its history", body = Thing)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments((w, j)): Segments<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let job = parse_id(&j)?;
    let told = told(&app, &workspace, job).await?.ok_or_else(|| missing(job))?;
    Ok(Json(told.whole(&app, &workspace).await))
}

#[derive(Default, Deserialize, ToSchema)]
pub(super) struct Wish {
    #[serde(default)]
    reason: Option<String>,
}

/// `POST /jobs/{j}/cancel`
#[utoipa::path(post, path = "/jobs/{j}/cancel", request_body = Option<Wish>, responses((status = 202, description = "The wish is recorded", body = Accepted)))]
pub(super) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Segments((w, j)): Segments<(String, String)>,
    MaybeBody(wish): MaybeBody<Wish>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let by = caller.name.clone();
    wished(app, caller, (w, j), wish, "cancel", JobFact::CancelRequested { by, reason: CancelReason::User })
        .await
}

/// `POST /jobs/{j}/retry`
#[utoipa::path(post, path = "/jobs/{j}/retry", request_body = Option<Wish>, responses((status = 202, description = "The wish is recorded", body = Accepted)))]
pub(super) async fn retry(
    State(app): State<App>,
    caller: Caller,
    Segments((w, j)): Segments<(String, String)>,
    MaybeBody(wish): MaybeBody<Wish>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let by = caller.name.clone();
    wished(app, caller, (w, j), wish, "retry", JobFact::RetryRequested { by }).await
}

async fn wished(
    app: App,
    caller: Caller,
    (w, j): (String, String),
    wish: Wish,
    action: &'static str,
    fact: JobFact,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let id = parse_id(&j)?;
    let reason = wish.reason.filter(|reason| !reason.trim().is_empty());
    if reason.as_ref().is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
        return Err(Problem::invalid_field("reason", format!("is longer than {REASON_BYTES_MAX} bytes")));
    }
    let cause = match &reason {
        Some(reason) => format!("{}: {reason}", caller.name),
        None => caller.name.clone(),
    };
    let known = app.bus.jobs().load(&workspace, id).await?.ok_or_else(|| missing(id))?;
    let (job, before) = (known.state.job.clone(), known.sequence);
    if let JobFact::RetryRequested { .. } = fact
        && let Some(Entity::Version(version)) = app.catalog.get(&workspace, Kind::Version, job.version.0)
        && job.purpose.is_deploy()
        && !is_as_asked_for(&version, &job, known.state.created_at)
    {
        return Err(Problem::conflict(format!(
            "retry is not possible: {} was changed after job {id} was asked for; redeploy it, so that its rules are \
             asked of what it is now",
            job.tag,
        )));
    }
    if let JobFact::RetryRequested { .. } = fact
        && let Some(decision) = app.decisions.get(&workspace, &job.target)
        && let Some(problem) = target_is_taken(&decision, id)
    {
        return Err(problem);
    }
    if let JobFact::RetryRequested { .. } = fact
        && let Some(run) = job.purpose.run()
        && let Some(Entity::WorkflowRun(run)) = app.catalog.get(&workspace, Kind::WorkflowRun, run.0)
        && let Some(cancel) = &run.spec.cancel
    {
        return Err(Problem::conflict(format!(
            "retry is not possible: the run was cancelled by {}; begin another one",
            cancel.by
        )));
    }
    let documents = Documents::between(
        Some(json!({ "status": known.state.status() })),
        Some(json!({ "requested": action, "reason": reason })),
    );
    crash_point("api.wish.before");
    let recorded = app.bus.jobs().record(&job, fact, Base::Known(Box::new(known)), Some(cause)).await;
    crash_point("api.wish.after");
    let (sequence, message) = match recorded? {
        Recorded::Appended { sequence } => {
            let object = audited::job(&app.catalog, &job);
            let deed = Deed {
                action,
                workspace: &workspace,
                object,
                before: Some(before),
                after: Some(sequence),
                documents,
            };
            audit::note(&app.bus, &caller, deed).await?;
            (sequence, format!("{action} requested"))
        }
        Recorded::AlreadySo(known) => (known.sequence, format!("{action} was requested before")),
        Recorded::Refused(Refusal::NoSuchJob, _) => return Err(missing(id)),
        Recorded::Refused(refusal, known) => return Err(refused(action, refusal, known.as_deref())),
    };
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id, "message": message, "sequence": sequence }))))
}

/// One job runs on a target at a time: a finished one does not run again beside another.
fn target_is_taken(decision: &TargetDecision, retried: JobId) -> Option<Problem> {
    let active = decision.active.as_ref().filter(|active| active.job != retried)?;
    let JobOnTarget { job, tag, attempt, .. } = active;
    Some(Problem::conflict(format!(
        "retry is not possible: job {job} of {tag} (attempt {attempt}) is active on the same target; \
         cancel it or wait until it is over"
    )))
}

fn refused(action: &str, refusal: Refusal, known: Option<&Known>) -> Problem {
    let status =
        known.map(|known| format!(" (it is {})", known.state.status().as_camel())).unwrap_or_default();
    Problem::conflict(format!("{action} is not possible: {refusal}{status}"))
}

fn filter(app: &App, workspace: &Slug, query: &Query) -> Result<JobFilter, Problem> {
    let find = |field: &str, kind: Kind, text: Option<&String>| -> Result<Option<Uuid>, Problem> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
        // An id may be of something that is gone; its jobs can still be listed.
        if let Ok(id) = Uuid::parse_str(text) {
            return Ok(Some(id));
        }
        let found = app.catalog.find(workspace, kind, text).map(|entity| Some(entity.meta().id));
        found.ok_or_else(|| Problem::invalid_field(field, format!("there is no {} {text}", kind.name())))
    };
    let mut filter = JobFilter {
        statuses: statuses(query.status.as_deref())?,
        deployment: find("deployment", Kind::Deployment, query.deployment.as_ref())?.map(DeploymentId),
        environment: find("environment", Kind::Environment, query.environment.as_ref())?.map(EnvironmentId),
        resource: find("resource", Kind::Resource, query.resource.as_ref())?.map(ResourceId),
        version: None,
        platform: slug("platform", query.platform.as_deref())?,
        agent: find("agent", Kind::JobAgent, query.agent.as_ref())?.map(JobAgentId),
        workflow: find("workflow", Kind::Workflow, query.workflow.as_ref())?.map(WorkflowId),
        run: find("workflowRun", Kind::WorkflowRun, query.workflow_run.as_ref())?.map(WorkflowRunId),
    };
    if let Some(text) = query.version.as_deref().filter(|text| !text.is_empty()) {
        filter.version = Some(version(app, workspace, filter.deployment, text)?);
    }
    if let Some(target) = query.target.as_deref().filter(|text| !text.is_empty()) {
        let TargetKey { deployment, environment, resource } =
            target.parse().map_err(|error| Problem::invalid_field("target", format!("{error}")))?;
        filter.deployment = Some(deployment);
        filter.environment = Some(environment);
        filter.resource = Some(resource);
    }
    Ok(filter)
}

/// A version by id, by `deployment:tag`, or by tag where the deployment is given as well.
fn version(
    app: &App,
    workspace: &Slug,
    deployment: Option<DeploymentId>,
    text: &str,
) -> Result<VersionId, Problem> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    if let Some(version) = app.catalog.find(workspace, Kind::Version, text) {
        return Ok(VersionId(version.meta().id));
    }
    let deployment = deployment.ok_or_else(|| {
        Problem::invalid_field("version", "give an id, deployment:tag, or a tag together with deployment")
    })?;
    Ok(VersionId::of(deployment, text))
}

/// Statuses separated by commas.
pub(super) fn statuses(text: Option<&str>) -> Result<Vec<JobStatus>, Problem> {
    words(text)
        .map(|word| {
            JobStatus::parse(word).ok_or_else(|| {
                let known = JobStatus::ALL.map(JobStatus::as_camel).join(", ");
                Problem::invalid_field("status", format!("{word:?} is none of {known}"))
            })
        })
        .collect()
}

pub(super) fn slug(field: &str, text: Option<&str>) -> Result<Option<Slug>, Problem> {
    let parsed = text.filter(|text| !text.is_empty()).map(str::parse::<Slug>).transpose();
    parsed.map_err(|error| Problem::invalid_field(field, error.to_string()))
}

/// A job as its facts tell it.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(super) state: JobState,
    pub(super) sequence: u64,
    history: Vec<HistoryEntry>,
    context: Option<Value>,
}

impl Told {
    pub(super) fn view(&self) -> JobView {
        JobView::of(&self.state, self.sequence)
    }

    /// As clients of the field read a job.
    pub(super) fn field(&self) -> Value {
        field_job(&self.view(), Some(self))
    }

    /// The variables its release has.
    pub(super) fn variables(&self) -> Variables {
        let variables =
            self.context.as_ref().and_then(|context| context.get("variables")).and_then(Value::as_object);
        variables.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Everything that is known of it.
    async fn whole(&self, app: &App, workspace: &Slug) -> Value {
        let mut view = self.view();
        // A look that found nothing new stands in the views only; without them the facts say when there was news last.
        match app.views.confirmed_at(workspace, view.id).await {
            Ok(confirmed) => view.confirmed_at = view.confirmed_at.max(confirmed),
            Err(error) => tracing::debug!(%error, "when the status was last confirmed is not known"),
        }
        let mut whole = shown(&view);
        whole["phase"] = spelt(&self.state.phase);
        whole["history"] = spelt(&self.history);
        let dispatch = self.state.assigned.as_ref().map(|assigned| &assigned.dispatch);
        whole["jobAgentConfig"] = json!(dispatch.map(|dispatch| &dispatch.config));
        whole["dispatchContext"] = json!(self.context);
        whole
    }
}

/// A job by itself, as the views have it.
pub(super) fn shown(view: &JobView) -> Value {
    let mut shown = json!(view);
    shown["status"] = json!(view.status.as_camel());
    shown["metadata"] = json!({});
    if let Some(external) = &view.external {
        shown["externalId"] = json!(external.id);
    }
    shown
}

/// A job of the views with its release and where that goes, as it stands in a list.
async fn listed(app: &App, workspace: &Slug, view: JobView) -> Result<Value, Problem> {
    let told = told_at_least(app, workspace, &view).await?;
    let told = told.as_deref();
    let mut job = field_job(&view, told);
    if let Value::Object(job) = &mut job {
        job.remove("dispatchContext");
    }
    let variables = told.map(Told::variables).unwrap_or_default();
    Ok(placed(app, workspace, &view, job, &variables))
}

/// A job with its release, and with the deployment, environment and resource as far as they are still there.
fn placed(app: &App, workspace: &Slug, view: &JobView, job: Value, variables: &Variables) -> Value {
    if let Purpose::Workflow { workflow, run } = view.purpose {
        return of_workflow(app, workspace, (workflow, run), job);
    }
    let release =
        Release { id: view.release_id, version: view.version_id, target: view.target, at: view.created_at };
    let named = |kind: Kind, id: Uuid| app.catalog.get(workspace, kind, id).as_ref().map(flat);
    let mut placed = json!({
        "job": job, "release": release.with(app, workspace, variables),
        "deployment": named(Kind::Deployment, view.target.deployment.0),
        "environment": named(Kind::Environment, view.target.environment.0),
        "resource": named(Kind::Resource, view.target.resource.0),
    });
    if let Value::Object(placed) = &mut placed {
        placed.retain(|_field, value| !value.is_null());
    }
    placed
}

/// A job that a workflow asks for: it brings no release, so there is none.
fn of_workflow(
    app: &App,
    workspace: &Slug,
    (workflow, run): (WorkflowId, WorkflowRunId),
    job: Value,
) -> Value {
    let mut placed =
        json!({ "job": job, "release": null, "workflow": { "id": workflow }, "workflowRun": { "id": run } });
    if let Some(Entity::WorkflowRun(run)) = app.catalog.get(workspace, Kind::WorkflowRun, run.0) {
        let (meta, spec) = (&run.meta, &run.spec);
        placed["workflow"]["name"] = json!(spec.workflow_name);
        placed["workflow"]["slug"] = json!(spec.workflow_slug);
        placed["workflowRun"] = json!({ "id": meta.id, "name": meta.name, "inputs": spec.inputs, "begunBy": spec.begun_by, "at": spec.at });
    }
    placed
}

/// A job as clients of the field read it: with what was told of it, with its config and what templates saw.
pub(super) fn field_job(view: &JobView, told: Option<&Told>) -> Value {
    let dispatch = told.and_then(|told| told.state.assigned.as_ref()).map(|assigned| &assigned.dispatch);
    let config = dispatch.map_or_else(|| json!({}), |dispatch| json!(dispatch.config));
    let mut job = shown(view);
    job["jobAgentConfig"] = config;
    if let Some(context) = told.and_then(|told| told.context.as_ref()) {
        job["dispatchContext"] = context.clone();
    }
    job
}

/// The job of that id, as its facts tell it now.
pub(super) async fn told(app: &App, workspace: &Slug, job: JobId) -> Result<Option<Told>, Problem> {
    Ok(tell(None, app.bus.jobs().events(workspace, job).await?))
}

/// What the facts of a job tell, as far as the view has got at least: only those are read that are not known yet.
async fn told_at_least(app: &App, workspace: &Slug, view: &JobView) -> Result<Option<Arc<Told>>, Problem> {
    let known = app.folded.get(workspace, view.id);
    if let Some(known) = &known
        && known.sequence >= view.sequence
    {
        return Ok(Some(Arc::clone(known)));
    }
    let after = known.as_ref().map_or(0, |known| known.sequence);
    let events = app.bus.jobs().events_after(workspace, view.id, after).await?;
    let known = known.map(Arc::unwrap_or_clone);
    let told = tell(known, events).map(Arc::new);
    if let Some(told) = &told {
        app.folded.put(workspace, view.id, Arc::clone(told));
    }
    Ok(told)
}

/// All jobs that fit, newest first: an expression is tried on each of them.
pub(super) async fn all(app: &App, workspace: &Slug, filter: &JobFilter) -> Result<Vec<JobView>, Problem> {
    let (mut all, mut next) = (Vec::new(), None);
    loop {
        let page = projections::Page { limit: LIMIT_MAX, offset: 0, after: next };
        let found = app.views.jobs(workspace, filter, page).await?;
        all.extend(found.items);
        if all.len() > TRIED_MAX {
            return Err(Problem::invalid_field(
                "cel",
                format!("there are more than {TRIED_MAX} jobs to try it on"),
            ));
        }
        next = found.next;
        if next.is_none() {
            return Ok(all);
        }
    }
}

/// The part of a list of jobs.
pub(super) fn page_of(page: crate::request::Page) -> projections::Page {
    let offset = u64::try_from(page.offset()).unwrap_or(u64::MAX).min(projections::OFFSET_MAX);
    projections::Page { limit: page.limit().min(LIMIT_MAX), offset, after: None }
}

/// `GET /jobs/{j}/with-release`
#[utoipa::path(get, path = "/jobs/{j}/with-release", responses((status = 200, description = "A job, its release, and where it brings it", body = Thing)))]
pub(super) async fn with_release(
    State(app): State<App>,
    caller: Caller,
    Segments((w, j)): Segments<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let job = parse_id(&j)?;
    let told = told(&app, &workspace, job).await?.ok_or_else(|| missing(job))?;
    Ok(Json(placed(&app, &workspace, &told.view(), told.field(), &told.variables())))
}

fn tell(mut told: Option<Told>, events: Vec<(u64, JobEvent)>) -> Option<Told> {
    for (sequence, event) in events {
        let (before, mut history, mut context) = match told {
            Some(told) => (Some(told.state), told.history, told.context),
            None => (None, Vec::new(), None),
        };
        let state = evolve(before, &event);
        history.push(HistoryEntry::of(sequence, &event, &state));
        if let JobFact::Dispatched(dispatch) = event.fact {
            context = Some(dispatch.context);
        }
        told = Some(Told { state, sequence, history, context });
    }
    told
}

pub(super) fn parse_id(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|_| Problem::not_found(format_args!("job {text}")))
}

pub(super) fn missing(job: JobId) -> Problem {
    Problem::not_found(format_args!("job {job}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use domain::id::derive;

    #[test]
    fn a_job_is_not_retried_beside_another_one_on_its_target() {
        let job = |name: &str| JobId(derive(&[name]));
        let decision = |active: Option<&str>| -> TargetDecision {
            let at = "2026-01-01T00:00:00Z";
            let id = derive(&["id"]);
            let active = active.map(|name| {
                json!({
                    "job": job(name), "release": id, "version": id, "tag": "v2", "attempt": 3,
                    "status": "pending", "at": at,
                })
            });
            let target = TargetKey {
                deployment: DeploymentId(id),
                environment: EnvironmentId(id),
                resource: ResourceId(id),
            };
            let decision = json!({
                "workspace": "acme", "target": target, "state": "deploying", "summary": "v2 is on its way",
                "active": active, "decidedAt": at,
            });
            serde_json::from_value(decision).unwrap()
        };
        let refused = target_is_taken(&decision(Some("other")), job("retried")).expect("another is active");
        let told = json!(refused)["detail"].to_string();
        assert!(told.contains(&format!("job {} of v2 (attempt 3)", job("other"))), "{told}");
        assert_eq!(refused.into_response().status(), StatusCode::CONFLICT);
        assert!(
            target_is_taken(&decision(Some("retried")), job("retried")).is_none(),
            "the job itself says why"
        );
        assert!(target_is_taken(&decision(None), job("retried")).is_none());
    }
}
