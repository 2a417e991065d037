//! The jobs of a run: those of its workflow, one per item where one fans out.

use crate::entity::{ForEach, Record, WorkflowJob, WorkflowRun};
use crate::id::{JobId, ReleaseId, VersionId, WorkflowRunId};
use crate::job::{JobRef, Purpose};
use crate::target::TargetKey;
use crate::token::Slug;
use serde_json::{Map, Value};

/// One job of a run. Its id is known before it is started.
#[derive(Debug, Clone, PartialEq)]
pub struct RunJob<'a> {
    /// Its id.
    pub id: JobId,
    /// What the workflow says of it.
    pub job: &'a WorkflowJob,
    /// Which item, from 0; absent where the job does not fan out.
    pub index: Option<u32>,
    /// The item; null where the job does not fan out.
    pub item: Value,
}

impl RunJob<'_> {
    /// Its name in the run: `deploy`, or `deploy[2]`.
    pub fn label(&self) -> String {
        match self.index {
            None => self.job.name.to_string(),
            Some(index) => format!("{}[{index}]", self.job.name),
        }
    }

    /// The job as its facts name it.
    pub fn reference(&self, run: &Record<WorkflowRun>) -> JobRef {
        JobRef {
            workspace: run.meta.workspace.clone(),
            id: self.id,
            target: TargetKey::NONE,
            version: VersionId::none(),
            tag: self.label(),
            release: ReleaseId::none(),
            attempt: 1,
            deployment: Slug::workflow(),
            environment: Slug::workflow(),
            purpose: Purpose::Workflow { workflow: run.spec.workflow, run: WorkflowRunId(run.meta.id) },
            content: None,
        }
    }
}

/// The jobs of a run, in the order in which the workflow declares them.
pub fn jobs(run: &Record<WorkflowRun>) -> Vec<RunJob<'_>> {
    let id = WorkflowRunId(run.meta.id);
    let mut all = Vec::with_capacity(run.spec.jobs.len());
    for job in &run.spec.jobs {
        let one = |index: Option<u32>, item: Value| RunJob {
            id: JobId::of_run(id, &job.name, index, 1),
            job,
            index,
            item,
        };
        match &job.for_each {
            None => all.push(one(None, Value::Null)),
            Some(over) => {
                let items = items(over, &run.spec.inputs);
                all.extend((0u32..).zip(items).map(|(index, item)| one(Some(index), item.clone())));
            }
        }
    }
    all
}

/// The items a job fans out over; none where the input is null.
pub(super) fn items<'a>(over: &'a ForEach, inputs: &'a Map<String, Value>) -> &'a [Value] {
    match over {
        ForEach::Items(items) => items,
        ForEach::Input(key) => inputs.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice),
    }
}
