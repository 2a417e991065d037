//! Repositories, their workflows, dispatches and listings of runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::{Path, Query, State};
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, SubsecRound as _, Utc};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::auth::Caller;
use crate::model::{Conclusion, Run};
use crate::payload;
use crate::reply::Reply;
use crate::runs::Dispatch;
use crate::shared::Shared;

/// GitHub shows at most this many results of a filtered listing.
const FILTERED_MAX: usize = 1_000;

type Cx = State<Arc<Shared>>;
type Who = Extension<Caller>;
type Filters = Query<HashMap<String, String>>;

pub(super) async fn show(
    State(cx): Cx,
    Extension(caller): Who,
    Path((owner, repo)): Path<(String, String)>,
) -> Reply {
    let mut state = cx.stage.lock();
    match state.repo(&caller, &owner, &repo) {
        Err(refusal) => refusal,
        Ok(found) => match found.workflows.first() {
            Some(workflow) => Reply::ok(payload::repository(&cx.base_url, &workflow.place)),
            None => Reply::ok(json!({ "full_name": format!("{}/{}", found.owner, found.name) })),
        },
    }
}

pub(super) async fn workflows(
    State(cx): Cx,
    Extension(caller): Who,
    Path((owner, repo)): Path<(String, String)>,
) -> Reply {
    let mut state = cx.stage.lock();
    match state.repo(&caller, &owner, &repo) {
        Err(refusal) => refusal,
        Ok(found) => {
            let all: Vec<Value> =
                found.workflows.iter().map(|w| payload::workflow(&cx.base_url, &w.place)).collect();
            Reply::ok(json!({ "total_count": all.len(), "workflows": all }))
        }
    }
}

pub(super) async fn workflow(
    State(cx): Cx,
    Extension(caller): Who,
    Path((owner, repo, wf)): Path<(String, String, String)>,
) -> Reply {
    let mut state = cx.stage.lock();
    match state.repo(&caller, &owner, &repo).and_then(|r| r.workflow(&wf)) {
        Ok(found) => Reply::ok(payload::workflow(&cx.base_url, &found.place)),
        Err(refusal) => refusal,
    }
}

pub(super) async fn dispatch(
    State(cx): Cx,
    Extension(caller): Who,
    Path((owner, repo, wf)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    let received = Instant::now();
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let details_known = cx.options.returns_run_details;
    let traceparent = header("traceparent").map(str::to_owned);
    let (dispatch, wants_details) = match Dispatch::parse(&body, details_known, traceparent, received) {
        Ok(parsed) => parsed,
        Err(refusal) => return refusal,
    };
    // From API version 2026-03-10 on, the flag is gone and details always come.
    let newer = header("x-github-api-version").is_some_and(|version| version >= "2026-03-10");
    let started = cx.stage.change(|state| {
        let id = state.dispatch(&caller, (&owner, &repo, &wf), dispatch)?;
        Ok(state.runs.get(&id).map(|r| (id, r.run.repo.clone())))
    });
    match started {
        Err(refusal) => refusal,
        Ok(Some((id, repo))) if details_known && (wants_details || newer) => Reply::ok(json!({
            "workflow_run_id": id,
            "run_url": format!("{}/repos/{repo}/actions/runs/{id}", cx.base_url),
            "html_url": format!("{}/{repo}/actions/runs/{id}", cx.base_url),
        })),
        Ok(_) => Reply::empty(StatusCode::NO_CONTENT),
    }
}

pub(super) async fn runs_of_workflow(
    State(cx): Cx,
    Extension(caller): Who,
    Path((owner, repo, wf)): Path<(String, String, String)>,
    Query(query): Filters,
) -> Reply {
    let found = {
        let mut state = cx.stage.lock();
        state.repo(&caller, &owner, &repo).and_then(|r| r.workflow(&wf)).map(|w| w.place.workflow_id)
    };
    match found {
        Ok(workflow_id) => list(&cx, &caller, (&owner, &repo), Some(workflow_id), &query),
        Err(refusal) => refusal,
    }
}

pub(super) async fn runs(
    State(cx): Cx,
    Extension(caller): Who,
    Path((owner, repo)): Path<(String, String)>,
    Query(query): Filters,
) -> Reply {
    list(&cx, &caller, (&owner, &repo), None, &query)
}

/// Runs, newest first, that pass every filter.
fn list(
    cx: &Shared,
    caller: &Caller,
    (owner, name): (&str, &str),
    workflow_id: Option<u64>,
    query: &HashMap<String, String>,
) -> Reply {
    let get = |key: &str| query.get(key).map(String::as_str).filter(|v| !v.is_empty());
    let Some(created) = get("created").map_or(Some(Created::default()), Created::parse) else {
        return Reply::unprocessable("Invalid value for 'created'");
    };
    let per_page: usize = get("per_page").and_then(|n| n.parse().ok()).unwrap_or(30).clamp(1, 100);
    let page: usize = get("page").and_then(|n| n.parse().ok()).unwrap_or(1).max(1);
    let filtered =
        ["actor", "branch", "created", "event", "head_sha", "status"].iter().any(|k| get(k).is_some());

    let mut state = cx.stage.lock();
    let repo = match state.repo(caller, owner, name) {
        Ok(repo) => format!("{}/{}", repo.owner, repo.name),
        Err(refusal) => return refusal,
    };
    let now = Instant::now();
    let passes = |run: &Run| {
        run.repo == repo
            && workflow_id.is_none_or(|id| id == run.place.workflow_id)
            && get("event").is_none_or(|event| event == "workflow_dispatch")
            && get("actor").is_none_or(|actor| actor == "octocat")
            && get("branch").is_none_or(|branch| branch == run.git_ref)
            && get("head_sha").is_none_or(|sha| sha == run.head_sha)
            && get("status").is_none_or(|word| {
                word == run.status.as_str() || run.conclusion.as_ref().map(Conclusion::as_str) == Some(word)
            })
            && created.includes(run.created_at.trunc_subsecs(0))
    };
    let found: Vec<&Run> = state
        .runs
        .values()
        .rev()
        .filter(|r| r.visible_at <= now && passes(&r.run))
        .map(|r| &r.run)
        .take(if filtered { FILTERED_MAX } else { usize::MAX })
        .collect();
    let total = found.len();
    let shown: Vec<Value> = found
        .into_iter()
        .skip((page - 1).saturating_mul(per_page))
        .take(per_page)
        .map(|run| payload::run(&cx.base_url, run))
        .collect();
    let reply = Reply::ok(json!({ "total_count": total, "workflow_runs": shown }));
    if page.saturating_mul(per_page) >= total {
        return reply;
    }
    let path = match workflow_id {
        Some(id) => format!("actions/workflows/{id}/runs"),
        None => "actions/runs".to_owned(),
    };
    let mut rest: Vec<(&str, &str)> =
        query.iter().filter(|(k, _)| *k != "page").map(|(k, v)| (k.as_str(), v.as_str())).collect();
    rest.sort_unstable();
    let next_page = (page + 1).to_string();
    rest.push(("page", &next_page));
    let url = format!("{}/repos/{repo}/{path}", cx.base_url);
    let link = reqwest::Url::parse_with_params(&url, rest).ok();
    match link.and_then(|url| HeaderValue::from_str(&format!("<{url}>; rel=\"next\"")).ok()) {
        Some(link) => reply.header(header::LINK, link),
        None => reply,
    }
}

/// The `created` filter: `>=T`, `>T`, `<=T`, `<T`, `A..B` or a day; both bounds are inclusive here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Created {
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
}

impl Created {
    fn parse(text: &str) -> Option<Self> {
        let second = chrono::TimeDelta::seconds(1);
        let from = |from| Some(Self { from: Some(from), to: None });
        let to = |to| Some(Self { from: None, to: Some(to) });
        if let Some(rest) = text.strip_prefix(">=") {
            return from(moment(rest)?.0);
        }
        if let Some(rest) = text.strip_prefix('>') {
            return from(moment(rest)?.1 + second);
        }
        if let Some(rest) = text.strip_prefix("<=") {
            return to(moment(rest)?.1);
        }
        if let Some(rest) = text.strip_prefix('<') {
            return to(moment(rest)?.0 - second);
        }
        if let Some((first, last)) = text.split_once("..") {
            let from = if first == "*" { None } else { Some(moment(first)?.0) };
            let to = if last == "*" { None } else { Some(moment(last)?.1) };
            return Some(Self { from, to });
        }
        let (first, last) = moment(text)?;
        Some(Self { from: Some(first), to: Some(last) })
    }

    fn includes(&self, at: DateTime<Utc>) -> bool {
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at <= to)
    }
}

/// First and last second of what the text names.
fn moment(text: &str) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        let at = at.with_timezone(&Utc).trunc_subsecs(0);
        return Some((at, at));
    }
    let day: NaiveDate = text.parse().ok()?;
    Some((day.and_hms_opt(0, 0, 0)?.and_utc(), day.and_hms_opt(23, 59, 59)?.and_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn created_filters_include_what_github_includes() {
        let noon: DateTime<Utc> = "2026-05-01T12:00:00Z".parse().unwrap();
        for (filter, included) in [
            (">=2026-05-01T12:00:00Z", true),
            (">2026-05-01T12:00:00Z", false),
            ("<=2026-05-01T12:00:00+00:00", true),
            ("<2026-05-01T12:00:00Z", false),
            ("2026-05-01", true),
            (">2026-05-01", false),
            (">=2026-05-02", false),
            ("2026-04-30..2026-05-01", true),
            ("*..2026-04-30", false),
        ] {
            assert_eq!(Created::parse(filter).unwrap().includes(noon), included, "{filter}");
        }
        assert_eq!(Created::parse(">=yesterday"), None);
    }
}
