//! Why: a target by its names, and the chain of causes behind its last job, each link by id.

use domain::decision::{JobOnTarget, RuleVerdict, TargetDecision};
use domain::entity::Kind;
use domain::id::VersionId;
use domain::job::{JobEvent, JobFact, JobState, evolve};
use domain::target::TargetKey;
use domain::token::Slug;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::changes::{CREATED_BY, DELIVERY};
use crate::context::App;
use crate::lookup::Lookup;
use crate::problem::Problem;
use crate::spelling::spelt;

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
/// that are there; without a job the chain ends at the decision. The decision is the one that asked for the job, as the
/// job's first fact tells it, and not what was decided since.
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
    let Some(job) = job else {
        chain.push(json!({
            "step": "decision", "at": decision.decided_at, "cause": decision.cause, "summary": decision.summary,
            "catalogRevision": decision.catalog_revision, "rules": spelt(version.and_then(|version| rules(decision, version))),
        }));
        return Ok(chain);
    };
    let events = app.bus.jobs().events(workspace, job.job).await?;
    chain.push(request(decision, job, events.first().map(|(_, event)| event)));
    let state = events.iter().fold(None, |state, (_, event)| Some(evolve(state, event)));
    chain.push(json!({
        "step": "job", "id": job.job, "attempt": job.attempt, "version": job.tag, "release": job.release,
        "status": state.as_ref().map_or(job.status, JobState::status).as_camel(),
        "at": state.as_ref().map_or(job.at, |state| state.created_at),
        "agent": state.as_ref().and_then(|state| state.assigned.as_ref()).map(|assigned| &assigned.dispatch.agent_name),
    }));
    if let Some(JobState { external: Some(run), links, .. }) = &state {
        chain.push(json!({ "step": "externalRun", "run": run, "links": links }));
    }
    Ok(chain)
}

/// The decision that asked for the job, as the job's first fact tells it: when, because of what, on which revision of the
/// catalog, and what every rule said of the version then.
fn request(decision: &TargetDecision, job: &JobOnTarget, first: Option<&JobEvent>) -> Value {
    let mut request = json!({ "step": "decision", "job": job.job });
    if let Some(event) = first
        && let JobFact::Requested { catalog_revision, grounds } = &event.fact
    {
        request["at"] = json!(event.at);
        request["cause"] = json!(event.cause);
        request["catalogRevision"] = json!(catalog_revision);
        request["traceparent"] = json!(event.traceparent);
        if let Some(grounds) = grounds {
            request["summary"] = json!(grounds.summary);
            request["rules"] = spelt(&grounds.rules);
            return request;
        }
    }
    // Its first fact is on its way, or of a time when facts did not say so much.
    if job.at == decision.decided_at && decision.active.as_ref() == Some(job) {
        if request["at"].is_null() {
            request["at"] = json!(decision.decided_at);
            request["cause"] = json!(decision.cause);
            request["catalogRevision"] = json!(decision.catalog_revision);
        }
        request["summary"] = json!(decision.summary);
        request["rules"] = spelt(rules(decision, job.version));
    }
    request
}

fn rules(decision: &TargetDecision, version: VersionId) -> Option<&[RuleVerdict]> {
    let considered = decision.considered.iter().find(|considered| considered.version == version)?;
    Some(&considered.rules)
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
