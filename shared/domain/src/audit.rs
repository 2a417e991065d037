//! Who did what: one event per write through the API. Knows no key, only its name.

use crate::Timestamp;
use crate::token::Slug;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A write that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// When it was made.
    pub at: Timestamp,
    /// Who made it.
    pub actor: Actor,
    /// The verb, e.g. `create`, `update`, `delete`, `cancel`, `retry`, `redrive`.
    pub action: String,
    /// The tenant; `_all` for what belongs to none.
    pub workspace: Slug,
    /// What it was done to.
    pub object: Object,
    /// The revision that was replaced: of the catalog entry, or the sequence of the job's last fact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// The revision that replaced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// Who.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// The name of the API key, never the key.
    pub key: String,
    /// What the key may do.
    pub role: Role,
}

/// On what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// The kind: of the catalog, `Job`, or `DeadLetter`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// The name people read; may be empty.
    pub name: String,
}

