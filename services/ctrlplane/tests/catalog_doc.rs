//! docs/catalog.md and the examples are true: they are read as manifests, and no field is left untold.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use domain::entity::{Entity, Kind, PolicyRule};
use domain::manifest::{Defaults, File, OfNames, parse};
use serde_json::Value;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The manifests of a text; panics with their mistakes.
fn entities(name: &str, text: &str) -> Vec<Entity> {
    let acme = "acme".parse().expect("a slug");
    let defaults = Defaults {
        workspace: Some(&acme),
        now: "2026-01-01T00:00:00Z".parse().expect("an instant"),
        by: "ann",
        ids: &OfNames,
    };
    match parse(&[File { name, text }], &defaults) {
        Ok(documents) => documents.into_iter().map(|document| document.entity).collect(),
        Err(errors) => panic!("{}", errors.iter().map(|error| format!("{error}\n")).collect::<String>()),
    }
}

#[test]
fn every_example_is_read_and_every_kind_has_one() {
    let page = read("docs/catalog.md");
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let shown: Vec<Entity> = blocks.flat_map(|block| entities("docs/catalog.md", block)).collect();
    let kinds: BTreeSet<Kind> = shown.iter().map(Entity::kind).collect();
    // A run is begun and not declared.
    let declared = Kind::ALL.iter().copied().filter(|kind| *kind != Kind::WorkflowRun);
    assert_eq!(kinds, declared.collect(), "kinds with an example");
    for name in ["docs/examples/github.yaml", "docs/examples/gitlab.yaml", "docs/examples/argo.yaml"] {
        let example = entities(name, &read(name));
        assert!(example.iter().any(|entity| entity.kind() == Kind::Deployment), "{name}");
    }
    let example = entities("docs/examples/kubernetes.yaml", &read("docs/examples/kubernetes.yaml"));
    assert!(example.iter().any(|entity| entity.kind() == Kind::JobAgent));
    let example = entities("docs/examples/workflow.yaml", &read("docs/examples/workflow.yaml"));
    assert!(example.iter().any(|entity| entity.kind() == Kind::Workflow));
}

/// The rules of all policies among the entities.
fn rules(entities: &[Entity]) -> BTreeSet<&'static str> {
    let policies = entities
        .iter()
        .filter_map(|entity| if let Entity::Policy(policy) = entity { Some(policy) } else { None });
    policies.flat_map(|policy| &policy.spec.rules).map(PolicyRule::name).collect()
}

#[test]
fn every_rule_has_an_example_and_the_one_of_policies_shows_them_together() {
    let page = read("docs/catalog.md");
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let shown: Vec<Entity> = blocks.flat_map(|block| entities("docs/catalog.md", block)).collect();
    assert_eq!(rules(&shown), PolicyRule::NAMES.iter().copied().collect());

    let example = entities("docs/examples/policies.yaml", &read("docs/examples/policies.yaml"));
    let together = [
        "anyApproval",
        "environmentProgression",
        "gradualRollout",
        "deploymentWindow",
        "versionCooldown",
        "retry",
        "rollback",
        "verification",
    ];
    assert_eq!(rules(&example), together.into());
    let kinds: BTreeSet<Kind> = example.iter().map(Entity::kind).collect();
    for kind in [Kind::VariableSet, Kind::RelationshipRule, Kind::Freeze] {
        assert!(kinds.contains(&kind), "{}", kind.name());
    }
}

#[test]
fn no_field_is_left_untold() {
    let schema: Value = serde_json::from_str(&read("schemas/entity.json")).expect("a schema");
    let page = read("docs/catalog.md");
    // What manifests do not have: ids and times are the system's.
    let ours = ["meta", "spec", "id", "createdAt", "updatedAt"];
    let mut fields = BTreeSet::new();
    properties(&schema, &mut fields);
    fields.retain(|field| !ours.contains(&field.as_str()));
    assert!(fields.contains("minimumSoakTimeMinutes"), "the schema was understood: {fields:?}");
    let untold: Vec<&String> = fields
        .iter()
        .filter(|field| !page.split(|c: char| !c.is_alphanumeric()).any(|word| word == field.as_str()))
        .collect();
    assert!(untold.is_empty(), "docs/catalog.md does not tell of {untold:?}");
}

/// The names of all properties in a schema.
fn properties(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                if let (true, Value::Object(fields)) = (key == "properties", value) {
                    found.extend(fields.keys().cloned());
                }
                properties(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| properties(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
