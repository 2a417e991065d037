//! Entities as clients of the field read them: the flat form, and beside it what belongs to the entity.

use domain::entity::{Deployment, DeploymentVariable, Entity, Kind, Record, RelationshipRule, VariableSet};
use domain::id::{DeploymentId, SystemId, derive};
use serde_json::{Value, json};
use uuid::Uuid;

use super::values;
use crate::context::App;
use crate::shape::flat;

/// One entity, with everything that reading it alone shows.
pub(crate) fn whole(app: &App, entity: &Entity) -> Value {
    let workspace = &entity.meta().workspace;
    let mut shown = listed(app, entity);
    if let Entity::System(system) = entity {
        let id = SystemId(system.meta.id);
        let of = |kind: Kind| -> Vec<Value> {
            let all = app.catalog.entities(workspace, kind);
            all.iter().filter(|other| systems_of(other).contains(&id)).map(flat).collect()
        };
        shown["deployments"] = json!(of(Kind::Deployment));
        shown["environments"] = json!(of(Kind::Environment));
    }
    if let Entity::Deployment(deployment) = entity {
        shown["variables"] = variables(deployment);
    }
    shown
}

/// One entity, as it stands in a list.
pub(crate) fn listed(app: &App, entity: &Entity) -> Value {
    let mut shown = flat(entity);
    match entity {
        Entity::Deployment(deployment) => {
            shown["deployment"] = flat(entity);
            shown["systems"] = systems(app, entity, &deployment.spec.systems);
        }
        Entity::Environment(environment) => {
            shown["systems"] = systems(app, entity, &environment.spec.systems);
        }
        Entity::Policy(policy) => {
            let rules = shown["rules"].as_array_mut().into_iter().flatten();
            for (index, rule) in rules.enumerate() {
                rule["id"] = json!(derive(&["policy-rule", &policy.meta.id.to_string(), &index.to_string()]));
                rule["policyId"] = json!(policy.meta.id);
                rule["createdAt"] = json!(policy.meta.created_at);
            }
        }
        Entity::VariableSet(set) => shown["variables"] = of_set(set),
        Entity::RelationshipRule(rule) => shown["cel"] = json!(cel(rule)),
        Entity::Workspace(_)
        | Entity::System(_)
        | Entity::Resource(_)
        | Entity::ResourceProvider(_)
        | Entity::JobAgent(_)
        | Entity::TriggerSource(_)
        | Entity::Trigger(_)
        | Entity::Version(_)
        | Entity::Approval(_)
        | Entity::Skip(_)
        | Entity::Freeze(_)
        | Entity::Pin(_)
        | Entity::Redeploy(_)
        | Entity::RolloutControl(_)
        | Entity::Workflow(_)
        | Entity::WorkflowRun(_) => {}
    }
    shown
}

/// The systems a deployment or an environment belongs to.
pub(crate) fn systems_of(entity: &Entity) -> &[SystemId] {
    match entity {
        Entity::Deployment(deployment) => &deployment.spec.systems,
        Entity::Environment(environment) => &environment.spec.systems,
        Entity::Workspace(_)
        | Entity::System(_)
        | Entity::Resource(_)
        | Entity::ResourceProvider(_)
        | Entity::JobAgent(_)
        | Entity::Policy(_)
        | Entity::TriggerSource(_)
        | Entity::Trigger(_)
        | Entity::Version(_)
        | Entity::Approval(_)
        | Entity::Skip(_)
        | Entity::Freeze(_)
        | Entity::Pin(_)
        | Entity::Redeploy(_)
        | Entity::RolloutControl(_)
        | Entity::VariableSet(_)
        | Entity::RelationshipRule(_)
        | Entity::Workflow(_)
        | Entity::WorkflowRun(_) => &[],
    }
}

fn systems(app: &App, entity: &Entity, ids: &[SystemId]) -> Value {
    let of = |id: &SystemId| app.catalog.get(&entity.meta().workspace, Kind::System, id.0);
    ids.iter().filter_map(of).map(|system| flat(&system)).collect()
}

/// The expression of a relation over `from` and `to`. What its two sides select beside the matcher stands in `from` and `to`.
fn cel(rule: &Record<RelationshipRule>) -> &str {
    &rule.spec.matcher
}

fn of_set(set: &Record<VariableSet>) -> Value {
    let of = |(key, value): (&String, &Value)| json!({ "key": key, "value": values::shown(value) });
    set.spec.variables.iter().map(of).collect()
}

/// The variables of a deployment, each with its values.
pub(crate) fn variables(deployment: &Record<Deployment>) -> Value {
    deployment.spec.variables.iter().map(|variable| variable_of(deployment, variable)).collect()
}

/// A variable with its values.
pub(crate) fn variable_of(deployment: &Record<Deployment>, variable: &DeploymentVariable) -> Value {
    let of = DeploymentId(deployment.meta.id);
    let id = variable_id(of, &variable.key);
    let values: Vec<Value> = (0..variable.values.len()).map(|index| value_of(of, variable, index)).collect();
    let mut shown = json!({
        "variable": { "id": id, "deploymentId": of, "key": variable.key, "description": variable.description },
        "id": id, "key": variable.key, "description": variable.description, "values": values,
    });
    if let Some(default) = &variable.default {
        shown["default"] = values::shown(default);
    }
    if variable.description.is_none() {
        for object in [Some("variable"), None] {
            let object = match object {
                Some(inner) => shown.get_mut(inner),
                None => Some(&mut shown),
            };
            if let Some(Value::Object(object)) = object {
                object.remove("description");
            }
        }
    }
    shown
}

/// One value of a variable.
pub(crate) fn value_of(of: DeploymentId, variable: &DeploymentVariable, index: usize) -> Value {
    let Some(value) = variable.values.get(index) else { return Value::Null };
    let mut shown = json!({
        "id": value_id(of, variable, index), "deploymentVariableId": variable_id(of, &variable.key),
        "priority": value.priority, "value": values::shown(&value.value),
    });
    if let Some(selector) = &value.selector {
        shown["resourceSelector"] = json!(selector);
        shown["selector"] = json!(selector);
    }
    shown
}

/// The id of a deployment's variable of that key.
pub(crate) fn variable_id(of: DeploymentId, key: &str) -> Uuid {
    derive(&["deployment-variable", &of.to_string(), key])
}

/// The id of a value: its own, or that of its place.
pub(crate) fn value_id(of: DeploymentId, variable: &DeploymentVariable, index: usize) -> Uuid {
    let own = variable.values.get(index).and_then(|value| value.id);
    own.unwrap_or_else(|| {
        derive(&["deployment-variable-value", &of.to_string(), &variable.key, &index.to_string()])
    })
}
