//! Why: a target by its names, and the chain of causes behind its last job, each link by id.

use domain::decision::TargetDecision;
use domain::entity::Kind;
use domain::id::VersionId;
use domain::target::TargetKey;
use domain::token::Slug;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::changes::{CREATED_BY, DELIVERY};
use crate::context::App;
use crate::lookup::Lookup;
use crate::problem::Problem;

/// A target with the names of its parts.
pub(crate) fn target(catalog: &Lookup, workspace: &Slug, target: &TargetKey) -> Value {
    let named = |kind: Kind, id: Uuid| json!({ "id": id, "name": catalog.name(workspace, kind, id) });
    json!({
        "key": target.to_string(),
        "deployment": named(Kind::Deployment, target.deployment.0),
        "environment": named(Kind::Environment, target.environment.0),
        "resource": named(Kind::Resource, target.resource.0),
    })
}

/// The links from what came in to the run on the platform: delivery, version, decision, job, external run. Only links
/// that are there; without a job the chain ends at the decision.
pub(crate) async fn chain(
    app: &App,
    workspace: &Slug,
    decision: &TargetDecision,
) -> Result<Vec<Value>, Problem> {
    let job = decision.active.as_ref().or(decision.last.as_ref());
    let version = job.map(|job| job.version).or(decision.desired.as_ref().map(|desired| desired.version));
    let mut chain = Vec::new();
    if let Some(version) = version {
        chain.extend(origin(&app.catalog, workspace, version));
    }
    chain.push(json!({ "step": "decision", "at": decision.decided_at, "cause": decision.cause, "summary": decision.summary }));
    let Some(job) = job else { return Ok(chain) };
    let known = app.bus.jobs().load(workspace, job.job).await?;
    chain.push(json!({
        "step": "job", "id": job.job, "attempt": job.attempt, "version": job.tag,
        "status": known.as_ref().map_or(job.status, |known| known.state.status()),
        "at": known.as_ref().map_or(job.at, |known| known.state.created_at),
        "agent": known.as_ref().and_then(|known| known.state.assigned.as_ref()).map(|assigned| &assigned.dispatch.agent_name),
    }));
    if let Some(state) = known.map(|known| known.state)
        && let Some(run) = &state.external
    {
        chain.push(json!({ "step": "externalRun", "run": run, "links": state.links }));
    }
    Ok(chain)
}

fn origin(catalog: &Lookup, workspace: &Slug, version: VersionId) -> Vec<Value> {
    let mut origin = Vec::new();
    let Some(entity) = catalog.get(workspace, Kind::Version, version.0) else {
        return vec![json!({ "step": "version", "id": version, "gone": true })];
    };
    let meta = entity.meta();
    if let Some(delivery) = meta.metadata.get(DELIVERY) {
        origin.push(json!({ "step": "delivery", "id": delivery }));
    }
    origin.push(json!({
        "step": "version", "id": version, "name": meta.name, "at": meta.created_at,
        "by": meta.metadata.get(CREATED_BY),
    }));
    origin
}
