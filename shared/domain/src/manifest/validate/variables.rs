//! Variables: their keys, their values with the two forms that mean more than themselves, and relations.

use super::Found;
use super::rules::TARGET_VARIABLES;
use crate::entity::{DeploymentVariable, RelationshipRule, VariableSet};
use crate::manifest::secrets;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const SECRET: &str = "secretRef";
const REFERENCE: &str = "reference";
const PATH: &str = "path";

impl Found {
    pub(super) fn deployment_variables(&mut self, variables: &[DeploymentVariable]) {
        let mut keys = BTreeSet::new();
        for (n, variable) in variables.iter().enumerate() {
            let at = |field: &str| format!("spec.variables[{n}].{field}");
            let key = &variable.key;
            self.identifier(&at("key"), key, "templates call it `variables.<key>`");
            if !keys.insert(key) {
                self.say(at("key"), format!("there is a variable `{key}` already"), None);
            }
            if let Some(default) = &variable.default {
                self.value(&at("default"), key, default);
            }
            for (m, value) in variable.values.iter().enumerate() {
                if let Some(selector) = &value.selector {
                    self.expression(&at(&format!("values[{m}].selector")), selector, TARGET_VARIABLES);
                }
                self.value(&at(&format!("values[{m}].value")), key, &value.value);
            }
        }
    }

    pub(super) fn variable_set(&mut self, spec: &VariableSet) {
        self.expression("spec.selector", &spec.selector, TARGET_VARIABLES);
        for key in spec.variables.keys() {
            self.identifier(&format!("spec.variables.{key}"), key, "templates call it `variables.<key>`");
        }
        self.values("spec.variables", &spec.variables);
    }

    pub(super) fn relationship_rule(&mut self, spec: &RelationshipRule) {
        self.identifier("spec.reference", &spec.reference, "values refer to it");
        self.expression("spec.from", &spec.from, &["resource"]);
        self.expression("spec.to", &spec.to, &["resource"]);
        self.expression("spec.matcher", &spec.matcher, &["from", "to"]);
    }

    /// Values by key.
    pub(super) fn values(&mut self, field: &str, values: &Map<String, Value>) {
        for (key, value) in values {
            self.value(&format!("{field}.{key}"), key, value);
        }
    }

    /// The value of a key: no secret, and of a form that means more, the whole form.
    fn value(&mut self, field: &str, key: &str, value: &Value) {
        let as_map = Map::from_iter([(key.to_owned(), value.clone())]);
        let form = value.as_object().filter(|map| map.contains_key(SECRET) || map.contains_key(REFERENCE));
        match form {
            None => {
                for found in secrets::find(&as_map, "") {
                    // The field of the found is that of the key, and what is below it.
                    let below = found.field.strip_prefix(&format!(".{key}")).unwrap_or_default();
                    let hint = Some("name a secret instead, as in `{secretRef: name-of-the-secret}`");
                    self.say(format!("{field}{below}"), found.message, hint);
                }
            }
            Some(map) if map.contains_key(SECRET) => {
                self.only(field, map, &[SECRET], "a secret is `{secretRef: name-of-the-secret}`");
                match map.get(SECRET) {
                    Some(Value::String(name)) => self.secret_name(&format!("{field}.{SECRET}"), name),
                    Some(_) | None => self.say(format!("{field}.{SECRET}"), "is the name of a secret", None),
                }
            }
            Some(map) => {
                const FORM: &str = "a reference is `{reference: relation, path: config.region}`";
                self.only(field, map, &[REFERENCE, PATH], FORM);
                match map.get(REFERENCE) {
                    Some(Value::String(name)) => {
                        self.identifier(
                            &format!("{field}.{REFERENCE}"),
                            name,
                            "it is what a RelationshipRule calls it",
                        );
                    }
                    Some(_) | None => {
                        self.say(format!("{field}.{REFERENCE}"), "is the name of a relation", Some(FORM))
                    }
                }
                let is_path =
                    |path: &str| !path.is_empty() && path.split('.').all(|step| !step.trim().is_empty());
                if !map.get(PATH).and_then(Value::as_str).is_some_and(is_path) {
                    let message = "is the path of a property of the related resource";
                    self.say(format!("{field}.{PATH}"), message, Some(FORM));
                }
            }
        }
    }

    fn only(&mut self, field: &str, map: &Map<String, Value>, keys: &[&str], form: &str) {
        for key in map.keys().filter(|key| !keys.contains(&key.as_str())) {
            self.say(format!("{field}.{key}"), format!("there is no field `{key}` here"), Some(form));
        }
    }

    /// A name that expressions and templates can say.
    fn identifier(&mut self, field: &str, name: &str, why: &str) {
        let fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.len() <= super::NAME_CHARS_MAX;
        if !fits {
            let message = format!("`{name}` is not letters, digits and `_`, the first no digit");
            self.say(field, message, Some(why));
        }
    }
}
