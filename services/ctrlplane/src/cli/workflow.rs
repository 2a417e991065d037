//! `ctrlplane workflow`: begin a run, follow it, list runs, show one, cancel one.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::feed::{Feed, News};
use super::output::{self, Format};
use super::progress::Progress;
use super::session::Session;
use super::table::Table;
use super::wishes;
use super::words::{ago, one_line, plain, short, text_at, time_at};
use super::workflow_args::{CancelArgs, RunArgs, RunsArgs, ShowArgs};

/// How often a run is looked at without news of its jobs.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Between news and the look at it: a job's end is shown before the next is asked for.
const PAUSE: Duration = Duration::from_millis(200);
const WHY_CHARS: usize = 60;

/// `ctrlplane workflow run`
pub(super) async fn run(session: &Session, args: &RunArgs) -> Result<(), Failure> {
    let workflow = session.get(&["workflows", &args.workflow], &[]).await?;
    let inputs = inputs(&workflow, &args.input)?;
    let workflow_id = text_at(&workflow, "/id");
    let path = session.below(&["workflows", &workflow_id, "runs"]).await?;
    let run = session.api.send_json(Method::POST, &path, &[], &json!({ "inputs": inputs })).await?;
    let id = text_at(&run, "/id");
    wishes::told(session, &run, &format!("workflow-run/{id}"), "begun")?;
    if !args.wait {
        return Ok(());
    }
    let mut following = Following { session, id: &id, told: BTreeMap::new(), progress: Progress::new() };
    let ended = tokio::time::timeout(args.timeout, following.until_over()).await;
    match ended {
        Ok(ended) => ended,
        Err(_elapsed) => Err(Failure::NotYet(format!("not over within {} s", args.timeout.as_secs()))),
    }
}

/// The inputs as the workflow's types have them: texts as they are, all else as JSON.
fn inputs(workflow: &Value, given: &[(String, String)]) -> Result<Map<String, Value>, Failure> {
    let declared: BTreeMap<String, String> = workflow["inputs"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|input| (text_at(input, "/key"), text_at(input, "/type")))
        .collect();
    let mut inputs = Map::new();
    for (key, text) in given {
        let value = match declared.get(key).map(String::as_str) {
            // What is not declared is refused by the API, with what there is.
            None | Some("string") => Value::String(text.clone()),
            Some(kind) => serde_json::from_str(text).map_err(|error| {
                Failure::Usage(format!("input {key} is of the type {kind} and written as JSON: {error}"))
            })?,
        };
        inputs.insert(key.clone(), value);
    }
    Ok(inputs)
}

struct Following<'a> {
    session: &'a Session,
    id: &'a str,
    told: BTreeMap<String, String>,
    progress: Progress,
}

impl Following<'_> {
    async fn until_over(&mut self) -> Result<(), Failure> {
        let mut feed = Feed::open(self.session, Vec::new()).await?;
        loop {
            match self.session.get(&["workflow-runs", self.id], &[]).await {
                Ok(run) => {
                    self.tell(&run);
                    if let Some(ended) = ended(&run) {
                        if ended.is_ok() {
                            self.progress.say("the run ended: successful");
                        }
                        return ended;
                    }
                }
                // Live events tell the loss; the next look may work.
                Err(Failure::Unreachable(_)) => {}
                Err(other) => return Err(other),
            }
            match tokio::time::timeout(LOOK_AGAIN, mine(&mut feed, self.id)).await {
                Ok(Ok(())) => tokio::time::sleep(PAUSE).await,
                Ok(Err(failure)) => return Err(failure),
                Err(_time_to_look) => {}
            }
        }
    }

    fn tell(&mut self, run: &Value) {
        for job in run["jobs"].as_array().into_iter().flatten() {
            let (name, status) = (text_at(job, "/name"), text_at(job, "/status"));
            if status == "waiting" || self.told.get(&name) == Some(&status) {
                continue;
            }
            let why = text_at(job, "/why") + &text_at(job, "/message");
            let why = if why.is_empty() { why } else { format!(": {why}") };
            self.progress.say(&one_line(&format!("{name} {status}{why}")));
            self.told.insert(name, status);
        }
    }
}

/// Returns when a job of the run changed.
async fn mine(feed: &mut Feed<'_>, run: &str) -> Result<(), Failure> {
    loop {
        match feed.next().await? {
            News::Job(job, _) if job.purpose.run().is_some_and(|of| of.to_string() == run) => return Ok(()),
            News::Job(..) | News::Live | News::Back => {}
            News::Lost(why) => eprintln!("the connection is lost, trying again: {why}"),
        }
    }
}

/// How it ended, if it has.
fn ended(run: &Value) -> Option<Result<(), Failure>> {
    match text_at(run, "/status").as_str() {
        "successful" => Some(Ok(())),
        word @ ("failure" | "cancelled") => {
            let bad = run["jobs"].as_array().into_iter().flatten();
            let bad = bad.filter(|job| !matches!(text_at(job, "/status").as_str(), "successful" | "skipped"));
            let lines: String = bad
                .map(|job| {
                    let (name, status) = (text_at(job, "/name"), text_at(job, "/status"));
                    let more = [text_at(job, "/message"), text_at(job, "/links/run")].join(" ");
                    format!("\n  {}", one_line(&format!("{name} {status} {more}")))
                })
                .collect();
            Some(Err(Failure::RolloutFailed(format!("the run ended: {word}{lines}"))))
        }
        _ => None,
    }
}

/// `ctrlplane workflow runs`
pub(super) async fn runs(session: &Session, args: &RunsArgs) -> Result<(), Failure> {
    let limit = args.limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(args.workflow.as_deref().map(|workflow| ("workflow", workflow)));
    query.extend(args.status.as_deref().map(|status| ("status", status)));
    let answer = session.get(&["workflow-runs"], &query).await?;
    let items = || answer["items"].as_array().into_iter().flatten();
    match session.format {
        Format::Json => output::json(&answer),
        Format::Yaml => output::yaml(&answer["items"]),
        Format::Name => output::print(
            &items().map(|run| format!("workflow-run/{}\n", text_at(run, "/id"))).collect::<String>(),
        ),
        Format::Table => {
            let now = bus::clock::now();
            let mut table = Table::new(["RUN", "WORKFLOW", "STATUS", "JOBS", "BEGUN BY", "AGE"]);
            for run in items() {
                table.row([
                    text_at(run, "/id"),
                    text_at(run, "/workflowName"),
                    text_at(run, "/status"),
                    format!("{}/{}", text_at(run, "/jobsOver"), text_at(run, "/jobCount")),
                    text_at(run, "/begunBy/user") + &text_at(run, "/begunBy/trigger/name"),
                    time_at(run, "/at").map(|at| ago(at, now)).unwrap_or_default(),
                ]);
            }
            let text = table.render();
            if text.is_empty() {
                eprintln!("there is none");
            }
            output::print(&text)
        }
    }
}

/// `ctrlplane workflow show`
pub(super) async fn show(session: &Session, args: &ShowArgs) -> Result<(), Failure> {
    let run = session.get(&["workflow-runs", &args.run], &[]).await?;
    match session.format {
        Format::Json => output::json(&run),
        Format::Yaml => output::yaml(&run),
        Format::Name => output::line(&format!("workflow-run/{}", text_at(&run, "/id"))),
        Format::Table => {
            let head = format!(
                "{} {}: {}\n",
                text_at(&run, "/workflowName"),
                text_at(&run, "/id"),
                text_at(&run, "/status")
            );
            let mut table = Table::new(["JOB", "STATUS", "NEEDS", "PLATFORM", "ID", "WHY"]);
            for job in run["jobs"].as_array().into_iter().flatten() {
                let needs = job["needs"].as_array().into_iter().flatten();
                let needs: Vec<String> = needs.map(|need| text_at(need, "/name")).collect();
                table.row([
                    text_at(job, "/name"),
                    text_at(job, "/status"),
                    needs.join(","),
                    text_at(job, "/platform"),
                    text_at(job, "/id"),
                    short(&(text_at(job, "/why") + &text_at(job, "/message")), WHY_CHARS),
                ]);
            }
            output::print(&format!("{}{}", plain(&head), table.render()))
        }
    }
}

/// `ctrlplane workflow cancel`
pub(super) async fn cancel(session: &Session, args: &CancelArgs) -> Result<(), Failure> {
    let path = session.below(&["workflow-runs", &args.run, "cancel"]).await?;
    let body = wishes::body(json!({ "reason": args.reason }));
    let answer = session.api.send_json(Method::POST, &path, &[], &body).await?;
    let name = format!("workflow-run/{}", text_at(&answer, "/id"));
    wishes::told(session, &answer, &name, &text_at(&answer, "/message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_have_the_types_of_the_workflow() {
        let workflow = json!({ "inputs": [{ "key": "tag", "type": "string" }, { "key": "n", "type": "number" },
            { "key": "all", "type": "array" }] });
        let given = |pairs: &[(&str, &str)]| {
            let pairs: Vec<(String, String)> =
                pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            inputs(&workflow, &pairs).map(Value::Object)
        };
        assert_eq!(
            given(&[("tag", "3"), ("n", "3"), ("all", "[\"a\"]")]),
            Ok(json!({ "tag": "3", "n": 3, "all": ["a"] }))
        );
        assert!(matches!(given(&[("n", "three")]), Err(Failure::Usage(said)) if said.contains("number")));
    }

    #[test]
    fn the_exit_says_how_a_run_ended() {
        let run = |status: &str| json!({ "status": status, "jobs": [{ "name": "a", "status": "failure" }] });
        assert_eq!(ended(&run("inProgress")), None);
        assert_eq!(ended(&run("cancelling")), None);
        for bad in ["failure", "cancelled"] {
            assert!(
                matches!(ended(&run(bad)), Some(Err(Failure::RolloutFailed(said))) if said.contains("a failure"))
            );
        }
    }
}
