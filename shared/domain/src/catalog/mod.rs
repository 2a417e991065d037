//! The catalog in memory: the fold of the `catalog` bucket, over all workspaces.

mod compiled;
mod context;
mod ruled;
mod selection;
mod workspace;

pub(crate) use context::{FIELDS, MAPS_OF_FIELDS};
pub use context::{
    deployment_context, environment_context, job_agent_context, resource_context, user_context,
    version_context,
};
pub use selection::SelectionProblem;
pub use workspace::WorkspaceCatalog;

use crate::entity::{CatalogKey, Entity, Kind};
use crate::id::DeploymentId;
use crate::token::Slug;
use std::collections::{BTreeMap, BTreeSet};

/// Everything declared, by workspace.
#[derive(Debug, Default)]
pub struct Catalog {
    workspaces: BTreeMap<Slug, WorkspaceCatalog>,
    revision: u64,
}

/// What a change of the catalog was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The key, where it is one of ours.
    pub key: Option<CatalogKey>,
    /// The kind, where the key is one of ours.
    pub kind: Option<Kind>,
    /// Which deployments have to be looked at again.
    pub affected: Affected,
    /// Why the value could not be read.
    pub broken: Option<String>,
}

/// Which deployments a change concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Affected {
    /// These; often none.
    Deployments(BTreeSet<DeploymentId>),
    /// All of the workspace.
    Workspace,
}

impl Affected {
    /// No deployment.
    pub fn none() -> Self {
        Self::Deployments(BTreeSet::new())
    }

    /// This deployment.
    pub fn deployment(id: DeploymentId) -> Self {
        Self::Deployments(BTreeSet::from([id]))
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Deployments(mut these), Self::Deployments(those)) => {
                these.extend(those);
                Self::Deployments(these)
            }
            (Self::Workspace, _) | (_, Self::Workspace) => Self::Workspace,
        }
    }
}

impl Catalog {
    /// The revision up to which it has been folded.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The part of one tenant.
    pub fn workspace(&self, slug: &Slug) -> Option<&WorkspaceCatalog> {
        self.workspaces.get(slug)
    }

    /// All tenants, by slug.
    pub fn workspaces(&self) -> impl Iterator<Item = &WorkspaceCatalog> {
        self.workspaces.values()
    }

    /// Folds one value, or the end of one. What cannot be read is kept as broken, and whatever depends on it fails
    /// closed; it never stops the fold.
    pub fn apply(&mut self, key: &str, value: Option<&[u8]>, revision: u64) -> Applied {
        self.revision = self.revision.max(revision);
        let Ok(key) = key.parse::<CatalogKey>() else {
            let broken = Some("the key is none of the catalog".to_owned());
            return Applied { key: None, kind: None, affected: Affected::none(), broken };
        };
        let workspace = self
            .workspaces
            .entry(key.workspace.clone())
            .or_insert_with(|| WorkspaceCatalog::new(key.workspace.clone()));
        let (change, broken) = match value.map(|bytes| read(&key, bytes)) {
            None => (workspace.remove(&key), None),
            Some(Ok(entity)) => (workspace.put(entity), None),
            Some(Err(why)) => (workspace.put_broken(&key, why.clone()), Some(why)),
        };
        Applied { kind: Some(key.kind), key: Some(key), affected: change, broken }
    }
}

fn read(key: &CatalogKey, bytes: &[u8]) -> Result<Entity, String> {
    let entity: Entity = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if entity.key() != *key {
        return Err("it belongs under another key".to_owned());
    }
    Ok(entity)
}

#[cfg(test)]
mod tests;
