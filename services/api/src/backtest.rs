//! Back-tests: the history of a workspace is read from the bus and replayed through proposed policies. Nothing is
//! written.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use bus::topology::{CATALOG, JOBS};
use bus::{Bus, Change, FollowSource, clock, replay};
use domain::Timestamp;
use domain::backtest::{CatalogMoment, Limits, Past, Question, Reading, Report, backtest};
use domain::entity::{Entity, Policy, Record};
use domain::manifest::Ids;
use domain::token::Slug;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::context::App;
use crate::documents::{self, File};
use crate::problem::{Fault, Problem};

/// Who says what files leave open: no policy is told by it.
const NOBODY: &str = "nobody";
/// What it takes in is all in memory at once. Clients wait a little longer than it may take.
const LIMITS: Limits = Limits { facts: 1_000_000, changes: 1_000_000, bytes: 512 << 20, seconds: 100 };

/// What is to be tried.
#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    /// One text, files with `name` and `content` as `apply` takes them, or documents.
    manifests: Value,
    /// An instant (RFC 3339), or that many seconds ago.
    since: Value,
}

/// Tries the proposed policies on the history of the workspace. One at a time in a process.
pub(crate) async fn run(app: &App, workspace: Slug, request: Request) -> Result<Report, Problem> {
    let deadline = Instant::now() + Duration::from_secs(LIMITS.seconds);
    let now = clock::now();
    let since = since(&request.since, now)?;
    let permit = Arc::clone(&app.backtests).try_acquire_owned().map_err(|_none_left| {
        let detail = "another back-test is running; try again when it is done";
        Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
    })?;
    let files = files(request.manifests)?;
    let reading = {
        let (app, workspace) = (app.clone(), workspace.clone());
        tokio::task::spawn_blocking(move || proposed(&app.catalog, &files, &workspace))
    };
    let policies = reading.await.map_err(|panicked| Problem::internal(&panicked))??;
    let reading = Reading::of(since, now, LIMITS);
    let reading = timeout_at(deadline, read(&app.bus, &workspace, reading));
    let past = reading.await.map_err(|_elapsed| too_long())??;
    let decisions = app.decisions.of(&workspace);
    let question = Question { workspace, policies, since, until: now };
    let replaying = tokio::task::spawn_blocking(move || {
        // Nobody can stop this thread: it is the only one until it is done, whoever still waits for it.
        let _permit = permit;
        let past = past.remembering(decisions.iter().map(AsRef::as_ref));
        backtest(past, &question, &mut || Instant::now() < deadline)
    });
    replaying.await.map_err(|panicked| Problem::internal(&panicked))
}

/// An instant, or that many seconds ago.
fn since(asked: &Value, now: Timestamp) -> Result<Timestamp, Problem> {
    let wrong = |why: &str| Problem::invalid_field("since", why);
    let seconds = match asked {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => match text.parse::<Timestamp>() {
            Ok(at) if at > now => return Err(wrong("is in the future")),
            Ok(at) => return Ok(at),
            Err(_) => text.parse().ok(),
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let seconds =
        seconds.ok_or_else(|| wrong("must be an instant (RFC 3339), or that many whole seconds ago"))?;
    now.checked_sub_signed(seconds_of(seconds)).ok_or_else(|| wrong("is before all history"))
}

fn seconds_of(seconds: u64) -> domain::TimeDelta {
    i64::try_from(seconds).ok().and_then(domain::TimeDelta::try_seconds).unwrap_or(domain::TimeDelta::MAX)
}

/// The files, however they were sent.
fn files(manifests: Value) -> Result<Vec<File>, Problem> {
    let items = match manifests {
        Value::String(text) => return Ok(vec![File::new("manifests", text)]),
        Value::Array(items) => items,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return Err(Problem::invalid_field(
                "manifests",
                "must be a text, or a list of files or documents",
            ));
        }
    };
    let file = |(index, item): (usize, Value)| {
        if item.get("kind").is_some() {
            return Ok(File::new(format!("manifests[{index}]"), item.to_string()));
        }
        serde_json::from_value(item).map_err(|error| {
            Problem::invalid_field(&format!("manifests[{index}]"), format!("is no file: {error}"))
        })
    };
    items.into_iter().enumerate().map(file).collect()
}

/// The policies of the files, or every mistake in them.
fn proposed(ids: &dyn Ids, files: &[File], workspace: &Slug) -> Result<Vec<Record<Policy>>, Problem> {
    let mut faults = Vec::new();
    let mut policies = Vec::new();
    for located in documents::read(ids, files, Some(workspace), NOBODY).map_err(refused)? {
        if located.entity.meta().workspace != *workspace {
            let message = format!("is another workspace than {workspace}, whose past this is about");
            faults.push(located.fault("metadata.workspace", message));
        } else if let Entity::Policy(policy) = located.entity {
            policies.push(policy);
        } else {
            faults.push(located.fault("kind", "only policies can be tried on the past"));
        }
    }
    if !faults.is_empty() {
        return Err(refused(faults));
    }
    if policies.is_empty() {
        return Err(Problem::invalid("the manifests propose no policy"));
    }
    Ok(policies)
}

fn refused(faults: Vec<Fault>) -> Problem {
    let count = faults.len();
    let errors = if count == 1 { "1 error".to_owned() } else { format!("{count} errors") };
    Problem::invalid(format!("{errors}; nothing was tried")).with(faults)
}

/// What is kept of the workspace, as far as it is wanted. Facts first: the catalog that led to them is there when it is
/// read.
async fn read(bus: &Bus, workspace: &Slug, mut reading: Reading) -> Result<Past, Problem> {
    let source = FollowSource::Stream(&JOBS, Some(format!("ctrlplane.job.{workspace}.>")));
    let on = |change: Change| match change {
        Change::Put { key, sequence, payload, published_at, .. } => {
            reading.fact(published_at, sequence, &key, &payload)
        }
        // Facts are never deleted, they grow old.
        Change::Delete { .. } | Change::CaughtUp { .. } => ControlFlow::Continue(()),
    };
    replay(bus, source, on).await?;
    let source = FollowSource::Bucket(&CATALOG, Some(format!("{workspace}.>")));
    let on = |change: Change| {
        let (at, revision, key, value) = match change {
            Change::Put { key, sequence, payload, published_at, .. } => {
                (published_at, sequence, key, Some(payload.to_vec()))
            }
            Change::Delete { key, sequence, published_at } => (published_at, sequence, key, None),
            Change::CaughtUp { .. } => return ControlFlow::Continue(()),
        };
        reading.change(CatalogMoment { at, revision, key, value })
    };
    replay(bus, source, on).await?;
    let kept = usize::try_from(CATALOG.history).unwrap_or(usize::MAX);
    Ok(reading.finish(kept))
}

fn too_long() -> Problem {
    let detail = format!("the bus did not tell the history within {} seconds", LIMITS.seconds);
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::manifest::OfNames;
    use serde_json::json;

    #[test]
    fn since_is_an_instant_or_seconds_ago() {
        let now: Timestamp = "2026-03-02T10:00:00Z".parse().unwrap();
        let ago: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        for asked in [json!("2026-03-02T10:00:00+01:00"), json!(3600), json!("3600")] {
            assert_eq!(since(&asked, now), Ok(ago), "{asked}");
        }
        for wrong in [
            json!("2026-03-02T10:00:01Z"),
            json!("yesterday"),
            json!("30d"),
            json!(-1),
            json!(1.5),
            json!(null),
            json!(u64::MAX),
        ] {
            assert!(since(&wrong, now).is_err(), "{wrong}");
        }
    }

    #[test]
    fn manifests_come_as_text_as_files_or_as_documents() {
        let policy =
            json!({ "kind": "Policy", "metadata": { "name": "gate" }, "spec": { "selector": "true" } });
        let text = policy.to_string();
        let acme: Slug = "acme".parse().unwrap();
        for sent in [json!(text), json!([{ "name": "a.yaml", "content": text }]), json!([policy])] {
            let policies = proposed(&OfNames, &files(sent.clone()).unwrap(), &acme).unwrap();
            assert_eq!((policies.len(), policies[0].meta.name.as_str()), (1, "gate"), "{sent}");
        }
        for wrong in [json!(3), json!([3]), json!([{ "name": "a.yaml" }]), json!(null)] {
            assert!(files(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
