//! How selectors and templates see an entity.

use crate::entity::{Approval, Deployment, Environment, JobAgent, Record, Resource, Version};
use serde_json::{Value, json};

const RESOURCE: &[&str] =
    &["id", "name", "identifier", "type", "kind", "version", "config", "metadata", "variables"];

/// The fields of what expressions see, by the name under which they see it: what is said here and no more.
pub(crate) const FIELDS: &[(&str, &[&str])] = &[
    ("resource", RESOURCE),
    ("from", RESOURCE),
    ("to", RESOURCE),
    ("environment", &["id", "name", "description", "metadata"]),
    ("deployment", &["id", "name", "slug", "description", "metadata"]),
    ("version", &["id", "name", "tag", "status", "config", "metadata", "createdAt"]),
    ("jobAgent", &["id", "name", "type", "config", "metadata"]),
    ("user", &["name", "role"]),
];

/// Those of the fields that are maps. The others are strings, where they are there at all.
pub(crate) const MAPS_OF_FIELDS: &[&str] = &["config", "metadata", "variables"];

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

/// `user`: whose word it is
pub fn user_context(word: &Approval) -> Value {
    match word.role {
        Some(role) => json!({ "name": word.user, "role": role }),
        None => json!({ "name": word.user }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::{ApprovalStatus, Entity, Kind};
    use std::collections::BTreeSet;
    use uuid::Uuid;

    fn entity(kind: Kind, spec: Value) -> Entity {
        let at = "2026-01-01T00:00:00Z";
        let meta =
            json!({ "id": Uuid::nil(), "workspace": "acme", "name": "a", "createdAt": at, "updatedAt": at });
        serde_json::from_value(json!({ "kind": kind, "meta": meta, "spec": spec })).unwrap()
    }

    #[test]
    #[allow(clippy::wildcard_enum_match_arm, reason = "the others are not made here")]
    fn the_fields_are_those_that_are_seen() {
        let id = Uuid::nil();
        let all = [
            (Kind::Resource, json!({ "identifier": "a" })),
            (Kind::Environment, json!({ "systems": [], "resourceSelector": "true" })),
            (Kind::Deployment, json!({ "slug": "a", "systems": [] })),
            (Kind::Version, json!({ "deployment": id, "tag": "1" })),
            (Kind::JobAgent, json!({ "type": "github-app" })),
        ];
        let mut seen: Vec<(&str, Value)> = Vec::new();
        for (kind, spec) in all {
            match entity(kind, spec) {
                Entity::Resource(resource) => {
                    seen.extend(["resource", "from", "to"].map(|name| (name, resource_context(&resource))));
                }
                Entity::Environment(environment) => {
                    seen.push(("environment", environment_context(&environment)))
                }
                Entity::Deployment(deployment) => seen.push(("deployment", deployment_context(&deployment))),
                Entity::Version(version) => seen.push(("version", version_context(&version))),
                Entity::JobAgent(agent) => seen.push(("jobAgent", job_agent_context(&agent))),
                other => panic!("not asked for: {other:?}"),
            }
        }
        let status = serde_json::to_value(ApprovalStatus::Approved).unwrap();
        let word = json!({ "version": id, "environment": id, "user": "ann", "role": "admin", "status": status,
            "at": "2026-01-01T00:00:00Z" });
        seen.push(("user", user_context(&serde_json::from_value(word).unwrap())));
        assert_eq!(seen.len(), FIELDS.len());
        for (name, context) in seen {
            let said = FIELDS.iter().find(|(of, _)| *of == name).unwrap().1;
            let there: BTreeSet<&str> = context.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(said.iter().copied().collect::<BTreeSet<_>>(), there, "{name}");
            for (field, value) in context.as_object().unwrap() {
                let is_map = MAPS_OF_FIELDS.contains(&field.as_str());
                let fits = if is_map { value.is_object() } else { value.is_string() || value.is_null() };
                assert!(fits, "{name}.{field}: {value}");
            }
        }
    }
}
