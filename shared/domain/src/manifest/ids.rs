//! What a name stands for. Whatever is new takes the id of its name; what was given another name since keeps its id, so who
//! reads documents asks what is there.

use crate::entity::Kind;
use crate::id::{
    DeploymentId, EnvironmentId, FreezeId, JobAgentId, PolicyId, RelationshipRuleId, ResourceId,
    ResourceProviderId, SystemId, TriggerId, TriggerSourceId, VariableSetId, WorkflowId, WorkspaceId,
};
use crate::token::Slug;
use std::fmt;
use uuid::Uuid;

/// The ids behind names.
pub trait Ids: fmt::Debug + Send + Sync {
    /// The id of what is called so, or the one that something new of this name takes. `None`: such things have no name of
    /// their own.
    fn id(&self, workspace: &Slug, kind: Kind, name: &str) -> Option<Uuid>;
}

/// Ids as if nothing had ever got another name: for who knows no catalog.
#[derive(Debug, Clone, Copy)]
pub struct OfNames;

impl Ids for OfNames {
    fn id(&self, workspace: &Slug, kind: Kind, name: &str) -> Option<Uuid> {
        of_name(kind, workspace, name)
    }
}

/// The id that is born of a name; of a resource it is the identifier.
pub(crate) fn of_name(kind: Kind, workspace: &Slug, name: &str) -> Option<Uuid> {
    match kind {
        Kind::Workspace => Some(WorkspaceId::of(workspace).0),
        Kind::System => Some(SystemId::of(workspace, name).0),
        Kind::Environment => Some(EnvironmentId::of(workspace, name).0),
        Kind::Resource => Some(ResourceId::of(workspace, name).0),
        Kind::JobAgent => Some(JobAgentId::of(workspace, name).0),
        Kind::Deployment => Some(DeploymentId::of(workspace, name).0),
        Kind::Policy => Some(PolicyId::of(workspace, name).0),
        Kind::TriggerSource => Some(TriggerSourceId::of(workspace, name).0),
        Kind::Trigger => Some(TriggerId::of(workspace, name).0),
        Kind::Freeze => Some(FreezeId::of(workspace, name).0),
        Kind::VariableSet => Some(VariableSetId::of(workspace, name).0),
        Kind::RelationshipRule => Some(RelationshipRuleId::of(workspace, name).0),
        Kind::ResourceProvider => Some(ResourceProviderId::of(workspace, name).0),
        Kind::Workflow => Some(WorkflowId::of(workspace, name).0),
        Kind::Version
        | Kind::Approval
        | Kind::Skip
        | Kind::Pin
        | Kind::Redeploy
        | Kind::RolloutControl
        | Kind::WorkflowRun => None,
    }
}

/// Whether things of this kind are told apart by their names, and may be given another.
pub fn has_own_name(kind: Kind) -> bool {
    match kind {
        Kind::System
        | Kind::Environment
        | Kind::JobAgent
        | Kind::Deployment
        | Kind::Policy
        | Kind::TriggerSource
        | Kind::Trigger
        | Kind::Freeze
        | Kind::VariableSet
        | Kind::RelationshipRule
        | Kind::ResourceProvider
        | Kind::Workflow => true,
        Kind::Workspace
        | Kind::Resource
        | Kind::Version
        | Kind::Approval
        | Kind::Skip
        | Kind::Pin
        | Kind::Redeploy
        | Kind::RolloutControl
        | Kind::WorkflowRun => false,
    }
}
