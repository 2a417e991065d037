//! Narrowing a list with CEL. The variable is the kind's name in lower-camel; its value is the flat form of the entity.

use domain::entity::{Entity, Kind};
use domain::selector::{Scope, Selector, value_of};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::LazyLock;

use crate::problem::Problem;
use crate::shape::flat;

/// Those the expression is true of. One it cannot be evaluated on (a field it does not have) is not among them.
///
/// # Errors
/// It is no expression, or asks for a field that none of them has and so says nothing of any.
pub(crate) fn matching(kind: Kind, entities: Vec<Entity>, cel: &str) -> Result<Vec<Entity>, Problem> {
    narrow(variable(kind), entities, flat, cel)
}

/// As [`matching`], where a list is not one of entities.
pub(crate) fn matching_values(
    variable: &'static str,
    all: Vec<Value>,
    cel: &str,
) -> Result<Vec<Value>, Problem> {
    narrow(variable, all, Value::clone, cel)
}

fn narrow<T>(
    variable: &'static str,
    mut all: Vec<T>,
    shown: impl Fn(&T) -> Value,
    cel: &str,
) -> Result<Vec<T>, Problem> {
    let selector = Selector::compile(cel, &[variable])
        .map_err(|error| Problem::invalid_field("cel", error.to_string()))?;
    let (mut is_evaluated, mut fields) = (all.is_empty(), BTreeSet::new());
    all.retain(|item| {
        let value = shown(item);
        let told =
            value_of(&value).and_then(|value| selector.matches(&Scope::default().with(variable, value)));
        is_evaluated |= told.is_ok();
        if !is_evaluated {
            fields.extend(value.as_object().into_iter().flat_map(Map::keys).cloned());
        }
        told.unwrap_or(false)
    });
    // What people make up (metadata, config) may have any field, and what may be left out may be missing everywhere: that
    // none has it now is no mistake.
    let is_unknown = |field: &&str| !is_evaluated && !fields.contains(*field) && !is_word(field);
    match selector.fields_of(variable).find(is_unknown) {
        Some(unknown) => Err(Problem::invalid_field("cel", no_field(variable, unknown, &fields))),
        None => Ok(all),
    }
}

/// Whether anything on the wire has a field of that name, or of that name with `Id` behind it.
fn is_word(field: &str) -> bool {
    static WORDS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let mut words = BTreeSet::new();
        for message in domain::schema::messages() {
            collect(message.schema.as_value(), &mut words);
        }
        words
    });
    let stem = field.strip_suffix("Ids").or_else(|| field.strip_suffix("Id"));
    [Some(field), stem].into_iter().flatten().any(|word| WORDS.contains(word))
}

/// The names of all properties of a schema.
fn collect(schema: &Value, words: &mut BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                words.extend(properties.keys().cloned());
            }
            object.values().for_each(|value| collect(value, words));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, words)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn no_field(variable: &str, unknown: &str, fields: &BTreeSet<String>) -> String {
    let are = fields.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    format!(
        "none of the list has `{variable}.{unknown}`; there are {are} (where a field may be missing, ask \
         `has({variable}.{unknown})` first)"
    )
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

    #[test]
    fn a_field_that_none_has_is_named() {
        let all = vec![system("shop", None), system("blog", None)];
        let refused = |cel: &str| {
            let problem = matching(Kind::System, all.clone(), cel).err()?;
            Some(serde_json::to_value(problem).unwrap()["detail"].as_str()?.to_owned())
        };
        let said = refused("system.nme == 'shop'").unwrap();
        assert!(said.contains("`system.nme`") && said.contains("name"), "{said}");
        assert!(refused("system.name == 'shop' && system.nme == 'a'").is_none(), "one says no without it");
        let may_be_missing = "system.description == 'sells'";
        for fine in
            ["has(system.nme)", "system.metadata.team == 'a'", "system.name == 'none'", may_be_missing]
        {
            assert_eq!(refused(fine), None, "{fine}");
        }
        assert_eq!(matching(Kind::System, Vec::new(), "system.nme == 'a'"), Ok(Vec::new()));
    }
}
