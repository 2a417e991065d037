//! GitHub's JSON: runs, jobs, repositories and the events about them. Pure rendering.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::hooks::Delivery;
use crate::model::{Conclusion, Place, Run, Status};

/// Whole seconds, as everywhere in GitHub's API: order by it alone and ties are normal.
pub(crate) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A commit id for a ref nobody pushed to.
pub(crate) fn made_up_sha(seed: &str) -> String {
    hex::encode(&Sha256::digest(seed)[..20])
}

/// A run as REST and webhooks show it.
pub(crate) fn run(base: &str, run: &Run) -> Value {
    let (repo, id) = (&run.repo, run.id);
    let url = format!("{base}/repos/{repo}/actions/runs/{id}");
    let html_url = format!("{base}/{repo}/actions/runs/{id}");
    let place = &run.place;
    let workflow_url = format!("{base}/repos/{repo}/actions/workflows/{}", place.workflow_id);
    json!({
        "id": id,
        "name": place.workflow_name,
        "node_id": format!("WFR_{id}"),
        "check_suite_id": id + 1,
        "check_suite_node_id": format!("CS_{id}"),
        "head_branch": run.git_ref,
        "head_sha": run.head_sha,
        "path": format!(".github/workflows/{}", place.workflow_file),
        "run_number": run.run_number,
        "run_attempt": run.run_attempt,
        "event": "workflow_dispatch",
        "display_title": run.display_title,
        "status": run.status.as_str(),
        "conclusion": run.conclusion.as_ref().map(Conclusion::as_str),
        "workflow_id": place.workflow_id,
        "url": url,
        "html_url": html_url,
        "pull_requests": [],
        "created_at": time(run.created_at),
        "updated_at": time(run.updated_at),
        "run_started_at": time(run.run_started_at),
        "actor": user(base),
        "triggering_actor": user(base),
        "referenced_workflows": [],
        "jobs_url": format!("{url}/jobs"),
        "logs_url": format!("{url}/logs"),
        "check_suite_url": format!("{base}/repos/{repo}/check-suites/{}", id + 1),
        "artifacts_url": format!("{url}/artifacts"),
        "cancel_url": format!("{url}/cancel"),
        "rerun_url": format!("{url}/rerun"),
        "previous_attempt_url":
            (run.run_attempt > 1).then(|| format!("{url}/attempts/{}", run.run_attempt - 1)),
        "workflow_url": workflow_url,
        "head_commit": commit(base, repo, &run.head_sha, "Deploy", run.created_at),
        "repository": repository(base, place),
        "head_repository": repository(base, place),
    })
}

/// The job of a run's attempt.
pub(crate) fn job(base: &str, run: &Run) -> Value {
    let (repo, id, job) = (&run.repo, run.id, &run.job);
    let url = format!("{base}/repos/{repo}/actions/jobs/{}", job.id);
    let conclusion = run.conclusion.as_ref().map(Conclusion::as_str);
    let step = json!({
        "name": "Deploy", "number": 1, "status": run.status.as_str(), "conclusion": conclusion,
        "started_at": job.started_at.map(time), "completed_at": job.completed_at.map(time),
    });
    let running = job.started_at.is_some();
    json!({
        "id": job.id,
        "run_id": id,
        "workflow_name": run.place.workflow_name,
        "head_branch": run.git_ref,
        "run_url": format!("{base}/repos/{repo}/actions/runs/{id}"),
        "run_attempt": run.run_attempt,
        "node_id": format!("CR_{}", job.id),
        "head_sha": run.head_sha,
        "url": url,
        "html_url": format!("{base}/{repo}/actions/runs/{id}/job/{}", job.id),
        "status": run.status.as_str(),
        "conclusion": conclusion,
        "created_at": time(run.run_started_at),
        "started_at": time(job.started_at.unwrap_or(run.run_started_at)),
        "completed_at": job.completed_at.map(time),
        "name": "deploy",
        "steps": if running { json!([step]) } else { json!([]) },
        "check_run_url": format!("{base}/repos/{repo}/check-runs/{}", job.id),
        "labels": ["ubuntu-latest"],
        "runner_id": running.then_some(1),
        "runner_name": running.then_some("GitHub Actions 1"),
        "runner_group_id": running.then_some(0),
        "runner_group_name": running.then_some("GitHub Actions"),
    })
}

/// `GET …/pending_deployments`: one environment with a reviewer while the run waits, else none.
pub(crate) fn pending_deployments(base: &str, run: &Run) -> Value {
    if run.status != Status::Waiting {
        return json!([]);
    }
    let repo = &run.repo;
    json!([{
        "environment": {
            "id": 56_780_428, "node_id": "EN_56780428", "name": "production",
            "url": format!("{base}/repos/{repo}/environments/production"),
            "html_url": format!("{base}/{repo}/deployments/activity_log?environments_filter=production"),
        },
        "wait_timer": 0,
        "wait_timer_started_at": Value::Null,
        "current_user_can_approve": false,
        "reviewers": [{ "type": "User", "reviewer": user(base) }],
    }])
}

/// `GET …/workflows/{wf}`.
pub(crate) fn workflow(base: &str, place: &Place) -> Value {
    let (repo, file) = (format!("{}/{}", place.owner, place.name), &place.workflow_file);
    json!({
        "id": place.workflow_id,
        "node_id": format!("W_{}", place.workflow_id),
        "name": place.workflow_name,
        "path": format!(".github/workflows/{file}"),
        "state": place.workflow_state,
        "created_at": "2026-01-05T09:00:00.000Z",
        "updated_at": "2026-01-05T09:00:00.000Z",
        "url": format!("{base}/repos/{repo}/actions/workflows/{}", place.workflow_id),
        "html_url": format!("{base}/{repo}/blob/main/.github/workflows/{file}"),
        "badge_url": format!("{base}/{repo}/workflows/{}/badge.svg", place.workflow_name),
    })
}

/// The `workflow_run` event.
pub(crate) fn run_event(base: &str, of: &Run, action: &str) -> Value {
    let mut event = envelope(base, &of.place, action);
    event.insert("workflow_run".to_owned(), run(base, of));
    event.insert("workflow".to_owned(), workflow(base, &of.place));
    Value::Object(event)
}

/// The `workflow_job` event.
pub(crate) fn job_event(base: &str, of: &Run, action: &str) -> Value {
    let mut event = envelope(base, &of.place, action);
    event.insert("workflow_job".to_owned(), job(base, of));
    Value::Object(event)
}

/// A `push` of one commit.
pub(crate) fn push_event(
    base: &str,
    place: &Place,
    git_ref: &str,
    (before, after): (&str, &str),
    message: &str,
    at: DateTime<Utc>,
) -> Value {
    let repo = format!("{}/{}", place.owner, place.name);
    let commit = commit(base, &repo, after, message, at);
    let zero = |sha: &str| sha.bytes().all(|b| b == b'0');
    let mut event = envelope(base, place, "");
    event.remove("action");
    let fields = json!({
        "ref": git_ref,
        "before": before,
        "after": after,
        "base_ref": Value::Null,
        "created": zero(before),
        "deleted": zero(after),
        "forced": false,
        "compare": format!("{base}/{repo}/compare/{:.12}...{:.12}", before, after),
        "pusher": { "name": "octocat", "email": "octocat@example.com" },
        "commits": [commit.clone()],
        "head_commit": commit,
    });
    if let Value::Object(fields) = fields {
        event.extend(fields);
    }
    Value::Object(event)
}

/// A line of `GET /app/hook/deliveries`.
pub(crate) fn delivery(of: &Delivery, repo_id: Option<u64>) -> Value {
    json!({
        "id": of.id,
        "guid": of.guid,
        "delivered_at": of.delivered_at.to_rfc3339_opts(SecondsFormat::Millis, true),
        "redelivery": of.redelivery,
        "duration": of.duration.as_secs_f64(),
        "status": if of.failed() { "Invalid HTTP Response" } else { "OK" },
        "status_code": of.status_code,
        "event": of.event,
        "action": of.action,
        "installation_id": Value::Null,
        "repository_id": repo_id,
        "throttled_at": Value::Null,
    })
}

/// What `GET /repos/{owner}/{repo}` and every event show of a repository.
pub(crate) fn repository(base: &str, place: &Place) -> Value {
    let Place { repo_id, owner, name, .. } = place;
    let full_name = format!("{owner}/{name}");
    json!({
        "id": repo_id,
        "node_id": format!("R_{repo_id}"),
        "name": name,
        "full_name": full_name,
        "private": true,
        "owner": {
            "login": owner, "id": 9_000_001, "node_id": "O_9000001", "type": "Organization",
            "site_admin": false, "url": format!("{base}/users/{owner}"), "html_url": format!("{base}/{owner}"),
        },
        "html_url": format!("{base}/{full_name}"),
        "description": Value::Null,
        "fork": false,
        "url": format!("{base}/repos/{full_name}"),
        "clone_url": format!("{base}/{full_name}.git"),
        "default_branch": "main",
        "visibility": "private",
        "archived": false,
        "disabled": false,
    })
}

fn envelope(base: &str, place: &Place, action: &str) -> Map<String, Value> {
    let mut event = Map::new();
    event.insert("action".to_owned(), json!(action));
    event.insert("repository".to_owned(), repository(base, place));
    event.insert("sender".to_owned(), user(base));
    if let Some(id) = place.installation_id {
        event.insert("installation".to_owned(), json!({ "id": id, "node_id": format!("I_{id}") }));
    }
    event
}

fn user(base: &str) -> Value {
    json!({
        "login": "octocat", "id": 583_231, "node_id": "U_583231", "type": "User", "site_admin": false,
        "url": format!("{base}/users/octocat"), "html_url": format!("{base}/octocat"),
    })
}

fn commit(base: &str, repo: &str, sha: &str, message: &str, at: DateTime<Utc>) -> Value {
    let person = json!({ "name": "Octo Cat", "email": "octocat@example.com", "username": "octocat" });
    json!({
        "id": sha,
        "tree_id": made_up_sha(sha),
        "distinct": true,
        "message": message,
        "timestamp": time(at),
        "url": format!("{base}/{repo}/commit/{sha}"),
        "author": person,
        "committer": person,
        "added": [],
        "removed": [],
        "modified": ["README.md"],
    })
}
