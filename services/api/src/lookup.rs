//! The catalog to look things up in: every entity in memory, by id or by the name people use.

use std::sync::Arc;

use bus::catalog::CatalogFold;
use domain::catalog::WorkspaceCatalog;
use domain::entity::{Entity, Kind, Policy, Record};
use domain::id::{DeploymentId, WorkspaceId};
use domain::manifest::{Ids, OfNames};
use domain::target::{TargetKey, Variables};
use domain::token::Slug;
use uuid::Uuid;

use crate::applicable::{self, Places};

/// The catalog as this process has folded it.
pub(crate) struct Lookup(Arc<CatalogFold>);

impl std::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookup").finish_non_exhaustive()
    }
}

impl Ids for Lookup {
    fn id(&self, workspace: &Slug, kind: Kind, name: &str) -> Option<Uuid> {
        let known = self.within(workspace, |workspace| workspace.id_of_name(kind, name));
        known.unwrap_or_else(|| OfNames.id(workspace, kind, name))
    }
}

impl Lookup {
    pub(crate) fn new(fold: Arc<CatalogFold>) -> Self {
        Self(fold)
    }

    /// Every workspace, by slug.
    pub(crate) fn workspaces(&self) -> Vec<Entity> {
        let catalog = self.0.read();
        catalog.workspaces().flat_map(|workspace| workspace.entities(Kind::Workspace)).cloned().collect()
    }

    /// The slug of the workspace of this id or slug.
    pub(crate) fn workspace(&self, text: &str) -> Option<Slug> {
        let catalog = self.0.read();
        let id = Uuid::parse_str(text).ok();
        let is_meant = |workspace: &&WorkspaceCatalog| {
            let own = WorkspaceId::of(workspace.slug());
            (workspace.slug().as_str() == text || id == Some(own.0)) && workspace.workspace(own).is_some()
        };
        catalog.workspaces().find(is_meant).map(|workspace| workspace.slug().clone())
    }

    /// Every entity of the workspace, in the order of kinds.
    pub(crate) fn all(&self, workspace: &Slug) -> Vec<Entity> {
        self.within(workspace, |workspace| {
            Kind::ALL.iter().flat_map(|kind| workspace.entities(*kind)).cloned().collect()
        })
        .unwrap_or_default()
    }

    /// Every entity of the kind, by name.
    pub(crate) fn entities(&self, workspace: &Slug, kind: Kind) -> Vec<Entity> {
        let found = self.within(workspace, |workspace| workspace.entities(kind).cloned().collect::<Vec<_>>());
        let mut entities = found.unwrap_or_default();
        entities.sort_by(|one, other| one.meta().name.cmp(&other.meta().name));
        entities
    }

    /// The entity of this id.
    pub(crate) fn get(&self, workspace: &Slug, kind: Kind, id: Uuid) -> Option<Entity> {
        self.within(workspace, |workspace| workspace.entity(kind, id).cloned())?
    }

    /// The name of the entity of this id.
    pub(crate) fn name(&self, workspace: &Slug, kind: Kind, id: Uuid) -> Option<String> {
        self.within(workspace, |workspace| {
            workspace.entity(kind, id).map(|entity| entity.meta().name.clone())
        })?
    }

    /// The entity of this id, natural key or name. A version's natural key is `deployment:tag`, or `deployment/tag`.
    pub(crate) fn find(&self, workspace: &Slug, kind: Kind, text: &str) -> Option<Entity> {
        self.within(workspace, |workspace| {
            let found = workspace.find(kind, text);
            if kind == Kind::Version && found.is_none() {
                let (deployment, tag) = text.split_once('/')?;
                return workspace.find(kind, &format!("{deployment}:{tag}")).cloned();
            }
            found.cloned()
        })?
    }

    /// The release targets in those places.
    pub(crate) fn targets(&self, workspace: &Slug, places: Places) -> Vec<TargetKey> {
        self.within(workspace, |workspace| applicable::targets(workspace, places)).unwrap_or_default()
    }

    /// The release targets of a deployment.
    pub(crate) fn targets_of(&self, workspace: &Slug, deployment: DeploymentId) -> Vec<TargetKey> {
        self.within(workspace, |workspace| workspace.targets_of(deployment)).unwrap_or_default()
    }

    /// The variables of a release target, where each has a value.
    pub(crate) fn variables(&self, workspace: &Slug, target: &TargetKey) -> Option<Variables> {
        self.within(workspace, |workspace| domain::variables::resolve(workspace, target).ok())?
    }

    /// The policies that are about a release target in those places.
    pub(crate) fn policies(&self, workspace: &Slug, places: Places) -> Vec<Record<Policy>> {
        self.within(workspace, |workspace| applicable::policies(workspace, places)).unwrap_or_default()
    }

    /// What a look at all that the workspace has declared tells; `None`: there is no such workspace.
    pub(crate) fn within<T>(&self, workspace: &Slug, look: impl FnOnce(&WorkspaceCatalog) -> T) -> Option<T> {
        self.0.read().workspace(workspace).map(look)
    }
}
