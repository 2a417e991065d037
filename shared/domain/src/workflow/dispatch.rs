//! From a job of a run to its dispatch: its agent, and its config with every text rendered.

use super::{AGENT_VARIABLES, jobs};
use crate::catalog::{WorkspaceCatalog, job_agent_context};
use crate::dispatch::{Undispatchable, by_name, keep_agent_only, named, not_ours, to_agent};
use crate::entity::{AgentChoice, JobAgent, Record};
use crate::id::WorkflowRunId;
use crate::job::{Dispatch, JobRef, Reason};
use crate::merge;
use crate::selector::{Scope, Selector, value_of};
use crate::target::Variables;
use crate::template::render_config;
use serde_json::{Map, Value, json};

/// The agent and the rendered config of a job of a run.
///
/// # Errors
/// When the run is gone or was cancelled, so that there is nothing to do; when no agent matches or the config cannot be
/// rendered.
pub(crate) fn dispatch(
    workspace: &WorkspaceCatalog,
    job: &JobRef,
    run: WorkflowRunId,
) -> Result<Dispatch, Undispatchable> {
    let run = workspace
        .workflow_run(run)
        .ok_or_else(|| Undispatchable::skipped("the workflow's run is not in the catalog any more"))?;
    if let Some(cancel) = &run.spec.cancel {
        return Err(Undispatchable::cancelled(format!("the run was cancelled by {}", cancel.by)));
    }
    let all = jobs(run);
    let one = all
        .iter()
        .find(|one| one.id == job.id)
        .ok_or_else(|| Undispatchable::new(Reason::BadConfig, "the run has no such job"))?;
    let agent = choose(workspace, &one.job.agent)?;
    not_ours(agent)?;
    let context: Map<String, Value> = [
        ("workspace", json!({ "slug": workspace.slug() })),
        (
            "workflow",
            json!({ "id": run.spec.workflow, "name": run.spec.workflow_name, "slug": run.spec.workflow_slug }),
        ),
        ("run", json!({ "id": run.meta.id, "at": run.spec.at, "begunBy": run.spec.begun_by })),
        ("inputs", json!(run.spec.inputs)),
        ("item", one.item.clone()),
        ("jobAgent", json!(job_agent_context(agent))),
        ("job", json!({ "id": job.id, "name": one.label(), "attempt": job.attempt })),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let mut config = merge::deep(&agent.spec.config, &one.job.config);
    keep_agent_only(&agent.spec.config, &mut config);
    let rendered = render_config(&config, &context, &Variables::new())
        .map_err(|why| Undispatchable::new(Reason::BadConfig, format!("config: {why}")))?;
    Ok(to_agent(agent, rendered, context, one.job.deadlines))
}

fn choose<'a>(
    workspace: &'a WorkspaceCatalog,
    choice: &AgentChoice,
) -> Result<&'a Record<JobAgent>, Undispatchable> {
    let agents = by_name(workspace);
    let none = |why: String| Undispatchable::new(Reason::NoAgent, why);
    match choice {
        AgentChoice::Ref(text) => named(&agents, text),
        AgentChoice::Selector(source) => {
            let failed = |why| none(format!("the job agent's selector: {why}"));
            let selector = Selector::compile(source, AGENT_VARIABLES).map_err(failed)?;
            for agent in agents {
                let value = value_of(&job_agent_context(agent)).map_err(failed)?;
                if selector.matches(&Scope::default().with("jobAgent", value)).map_err(failed)? {
                    return Ok(agent);
                }
            }
            Err(none(format!("no job agent matches `{source}`")))
        }
    }
}
