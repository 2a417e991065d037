//! A `Workflow` as the API shows it (`argoproj.io/v1alpha1`), as far as we look. Anything may be missing: servers leave out what
//! was not asked for, and the controller fills the rest in later.

use super::names::{self, ATTEMPT_PARAMETER};
use super::words::{NodePhase, NodeType, Phase};
use domain::id::JobId;
use domain::job::{OrderKey, RawStatus};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// A workflow.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Workflow {
    pub(super) metadata: Metadata,
    #[serde(deserialize_with = "or_default")]
    pub(super) spec: Spec,
    #[serde(deserialize_with = "or_default")]
    pub(super) status: Status,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    /// Grows with every change of the object, on every store Kubernetes has.
    pub(super) resource_version: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Spec {
    /// Somebody paused the whole workflow.
    #[serde(deserialize_with = "or_default")]
    pub(super) suspend: bool,
    /// `Stop` or `Terminate`, once somebody asked for the end.
    pub(super) shutdown: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) arguments: Arguments,
    #[serde(deserialize_with = "or_default")]
    pub(super) templates: Vec<Template>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Arguments {
    #[serde(deserialize_with = "or_default")]
    pub(super) parameters: Vec<Parameter>,
}

#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Parameter {
    pub(super) name: String,
    /// Text, but the API takes numbers and booleans too.
    pub(super) value: Option<Value>,
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its value may be a secret of the job.
        f.debug_tuple("Parameter").field(&self.name).finish()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Template {
    pub(super) name: String,
    pub(super) suspend: Option<Suspend>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Suspend {
    /// For how long; without it until a person says so.
    #[serde(deserialize_with = "or_default")]
    pub(super) duration: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Status {
    pub(super) phase: Phase,
    pub(super) message: String,
    /// `n/m`: nodes that are over, and all that are known.
    pub(super) progress: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) nodes: BTreeMap<String, Node>,
    /// Set where the nodes are too many for the object and were packed: only Argo Server unpacks them.
    pub(super) compressed_nodes: String,
    /// Set where they are even too many for that, and are kept in a database.
    pub(super) offload_node_status_version: String,
    /// The templates of other objects that nodes run, by scope and name.
    #[serde(deserialize_with = "or_default")]
    pub(super) stored_templates: BTreeMap<String, Template>,
    /// What is run: the template's spec with the workflow's own laid over it.
    #[serde(deserialize_with = "or_default")]
    pub(super) stored_workflow_template_spec: Spec,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            phase: Phase::Unknown,
            message: String::new(),
            progress: String::new(),
            nodes: BTreeMap::new(),
            compressed_nodes: String::new(),
            offload_node_status_version: String::new(),
            stored_templates: BTreeMap::new(),
            stored_workflow_template_spec: Spec::default(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) display_name: String,
    #[serde(rename = "type")]
    pub(super) node_type: NodeType,
    pub(super) phase: NodePhase,
    pub(super) message: String,
    pub(super) template_name: String,
    pub(super) template_ref: Option<TemplateRef>,
    /// In what order people read them.
    pub(super) started_at: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct TemplateRef {
    pub(super) name: String,
    pub(super) template: String,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            id: String::new(),
            name: String::new(),
            display_name: String::new(),
            node_type: NodeType::Other(String::new()),
            phase: NodePhase::Other(String::new()),
            message: String::new(),
            template_name: String::new(),
            template_ref: None,
            started_at: None,
        }
    }
}

impl Workflow {
    /// The job it carries.
    pub(super) fn job(&self) -> Option<JobId> {
        names::job_in(&self.metadata.labels)
    }

    /// Which attempt: 1, and what a retry of ours counted.
    pub(super) fn attempt(&self) -> u32 {
        let counted = self.spec.arguments.parameters.iter().find(|it| it.name == ATTEMPT_PARAMETER);
        counted.and_then(Parameter::text).and_then(|text| text.parse().ok()).unwrap_or(1).max(1)
    }

    /// Orders looks at it. A resource version that is no number orders nothing: then what is read wins over what is told.
    pub(super) fn order(&self) -> OrderKey {
        OrderKey { attempt: self.attempt(), version: self.metadata.resource_version.parse().unwrap_or(0) }
    }

    /// Argo's own words.
    pub(super) fn raw(&self) -> RawStatus {
        let asked = &self.spec.shutdown;
        RawStatus {
            status: self.status.phase.as_str().to_owned(),
            conclusion: (!asked.is_empty()).then(|| asked.clone()),
        }
    }

    /// What a retry must say again: every parameter that counts, the template's defaults among them, as `name=value`.
    /// A retry that changes parameters forgets those of the template that it is not told.
    pub(super) fn parameters(&self) -> BTreeMap<String, String> {
        let of_template = &self.status.stored_workflow_template_spec.arguments.parameters;
        let all = of_template.iter().chain(&self.spec.arguments.parameters);
        all.filter_map(|it| Some((it.name.clone(), it.text()?))).collect()
    }
}

impl Status {
    /// Whether there are nodes that we cannot see.
    pub(super) fn hides_nodes(&self) -> bool {
        let packed = !self.compressed_nodes.is_empty() || !self.offload_node_status_version.is_empty();
        self.nodes.is_empty() && packed
    }
}

impl Node {
    /// What people call it.
    pub(super) fn label(&self) -> &str {
        if self.display_name.is_empty() { &self.name } else { &self.display_name }
    }
}

impl Parameter {
    fn text(&self) -> Option<String> {
        match self.value.as_ref()? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Some(other.to_string())
            }
        }
    }
}

/// Go writes null for what is empty.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workflow(value: Value) -> Workflow {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_workflow_may_say_next_to_nothing() {
        let empty = workflow(json!({ "metadata": { "creationTimestamp": null }, "spec": null, "status": {
            "nodes": null, "phase": "brand new", "startedAt": null } }));
        assert_eq!((empty.job(), empty.attempt(), empty.order().version), (None, 1, 0));
        assert_eq!(empty.raw(), RawStatus { status: "brand new".to_owned(), conclusion: None });
        assert_eq!(workflow(json!({ "metadata": {} })).status.phase, Phase::Unknown);
    }

    #[test]
    fn attempts_are_counted_by_a_parameter() {
        let with = |value: Value| {
            workflow(json!({ "metadata": { "resourceVersion": "77" },
                "spec": { "arguments": { "parameters": [{ "name": "a", "value": "9" },
                    { "name": ATTEMPT_PARAMETER, "value": value }] } } }))
        };
        assert_eq!(with(json!("3")).order(), OrderKey { attempt: 3, version: 77 });
        assert_eq!(with(json!(2)).attempt(), 2);
        for odd in [json!("0"), json!(""), json!("x"), Value::Null] {
            assert_eq!(with(odd).attempt(), 1);
        }
    }

    #[test]
    fn a_retry_says_every_parameter_again() {
        let retried = workflow(json!({
            "metadata": {},
            "spec": { "arguments": { "parameters": [{ "name": "version", "value": "1.2=3" }] } },
            "status": { "storedWorkflowTemplateSpec": { "arguments": { "parameters": [
                { "name": "region", "value": "eu" }, { "name": "version", "value": "0" },
                { "name": "count", "value": 3 }, { "name": "from-a-map", "valueFrom": {} } ] } } },
        }));
        let expected = [("count", "3"), ("region", "eu"), ("version", "1.2=3")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(retried.parameters().into_iter().collect::<Vec<_>>(), expected);
    }
}
