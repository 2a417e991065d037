//! Variables of deployments, sets of them, and how resources are related. What comes of them is in `variables`.
//!
//! A value is any JSON. Two forms mean more than themselves: `{"secretRef": "name"}` is a secret that only the agent
//! resolves, `{"reference": "relation", "path": "config.region"}` a property of a related resource.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// A variable that a deployment declares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentVariable {
    /// What templates call it: `variables.<key>`. Unique in the deployment.
    pub key: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its value where nothing else gives one. Absent: then the target is blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Values for some targets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<DeploymentVariableValue>,
}

/// The value of a variable for some targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentVariableValue {
    /// Its id, where it was given one of its own. Absent: it is named by its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// CEL over `resource`, `environment`, `deployment`. Absent: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Of the values that match, the one with the highest counts; of equals the first.
    #[serde(default)]
    pub priority: i32,
    /// The value.
    pub value: Value,
}

/// Values that several deployments share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VariableSet {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// CEL over `resource`, `environment`, `deployment`: the targets it is for.
    pub selector: String,
    /// Of the sets that match and have the key, the one with the highest counts; of equals the first by name.
    #[serde(default)]
    pub priority: i32,
    /// Values by key.
    pub variables: Map<String, Value>,
}

/// How resources are related: every resource that `from` selects has, under the name `reference`, the resources that
/// `to` selects and for which `matcher` is true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RelationshipRule {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The name by which values refer to the related resource.
    pub reference: String,
    /// CEL over `resource`: whose relation it is.
    pub from: String,
    /// CEL over `resource`: who may be related.
    pub to: String,
    /// CEL over `from` and `to`: who is, e.g. `from.metadata.vpc == to.identifier`.
    pub matcher: String,
}
