//! How selectors and templates see an entity.

use crate::entity::{Deployment, Environment, JobAgent, Record, Resource, Version};
use serde_json::{Value, json};

/// `resource`
pub fn resource_context(resource: &Record<Resource>) -> Value {
    let (meta, spec) = (&resource.meta, &resource.spec);
    json!({
        "id": meta.id,
        "name": meta.name,
        "identifier": spec.identifier,
        "type": spec.resource_type,
        "kind": spec.resource_type,
        "version": spec.version,
        "config": spec.config,
        "metadata": meta.metadata,
        "variables": spec.variables,
    })
}

/// `environment`
pub fn environment_context(environment: &Record<Environment>) -> Value {
    let (meta, spec) = (&environment.meta, &environment.spec);
    json!({ "id": meta.id, "name": meta.name, "description": spec.description, "metadata": meta.metadata })
}

/// `deployment`
pub fn deployment_context(deployment: &Record<Deployment>) -> Value {
    let (meta, spec) = (&deployment.meta, &deployment.spec);
    json!({
        "id": meta.id,
        "name": meta.name,
        "slug": spec.slug,
        "description": spec.description,
        "metadata": meta.metadata,
    })
}

/// `version`
pub fn version_context(version: &Record<Version>) -> Value {
    let (meta, spec) = (&version.meta, &version.spec);
    json!({
        "id": meta.id,
        "name": meta.name,
        "tag": spec.tag,
        "status": spec.status,
        "config": spec.config,
        "metadata": meta.metadata,
        "createdAt": meta.created_at,
    })
}

/// `jobAgent`
pub fn job_agent_context(agent: &Record<JobAgent>) -> Value {
    let (meta, spec) = (&agent.meta, &agent.spec);
    json!({
        "id": meta.id,
        "name": meta.name,
        "type": spec.platform,
        "config": spec.config,
        "metadata": meta.metadata,
    })
}
