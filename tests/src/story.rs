//! Stories: one step a line, each an action or something that must come true. A service that dies is started again,
//! as an init system would.
//!
//! ```text
//! push v1
//! v1 is successful in staging on stage-1
//! v1 waits in production on prod-1 because "0 of 1"
//! approve v1 for production
//! v1 is successful in production on prod-1
//! every job has ended with one run
//! GitHub has 2 runs
//! ```

use crate::System;
use crate::recovery;
use domain::id::DeploymentId;
use domain::id::{EnvironmentId, ResourceId, VersionId};
use domain::target::TargetKey;
use domain::token::Slug;
use fake_github::{Conclusion, Fault, FaultKind, Plan, Script, When};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A step comes true within this, crashes and redeliveries included.
const WITHIN: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_millis(25);

/// Plays the story; panics at the step that does not come true, with what the services logged.
///
/// # Panics
/// At the step that does not come true.
pub async fn tell(system: &mut System, story: &str) {
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let step = Step::read(line).unwrap_or_else(|| panic!("no such step: {line:?}"));
        play(system, line, &step).await;
    }
}

#[derive(Debug)]
enum Step {
    Push(String),
    Runs(Script),
    HeldRunsSucceed,
    LoseAnswer,
    Silence,
    Approve { tag: String, environment: String },
    Cancel(Place),
    CancelWaiting,
    Retry(Place),
    Freeze { environment: String, reason: String },
    Thaw,
    Frozen(Place),
    Is { place: Place, status: String },
    Says { place: Place, text: String },
    Tells { place: Place, text: String },
    NoJob { tag: String, environment: String },
    Retried { place: Place, times: usize, pauses: Vec<i64> },
    BroughtBack(Place),
    HeldBack { place: Place, why: String },
    AllEnded,
    RunCount(usize),
}

/// A version in an environment on a resource.
#[derive(Debug, Clone)]
struct Place {
    tag: String,
    environment: String,
    resource: String,
}

impl Step {
    fn read(line: &str) -> Option<Self> {
        let (line, quoted) = match line.split_once('"') {
            Some((before, after)) => (before.trim(), after.strip_suffix('"')?.to_owned()),
            None => (line, String::new()),
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        let place = |tag: &str, environment: &str, resource: &str| Place {
            tag: tag.to_owned(),
            environment: environment.to_owned(),
            resource: resource.to_owned(),
        };
        Some(match words.as_slice() {
            ["push", tag] => Step::Push((*tag).to_owned()),
            ["runs", "succeed"] => Step::Runs(Script::success()),
            ["runs", "fail"] => Step::Runs(Script::failure()),
            ["runs", "of", tag, "fail"] => {
                let failing = (When::input("tag", tag), Plan::ends(Conclusion::Failure));
                Step::Runs(Script::success().when(failing.0, failing.1))
            }
            ["runs", "are", "held"] => Step::Runs(Script::hold()),
            ["held", "runs", "succeed"] => Step::HeldRunsSucceed,
            ["the", "next", "answer", "is", "lost"] => Step::LoseAnswer,
            ["GitHub", "falls", "silent"] => Step::Silence,
            ["approve", tag, "for", environment] => {
                Step::Approve { tag: (*tag).to_owned(), environment: (*environment).to_owned() }
            }
            ["cancel", tag, "in", environment, "on", resource] => {
                Step::Cancel(place(tag, environment, resource))
            }
            ["cancel", "a", "job", "that", "waits"] => Step::CancelWaiting,
            ["retry", tag, "in", environment, "on", resource] => {
                Step::Retry(place(tag, environment, resource))
            }
            ["freeze", environment, "because"] => {
                Step::Freeze { environment: (*environment).to_owned(), reason: quoted }
            }
            ["thaw"] => Step::Thaw,
            [tag, "is", "frozen", "in", environment, "on", resource] => {
                Step::Frozen(place(tag, environment, resource))
            }
            [tag, "is", status, "in", environment, "on", resource] => {
                Step::Is { place: place(tag, environment, resource), status: (*status).to_owned() }
            }
            [tag, "waits", "in", environment, "on", resource, "because"] => {
                Step::Says { place: place(tag, environment, resource), text: quoted }
            }
            [
                tag,
                "fails",
                times,
                "times",
                "in",
                environment,
                "on",
                resource,
                "after",
                "pauses",
                "of",
                pauses @ ..,
                "seconds",
            ] => {
                let pauses = pauses.iter().map(|pause| pause.parse().ok()).collect::<Option<_>>()?;
                Step::Retried { place: place(tag, environment, resource), times: times.parse().ok()?, pauses }
            }
            [tag, "is", "brought", "back", "in", environment, "on", resource] => {
                Step::BroughtBack(place(tag, environment, resource))
            }
            [tag, "is", "held", "in", environment, "on", resource, "because"] => {
                Step::HeldBack { place: place(tag, environment, resource), why: quoted }
            }
            [tag, "tells", "in", environment, "on", resource, "that"] => {
                Step::Tells { place: place(tag, environment, resource), text: quoted }
            }
            ["no", "job", "of", tag, "in", environment] => {
                Step::NoJob { tag: (*tag).to_owned(), environment: (*environment).to_owned() }
            }
            ["every", "job", "has", "ended", "with", "one", "run"] => Step::AllEnded,
            ["GitHub", "has", count, "runs"] => Step::RunCount(count.parse().ok()?),
            _ => return None,
        })
    }
}

async fn play(system: &mut System, line: &str, step: &Step) {
    let give_up = Instant::now() + WITHIN;
    let mut pushed = None;
    loop {
        system.revive().await;
        let seen = match attempt(system, step, &mut pushed).await {
            Ok(()) => return,
            Err(seen) => seen,
        };
        if Instant::now() >= give_up {
            let jobs = system.client.jobs().await;
            let logs = system.logs();
            panic!(
                "{line:?} did not come true within {WITHIN:?}.\nseen last: {seen}\njobs: {jobs:#?}\n{logs}"
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One try of a step. Actions are idempotent or say that they were done.
async fn attempt(system: &System, step: &Step, pushed: &mut Option<String>) -> Result<(), String> {
    match step {
        Step::Push(tag) => push(system, tag, pushed).await,
        Step::Runs(script) => {
            let known = system.github.set_script("acme/shop", "deploy.yml", script.clone());
            if known { Ok(()) } else { Err("the fake has no such workflow".to_owned()) }
        }
        Step::HeldRunsSucceed => {
            let ended = system.github.complete_held(&Conclusion::Success);
            if ended > 0 { Ok(()) } else { Err("no run is held".to_owned()) }
        }
        Step::LoseAnswer => {
            system.github.inject(Fault::once("POST", "*/dispatches", FaultKind::DropAfterEffect));
            Ok(())
        }
        Step::Silence => {
            system.github.set_webhook(None);
            // What was told before may still be worked on, and leads to a look of its own.
            system.has_heard().await
        }
        Step::Approve { tag, environment } => {
            let version = VersionId::of(deployment(), tag);
            let path = format!("/api/v1/workspaces/acme/deployment-versions/{version}/user-approval-records");
            let body = json!({ "status": "approved", "environmentIds": [environment_id(environment)], "reason": "a story" });
            accepted(system.client.put(&path, &body).await?)
        }
        Step::Cancel(place) => {
            // The wish may have been recorded by a service that died before it could say so.
            let job = job_at(system, place).await?;
            if job["status"] == "cancelled" || job["cancelling"] == true {
                return Ok(());
            }
            act_on(system, place, "cancel").await
        }
        Step::CancelWaiting => cancel_waiting(system).await,
        Step::Retry(place) => act_on(system, place, "retry").await,
        Step::Freeze { environment, reason } => {
            let freeze = json!({
                "kind": "Freeze",
                "metadata": { "name": "story" },
                "spec": { "selector": format!("environment.name == '{environment}'"), "reason": reason, "owner": "ann" },
            });
            let files = json!({ "workspace": "acme", "files": [{ "name": "story.json", "content": freeze.to_string() }] });
            accepted(system.client.post("/api/v1/apply", &files).await?)
        }
        Step::Thaw => {
            let path = "/api/v1/workspaces/acme/catalog/freeze/story";
            // A service that died may have deleted it before it could say so.
            match system.client.delete(path).await? {
                (404, _) => Ok(()),
                answer => accepted(answer),
            }
        }
        Step::Frozen(place) => {
            let job = job_at(system, place).await?;
            if job["reason"] == "frozen" { Ok(()) } else { Err(format!("{job:#}")) }
        }
        Step::Is { place, status } => {
            let job = job_at(system, place).await?;
            if job["status"] == **status { Ok(()) } else { Err(format!("{job:#}")) }
        }
        Step::Says { place, text } => {
            let answer = explained(system, place).await?;
            let considered = answer.pointer("/decision/considered").or(answer.get("considered"));
            let mine =
                considered.and_then(Value::as_array).into_iter().flatten().find(|v| v["tag"] == *place.tag);
            match mine {
                Some(version) if version["allowed"] == false && version.to_string().contains(text) => Ok(()),
                _ => Err(format!("{answer:#}")),
            }
        }
        Step::Retried { place, times, pauses } => {
            recovery::retried(&jobs_at(system, place).await?, *times, pauses)
        }
        Step::BroughtBack(place) => recovery::brought_back(&explained(system, place).await?, &place.tag),
        Step::HeldBack { place, why } => recovery::held(&explained(system, place).await?, &place.tag, why),
        Step::Tells { place, text } => {
            let job = job_at(system, place).await?;
            let message = job["message"].as_str().unwrap_or_default();
            if message.contains(text) { Ok(()) } else { Err(format!("{job:#}")) }
        }
        Step::NoJob { tag, environment } => {
            let jobs = system.client.jobs().await?;
            let found =
                jobs.iter().find(|job| job["version"] == **tag && job["environment"] == **environment);
            found.map_or(Ok(()), |job| Err(format!("{job:#}")))
        }
        Step::AllEnded => all_ended(system).await,
        Step::RunCount(count) => {
            let runs = system.github.runs();
            if runs.len() == *count { Ok(()) } else { Err(format!("{} runs", runs.len())) }
        }
    }
}

/// A push, delivered again by hand until it is accepted: GitHub itself never repeats a delivery.
async fn push(system: &System, tag: &str, pushed: &mut Option<String>) -> Result<(), String> {
    let status = match pushed {
        None => {
            let sent = system.github.push("acme/shop", "refs/heads/main", tag, "a change").await;
            let (guid, status) = sent.map_err(|error| error.to_string())?;
            *pushed = Some(guid);
            status
        }
        Some(guid) => system.github.redeliver(guid).await.map_err(|error| error.to_string())?,
    };
    if status == 202 { Ok(()) } else { Err(format!("the ingester answered {status}")) }
}

async fn act_on(system: &System, place: &Place, action: &str) -> Result<(), String> {
    let job = job_at(system, place).await?;
    let id = job["id"].as_str().unwrap_or_default();
    let path = format!("/api/v1/workspaces/acme/jobs/{id}/{action}");
    accepted(system.client.post(&path, &json!({})).await?)
}

/// Wishes for the end of a job that waits for a slot, and sees it end.
async fn cancel_waiting(system: &System) -> Result<(), String> {
    let jobs = system.client.jobs().await?;
    if jobs.iter().any(|job| job["status"] == "cancelled") {
        return Ok(());
    }
    if jobs.iter().any(|job| job["cancelling"] == true) {
        return Err("wished, and not over yet".to_owned());
    }
    // Always the same one: the wish may be said again before the views show it.
    let waiting = jobs.iter().filter(|job| job["reason"] == "concurrency");
    let id =
        waiting.filter_map(|job| job["id"].as_str()).min().ok_or_else(|| format!("none waits: {jobs:#?}"))?;
    accepted(system.client.post(&format!("/api/v1/workspaces/acme/jobs/{id}/cancel"), &json!({})).await?)?;
    Err("wished, and not over yet".to_owned())
}

fn accepted((status, answer): (u16, Value)) -> Result<(), String> {
    if (200..300).contains(&status) { Ok(()) } else { Err(format!("{status}: {answer}")) }
}

/// Why the target is as it is.
async fn explained(system: &System, place: &Place) -> Result<Value, String> {
    let path = format!("/api/v1/workspaces/acme/release-targets/{}/explain", target(place));
    let (status, answer) = system.client.get(&path).await?;
    if status == 200 { Ok(answer) } else { Err(format!("{status}: {answer:#}")) }
}

/// The newest job that brings it there.
async fn job_at(system: &System, place: &Place) -> Result<Value, String> {
    let jobs = jobs_at(system, place).await?;
    jobs.into_iter().next().ok_or_else(|| "no such job".to_owned())
}

/// All jobs that bring it there, newest first; those that measure what they brought are none of them.
async fn jobs_at(system: &System, place: &Place) -> Result<Vec<Value>, String> {
    let wanted = serde_json::to_value(target(place)).map_err(|error| error.to_string())?;
    let mut jobs = system.client.jobs().await?;
    jobs.retain(|job| {
        job["version"] == *place.tag && job["target"] == wanted && job["purpose"]["is"] != "verify"
    });
    Ok(jobs)
}

/// The ledger: every job is over, and every run of the platform belongs to exactly one job, each job's to one run.
async fn all_ended(system: &System) -> Result<(), String> {
    let jobs = system.client.jobs().await?;
    if jobs.is_empty() {
        return Err("no jobs at all".to_owned());
    }
    let mut runs_of: BTreeMap<String, usize> = BTreeMap::new();
    for run in system.github.runs() {
        let job = run.display_title.split_whitespace().last().unwrap_or_default().to_owned();
        *runs_of.entry(job).or_default() += 1;
    }
    for job in &jobs {
        let id = job["id"].as_str().unwrap_or_default();
        let status = job["status"].as_str().and_then(domain::job::JobStatus::parse);
        if !status.is_some_and(domain::job::JobStatus::is_terminal) {
            return Err(format!("not over: {job:#}"));
        }
        let runs = runs_of.remove(id).unwrap_or_default();
        let triggered = job.get("external").is_some_and(|external| !external.is_null());
        assert!(runs <= 1, "job {id} has {runs} runs");
        if triggered != (runs == 1) {
            return Err(format!("{runs} runs on GitHub for {job:#}"));
        }
    }
    if runs_of.is_empty() { Ok(()) } else { Err(format!("runs without a job: {runs_of:?}")) }
}

fn acme() -> Slug {
    "acme".parse().expect("a slug")
}

fn deployment() -> DeploymentId {
    DeploymentId::of(&acme(), "web")
}

fn environment_id(name: &str) -> EnvironmentId {
    EnvironmentId::of(&acme(), name)
}

fn target(place: &Place) -> TargetKey {
    TargetKey {
        deployment: deployment(),
        environment: environment_id(&place.environment),
        resource: ResourceId::of(&acme(), &place.resource),
    }
}
