//! Entities as existing clients expect them: one flat object, ids by the names those clients use.

use domain::entity::Entity;
use domain::id::WorkspaceId;
use domain::token::Slug;
use serde_json::{Map, Value, json};

use crate::spelling::respell_rules;

/// The selector of an environment that selects nothing.
pub(crate) const NOTHING: &str = "false";

type Otherwise = fn() -> Value;

/// Fields that clients of the field expect to be there, empty where nothing was declared.
fn always(entity: &Entity) -> &'static [(&'static str, Otherwise)] {
    match entity {
        Entity::Resource(_) => &[("config", || json!({})), ("version", || json!(""))],
        Entity::JobAgent(_) => &[("config", || json!({}))],
        Entity::Deployment(_) => &[("jobAgentConfig", || json!({}))],
        Entity::Version(_) => &[("config", || json!({})), ("jobAgentConfig", || json!({}))],
        Entity::VariableSet(_) => &[("description", || json!(""))],
        Entity::Workspace(_)
        | Entity::System(_)
        | Entity::Environment(_)
        | Entity::Policy(_)
        | Entity::TriggerSource(_)
        | Entity::Trigger(_)
        | Entity::Approval(_)
        | Entity::Skip(_)
        | Entity::Freeze(_)
        | Entity::Pin(_)
        | Entity::Redeploy(_)
        | Entity::RolloutControl(_)
        | Entity::RelationshipRule(_)
        | Entity::ResourceProvider(_) => &[],
        Entity::Workflow(_) => &[("inputs", || json!([]))],
        Entity::WorkflowRun(_) => &[("inputs", || json!({}))],
    }
}

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
    if let (Entity::Policy(_), Some(rules)) = (entity, object.get_mut("rules")) {
        respell_rules(rules);
    }
    if let Entity::System(system) = entity {
        object.insert("slug".to_owned(), json!(Slug::of_name(&system.meta.name)));
    }
    // In an environment that has no selector yet there is nothing: clients of the field say so by silence.
    if let Entity::Environment(environment) = entity
        && environment.spec.resource_selector == NOTHING
    {
        object.remove("resourceSelector");
    }
    for (field, value) in always(entity) {
        object.entry(*field).or_insert_with(value);
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
        Entity::Resource(_) => &[("provider", "providerId")],
        Entity::Freeze(_)
        | Entity::VariableSet(_)
        | Entity::RelationshipRule(_)
        | Entity::Workspace(_)
        | Entity::System(_)
        | Entity::ResourceProvider(_)
        | Entity::JobAgent(_)
        | Entity::Policy(_)
        | Entity::TriggerSource(_)
        | Entity::Trigger(_)
        | Entity::Workflow(_) => &[],
        Entity::WorkflowRun(_) => &[("workflow", "workflowId")],
    }
}
