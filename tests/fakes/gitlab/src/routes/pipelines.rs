//! Pipelines and their jobs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use crate::gate::Caller;
use crate::model::{Job, Pipeline};
use crate::payload;
use crate::pipelines::Start;
use crate::reply::Reply;
use crate::shared::{Shared, State as Fake};

type Answer = Result<Reply, Reply>;
type Cx = State<Arc<Shared>>;
type By = Extension<Caller>;

pub(super) async fn project(State(cx): Cx, Extension(caller): By, Path(project): Path<String>) -> Answer {
    let state = cx.stage.lock();
    let (id, spec) = state.project(&caller, &project)?;
    Ok(Reply::ok(payload::project(&cx.base_url, id, &spec.path)))
}

/// `POST …/pipeline`: JSON, with the types of inputs kept.
pub(super) async fn create(
    State(cx): Cx,
    Extension(caller): By,
    Path(project): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let body: Value = serde_json::from_slice(&body)
        .map_err(|_| Reply::message(StatusCode::BAD_REQUEST, "400 Bad request"))?;
    let missing = || Reply::json(StatusCode::BAD_REQUEST, json!({ "error": "ref is missing" }));
    let git_ref = body["ref"].as_str().ok_or_else(missing)?.to_owned();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let variables = body["variables"].as_array().into_iter().flatten();
    let variables = variables.map(|variable| (text(&variable["key"]), text(&variable["value"]))).collect();
    let inputs = body["inputs"].as_object().cloned().unwrap_or_default();
    let traceparent = traceparent(&headers);
    start(&cx, &caller, &project, Start { git_ref, source: "api", inputs, variables, traceparent })
}

/// `POST …/trigger/pipeline`: a form, with the token in it.
pub(super) async fn trigger(
    State(cx): Cx,
    Extension(caller): By,
    Path(project): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let is_form = headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    if !is_form {
        return Err(Reply::json(
            StatusCode::BAD_REQUEST,
            json!({ "error": "token is missing, ref is missing" }),
        ));
    }
    let form = form(&body);
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let nested = |of: &str| {
        let inside = |key: &str| Some(key.strip_prefix(of)?.strip_prefix('[')?.strip_suffix(']')?.to_owned());
        form.iter().filter_map(|(key, value)| Some((inside(key)?, value.clone()))).collect::<Vec<_>>()
    };
    let missing =
        |name: &str| Reply::json(StatusCode::BAD_REQUEST, json!({ "error": format!("{name} is missing") }));
    let token = field("token").ok_or_else(|| missing("token"))?;
    let git_ref = field("ref").ok_or_else(|| missing("ref"))?;
    {
        let state = cx.stage.lock();
        let (_, spec) = state.project(&caller, &project)?;
        if !spec.trigger_tokens.contains(&token) {
            return Err(Reply::not_found());
        }
    }
    let variables: BTreeMap<String, String> = nested("variables").into_iter().collect();
    let inputs: Map<String, Value> =
        nested("inputs").into_iter().map(|(name, value)| (name, Value::String(value))).collect();
    let traceparent = traceparent(&headers);
    start(&cx, &caller, &project, Start { git_ref, source: "trigger", inputs, variables, traceparent })
}

fn start(cx: &Shared, caller: &Caller, project: &str, start: Start) -> Answer {
    let id = cx.stage.change(|state| state.start(caller, project, start))?;
    let state = cx.stage.lock();
    let record = state.pipelines.get(&id).ok_or_else(Reply::not_found)?;
    Ok(Reply::created(payload::pipeline(&cx.base_url, &record.pipeline)))
}

/// Newest first; children only where they are asked for.
pub(super) async fn list(
    State(cx): Cx,
    Extension(caller): By,
    Path(project): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let state = cx.stage.lock();
    let (project, _) = state.project(&caller, &project)?;
    let now = Instant::now();
    let after = query.get("updated_after").and_then(|at| at.parse::<DateTime<Utc>>().ok());
    let source = query.get("source").map(String::as_str);
    let number = |name: &str, default: usize| query.get(name).and_then(|n| n.parse().ok()).unwrap_or(default);
    let (page, per_page) = (number("page", 1).max(1), number("per_page", 20).min(100));
    let found = state.pipelines.values().rev().filter(|record| {
        let pipeline = &record.pipeline;
        pipeline.project_id == project
            && record.visible_at <= now
            && after.is_none_or(|after| pipeline.updated_at > after)
            && source.map_or(pipeline.source != "parent_pipeline", |source| pipeline.source == source)
            && query.get("name").is_none_or(|name| pipeline.name.as_ref() == Some(name))
    });
    let found = found.skip((page - 1) * per_page).take(per_page);
    let lines = found.map(|record| {
        let mut line = payload::pipeline(&cx.base_url, &record.pipeline);
        if let Value::Object(line) = &mut line {
            let less = ["started_at", "finished_at", "yaml_errors", "detailed_status", "committed_at"];
            less.iter().for_each(|field| drop(line.remove(*field)));
        }
        line
    });
    Ok(Reply::ok(lines.collect()))
}

pub(super) async fn show(
    State(cx): Cx,
    Extension(caller): By,
    Path((project, id)): Path<(String, u64)>,
) -> Answer {
    let state = cx.stage.lock();
    let record = state.pipeline(&caller, &project, id)?;
    Ok(Reply::ok(payload::pipeline(&cx.base_url, &record.pipeline)))
}

pub(super) async fn delete(
    State(cx): Cx,
    Extension(caller): By,
    Path((project, id)): Path<(String, u64)>,
) -> Result<StatusCode, Reply> {
    cx.stage.change(|state| {
        state.pipeline(&caller, &project, id)?;
        state.pipelines.remove(&id);
        Ok(StatusCode::NO_CONTENT)
    })
}

pub(super) async fn jobs(
    State(cx): Cx,
    Extension(caller): By,
    Path((project, id)): Path<(String, u64)>,
    Query(query): Query<Vec<(String, String)>>,
) -> Answer {
    jobs_of(&cx, &caller, &project, id, &query, false)
}

pub(super) async fn bridges(
    State(cx): Cx,
    Extension(caller): By,
    Path((project, id)): Path<(String, u64)>,
    Query(query): Query<Vec<(String, String)>>,
) -> Answer {
    jobs_of(&cx, &caller, &project, id, &query, true)
}

/// Newest first. Retried bridges never show.
fn jobs_of(
    cx: &Shared,
    caller: &Caller,
    project: &str,
    id: u64,
    query: &[(String, String)],
    bridges: bool,
) -> Answer {
    let state = cx.stage.lock();
    let pipeline = &state.pipeline(caller, project, id)?.pipeline;
    let has = |name: &str, value: &str| query.iter().any(|(key, given)| key == name && given == value);
    let retried = !bridges && has("include_retried", "true");
    let scoped = query.iter().any(|(key, _)| key == "scope[]");
    let number = |name: &str, default: usize| {
        query.iter().find(|(key, _)| key == name).and_then(|(_, n)| n.parse().ok()).unwrap_or(default)
    };
    let (page, per_page) = (number("page", 1).max(1), number("per_page", 20).min(100));
    let mut all: Vec<&Job> = pipeline
        .jobs
        .iter()
        .filter(|job| job.is_bridge == bridges && (retried || !job.retried))
        .filter(|job| !scoped || has("scope[]", &job.status))
        .collect();
    all.sort_by_key(|job| std::cmp::Reverse(job.id));
    let lines = all.into_iter().skip((page - 1) * per_page).take(per_page);
    let downstream = |job: &Job| Some(&state.pipelines.get(&job.downstream?)?.pipeline);
    Ok(Reply::ok(lines.map(|job| payload::job(&cx.base_url, pipeline, job, downstream(job))).collect()))
}

pub(super) async fn variables(
    State(cx): Cx,
    Extension(caller): By,
    Path((project, id)): Path<(String, u64)>,
) -> Answer {
    let state = cx.stage.lock();
    let variables = state.pipeline(&caller, &project, id)?.pipeline.variables.iter();
    let lines =
        variables.map(|(key, value)| json!({ "key": key, "value": value, "variable_type": "env_var" }));
    Ok(Reply::ok(lines.collect()))
}

/// 200 whether or not there is anything to cancel.
pub(super) async fn cancel(
    State(cx): Cx,
    Extension(caller): By,
    Path((project, id)): Path<(String, u64)>,
) -> Answer {
    cx.stage.change(|state| {
        state.pipeline(&caller, &project, id)?;
        state.cancel(id);
        Ok(Reply::ok(payload::pipeline(&cx.base_url, pipeline_of(state, id)?)))
    })
}

pub(super) async fn retry(
    State(cx): Cx,
    Extension(caller): By,
    Path((project, id)): Path<(String, u64)>,
) -> Answer {
    cx.stage.change(|state| {
        state.pipeline(&caller, &project, id)?;
        state.retry(id);
        Ok(Reply::created(payload::pipeline(&cx.base_url, pipeline_of(state, id)?)))
    })
}

pub(super) async fn cancel_job(
    State(cx): Cx,
    Extension(caller): By,
    Path((project, id)): Path<(String, u64)>,
    body: Bytes,
) -> Answer {
    let force = serde_json::from_slice::<Value>(&body).is_ok_and(|body| body["force"] == true);
    if force && !caller.0.as_ref().is_some_and(|token| token.is_maintainer) {
        return Err(Reply::forbidden(""));
    }
    cx.stage.change(|state| {
        state.project(&caller, &project)?;
        if force {
            state.force_cancel(id);
        }
        job_line(&cx, state, id).map(Reply::created)
    })
}

pub(super) async fn retry_job(
    State(cx): Cx,
    Extension(caller): By,
    Path((project, id)): Path<(String, u64)>,
) -> Answer {
    cx.stage.change(|state| {
        state.project(&caller, &project)?;
        let made = state.retry_job(id)?;
        job_line(&cx, state, made).map(Reply::created)
    })
}

pub(super) async fn play_job(
    State(cx): Cx,
    Extension(caller): By,
    Path((project, id)): Path<(String, u64)>,
) -> Answer {
    cx.stage.change(|state| {
        state.project(&caller, &project)?;
        state.play(id)?;
        job_line(&cx, state, id).map(Reply::ok)
    })
}

/// A log as GitLab 19 writes it: times, and marks of sections.
pub(super) async fn trace(
    State(cx): Cx,
    Extension(caller): By,
    Path((project, id)): Path<(String, u64)>,
) -> Result<Response, Reply> {
    let state = cx.stage.lock();
    state.project(&caller, &project)?;
    let (pipeline, at) = state.find_job(id).ok_or_else(Reply::not_found)?;
    let job = &state.pipelines[&pipeline].pipeline.jobs[at];
    let text = format!(
        "2026-01-01T00:00:00.000000Z 01O section_start:1:{name}\n2026-01-01T00:00:01.000000Z 01O Job {}\n",
        job.status,
        name = job.name
    );
    Ok(([(http::header::CONTENT_TYPE, "text/plain")], text).into_response())
}

fn pipeline_of(state: &Fake, id: u64) -> Result<&Pipeline, Reply> {
    state.pipelines.get(&id).map(|record| &record.pipeline).ok_or_else(Reply::not_found)
}

fn job_line(cx: &Shared, state: &Fake, id: u64) -> Result<Value, Reply> {
    let (pipeline, at) = state.find_job(id).ok_or_else(Reply::not_found)?;
    let pipeline = pipeline_of(state, pipeline)?;
    Ok(payload::job(&cx.base_url, pipeline, &pipeline.jobs[at], None))
}

fn traceparent(headers: &HeaderMap) -> Option<String> {
    headers.get("traceparent")?.to_str().ok().map(str::to_owned)
}

/// The pairs of a form.
fn form(body: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(body);
    match reqwest::Url::parse(&format!("http://form/?{text}")) {
        Ok(url) => url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned())).collect(),
        Err(_) => Vec::new(),
    }
}
