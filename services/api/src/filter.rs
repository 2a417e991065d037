//! Narrowing a list with CEL. The variable is the kind's name in lower-camel; its value is the flat form of the entity.

use domain::entity::{Entity, Kind};
use domain::selector::{Scope, Selector, value_of};

use serde_json::Value;

use crate::problem::Problem;
use crate::shape::flat;

/// Those the expression is true of. One it cannot be evaluated on (a field it does not have) is not among them.
pub(crate) fn matching(kind: Kind, mut entities: Vec<Entity>, cel: &str) -> Result<Vec<Entity>, Problem> {
    let variable = variable(kind);
    let selector = Selector::compile(cel, &[variable])
        .map_err(|error| Problem::invalid_field("cel", error.to_string()))?;
    entities.retain(|entity| {
        let value = value_of(&flat(entity));
        value.and_then(|value| selector.matches(&Scope::default().with(variable, value))).unwrap_or(false)
    });
    Ok(entities)
}

/// Those the expression is true of, where a list is not one of entities.
pub(crate) fn matching_values(
    variable: &'static str,
    all: Vec<Value>,
    cel: &str,
) -> Result<Vec<Value>, Problem> {
    let selector = Selector::compile(cel, &[variable])
        .map_err(|error| Problem::invalid_field("cel", error.to_string()))?;
    let fits = |value: &Value| {
        let value = value_of(value);
        value.and_then(|value| selector.matches(&Scope::default().with(variable, value))).unwrap_or(false)
    };
    Ok(all.into_iter().filter(fits).collect())
}

fn variable(kind: Kind) -> &'static str {
    match kind {
        Kind::Workspace => "workspace",
        Kind::System => "system",
        Kind::Environment => "environment",
        Kind::Resource => "resource",
        Kind::JobAgent => "jobAgent",
        Kind::Deployment => "deployment",
        Kind::Policy => "policy",
        Kind::TriggerSource => "triggerSource",
        Kind::Trigger => "trigger",
        Kind::Version => "version",
        Kind::Approval => "approval",
        Kind::Skip => "skip",
        Kind::Freeze => "freeze",
        Kind::Pin => "pin",
        Kind::Redeploy => "redeploy",
        Kind::RolloutControl => "rolloutControl",
        Kind::Workflow => "workflow",
        Kind::WorkflowRun => "workflowRun",
        Kind::VariableSet => "variableSet",
        Kind::RelationshipRule => "relationshipRule",
        Kind::ResourceProvider => "resourceProvider",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::entity::{Meta, Record, System};

    fn system(name: &str, description: Option<&str>) -> Entity {
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        let meta = Meta {
            id: uuid::Uuid::nil(),
            workspace: "acme".parse().unwrap(),
            name: name.into(),
            metadata: [].into(),
            created_at: at,
            updated_at: at,
        };
        Entity::System(Record { meta, spec: System { description: description.map(str::to_owned) } })
    }

    #[test]
    fn only_what_is_true_stays() {
        let all = vec![system("shop", Some("sells")), system("blog", None)];
        let names = |cel: &str| -> Vec<String> {
            let found = matching(Kind::System, all.clone(), cel).unwrap();
            found.iter().map(|entity| entity.meta().name.clone()).collect()
        };
        assert_eq!(names("system.name == 'blog'"), ["blog"]);
        assert_eq!(names("system.description == 'sells'"), ["shop"], "a missing field is no match");
        assert!(matching(Kind::System, all.clone(), "system.").is_err());
        assert!(matching(Kind::System, all.clone(), "resource.name == 'x'").is_err());
    }
}
