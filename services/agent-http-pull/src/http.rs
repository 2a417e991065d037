//! The routes of pullers: `/api/v1/workspaces/{workspace}/job-agents/{agent}/…`.

use crate::auth::{Doorkeeper, Puller};
use crate::desk::Desk;
use crate::limits::{Limits, no_guessing};
use crate::refusal::Refusal;
use crate::wire::{ClaimBody, Claimed, Lease, ListQuery, read};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use domain::id::JobId;
use serde::Serialize;
use std::sync::Arc;

/// No request has a larger body.
const BODY_BYTES_MAX: usize = 256 * 1024;
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const JOB: HeaderName = HeaderName::from_static("ctrlplane-job");
const FENCE: HeaderName = HeaderName::from_static("ctrlplane-fence");
const CANCEL: HeaderName = HeaderName::from_static("ctrlplane-cancel");
const BASE: &str = "/api/v1/workspaces/{w}/job-agents/{a}";

/// What every route is given.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) desk: Arc<Desk>,
    pub(crate) door: Doorkeeper,
    pub(crate) limits: Arc<Limits>,
}

/// All routes, beside health and metrics.
pub(crate) fn router(app: App) -> Router {
    let of_agent = Router::new()
        .route("/jobs", get(list))
        .route("/claim", post(claim_next))
        .route("/jobs/{j}", get(one))
        .route("/jobs/{j}/claim", post(claim))
        .route("/jobs/{j}/heartbeat", post(heartbeat))
        .route("/jobs/{j}/status", put(report).post(report))
        .route("/jobs/{j}/release", post(release));
    let limits = Arc::clone(&app.limits);
    Router::new()
        .nest(BASE, of_agent)
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(limits, no_guessing))
        .with_state(app)
}

impl App {
    fn puller(&self, headers: &HeaderMap, workspace: &str, agent: &str) -> Result<Puller, Refusal> {
        let puller = self.door.admit(workspace, agent, presented(headers))?;
        self.limits.request(&puller)?;
        Ok(puller)
    }
}

type OfAgent = Path<(String, String)>;
type OfJob = Path<(String, String, String)>;

/// `GET …/jobs?status=&limit=&waitSeconds=`
async fn list(
    State(app): State<App>,
    Path((w, a)): OfAgent,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refusal> {
    let puller = app.puller(&headers, &w, &a)?;
    let query = Query::<ListQuery>::try_from_uri(&uri)
        .map_err(|rejection| Refusal::invalid("query", rejection.body_text()))?;
    Ok(answer(app.desk.list(&puller, &query.0).await?))
}

/// `GET …/jobs/{j}`
async fn one(
    State(app): State<App>,
    Path((w, a, j)): OfJob,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let puller = app.puller(&headers, &w, &a)?;
    Ok(answer(app.desk.get(&puller, job(&j)?).await?))
}

/// `POST …/claim`: 204 when no job came in time.
async fn claim_next(
    State(app): State<App>,
    Path((w, a)): OfAgent,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let puller = app.puller(&headers, &w, &a)?;
    let body: ClaimBody = read(&body)?;
    let wait = app.desk.settings.wait(body.wait_seconds);
    let claimed = app.desk.claim_next(&puller, body.claimant(&app.desk.settings)?, wait).await?;
    Ok(claimed.map_or_else(|| StatusCode::NO_CONTENT.into_response(), claimed_answer))
}

/// `POST …/jobs/{j}/claim`
async fn claim(
    State(app): State<App>,
    Path((w, a, j)): OfJob,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let puller = app.puller(&headers, &w, &a)?;
    let claimant = read::<ClaimBody>(&body)?.claimant(&app.desk.settings)?;
    Ok(claimed_answer(app.desk.claim(&puller, job(&j)?, claimant).await?))
}

/// `POST …/jobs/{j}/heartbeat`
async fn heartbeat(
    State(app): State<App>,
    Path((w, a, j)): OfJob,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let puller = app.puller(&headers, &w, &a)?;
    let lease = app.desk.heartbeat(&puller, job(&j)?, &read(&body)?).await?;
    Ok(lease_answer(lease.clone(), lease))
}

/// `PUT …/jobs/{j}/status`
async fn report(
    State(app): State<App>,
    Path((w, a, j)): OfJob,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let puller = app.puller(&headers, &w, &a)?;
    let lease = app.desk.report(&puller, job(&j)?, read(&body)?).await?;
    Ok(lease_answer(lease.clone(), lease))
}

/// `POST …/jobs/{j}/release`
async fn release(
    State(app): State<App>,
    Path((w, a, j)): OfJob,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let puller = app.puller(&headers, &w, &a)?;
    let lease = app.desk.release(&puller, job(&j)?, read(&body)?).await?;
    Ok(lease_answer(lease.clone(), lease))
}

async fn unknown(uri: Uri) -> Refusal {
    Refusal::NotFound(format!("path {}", uri.path()))
}

async fn wrong_method(uri: Uri) -> Response {
    let detail = format!("{} does not take this method", uri.path());
    let problem = serde_json::json!({
        "type": "about:blank", "title": "Method Not Allowed", "status": 405, "detail": detail, "code": "method",
    });
    (StatusCode::METHOD_NOT_ALLOWED, Json(problem)).into_response()
}

/// An answer may hold secrets: nothing on the way keeps it.
fn answer(body: impl Serialize) -> Response {
    ([(CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(body)).into_response()
}

/// With the job's id in a header, too, for programs that do not read JSON.
fn claimed_answer(claimed: Claimed) -> Response {
    let (job, lease) = (claimed.job.job.id, claimed.lease.clone());
    let mut response = lease_answer(lease, claimed);
    if let Ok(job) = HeaderValue::from_str(&job.to_string()) {
        response.headers_mut().insert(JOB, job);
    }
    response
}

/// With the fence, and whether somebody wishes the job to end, in headers, too.
fn lease_answer(lease: Lease, body: impl Serialize) -> Response {
    let mut response = answer(body);
    let headers = response.headers_mut();
    headers.insert(FENCE, HeaderValue::from(lease.fence));
    headers.insert(CANCEL, HeaderValue::from_static(if lease.cancel { "true" } else { "false" }));
    response
}

fn job(text: &str) -> Result<JobId, Refusal> {
    text.parse().map_err(|_| Refusal::NotFound(format!("job {text} of this agent")))
}

pub(crate) fn presented(headers: &HeaderMap) -> Option<&str> {
    if let Some(key) = headers.get(API_KEY) {
        return key.to_str().ok();
    }
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.problem())).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self {
            Refusal::Unauthenticated => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Refusal::Unavailable => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
            }
            Refusal::TooMany { seconds, .. } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            Refusal::NotFound(_) | Refusal::Invalid { .. } | Refusal::Conflict { .. } | Refusal::Internal => {
            }
        }
        response
    }
}
