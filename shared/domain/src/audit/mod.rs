//! Who did what: one event per write through the API. Knows no key, only its name.

mod documents;

pub use documents::Documents;

use crate::Timestamp;
use crate::token::Slug;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Stands for all tenants in the audit of what belongs to none. No workspace has this name.
pub const EVERYWHERE: &str = "all";

/// A write that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// When it was made.
    pub at: Timestamp,
    /// Who made it.
    pub actor: Actor,
    /// The verb: `create`, `update`, `delete`, `cancel`, `retry`, `redrive`, `revoke`, `login` or `logout`; there may be
    /// more.
    pub action: String,
    /// The tenant; `all` for what belongs to none.
    pub workspace: Slug,
    /// What it was done to.
    pub object: Object,
    /// The revision that was replaced: of the catalog entry, or the sequence of the job's last fact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// The revision that replaced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// What it changed.
    #[serde(default, skip_serializing_if = "Documents::is_empty")]
    pub documents: Documents,
}

/// Who.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// The name of the API key, or the user whose key or session it was; never the key.
    pub key: String,
    /// What could be done with it there.
    pub role: Role,
    /// Which of the user's keys it was, where the API made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<Uuid>,
    /// Whether it was done in a browser that had logged in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub session: bool,
}

/// On what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// The kind: of the catalog, `Job`, `DeadLetter`, `Key` or `Session`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// The name people read; may be empty.
    pub name: String,
}

/// What a key may do. Each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Viewer,
    /// Create versions and resources, cancel and retry jobs.
    Operator,
    /// Approve and reject.
    Approver,
    /// Everything.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Approver => "approver",
            Role::Admin => "admin",
        })
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Role::Viewer, Role::Operator, Role::Approver, Role::Admin]
            .into_iter()
            .find(|role| role.to_string() == text)
            .ok_or_else(|| format!("{text:?} is no role; viewer, operator, approver and admin are"))
    }
}
