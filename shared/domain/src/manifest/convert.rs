//! Names in manifests, ids in the catalog, and back.

use crate::entity::{Entity, Kind};
use crate::id::{DeploymentId, SystemId};
use crate::token::Slug;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Puts ids in the place of names. An id of a name needs no look-up: it comes of the name.
pub(super) fn names_to_ids(kind: Kind, workspace: &Slug, spec: &mut Map<String, Value>) {
    let system = |name: &str| SystemId::of(workspace, name).0;
    let deployment = |name: &str| DeploymentId::of(workspace, name).0;
    match kind {
        Kind::Environment | Kind::Deployment => {
            if let Some(Value::Array(systems)) = spec.get_mut("systems") {
                systems.iter_mut().for_each(|name| replace(name, system));
            }
        }
        Kind::Version => {
            if let Some(name) = spec.get_mut("deployment") {
                replace(name, deployment);
            }
        }
        Kind::Trigger => {
            if let Some(name) =
                spec.get_mut("then").and_then(|then| then.pointer_mut("/createVersion/deployment"))
            {
                replace(name, deployment);
            }
        }
        Kind::Workspace
        | Kind::System
        | Kind::Resource
        | Kind::JobAgent
        | Kind::Policy
        | Kind::TriggerSource
        | Kind::Approval => {}
    }
}

fn replace(name: &mut Value, id_of: impl Fn(&str) -> Uuid) {
    if let Value::String(text) = name
        && Uuid::parse_str(text).is_err()
    {
        *name = json!(id_of(text));
    }
}

/// The entity as a manifest; ids that have a name become names.
pub fn to_manifest(entity: &Entity, name_of: &dyn Fn(Kind, Uuid) -> Option<String>) -> Value {
    let meta = entity.meta();
    let stored = serde_json::to_value(entity).expect("an entity is JSON");
    let mut spec = stored.get("spec").cloned().unwrap_or_else(|| json!({}));
    let names = |kind: Kind, id: &mut Value| {
        let name = id.as_str().and_then(|text| Uuid::parse_str(text).ok()).and_then(|id| name_of(kind, id));
        if let Some(name) = name {
            *id = name.into();
        }
    };
    if let Some(Value::Array(systems)) = spec.get_mut("systems") {
        systems.iter_mut().for_each(|id| names(Kind::System, id));
    }
    for path in ["/deployment", "/then/createVersion/deployment"] {
        if let Some(id) = spec.pointer_mut(path) {
            names(Kind::Deployment, id);
        }
    }
    let mut metadata = json!({ "name": meta.name, "workspace": meta.workspace });
    if !meta.metadata.is_empty() {
        metadata["metadata"] = json!(meta.metadata);
    }
    json!({ "kind": entity.kind().name(), "metadata": metadata, "spec": spec })
}
