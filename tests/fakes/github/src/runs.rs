//! The life of a workflow run: dispatched, queued, running, waiting, cancelled, finished, re-run.
//! Each transition announces itself through `hooks`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};

use crate::auth::Caller;
use crate::model::{Conclusion, Job, Run, Status};
use crate::reply::Reply;
use crate::script::Ending;
use crate::shared::{RUNS_KEPT, Record, State};
use crate::timers::Timer;

/// GitHub refuses more attempts than this.
const ATTEMPTS_MAX: u32 = 50;

/// A dispatch that was understood.
pub(crate) struct Dispatch {
    pub(crate) git_ref: String,
    pub(crate) inputs: BTreeMap<String, String>,
    pub(crate) traceparent: Option<String>,
    pub(crate) received: Instant,
}

impl State {
    /// Starts a run; its id, or why not.
    pub(crate) fn dispatch(
        &mut self,
        caller: &Caller,
        (owner, name, workflow): (&str, &str, &str),
        dispatch: Dispatch,
    ) -> Result<u64, Reply> {
        let now = self.now();
        let repo = self.repo(caller, owner, name)?;
        let full_name = format!("{}/{}", repo.owner, repo.name);
        let short = short_ref(&dispatch.git_ref).to_owned();
        let ref_exists = repo.refs.is_empty() || repo.refs.contains(&short);
        let head_sha = repo.head(&short);
        let found = repo.workflow(workflow)?;
        caller.may_write_actions()?;
        if found.options.disabled {
            return Err(Reply::unprocessable("Cannot trigger a 'workflow_dispatch' on a disabled workflow"));
        }
        if !ref_exists {
            return Err(Reply::unprocessable(format!("No ref found for: {}", dispatch.git_ref)));
        }
        let declared = &found.options.declared_inputs;
        let unexpected: Vec<&String> = dispatch.inputs.keys().filter(|k| !declared.contains(*k)).collect();
        if !unexpected.is_empty() {
            let list =
                serde_json::to_string(&unexpected).expect("strings are JSON").replace("\",\"", "\", \"");
            return Err(Reply::unprocessable(format!("Unexpected inputs provided: {list}")));
        }
        found.runs += 1;
        let run_number = found.runs;
        let job_id = dispatch.inputs.get(&found.options.job_id_input);
        let display_title = match job_id.filter(|_| found.options.run_name_has_job_id) {
            Some(job_id) => format!("{} {job_id}", found.place.workflow_name),
            None => found.place.workflow_name.clone(),
        };
        let plan = found.options.script.plan_for(&short, &dispatch.inputs, 1);
        let place = Arc::clone(&found.place);

        let id = self.next_run_id;
        self.next_run_id += 1;
        let run = Run {
            id,
            repo: full_name,
            workflow: place.workflow_file.clone(),
            git_ref: short,
            inputs: dispatch.inputs,
            display_title,
            status: Status::Queued,
            conclusion: None,
            run_attempt: 1,
            run_number,
            head_sha,
            created_at: now,
            updated_at: now,
            run_started_at: now,
            dispatch_received_at: now,
            dispatch_received: dispatch.received,
            traceparent: dispatch.traceparent,
            job: self.new_job(),
            place,
        };
        if self.runs.len() >= RUNS_KEPT {
            self.runs.pop_first();
        }
        let visible_at = Instant::now() + self.options.search_visible_after;
        self.dispatches += 1;
        self.runs.insert(id, Record { run, plan, epoch: 0, visible_at, earlier: Vec::new() });
        self.queue(id);
        Ok(id)
    }

    /// The run if the caller may see it.
    pub(crate) fn run(
        &mut self,
        caller: &Caller,
        owner: &str,
        name: &str,
        id: u64,
    ) -> Result<&mut Record, Reply> {
        let repo = self.repo(caller, owner, name)?;
        let full_name = format!("{}/{}", repo.owner, repo.name);
        self.runs.get_mut(&id).filter(|r| r.run.repo == full_name).ok_or_else(Reply::not_found)
    }

    /// The cancel of a run the caller may see; takes effect a little later.
    pub(crate) fn cancel(&mut self, id: u64, force: bool) -> Reply {
        let takes = self.options.cancel_takes;
        let Some(record) = self.runs.get_mut(&id) else { return Reply::not_found() };
        if record.run.is_completed() {
            let message = "Cannot cancel a workflow run that is completed.";
            return Reply::error(StatusCode::CONFLICT, message);
        }
        if force || !record.plan.ignores_cancel {
            record.epoch += 1;
            let (epoch, conclusion) = (record.epoch, Conclusion::Cancelled);
            self.timers.set(takes, Timer::Finish { run: id, epoch, conclusion });
        }
        Reply::json(StatusCode::ACCEPTED, json!({}))
    }

    /// Another attempt under the same id.
    pub(crate) fn rerun(&mut self, id: u64, failed_only: bool) -> Reply {
        let now = self.now();
        let job = self.new_job();
        let Some(record) = self.runs.get_mut(&id) else { return Reply::not_found() };
        if !record.run.is_completed() {
            return Reply::forbidden("This workflow is already running");
        }
        if failed_only && record.run.conclusion == Some(Conclusion::Success) {
            return Reply::forbidden("This workflow run has no failed jobs to re-run");
        }
        if record.run.run_attempt >= ATTEMPTS_MAX {
            return Reply::forbidden("Unable to retry this workflow run because it was retried too often");
        }
        record.earlier.push(record.run.clone());
        record.epoch += 1;
        let attempt = record.run.run_attempt + 1;
        let run = &mut record.run;
        (run.run_attempt, run.run_started_at, run.updated_at) = (attempt, now, now);
        (run.status, run.conclusion, run.job) = (Status::Queued, None, job);
        let place = &run.place;
        let key = crate::shared::key(&place.owner, &place.name);
        let workflows = self.repos.get(&key).map(|r| &r.workflows);
        let workflow = workflows.and_then(|all| all.iter().find(|w| w.options.file == run.workflow));
        if let Some(workflow) = workflow {
            record.plan = workflow.options.script.plan_for(&run.git_ref, &run.inputs, attempt);
        }
        self.queue(id);
        Reply::json(StatusCode::CREATED, json!({}))
    }

    /// Announces a queued run and lets it start when its plan says so.
    fn queue(&mut self, id: u64) {
        self.emit(id, "workflow_run", "requested");
        self.emit(id, "workflow_job", "queued");
        if let Some(record) = self.runs.get(&id) {
            let (queue, epoch) = (record.plan.queue, record.epoch);
            self.timers.set(queue, Timer::Start { run: id, epoch });
        }
    }

    /// The queue delay is over.
    pub(crate) fn start(&mut self, id: u64, epoch: u64) {
        let Some(record) = self.runs.get(&id).filter(|r| r.epoch == epoch) else { return };
        let (ending, takes) = (record.plan.ending.clone(), record.plan.run);
        match ending {
            Ending::HoldQueued => {}
            Ending::Hold => self.enter(id, Status::InProgress, None),
            Ending::AwaitApproval => self.enter(id, Status::Waiting, None),
            Ending::Finish(conclusion) => {
                self.enter(id, Status::InProgress, None);
                self.finish_later(id, epoch, conclusion, takes);
            }
        }
    }

    fn finish_later(&mut self, run: u64, epoch: u64, conclusion: Conclusion, after: Duration) {
        if after.is_zero() {
            self.finish_planned(run, epoch, conclusion);
        } else {
            self.timers.set(after, Timer::Finish { run, epoch, conclusion });
        }
    }

    pub(crate) fn finish_planned(&mut self, id: u64, epoch: u64, conclusion: Conclusion) {
        if self.runs.get(&id).is_some_and(|r| r.epoch == epoch) {
            self.enter(id, Status::Completed, Some(conclusion));
        }
    }

    /// A reviewer approved a waiting run: it runs on and succeeds. `false` if it was not waiting.
    pub(crate) fn approve(&mut self, id: u64) -> bool {
        let waiting = |r: &&mut Record| r.run.status == Status::Waiting;
        let Some(record) = self.runs.get_mut(&id).filter(waiting) else { return false };
        record.epoch += 1;
        let (epoch, takes) = (record.epoch, record.plan.run);
        self.enter(id, Status::InProgress, None);
        self.finish_later(id, epoch, Conclusion::Success, takes);
        true
    }

    /// Puts a run into a state by hand; what was planned for it is void.
    pub(crate) fn put(&mut self, id: u64, status: Status, conclusion: Option<Conclusion>) -> bool {
        let Some(record) = self.runs.get_mut(&id) else { return false };
        record.epoch += 1;
        self.enter(id, status, conclusion);
        true
    }

    fn enter(&mut self, id: u64, status: Status, conclusion: Option<Conclusion>) {
        let now = self.now();
        let Some(record) = self.runs.get_mut(&id) else { return };
        let run = &mut record.run;
        run.updated_at = now;
        match status {
            Status::InProgress => run.job.started_at = Some(run.job.started_at.unwrap_or(now)),
            Status::Completed => run.job.completed_at = Some(now),
            Status::Requested | Status::Queued | Status::Pending | Status::Waiting | Status::Other(_) => {}
        }
        (run.status, run.conclusion) = (status.clone(), conclusion);
        match status {
            Status::Requested => self.emit(id, "workflow_run", "requested"),
            Status::Queued | Status::Pending => self.emit(id, "workflow_job", "queued"),
            Status::Waiting => self.emit(id, "workflow_job", "waiting"),
            Status::InProgress | Status::Other(_) => {
                self.emit(id, "workflow_run", "in_progress");
                self.emit(id, "workflow_job", "in_progress");
            }
            Status::Completed => {
                self.emit(id, "workflow_job", "completed");
                self.emit(id, "workflow_run", "completed");
            }
        }
    }

    fn new_job(&mut self) -> Job {
        let id = self.next_job_id;
        self.next_job_id += 1;
        Job { id, started_at: None, completed_at: None }
    }
}

impl Dispatch {
    /// Reads the body of `POST …/dispatches` as GitHub validates it.
    pub(crate) fn parse(
        body: &[u8],
        returns_run_details: bool,
        traceparent: Option<String>,
        received: Instant,
    ) -> Result<(Self, bool), Reply> {
        let bad = |message: &str| Reply::error(StatusCode::BAD_REQUEST, message);
        let body: Value = serde_json::from_slice(body).map_err(|_| bad("Problems parsing JSON"))?;
        let body = body.as_object().ok_or_else(|| bad("Body should be a JSON object"))?;
        let invalid = |what: String| Reply::unprocessable(format!("Invalid request.\n\n{what}"));
        let known =
            |key: &str| matches!(key, "ref" | "inputs") || key == "return_run_details" && returns_run_details;
        if let Some(key) = body.keys().find(|key| !known(key)) {
            return Err(invalid(format!("\"{key}\" is not a permitted key.")));
        }
        let git_ref = body.get("ref").ok_or_else(|| invalid("\"ref\" wasn't supplied.".to_owned()))?;
        let git_ref =
            git_ref.as_str().ok_or_else(|| invalid(format!("For 'ref', {git_ref} is not a string.")))?;
        let inputs = match body.get("inputs") {
            None | Some(Value::Null) => BTreeMap::new(),
            Some(Value::Object(inputs)) => inputs.iter().map(|(k, v)| (k.clone(), input_text(v))).collect(),
            Some(other) => return Err(invalid(format!("For 'inputs', {other} is not an object."))),
        };
        let inputs_max = if returns_run_details { 25 } else { 10 };
        if inputs.len() > inputs_max {
            let sent = inputs.len();
            return Err(invalid(format!(
                "No more than {inputs_max} properties are allowed; {sent} were supplied."
            )));
        }
        let wants_details = match body.get("return_run_details") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(wants)) => *wants,
            Some(other) => {
                return Err(invalid(format!("For 'return_run_details', {other} is not a boolean.")));
            }
        };
        Ok((Self { git_ref: git_ref.to_owned(), inputs, traceparent, received }, wants_details))
    }
}

/// Inputs are strings to a workflow, whatever they were on the wire.
fn input_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `main` of `refs/heads/main`.
pub(crate) fn short_ref(git_ref: &str) -> &str {
    git_ref.strip_prefix("refs/heads/").or_else(|| git_ref.strip_prefix("refs/tags/")).unwrap_or(git_ref)
}
