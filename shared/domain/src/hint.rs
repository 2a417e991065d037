//! Hints: "look at this deployment". They carry no input: what is true is read from the catalog and the facts.

use crate::id::DeploymentId;
use crate::token::Slug;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A wake-up of the evaluator for one deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hint {
    /// The tenant.
    pub workspace: Slug,
    /// Which deployment.
    pub deployment: DeploymentId,
    /// The replica that works the hint must have seen the catalog up to this revision.
    pub catalog_revision: u64,
    /// … and the facts up to this sequence of `JOBS`.
    pub jobs_sequence: u64,
    /// What made it worth a look, for people.
    pub cause: String,
    /// W3C trace context of the cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}
