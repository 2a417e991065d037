//! What variables, sets of them and relations must be beyond their types.

use super::Found;
use crate::entity::{DeploymentVariable, RelationshipRule, VariableSet};
use crate::manifest::{Problem, secrets};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const TARGET: &[&str] = &["environment", "deployment", "resource"];

impl Found {
    pub(super) fn variables(&mut self, variables: &[DeploymentVariable]) {
        let mut keys = BTreeSet::new();
        for (n, variable) in variables.iter().enumerate() {
            let at = |name: &str| format!("spec.variables[{n}].{name}");
            self.text(&at("key"), &variable.key);
            if !keys.insert(&variable.key) {
                let message = format!("there is already a variable `{}`", variable.key);
                self.say(at("key"), message, Some("put all its values into the `values` of one"));
            }
            if let Some(value) = &variable.default {
                self.plain(&at("default"), &variable.key, value);
            }
            for (m, value) in variable.values.iter().enumerate() {
                if let Some(selector) = &value.selector {
                    self.expression(&at(&format!("values[{m}].selector")), selector, TARGET);
                }
                self.plain(&at(&format!("values[{m}].value")), &variable.key, &value.value);
            }
        }
    }

    pub(super) fn variable_set(&mut self, spec: &VariableSet) {
        self.expression("spec.selector", &spec.selector, TARGET);
        for (key, value) in &spec.variables {
            let field = format!("spec.variables.{key}");
            self.text(&field, key);
            self.plain(&field, key, value);
        }
    }

    pub(super) fn relationship_rule(&mut self, spec: &RelationshipRule) {
        self.text("spec.reference", &spec.reference);
        self.expression("spec.from", &spec.from, &["resource"]);
        self.expression("spec.to", &spec.to, &["resource"]);
        self.expression("spec.matcher", &spec.matcher, &["from", "to"]);
    }

    /// A value that is no secret.
    fn plain(&mut self, field: &str, key: &str, value: &Value) {
        let map = Map::from_iter([(key.to_owned(), value.clone())]);
        for found in secrets::find(&map, "") {
            let within = found.field.strip_prefix(&format!(".{key}")).unwrap_or_default();
            let hint = Some("name a secret instead, as in `{ secretRef: name-of-the-secret }`".to_owned());
            self.0.push(Problem { field: format!("{field}{within}"), hint, ..found });
        }
    }
}
