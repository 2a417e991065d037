//! The forms that many answers share, for the description only.
#![allow(dead_code, reason = "the fields are read by the description alone")]

use serde_json::Value;
use utoipa::ToSchema;

/// An entity as one flat object: what was declared, and what every entity has.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Flat {
    id: String,
    name: String,
    workspace_id: String,
    metadata: std::collections::BTreeMap<String, String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// One page of a list.
#[derive(ToSchema)]
pub(crate) struct Listed {
    items: Vec<Value>,
    total: u64,
    limit: u64,
    offset: u64,
}

/// A write that was done.
#[derive(ToSchema)]
pub(crate) struct Accepted {
    id: String,
    message: String,
}

/// Any object.
#[derive(ToSchema)]
pub(crate) struct Thing {}
