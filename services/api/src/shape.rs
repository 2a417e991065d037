//! Entities as existing clients expect them: one flat object, ids by the names those clients use.

use domain::entity::Entity;
use domain::id::WorkspaceId;
use serde_json::{Map, Value, json};

/// The entity as one flat object.
pub(crate) fn flat(entity: &Entity) -> Value {
    let meta = entity.meta();
    let mut object = Map::new();
    let document = serde_json::to_value(entity).expect("an entity is JSON");
    if let Some(Value::Object(spec)) = document.get("spec") {
        object.extend(spec.clone());
    }
    for (from, to) in renames(entity) {
        if let Some(value) = object.remove(*from) {
            object.insert((*to).to_owned(), value);
        }
    }
    if let Entity::Resource(resource) = entity {
        object.insert("kind".to_owned(), json!(resource.spec.resource_type));
    }
    object.insert("id".to_owned(), json!(meta.id));
    object.insert("name".to_owned(), json!(meta.name));
    object.insert("workspaceId".to_owned(), json!(WorkspaceId::of(&meta.workspace)));
    object.insert("metadata".to_owned(), json!(meta.metadata));
    object.insert("createdAt".to_owned(), json!(meta.created_at));
    object.insert("updatedAt".to_owned(), json!(meta.updated_at));
    Value::Object(object)
}

fn renames(entity: &Entity) -> &'static [(&'static str, &'static str)] {
    match entity {
        Entity::Version(_) => &[("deployment", "deploymentId")],
        Entity::Environment(_) | Entity::Deployment(_) => &[("systems", "systemIds")],
        Entity::Approval(_) => &[("version", "versionId"), ("environment", "environmentId")],
        Entity::Skip(_) => &[
            ("policy", "policyId"),
            ("version", "versionId"),
            ("environment", "environmentId"),
            ("resource", "resourceId"),
        ],
        Entity::Pin(_) => &[
            ("deployment", "deploymentId"),
            ("version", "versionId"),
            ("environment", "environmentId"),
            ("resource", "resourceId"),
        ],
        Entity::RolloutControl(_) => &[("version", "versionId"), ("environment", "environmentId")],
        Entity::Redeploy(_) => &[("version", "versionId")],
        Entity::Freeze(_)
        | Entity::VariableSet(_)
        | Entity::RelationshipRule(_)
        | Entity::Workspace(_)
        | Entity::System(_)
        | Entity::Resource(_)
        | Entity::JobAgent(_)
        | Entity::Policy(_)
        | Entity::TriggerSource(_)
        | Entity::Trigger(_) => &[],
    }
}
