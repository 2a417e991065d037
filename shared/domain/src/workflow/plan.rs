//! What is next in a run: a function of the run, of how its jobs stand, and of now. Whoever knows the same says the same,
//! in whatever order it came to know it, so nothing of it is stored.

use super::{CONDITION_VARIABLES, RUN_DAYS_MAX, RunJob, jobs};
use crate::entity::{Record, WorkflowJob, WorkflowRun};
use crate::id::JobId;
use crate::job::TerminalStatus;
use crate::selector::{Scope, Selector, SelectorError, value_of};
use crate::token::Slug;
use crate::{TimeDelta, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// How a job of a run was seen to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It was asked for and is not over.
    Active {
        /// Whether somebody wished it to end.
        cancelling: bool,
    },
    /// It is over.
    Over(TerminalStatus),
}

/// How a need ended, as conditions see it: `needs.<name>.status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Ended {
    /// All of it well; also where it fanned out over nothing.
    Successful,
    /// None of it ran, or not all of it.
    Skipped,
    /// Somebody ended some of it.
    Cancelled,
    /// Some of it failed.
    Failure,
}

impl Ended {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Ended::Successful => "successful",
            Ended::Skipped => "skipped",
            Ended::Cancelled => "cancelled",
            Ended::Failure => "failure",
        }
    }

    fn of(status: TerminalStatus) -> Self {
        match status {
            TerminalStatus::Successful => Ended::Successful,
            TerminalStatus::Skipped => Ended::Skipped,
            TerminalStatus::Cancelled => Ended::Cancelled,
            TerminalStatus::Failure
            | TerminalStatus::InvalidJobAgent
            | TerminalStatus::InvalidIntegration
            | TerminalStatus::ExternalRunNotFound => Ended::Failure,
        }
    }
}

/// What a job needs, and how that ended, if it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Need {
    /// The job it needs.
    pub name: Slug,
    /// How that ended; absent: it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Ended>,
}

/// Where a job of a run is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// What it needs is not over.
    Waits,
    /// To be asked for now.
    Due,
    /// It was asked for and is not over.
    Active {
        /// Whether somebody wished it to end.
        cancelling: bool,
    },
    /// It is over.
    Over(TerminalStatus),
    /// It never starts.
    Skipped {
        /// Why.
        why: String,
    },
    /// It cannot be told whether it is to start, so it never does; the run fails by it.
    Untold {
        /// Why.
        why: String,
    },
}

/// One job of a run, and where it is on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct JobStep<'a> {
    /// The job.
    pub job: RunJob<'a>,
    /// What it needs.
    pub needs: Vec<Need>,
    /// Where it is.
    pub step: Step,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RunStatus {
    /// Nothing of it was asked for yet.
    Pending,
    /// It is on its way.
    InProgress,
    /// It is on its way to an end that somebody wished.
    Cancelling,
    /// Over: nothing failed.
    Successful,
    /// Over: something failed.
    Failure,
    /// Over: somebody ended it, or a job of it, and nothing failed.
    Cancelled,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 6] = [
        RunStatus::Pending,
        RunStatus::InProgress,
        RunStatus::Cancelling,
        RunStatus::Successful,
        RunStatus::Failure,
        RunStatus::Cancelled,
    ];

    /// Whether it is over, until a job of it runs again.
    pub fn is_over(self) -> bool {
        match self {
            RunStatus::Pending | RunStatus::InProgress | RunStatus::Cancelling => false,
            RunStatus::Successful | RunStatus::Failure | RunStatus::Cancelled => true,
        }
    }

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            RunStatus::Pending => "pending",
            RunStatus::InProgress => "inProgress",
            RunStatus::Cancelling => "cancelling",
            RunStatus::Successful => "successful",
            RunStatus::Failure => "failure",
            RunStatus::Cancelled => "cancelled",
        }
    }
}

/// All jobs of a run, and how the run stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<'a> {
    /// Every job, in the order in which the workflow declares them.
    pub jobs: Vec<JobStep<'a>>,
    /// How the run stands.
    pub status: RunStatus,
}

impl Plan<'_> {
    /// Jobs to be asked for now.
    pub fn due(&self) -> impl Iterator<Item = &RunJob<'_>> {
        self.jobs.iter().filter(|job| job.step == Step::Due).map(|job| &job.job)
    }
}

/// What is next. A job of which nothing is seen any more is as the run's end tells.
pub fn plan<'a>(
    run: &'a Record<WorkflowRun>,
    seen: impl Fn(JobId) -> Option<Seen>,
    now: Timestamp,
) -> Plan<'a> {
    let all = jobs(run);
    let mut ends: BTreeMap<&Slug, Option<Ended>> = BTreeMap::new();
    let mut steps: Vec<Option<Vec<JobStep<'a>>>> = vec![None; run.spec.jobs.len()];
    // Needs are declared in any order. They have no cycle, so every round settles one job at least.
    for _ in 0..run.spec.jobs.len() {
        for (job, place) in run.spec.jobs.iter().zip(&mut steps) {
            if place.is_some() || !job.needs.iter().all(|need| ends.contains_key(need)) {
                continue;
            }
            let of_job = all.iter().filter(|one| one.job.name == job.name);
            let needs: Vec<Need> = job
                .needs
                .iter()
                .map(|name| Need { name: name.clone(), status: ends.get(name).copied().flatten() })
                .collect();
            let condition = job.condition.as_deref().map(|text| Condition { text, ready: OnceCell::new() });
            let mine: Vec<JobStep<'a>> = of_job
                .map(|one| {
                    let seen = seen(one.id).or_else(|| remembered(run, one.id));
                    let step = step(run, one, (&needs, condition.as_ref()), seen, now);
                    JobStep { job: one.clone(), needs: needs.clone(), step }
                })
                .collect();
            // Over nothing: as all else, not before what it needs.
            let over = if mine.is_empty() { over_nothing(&needs) } else { end_of(&mine) };
            ends.insert(&job.name, over);
            *place = Some(mine);
        }
    }
    let unsettled = |job: &'a WorkflowJob| -> Vec<JobStep<'a>> {
        let why = "what it needs is not in the workflow, or needs it";
        let mine = all.iter().filter(|one| one.job.name == job.name);
        mine.map(|one| JobStep {
            job: one.clone(),
            needs: Vec::new(),
            step: Step::Untold { why: why.to_owned() },
        })
        .collect()
    };
    let jobs: Vec<JobStep<'a>> = run
        .spec
        .jobs
        .iter()
        .zip(steps)
        .flat_map(|(job, place)| place.unwrap_or_else(|| unsettled(job)))
        .collect();
    let status = status(run, &jobs);
    Plan { jobs, status }
}

fn step(
    run: &Record<WorkflowRun>,
    one: &RunJob<'_>,
    (needs, condition): (&[Need], Option<&Condition<'_>>),
    seen: Option<Seen>,
    now: Timestamp,
) -> Step {
    // What was asked for is what its facts say, whatever led to it.
    match seen {
        Some(Seen::Over(status)) => return Step::Over(status),
        Some(Seen::Active { cancelling }) => return Step::Active { cancelling },
        None => {}
    }
    if run.spec.cancel.is_some() {
        return Step::Skipped { why: "the run was cancelled".to_owned() };
    }
    if needs.iter().any(|need| need.status.is_none()) {
        return Step::Waits;
    }
    let Some(condition) = condition else {
        let unmet = needs.iter().find(|need| need.status != Some(Ended::Successful));
        return match unmet {
            None => due(run, now),
            Some(need) => Step::Skipped { why: unmet_need(need) },
        };
    };
    match condition.holds(run, needs, &one.item) {
        Ok(true) => due(run, now),
        Ok(false) => Step::Skipped { why: format!("its condition `{}` does not hold", condition.text) },
        Err(why) => Step::Untold { why: format!("its condition cannot be told: {why}") },
    }
}

fn due(run: &Record<WorkflowRun>, now: Timestamp) -> Step {
    if now > run.spec.at + TimeDelta::days(RUN_DAYS_MAX) {
        // What it needed came too late: nobody should take that for a success.
        return Step::Untold { why: format!("the run began more than {RUN_DAYS_MAX} days ago") };
    }
    Step::Due
}

fn remembered(run: &Record<WorkflowRun>, job: JobId) -> Option<Seen> {
    run.spec.end.as_ref()?.jobs.get(&job).copied().map(Seen::Over)
}

fn unmet_need(need: &Need) -> String {
    let ended = need.status.map_or("not over", Ended::as_str);
    format!("{} is {ended}", need.name)
}

/// The condition of a job, made ready once for all items it fans out over, when the first of them asks.
struct Condition<'a> {
    text: &'a str,
    ready: OnceCell<Result<(Selector, Scope), SelectorError>>,
}

impl Condition<'_> {
    fn holds(&self, run: &Record<WorkflowRun>, needs: &[Need], item: &Value) -> Result<bool, SelectorError> {
        let ready = self.ready.get_or_init(|| self.make_ready(run, needs));
        let (selector, scope) = ready.as_ref().map_err(Clone::clone)?;
        selector.matches(&scope.clone().with("item", value_of(item)?))
    }

    fn make_ready(
        &self,
        run: &Record<WorkflowRun>,
        needs: &[Need],
    ) -> Result<(Selector, Scope), SelectorError> {
        let told: Map<String, Value> = needs
            .iter()
            .map(|need| (need.name.to_string(), json!({ "status": need.status.map(Ended::as_str) })))
            .collect();
        let succeeded = needs.iter().all(|need| need.status == Some(Ended::Successful));
        let scope = Scope::default()
            .with("inputs", value_of(&run.spec.inputs)?)
            .with("needs", value_of(&told)?)
            .with("succeeded", value_of(&succeeded)?);
        Ok((Selector::compile(self.text, CONDITION_VARIABLES)?, scope))
    }
}

fn end_of(steps: &[JobStep<'_>]) -> Option<Ended> {
    let mut worst = None;
    for step in steps {
        let ended = match &step.step {
            Step::Waits | Step::Due | Step::Active { .. } => return None,
            Step::Over(status) => Ended::of(*status),
            Step::Skipped { .. } => Ended::Skipped,
            Step::Untold { .. } => Ended::Failure,
        };
        worst = worst.max(Some(ended));
    }
    worst
}

fn over_nothing(needs: &[Need]) -> Option<Ended> {
    if needs.iter().any(|need| need.status.is_none()) {
        return None;
    }
    let met = needs.iter().all(|need| need.status == Some(Ended::Successful));
    Some(if met { Ended::Successful } else { Ended::Skipped })
}

fn status(run: &Record<WorkflowRun>, jobs: &[JobStep<'_>]) -> RunStatus {
    let (mut is_over, mut has_begun, mut failed, mut cancelled) = (true, false, false, false);
    for job in jobs {
        match &job.step {
            Step::Waits | Step::Due => is_over = false,
            Step::Active { .. } => (is_over, has_begun) = (false, true),
            Step::Over(status) => {
                has_begun = true;
                failed |= Ended::of(*status) == Ended::Failure;
                cancelled |= Ended::of(*status) == Ended::Cancelled;
            }
            Step::Skipped { .. } => cancelled |= run.spec.cancel.is_some(),
            Step::Untold { .. } => failed = true,
        }
    }
    match (is_over, run.spec.cancel.is_some()) {
        (false, true) => RunStatus::Cancelling,
        (false, false) if has_begun => RunStatus::InProgress,
        (false, false) => RunStatus::Pending,
        (true, _) if cancelled && run.spec.cancel.is_some() => RunStatus::Cancelled,
        (true, _) if failed => RunStatus::Failure,
        (true, _) if cancelled => RunStatus::Cancelled,
        (true, _) => RunStatus::Successful,
    }
}
