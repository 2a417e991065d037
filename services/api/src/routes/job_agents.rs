//! Job agents, and the jobs that programs pull from those that are queues.

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use domain::audit::Documents;
use domain::entity::{Entity, Kind, Metadata, Record};
use domain::id::{JobAgentId, JobId};
use domain::job::JobStatus;
use domain::token::Slug;
use futures::{StreamExt as _, TryStreamExt as _};
use projections::JobFilter;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};

use super::entities;
use super::jobs::{Told, field_job, missing, page_of, parse_id, statuses, told};
use crate::audit::{self, Deed};
use crate::audited;
use crate::auth::Role;
use crate::caller::Caller;
use crate::context::App;
use crate::idempotency::{KEY_HEADER, Unkept};
use crate::openapi::shapes::{Flat, Listed, Thing};
use crate::problem::Problem;
use crate::pulls::{self, is_pulled};
use crate::request::{Body, Cel, MaybeBody, Page, Params, Segments};
use crate::rest::etag::{Precondition, Tagged};
use crate::rest::{self, Draft, To};

/// So many jobs are looked up at once.
const AT_ONCE: usize = 16;
/// The keeper of a queue tells at most so many.
const WAITING_MAX: usize = 1_000;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewAgent {
    name: String,
    /// The platform.
    #[serde(rename = "type")]
    platform: String,
    #[schema(value_type = Option<Thing>)]
    config: Option<Map<String, Value>>,
    /// How many of its jobs may be active at once. Left out: as it is.
    max_concurrent: Option<u32>,
    metadata: Option<Metadata>,
}

entities::reading! { JobAgent, "/job-agents", "/job-agents/{a}", "An agent" }

/// `PUT /job-agents/{a}`
#[utoipa::path(put, path = "/job-agents/{a}", params(Precondition), request_body = NewAgent, responses((status = 202, description = "It is as it was sent", body = Flat)))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Segments((w, a)): Segments<(String, String)>,
    precondition: Precondition,
    Body(body): Body<NewAgent>,
) -> Result<Tagged, Problem> {
    write(&app, &caller, &w, To::Named(&a), &precondition, body, StatusCode::ACCEPTED).await
}

async fn write(
    app: &App,
    caller: &Caller,
    w: &str,
    to: To<'_>,
    precondition: &Precondition,
    body: NewAgent,
    status: StatusCode,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(caller, w)?;
    let says_max = body.max_concurrent.is_some();
    let entity = Draft::new(Kind::JobAgent, body.name, body.metadata)
        .with("type", Some(body.platform))
        .with("config", body.config)
        .with("maxConcurrent", body.max_concurrent)
        .entity(app, caller, &workspace)?;
    let written = rest::write(app, caller, to, precondition, entity, move |before, after| {
        if let (Entity::JobAgent(before), Entity::JobAgent(after)) = (before, after)
            && !says_max
        {
            after.spec.max_concurrent = before.spec.max_concurrent;
        }
    })
    .await?;
    Ok(entities::written(app, status, &written))
}

#[derive(Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(super) struct JobsQuery {
    /// Several with commas, in lower camel or snake case.
    status: Option<String>,
    /// Whether each comes with what the templates of its config saw.
    include_dispatch_context: Option<bool>,
}

/// `GET /job-agents/{a}/jobs?status=&includeDispatchContext=`: of a queue, `queued` are those that wait to be claimed
#[utoipa::path(get, path = "/job-agents/{a}/jobs", params(Page, JobsQuery), responses((status = 200, description = "A page of its jobs", body = Listed)))]
pub(super) async fn jobs(
    State(app): State<App>,
    caller: Caller,
    Segments((w, a)): Segments<(String, String)>,
    Params(page): Params<Page>,
    Params(query): Params<JobsQuery>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let agent = agent(&app, &workspace, &a)?;
    let id = JobAgentId(agent.meta.id);
    let statuses = statuses(query.status.as_deref())?;
    let (ids, total) = if is_pulled(&agent.spec.platform) && statuses == [JobStatus::Queued] {
        waiting(&app, &workspace, id, page).await?
    } else {
        let filter = JobFilter { statuses, agent: Some(id), ..JobFilter::default() };
        let found = app.views.jobs(&workspace, &filter, page_of(page)).await?;
        if query.include_dispatch_context != Some(true) {
            let items: Vec<Value> = found.items.iter().map(|view| field_job(view, None)).collect();
            return Ok(Json(
                json!({ "items": items, "total": found.total, "limit": page.limit(), "offset": page.offset() }),
            ));
        }
        (found.items.iter().map(|view| view.id).collect(), found.total)
    };
    let loads = ids.into_iter().map(|job| told(&app, &workspace, job));
    let loaded: Vec<Option<Told>> = futures::stream::iter(loads).buffered(AT_ONCE).try_collect().await?;
    let mut items: Vec<Value> = loaded.iter().flatten().map(Told::field).collect();
    if query.include_dispatch_context != Some(true) {
        items.iter_mut().filter_map(Value::as_object_mut).for_each(|job| drop(job.remove("dispatchContext")));
    }
    Ok(Json(json!({ "items": items, "total": total, "limit": page.limit(), "offset": page.offset() })))
}

/// The jobs of a queue that wait to be claimed, the longest first.
async fn waiting(
    app: &App,
    workspace: &Slug,
    agent: JobAgentId,
    page: Page,
) -> Result<(Vec<JobId>, u64), Problem> {
    let wanted = page.offset().saturating_add(page.limit()).min(WAITING_MAX);
    let answer =
        pulls::ask(app, workspace, agent, "list", json!({ "status": "queued", "limit": wanted })).await?;
    let items = answer["items"].as_array().into_iter().flatten();
    let ids = items.filter_map(|item| item["id"].as_str()?.parse().ok());
    let total = answer["total"].as_u64().unwrap_or_default();
    Ok((ids.skip(page.offset()).take(page.limit()).collect(), total))
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Claim {
    /// As the program calls itself; the key's name where it does not.
    by: Option<String>,
    /// The same claim asked for again; the idempotency key where it is left out.
    claim_id: Option<String>,
    /// How long the job stays with a program that does not report. The longest that is allowed where it is left out.
    lease_seconds: Option<u32>,
}

/// A job with its secrets: nobody on the way keeps it.
type Claimed = (Extension<Unkept>, [(HeaderName, &'static str); 1], Json<Value>);

/// `POST /job-agents/{a}/jobs/{j}/claim`: one of many gets it, with its secrets in their places.
#[utoipa::path(post, path = "/job-agents/{a}/jobs/{j}/claim", request_body = Option<Claim>, responses((status = 200, description = "The job is the caller's", body = Thing)))]
pub(super) async fn claim(
    State(app): State<App>,
    caller: Caller,
    Segments((w, a, j)): Segments<(String, String, String)>,
    headers: HeaderMap,
    MaybeBody(claim): MaybeBody<Claim>,
) -> Result<Claimed, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let agent = agent(&app, &workspace, &a)?;
    let job = parse_id(&j)?;
    if !is_pulled(&agent.spec.platform) {
        let detail =
            format!("the jobs of {} are not claimed: {} runs them", agent.meta.name, agent.spec.platform);
        return Err(Problem::conflict(detail));
    }
    let sent_again =
        headers.get(KEY_HEADER).and_then(|key| key.to_str().ok()).map(|key| format!("{}:{key}", caller.name));
    let by = claim.by.unwrap_or_else(|| caller.name.clone());
    let body = json!({
        "job": job, "by": by, "claimId": claim.claim_id.or(sent_again),
        "leaseSeconds": claim.lease_seconds,
    });
    let claimed = pulls::ask(&app, &workspace, JobAgentId(agent.meta.id), "claim", body).await?;
    let told = told(&app, &workspace, job).await?.ok_or_else(|| missing(job))?;
    let documents = Documents::between(None, Some(json!({ "claimedBy": by, "fence": claimed["fence"] })));
    let object = audited::job(&app.catalog, &told.state.job);
    let after = Some(told.sequence);
    let deed = Deed { action: "claim", workspace: &workspace, object, before: None, after, documents };
    audit::note(&app.bus, &caller, deed).await?;
    let mut answer = told.field();
    for (from, to) in [
        ("config", "jobAgentConfig"),
        ("dispatchContext", "dispatchContext"),
        ("fence", "fence"),
        ("leaseSeconds", "leaseSeconds"),
        ("leaseUntil", "leaseUntil"),
        ("cancel", "cancel"),
    ] {
        if let Some(value) = claimed.get(from) {
            answer[to] = value.clone();
        }
    }
    Ok((Extension(Unkept), [(CACHE_CONTROL, "no-store")], Json(answer)))
}

fn agent(app: &App, workspace: &Slug, text: &str) -> Result<Record<domain::entity::JobAgent>, Problem> {
    let Entity::JobAgent(agent) = entities::find(app, workspace, Kind::JobAgent, text)? else {
        return Err(Problem::internal(&"a job agent is a job agent"));
    };
    Ok(agent)
}
