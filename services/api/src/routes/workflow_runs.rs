//! Runs of workflows: begun with inputs, read with all their jobs, and cancelled. How a run stands is a function of the run
//! and of its jobs' statuses, the same that the evaluator asks for what is next.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use bus::clock;
use domain::entity::{BegunBy, Entity, Kind, Record, RunCancel, Workflow, WorkflowRun};
use domain::id::{JobId, WorkflowRunId};
use domain::job::{JobStatus, JobView, TerminalStatus};
use domain::manifest;
use domain::workflow::{self, JobStep, Plan, RunStatus, Seen, Step};
use futures::{StreamExt as _, TryStreamExt as _};
use projections::{JobFilter, LIMIT_MAX};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{entities, jobs, workflows};
use crate::auth::Role;
use crate::caller::Caller;
use crate::context::App;
use crate::idempotency::{self, KEY_HEADER};
use crate::openapi::shapes::{Listed, Thing};
use crate::problem::{Fault, Problem};
use crate::request::{MaybeBody, Page, Params, Segments, words};
use crate::rest;
use crate::rest::etag::{Precondition, Tagged};
use crate::shape::flat;
use crate::store::Mode;

/// So many runs are looked up at once.
const AT_ONCE: usize = 16;
const REASON_CHARS_MAX: usize = 500;

#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewRun {
    /// By the keys of the workflow's inputs. What is left out is as its default.
    #[serde(default)]
    #[schema(value_type = Option<Thing>)]
    inputs: Map<String, Value>,
}

/// `POST /workflows/{id}/runs`: the run, with the ids of all its jobs
#[utoipa::path(post, path = "/workflows/{id}/runs", request_body = Option<NewRun>, responses((status = 202, description = "The run has begun", body = Thing)))]
pub(super) async fn begin(
    State(app): State<App>,
    caller: Caller,
    Segments((w, id)): Segments<(String, String)>,
    headers: HeaderMap,
    MaybeBody(new): MaybeBody<NewRun>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let (found, _) = rest::read(&app, &workspace, Kind::Workflow, &id).await?;
    let Entity::Workflow(workflow) = found else {
        return Err(Problem::not_found(format_args!("workflow {id}")));
    };
    begun(&app, &caller, &workflow, &headers, &new).await
}

/// `POST /workflows/slug/{s}/runs`: the same, by the workflow's slug
#[utoipa::path(post, path = "/workflows/slug/{s}/runs", request_body = Option<NewRun>, responses((status = 202, description = "The run has begun", body = Thing)))]
pub(super) async fn begin_by_slug(
    State(app): State<App>,
    caller: Caller,
    Segments((w, slug)): Segments<(String, String)>,
    headers: HeaderMap,
    MaybeBody(new): MaybeBody<NewRun>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let workflow = workflows::find_by_slug(&app, &workspace, &slug)?;
    begun(&app, &caller, &workflow, &headers, &new).await
}

async fn begun(
    app: &App,
    caller: &Caller,
    workflow: &Record<Workflow>,
    headers: &HeaderMap,
    new: &NewRun,
) -> Result<Tagged, Problem> {
    let workspace = &workflow.meta.workspace;
    // Whoever asks again under the same key, because the first answer was lost, gets the run of before.
    let id = match headers.contains_key(KEY_HEADER) {
        true => WorkflowRunId::of_request(workspace, &idempotency::place(caller, headers)?),
        false => WorkflowRunId(Uuid::new_v4()),
    };
    refuse_secrets(&new.inputs)?;
    let by = BegunBy::User(caller.name.clone());
    let run = workflow::begin(workflow, id, &new.inputs, by, clock::now()).map_err(|problems| {
        let faults = problems.into_iter().map(|problem| Fault::of_field(problem.field, problem.message));
        Problem::invalid_fields(faults.collect())
    })?;
    let declared = Entity::WorkflowRun(run);
    let written = app
        .store
        .write(caller, &declared.key(), Mode::Write, |before| Ok(before.unwrap_or(&declared).clone()))
        .await?;
    app.store.seen(written.revision).await;
    let Entity::WorkflowRun(run) = &written.after else {
        return Err(Problem::internal(&"a run that is none"));
    };
    let mut shown = shown(app, run).await?;
    shown["message"] = json!("begun");
    Ok(Tagged::new(StatusCode::ACCEPTED, written.revision, shown))
}

/// A run is read by many: its inputs are no place for a secret.
fn refuse_secrets(inputs: &Map<String, Value>) -> Result<(), Problem> {
    let faults: Vec<Fault> = manifest::secrets_in(inputs, "inputs")
        .into_iter()
        .map(|found| Fault { hint: found.hint, ..Fault::of_field(found.field, found.message) })
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(Problem::invalid_fields(faults)) }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(super) struct Query {
    /// Of this workflow, by id, name or slug.
    workflow: Option<String>,
    /// Those that stand so: `pending`, `inProgress`, `cancelling`, `successful`, `failure` or `cancelled`; several with commas
    /// between them.
    status: Option<String>,
}

/// `GET /workflow-runs?workflow=&status=`, newest first
#[utoipa::path(get, path = "/workflow-runs", params(Page, Query), responses((status = 200, description = "A page of them", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
    Params(query): Params<Query>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let mut runs: Vec<Record<WorkflowRun>> = app
        .catalog
        .entities(&workspace, Kind::WorkflowRun)
        .into_iter()
        .filter_map(|entity| if let Entity::WorkflowRun(run) = entity { Some(run) } else { None })
        .collect();
    if let Some(text) = query.workflow.as_deref().filter(|text| !text.is_empty()) {
        // A workflow that is gone still has runs.
        let known = app.catalog.find(&workspace, Kind::Workflow, text).map(|found| found.meta().id);
        let id = known.or_else(|| Uuid::parse_str(text).ok());
        runs.retain(|run| Some(run.spec.workflow.0) == id);
    }
    runs.sort_by_key(|run| std::cmp::Reverse((run.spec.at, run.meta.id)));
    let app = &app;
    if let Some(text) = query.status.as_deref().filter(|text| !text.is_empty()) {
        let wanted = statuses(text)?;
        // Of runs that are over the catalog tells how; others are few.
        let looks = runs.into_iter().map(|run| async move {
            let status = match &run.spec.end {
                Some(end) => end.status,
                None => standing(app, &run).await?.1.status,
            };
            Ok::<_, Problem>((status, run))
        });
        let all: Vec<(RunStatus, _)> = futures::stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
        runs = all.into_iter().filter(|(status, _)| wanted.contains(status)).map(|(_, run)| run).collect();
    }
    let total = runs.len();
    let part = runs.into_iter().skip(page.offset()).take(page.limit());
    let looks = part.map(|run| listed(app, run));
    let items: Vec<Value> = futures::stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
    Ok(Json(json!({ "items": items, "total": total, "limit": page.limit(), "offset": page.offset() })))
}

fn statuses(text: &str) -> Result<Vec<RunStatus>, Problem> {
    // As jobs' statuses are read: `in_progress` is `inProgress`.
    let plain = |word: &str| word.to_ascii_lowercase().replace('_', "");
    let read = |word: &str| {
        RunStatus::ALL.into_iter().find(|status| plain(status.as_str()) == plain(word)).ok_or_else(|| {
            let known = RunStatus::ALL.map(RunStatus::as_str).join(", ");
            Problem::invalid_field("status", format!("{word:?} is no status of a run: {known}"))
        })
    };
    words(Some(text)).map(read).collect()
}

/// `GET /workflow-runs/{run}`: with every job, what it needs, its status, and why it does not start
#[utoipa::path(get, path = "/workflow-runs/{run}", responses((status = 200, description = "A run and its jobs", body = Thing)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments((w, run)): Segments<(String, String)>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let (found, revision) = rest::read(&app, &workspace, Kind::WorkflowRun, &run).await?;
    let Entity::WorkflowRun(run) = &found else {
        return Err(Problem::not_found(format_args!("run {run}")));
    };
    Ok(Tagged::new(StatusCode::OK, revision, shown(&app, run).await?))
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    #[serde(default)]
    reason: Option<String>,
}

/// `POST /workflow-runs/{run}/cancel`: what is on its way is cancelled, the rest never starts
#[utoipa::path(post, path = "/workflow-runs/{run}/cancel", params(Precondition), request_body = Option<Wish>, responses((status = 202, description = "The wish is recorded", body = Thing)))]
pub(super) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Segments((w, run)): Segments<(String, String)>,
    precondition: Precondition,
    MaybeBody(wish): MaybeBody<Wish>,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let reason = wish.reason.filter(|reason| !reason.trim().is_empty());
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_CHARS_MAX) {
        return Err(Problem::invalid_field(
            "reason",
            format!("is longer than {REASON_CHARS_MAX} characters"),
        ));
    }
    let known = entities::find(&app, &workspace, Kind::WorkflowRun, &run)?;
    let missing = || Problem::not_found(format_args!("run {run}"));
    let Entity::WorkflowRun(known) = known else { return Err(missing()) };
    let status = standing(&app, &known).await?.1.status;
    if status.is_over() && known.spec.cancel.is_none() {
        return Err(Problem::conflict(format!("cancel is not possible: the run is {}", status.as_str())));
    }
    let cancel = RunCancel { by: caller.name.clone(), at: clock::now(), reason };
    let key = Entity::WorkflowRun(known).key();
    let written = app
        .store
        .write_if(&caller, &key, Mode::Write, &precondition, |before| {
            let Some(Entity::WorkflowRun(before)) = before else { return Err(missing()) };
            let mut run = before.clone();
            run.spec.cancel.get_or_insert_with(|| cancel.clone());
            Ok(Entity::WorkflowRun(run))
        })
        .await?;
    app.store.seen(written.revision).await;
    let Entity::WorkflowRun(run) = &written.after else {
        return Err(Problem::internal(&"a run that is none"));
    };
    let mut shown = shown(&app, run).await?;
    shown["message"] = json!("cancel requested");
    Ok(Tagged::new(StatusCode::ACCEPTED, written.revision, shown))
}

/// The jobs of a run that were asked for, as the views have them, and what is next by that.
async fn standing<'r>(
    app: &App,
    run: &'r Record<WorkflowRun>,
) -> Result<(HashMap<JobId, JobView>, Plan<'r>), Problem> {
    let filter = JobFilter { run: Some(WorkflowRunId(run.meta.id)), ..JobFilter::default() };
    let found = app.views.jobs(&run.meta.workspace, &filter, projections::Page::first(LIMIT_MAX)).await?;
    let views: HashMap<JobId, JobView> = found.items.into_iter().map(|view| (view.id, view)).collect();
    let plan = workflow::plan(run, |job| views.get(&job).map(seen), clock::now());
    Ok((views, plan))
}

fn seen(view: &JobView) -> Seen {
    match TerminalStatus::try_from(view.status) {
        Ok(status) => Seen::Over(status),
        Err(_active) => Seen::Active { cancelling: view.cancelling },
    }
}

/// A run with all its jobs.
async fn shown(app: &App, run: &Record<WorkflowRun>) -> Result<Value, Problem> {
    let (views, plan) = standing(app, run).await?;
    let mut shown = summary(run, &plan, &views);
    shown["jobs"] = plan.jobs.iter().map(|job| job_shown(job, views.get(&job.job.id))).collect();
    Ok(shown)
}

/// A run as it stands in a list: how it is, and how much of it is over.
async fn listed(app: &App, run: Record<WorkflowRun>) -> Result<Value, Problem> {
    let (views, plan) = standing(app, &run).await?;
    Ok(summary(&run, &plan, &views))
}

fn summary(run: &Record<WorkflowRun>, plan: &Plan<'_>, views: &HashMap<JobId, JobView>) -> Value {
    let mut shown = flat(&Entity::WorkflowRun(run.clone()));
    if let Value::Object(shown) = &mut shown {
        // What the workflow said of them when the run began: what became of them is told instead.
        shown.remove("jobs");
        shown.remove("end");
        shown.remove("endSequence");
    }
    let is_over = |step: &Step| matches!(step, Step::Over(_) | Step::Skipped { .. } | Step::Untold { .. });
    shown["status"] = json!(plan.status.as_str());
    shown["jobCount"] = json!(plan.jobs.len());
    shown["jobsOver"] = json!(plan.jobs.iter().filter(|job| is_over(&job.step)).count());
    if plan.status.is_over() {
        let seen = views.values().filter_map(|view| view.completed_at).max();
        let ended = seen.max(run.spec.end.as_ref().map(|end| end.at));
        let ended = ended.or(run.spec.cancel.as_ref().map(|cancel| cancel.at)).unwrap_or(run.spec.at);
        shown["completedAt"] = json!(ended);
    }
    shown
}

/// A job of a run: as any job where it was asked for; before that its id, its status to come, and why it does not start.
fn job_shown(job: &JobStep<'_>, view: Option<&JobView>) -> Value {
    let mut shown = view.map_or_else(|| json!({}), jobs::shown);
    shown["id"] = json!(job.job.id);
    shown["name"] = json!(job.job.label());
    shown["job"] = json!(job.job.job.name);
    shown["needs"] = json!(job.needs);
    if let Some(condition) = &job.job.job.condition {
        shown["if"] = json!(condition);
    }
    if let Some(index) = job.job.index {
        shown["index"] = json!(index);
        shown["item"] = job.job.item.clone();
    }
    let (status, why) = match &job.step {
        // Its view is gone; how it ended is known from the run.
        Step::Over(status) if view.is_none() => (json!(JobStatus::from(*status)), None),
        Step::Waits => (json!("waiting"), None),
        Step::Due => (json!("pending"), None),
        Step::Skipped { why } => (json!("skipped"), Some(why)),
        Step::Untold { why } => (json!("failure"), Some(why)),
        Step::Active { .. } | Step::Over(_) => return shown,
    };
    shown["status"] = status;
    if let Some(why) = why {
        shown["why"] = json!(why);
    }
    shown
}
