//! The life of a pipeline: started, queued, running, waiting for a person, cancelled, over, retried.
//! Each transition announces itself through `hooks`.

use std::collections::BTreeMap;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use crate::gate::Caller;
use crate::hooks::Event;
use crate::model::{Job, Pipeline, is_over};
use crate::options::JobSpec;
use crate::reply::Reply;
use crate::script::Ending;
use crate::shared::{Record, State};
use crate::timers::Timer;

/// A start that was understood.
pub(crate) struct Start {
    pub(crate) git_ref: String,
    pub(crate) source: &'static str,
    pub(crate) inputs: Map<String, Value>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) traceparent: Option<String>,
}

const NO_INPUTS: &str = "Given inputs not defined in the `spec` section of the included configuration file";

impl State {
    /// Starts a pipeline; its id, or why not.
    pub(crate) fn start(&mut self, caller: &Caller, project: &str, start: Start) -> Result<u64, Reply> {
        let (project_id, project) = self.project(caller, project)?;
        let project = project.clone();
        if !project.refs.is_empty() && !project.refs.contains(&start.git_ref) {
            return Err(Reply::base("Reference not found"));
        }
        if !start.variables.is_empty() && !project.takes_variables {
            return Err(Reply::base("Insufficient permissions to set pipeline variables"));
        }
        let unknown: Vec<&String> =
            start.inputs.keys().filter(|name| !project.inputs.contains(name)).collect();
        if project.inputs.is_empty() && !unknown.is_empty() {
            return Err(Reply::base(NO_INPUTS));
        }
        if let Some(name) = unknown.first() {
            return Err(Reply::base(format!("unknown input arguments: `{name}`")));
        }
        if project.jobs.is_empty() {
            return Err(Reply::base(
                "Pipeline will not run for the selected trigger. The rules configuration prevented any jobs from being added to the pipeline.",
            ));
        }
        let name = project.named_after.as_ref().and_then(|after| {
            let input = start.inputs.get(after).and_then(Value::as_str).map(str::to_owned);
            input.or_else(|| start.variables.get(after).cloned())
        });
        let plan = project.script.plan_for(&start.inputs, 1);
        let id = self.make(project_id, &project.path, start, name, &project.jobs);
        self.starts += 1;
        if let Some(record) = self.pipelines.get_mut(&id) {
            record.plan = plan;
        }
        self.queue(id);
        Ok(id)
    }

    fn make(
        &mut self,
        project_id: u64,
        project: &str,
        start: Start,
        name: Option<String>,
        jobs: &[JobSpec],
    ) -> u64 {
        let (now, id) = (self.now(), self.id());
        let mut made = Vec::new();
        for spec in jobs {
            let downstream = spec.child.as_ref().map(|child| {
                let jobs: Vec<JobSpec> = child.iter().map(|name| JobSpec::new(name)).collect();
                let start = Start {
                    git_ref: start.git_ref.clone(),
                    source: "parent_pipeline",
                    inputs: Map::new(),
                    variables: BTreeMap::new(),
                    traceparent: None,
                };
                self.make(project_id, project, start, None, &jobs)
            });
            made.push(Job {
                id: self.id(),
                name: spec.name.clone(),
                stage: spec.name.clone(),
                status: "created".to_owned(),
                allow_failure: spec.allow_failure,
                failure_reason: None,
                retried: false,
                is_bridge: spec.child.is_some(),
                downstream,
                created_at: now,
                started_at: None,
                finished_at: None,
            });
        }
        let Start { git_ref, source, inputs, variables, traceparent } = start;
        let pipeline = Pipeline {
            id,
            iid: id % 100_000,
            project_id,
            project: project.to_owned(),
            git_ref,
            source,
            name: name.map(|name| format!("deploy {name}")),
            status: "created".to_owned(),
            variables,
            inputs,
            jobs: made,
            created_at: now,
            updated_at: now,
            started_at: None,
            finished_at: None,
            traceparent,
        };
        let plan = crate::Plan::new(Ending::HoldQueued);
        let visible_at = Instant::now() + self.options.search_visible_after;
        self.pipelines.insert(id, Record { pipeline, plan, epoch: 0, visible_at });
        id
    }

    /// Lets a pipeline begin when its plan says so.
    fn queue(&mut self, id: u64) {
        let Some(record) = self.pipelines.get_mut(&id) else { return };
        record.epoch += 1;
        let (epoch, after) = (record.epoch, record.plan.queue);
        self.enter(id, "pending");
        self.timers.set(after, Timer::Start { run: id, epoch });
    }

    /// The queue delay is over.
    pub(crate) fn start_planned(&mut self, id: u64, epoch: u64) {
        let Some(record) = self.pipelines.get(&id).filter(|record| record.epoch == epoch) else { return };
        let (ending, takes) = (record.plan.ending.clone(), record.plan.run);
        match ending {
            Ending::HoldQueued => {}
            Ending::Hold => self.enter(id, "running"),
            Ending::Manual => self.enter(id, "manual"),
            Ending::Finish(status) => {
                self.enter(id, "running");
                if takes.is_zero() {
                    self.finish_planned(id, epoch, &status);
                } else {
                    self.timers.set(takes, Timer::Finish { run: id, epoch, status });
                }
            }
        }
    }

    pub(crate) fn finish_planned(&mut self, id: u64, epoch: u64, status: &str) {
        if self.pipelines.get(&id).is_some_and(|record| record.epoch == epoch) {
            self.enter(id, status);
        }
    }

    /// The wish to end a pipeline; what is over stays as it is.
    pub(crate) fn cancel(&mut self, id: u64) {
        let takes = self.options.cancel_takes;
        let Some(record) = self.pipelines.get_mut(&id).filter(|record| !record.pipeline.is_over()) else {
            return;
        };
        record.epoch += 1;
        let (epoch, ignores) = (record.epoch, record.plan.ignores_cancel);
        self.enter(id, "canceling");
        if !ignores {
            let status = "canceled".to_owned();
            self.timers.set(takes, Timer::Finish { run: id, epoch, status });
        }
    }

    /// A job in `canceling` ends without its clean-up; its pipeline ends with its last job.
    pub(crate) fn force_cancel(&mut self, job: u64) {
        let Some((id, at)) = self.find_job(job) else { return };
        let Some(record) = self.pipelines.get_mut(&id) else { return };
        record.pipeline.jobs[at].status = "canceled".to_owned();
        if !record.pipeline.latest().any(|job| job.status == "canceling") {
            record.epoch += 1;
            self.enter(id, "canceled");
        }
    }

    /// Another attempt of what failed or was cancelled.
    pub(crate) fn retry(&mut self, id: u64) {
        let Some(record) = self.pipelines.get(&id) else { return };
        let again = |job: &&Job| matches!(job.status.as_str(), "failed" | "canceled");
        let jobs: Vec<u64> = record.pipeline.latest().filter(again).map(|job| job.id).collect();
        if jobs.is_empty() {
            return;
        }
        for job in jobs {
            self.clone_job(id, job);
        }
        self.run_again(id);
    }

    /// Another attempt of one job; the new job's id, or why not.
    pub(crate) fn retry_job(&mut self, job: u64) -> Result<u64, Reply> {
        let (id, at) = self.find_job(job).ok_or_else(Reply::not_found)?;
        let found = &self.pipelines[&id].pipeline.jobs[at];
        if found.retried || !matches!(found.status.as_str(), "success" | "failed" | "canceled") {
            return Err(Reply::forbidden(" - Job is not retryable"));
        }
        let made = self.clone_job(id, job);
        self.run_again(id);
        Ok(made)
    }

    /// Somebody starts a manual job: the pipeline goes on to success.
    pub(crate) fn play(&mut self, job: u64) -> Result<(), Reply> {
        let (id, at) = self.find_job(job).ok_or_else(Reply::not_found)?;
        let record = self.pipelines.get_mut(&id).ok_or_else(Reply::not_found)?;
        if record.pipeline.jobs[at].status != "manual" {
            let status = http::StatusCode::BAD_REQUEST;
            return Err(Reply::message(status, "400 Bad request - Unplayable Job"));
        }
        record.pipeline.jobs[at].status = "pending".to_owned();
        record.epoch += 1;
        self.enter(id, "running");
        self.enter(id, "success");
        Ok(())
    }

    fn clone_job(&mut self, pipeline: u64, job: u64) -> u64 {
        let (id, now) = (self.id(), self.now());
        let Some(record) = self.pipelines.get_mut(&pipeline) else { return id };
        let jobs = &mut record.pipeline.jobs;
        let Some(old) = jobs.iter_mut().find(|other| other.id == job) else { return id };
        old.retried = true;
        let again = Job {
            id,
            status: "created".to_owned(),
            failure_reason: None,
            retried: false,
            created_at: now,
            started_at: None,
            finished_at: None,
            ..old.clone()
        };
        jobs.push(again);
        id
    }

    fn run_again(&mut self, id: u64) {
        let Some(record) = self.pipelines.get(&id) else { return };
        let (project, attempt) = (record.pipeline.project_id, record.pipeline.attempt());
        let inputs = &record.pipeline.inputs;
        let plan = self.projects.get(&project).map(|project| project.script.plan_for(inputs, attempt));
        if let (Some(plan), Some(record)) = (plan, self.pipelines.get_mut(&id)) {
            record.plan = plan;
        }
        self.queue(id);
    }

    /// Puts a pipeline into a status by hand; what was planned for it is void.
    pub(crate) fn put(&mut self, id: u64, status: &str) -> bool {
        let Some(record) = self.pipelines.get_mut(&id) else { return false };
        record.epoch += 1;
        self.enter(id, status);
        true
    }

    fn enter(&mut self, id: u64, status: &str) {
        let now = self.now();
        let Some(record) = self.pipelines.get_mut(&id) else { return };
        let pipeline = &mut record.pipeline;
        let before: BTreeMap<u64, String> =
            pipeline.jobs.iter().map(|job| (job.id, job.status.clone())).collect();
        pipeline.status = status.to_owned();
        pipeline.updated_at = now.max(pipeline.updated_at + TimeDelta::milliseconds(1));
        if status == "running" {
            pipeline.started_at.get_or_insert(now);
        }
        if is_over(status) {
            pipeline.finished_at = Some(now);
        }
        jobs_follow(pipeline, status, now);
        let changed: Vec<u64> = pipeline
            .jobs
            .iter()
            .filter(|job| before.get(&job.id) != Some(&job.status))
            .map(|job| job.id)
            .collect();
        let children: Vec<u64> = pipeline.latest().filter_map(|job| job.downstream).collect();
        for job in changed {
            self.emit(id, Event::Job(job));
        }
        self.emit(id, Event::Pipeline);
        for child in children {
            self.put(child, status);
        }
    }

    /// Its pipeline, and its place there.
    pub(crate) fn find_job(&self, job: u64) -> Option<(u64, usize)> {
        self.pipelines.iter().find_map(|(id, record)| {
            let at = record.pipeline.jobs.iter().position(|other| other.id == job)?;
            Some((*id, at))
        })
    }
}

/// Brings the jobs to where their pipeline is.
fn jobs_follow(pipeline: &mut Pipeline, status: &str, now: DateTime<Utc>) {
    let failing = pipeline.latest().any(|job| job.status == "failed" && !job.allow_failure);
    let last = pipeline.latest().filter(|job| !job.allow_failure).last().map(|job| job.id);
    let first = pipeline.latest().find(|job| !is_over(&job.status)).map(|job| job.id);
    for job in pipeline.jobs.iter_mut().filter(|job| !job.retried) {
        let open = !is_over(&job.status);
        let next = match status {
            "pending" | "running" | "manual" if Some(job.id) == first => status,
            "canceling" if job.status == "running" => status,
            "canceled" | "skipped" if open => status,
            "failed" if !failing && Some(job.id) == last => status,
            "success" | "failed" if open => "success",
            _ => continue,
        };
        job.status = next.to_owned();
        job.failure_reason = (next == "failed").then(|| "script_failure".to_owned());
        if next == "running" {
            job.started_at = Some(now);
        }
        if is_over(next) {
            job.finished_at = Some(now);
        }
    }
}
