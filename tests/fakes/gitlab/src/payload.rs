//! GitLab's JSON: pipelines, jobs, and the events about them. Pure rendering.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::hooks::{Delivery, HOOK_ID};
use crate::model::{Job, Pipeline};

/// As everywhere in GitLab's REST API.
fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// As in hooks, where it is not RFC 3339.
fn hook_time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn page(base: &str, of: &Pipeline) -> String {
    format!("{base}/{}/-/pipelines/{}", of.project, of.id)
}

fn job_page(base: &str, of: &Pipeline, job: &Job) -> String {
    format!("{base}/{}/-/jobs/{}", of.project, job.id)
}

/// `GET …/pipelines/:id`, and with less in lists.
pub(crate) fn pipeline(base: &str, of: &Pipeline) -> Value {
    let tolerated = of.latest().any(|job| job.status == "failed" && job.allow_failure);
    let label = match of.status.as_str() {
        "success" if tolerated => "passed with warnings",
        "success" => "passed",
        other => other,
    };
    json!({
        "id": of.id,
        "iid": of.iid,
        "project_id": of.project_id,
        "name": of.name,
        "sha": sha(of),
        "ref": of.git_ref,
        "status": of.status,
        "source": of.source,
        "created_at": time(of.created_at),
        "updated_at": time(of.updated_at),
        "web_url": page(base, of),
        "before_sha": "0".repeat(40),
        "tag": false,
        "yaml_errors": Value::Null,
        "started_at": of.started_at.map(time),
        "finished_at": of.finished_at.map(time),
        "committed_at": Value::Null,
        "detailed_status": { "icon": "status", "text": label, "label": label, "group": of.status },
    })
}

/// A line of `GET …/jobs` or `GET …/bridges`.
pub(crate) fn job(base: &str, of: &Pipeline, job: &Job, downstream: Option<&Pipeline>) -> Value {
    let mut line = json!({
        "id": job.id,
        "status": job.status,
        "stage": job.stage,
        "name": job.name,
        "ref": of.git_ref,
        "tag": false,
        "allow_failure": job.allow_failure,
        "created_at": time(job.created_at),
        "started_at": job.started_at.map(time),
        "finished_at": job.finished_at.map(time),
        "pipeline": { "id": of.id, "project_id": of.project_id, "status": of.status },
        "web_url": job_page(base, of, job),
    });
    if let Some(reason) = &job.failure_reason {
        line["failure_reason"] = json!(reason);
    }
    if job.is_bridge {
        line["downstream_pipeline"] = downstream.map_or(Value::Null, |child| pipeline(base, child));
    }
    line
}

/// `GET /projects/:id`.
pub(crate) fn project(base: &str, id: u64, path: &str) -> Value {
    json!({
        "id": id,
        "name": path.rsplit('/').next(),
        "path_with_namespace": path,
        "web_url": format!("{base}/{path}"),
        "default_branch": "main",
    })
}

/// The `Pipeline Hook`: of its jobs only those that count, and no time of its last change.
pub(crate) fn pipeline_hook(base: &str, of: &Pipeline) -> Value {
    let builds = of.latest().filter(|job| !job.is_bridge).map(|job| {
        json!({
            "id": job.id, "stage": job.stage, "name": job.name, "status": job.status,
            "created_at": hook_time(job.created_at),
            "started_at": job.started_at.map(hook_time),
            "finished_at": job.finished_at.map(hook_time),
            "failure_reason": job.failure_reason, "when": "on_success", "manual": false,
            "allow_failure": job.allow_failure,
        })
    });
    let variables = of.variables.iter().map(|(key, value)| json!({ "key": key, "value": value }));
    json!({
        "object_kind": "pipeline",
        "object_attributes": {
            "id": of.id,
            "iid": of.iid,
            "name": of.name,
            "ref": of.git_ref,
            "tag": false,
            "sha": sha(of),
            "source": of.source,
            "status": of.status,
            "detailed_status": of.status,
            "stages": of.latest().map(|job| job.stage.clone()).collect::<Vec<_>>(),
            "created_at": hook_time(of.created_at),
            "finished_at": of.finished_at.map(hook_time),
            "variables": variables.collect::<Vec<_>>(),
            "url": page(base, of),
        },
        "project": project(base, of.project_id, &of.project),
        "builds": builds.collect::<Vec<_>>(),
    })
}

/// The `Job Hook`: of its pipeline it has the id, and no variables.
pub(crate) fn job_hook(base: &str, of: &Pipeline, job: &Job) -> Value {
    let retries = of.jobs.iter().filter(|other| other.name == job.name && other.retried).count();
    json!({
        "object_kind": "build",
        "ref": of.git_ref,
        "tag": false,
        "sha": sha(of),
        "retries_count": retries,
        "build_id": job.id,
        "build_name": job.name,
        "build_stage": job.stage,
        "build_status": job.status,
        "build_created_at": hook_time(job.created_at),
        "build_started_at": job.started_at.map(hook_time),
        "build_finished_at": job.finished_at.map(hook_time),
        "build_allow_failure": job.allow_failure,
        "build_failure_reason": job.failure_reason,
        "pipeline_id": of.id,
        "project_id": of.project_id,
        "project_name": of.project.replace('/', " / "),
        "commit": { "id": of.id, "name": of.name, "sha": sha(of), "status": of.status },
        "repository": { "name": of.project, "homepage": format!("{base}/{}", of.project) },
    })
}

/// The `Push Hook` of one commit.
pub(crate) fn push_hook(
    base: &str,
    (id, path): (u64, &str),
    git_ref: &str,
    sha: &str,
    message: &str,
) -> Value {
    json!({
        "object_kind": "push",
        "event_name": "push",
        "before": "0".repeat(40),
        "after": sha,
        "ref": git_ref,
        "checkout_sha": sha,
        "project_id": id,
        "project": project(base, id, path),
        "commits": [{ "id": sha, "message": message }],
        "total_commits_count": 1,
    })
}

/// A line of `GET …/hooks/:id/events`.
pub(crate) fn hook_event(base: &str, of: &Delivery) -> Value {
    let status = if of.status_code == 0 { "internal error".to_owned() } else { of.status_code.to_string() };
    let request: Value = serde_json::from_slice(&of.payload).unwrap_or(Value::Null);
    json!({
        "id": of.id,
        "url": "http://receiver.invalid",
        "trigger": of.event.to_lowercase().replace(' ', "_") + "s",
        "request_headers": {
            "Content-Type": "application/json",
            "Idempotency-Key": of.key,
            "webhook-id": of.key,
            "X-Gitlab-Event": of.event,
            "X-Gitlab-Instance": base,
            "X-Gitlab-Token": "[REDACTED]",
        },
        "request_data": request,
        "response_status": status,
        "execution_duration": of.duration.as_secs_f64(),
        "created_at": time(of.delivered_at),
    })
}

/// `GET …/hooks/:id`.
pub(crate) fn hook(hook: &crate::Hook, project: u64) -> Value {
    json!({
        "id": HOOK_ID,
        "url": hook.url,
        "project_id": project,
        "pipeline_events": hook.pipeline_events,
        "job_events": hook.job_events,
        "alert_status": "executable",
        "disabled_until": Value::Null,
    })
}

fn sha(of: &Pipeline) -> String {
    format!("{:040x}", of.project_id)
}
