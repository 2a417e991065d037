//! Jobs: lists from the views, single jobs from their facts, and people's wishes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bus::{Base, Known, Recorded, crash_point};
use domain::audit::{Documents, Object};
use domain::decision::{JobOnTarget, TargetDecision};
use domain::entity::Kind;
use domain::id::{DeploymentId, EnvironmentId, JobId, ResourceId, VersionId};
use domain::job::{CancelReason, JobEvent, JobFact, JobState, JobStatus, JobView, Refusal, evolve};
use domain::target::TargetKey;
use domain::token::Slug;
use projections::{Cursor, HistoryEntry, JobFilter, LIMIT_MAX};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::audit::{self, Deed};
use crate::auth::Role;
use crate::caller::Caller;
use crate::context::App;
use crate::problem::Problem;
use crate::request::{MaybeBody, Params, Segments};

const PAGE: usize = 100;
const REASON_BYTES_MAX: usize = 500;

#[derive(Deserialize)]
pub(super) struct Query {
    status: Option<String>,
    deployment: Option<String>,
    environment: Option<String>,
    resource: Option<String>,
    platform: Option<String>,
    target: Option<String>,
    version: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    offset: u64,
    cursor: Option<String>,
}

/// `GET /jobs?…`, newest first
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
    Ok(Json(json!({
        "items": jobs.items, "total": jobs.total, "totalIsFloor": jobs.total_is_floor,
        "limit": limit, "offset": page.offset, "cursor": jobs.next.map(|next| next.to_string()),
    })))
}

/// `GET /jobs/counts`
pub(super) async fn counts(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    Ok(Json(json!({ "counts": app.views.counts(&workspace).await? })))
}

/// `GET /jobs/{j}`: from the facts, so that it is true while the views are away.
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments((w, j)): Segments<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let job = parse_id(&j)?;
    let events = app.bus.jobs().events(&workspace, job).await?;
    let told = tell(events).ok_or_else(|| missing(job))?;
    let mut view = JobView::of(&told.state, told.sequence);
    // A look that found nothing new stands in the views only; without them the facts say when there was news last.
    match app.views.confirmed_at(&workspace, job).await {
        Ok(confirmed) => view.confirmed_at = view.confirmed_at.max(confirmed),
        Err(error) => tracing::debug!(%error, "when the status was last confirmed is not known"),
    }
    let Value::Object(mut shown) = json!(view) else {
        return Err(Problem::internal(&"a view is an object"));
    };
    let dispatch = told.state.assigned.as_ref().map(|assigned| &assigned.dispatch);
    shown.insert("phase".to_owned(), json!(told.state.phase));
    shown.insert("history".to_owned(), json!(told.history));
    shown.insert("jobAgentConfig".to_owned(), json!(dispatch.map(|dispatch| &dispatch.config)));
    shown.insert("dispatchContext".to_owned(), json!(told.context));
    Ok(Json(Value::Object(shown)))
}

#[derive(Default, Deserialize)]
pub(super) struct Wish {
    #[serde(default)]
    reason: Option<String>,
}

/// `POST /jobs/{j}/cancel`
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
        && let Some(decision) = app.decisions.get(&workspace, &job.target)
        && let Some(problem) = target_is_taken(&decision, id)
    {
        return Err(problem);
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
            let object = Object { kind: "Job".to_owned(), id: id.to_string(), name: job.tag.clone() };
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
    let status = known.map(|known| format!(" (it is {})", known.state.status())).unwrap_or_default();
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
        agent: None,
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
    let words = text.unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty());
    words
        .map(|word| {
            JobStatus::parse(word).ok_or_else(|| {
                let known = JobStatus::ALL.map(JobStatus::as_str).join(", ");
                Problem::invalid_field("status", format!("{word:?} is none of {known}"))
            })
        })
        .collect()
}

pub(super) fn slug(field: &str, text: Option<&str>) -> Result<Option<Slug>, Problem> {
    let parsed = text.filter(|text| !text.is_empty()).map(str::parse::<Slug>).transpose();
    parsed.map_err(|error| Problem::invalid_field(field, error.to_string()))
}

struct Told {
    state: JobState,
    sequence: u64,
    history: Vec<HistoryEntry>,
    context: Option<Value>,
}

fn tell(events: Vec<(u64, JobEvent)>) -> Option<Told> {
    let mut told: Option<Told> = None;
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

fn parse_id(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|_| Problem::not_found(format_args!("job {text}")))
}

fn missing(job: JobId) -> Problem {
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
