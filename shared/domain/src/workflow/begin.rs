//! The beginning of a run: a workflow as it is now, with the inputs it is given.

use super::{InputProblem, RUN_JOBS_MAX, jobs, resolve};
use crate::Timestamp;
use crate::entity::{BegunBy, Meta, Metadata, Record, Workflow, WorkflowRun};
use crate::id::{WorkflowId, WorkflowRunId};
use serde_json::{Map, Value};

/// A run of the workflow as it is now.
///
/// # Errors
/// Everything that is wrong with the inputs, and where they make too many jobs.
pub fn begin(
    workflow: &Record<Workflow>,
    id: WorkflowRunId,
    given: &Map<String, Value>,
    begun_by: BegunBy,
    at: Timestamp,
) -> Result<Record<WorkflowRun>, Vec<InputProblem>> {
    let inputs = resolve(&workflow.spec.inputs, given)?;
    let meta = Meta {
        id: id.0,
        workspace: workflow.meta.workspace.clone(),
        name: format!("{} {}", workflow.spec.slug, &id.to_string()[..8]),
        metadata: Metadata::new(),
        created_at: at,
        updated_at: at,
    };
    let spec = WorkflowRun {
        workflow: WorkflowId(workflow.meta.id),
        workflow_name: workflow.meta.name.clone(),
        workflow_slug: workflow.spec.slug.clone(),
        inputs,
        jobs: workflow.spec.jobs.clone(),
        begun_by,
        at,
        cancel: None,
        end: None,
        end_sequence: 0,
    };
    let run = Record { meta, spec };
    let count = jobs(&run).len();
    if count > RUN_JOBS_MAX {
        let message = format!("make {count} jobs; {RUN_JOBS_MAX} are allowed");
        return Err(vec![InputProblem { field: "inputs".to_owned(), message }]);
    }
    Ok(run)
}
