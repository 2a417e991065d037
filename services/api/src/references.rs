//! Which entities an entity names: they must exist when it is written, and may not go while it is there.

use domain::entity::{CatalogKey, Entity, Kind, TriggerAction};
use domain::id::{JobAgentId, TriggerSourceId};
use uuid::Uuid;

/// One entity named by another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The path of the field that names it.
    pub(crate) field: String,
    /// What it names.
    pub(crate) to: CatalogKey,
}

/// Everything the entity names, beside its workspace.
pub(crate) fn references(entity: &Entity) -> Vec<Reference> {
    let workspace = &entity.meta().workspace;
    let one = |field: String, kind: Kind, id: Uuid| Reference {
        field,
        to: CatalogKey { workspace: workspace.clone(), kind, id },
    };
    let systems = |ids: &[domain::id::SystemId]| -> Vec<Reference> {
        let each = ids.iter().enumerate();
        each.map(|(index, id)| one(format!("spec.systems[{index}]"), Kind::System, id.0)).collect()
    };
    match entity {
        Entity::Workspace(_)
        | Entity::System(_)
        | Entity::Resource(_)
        | Entity::JobAgent(_)
        | Entity::Policy(_)
        | Entity::TriggerSource(_) => Vec::new(),
        Entity::Environment(record) => systems(&record.spec.systems),
        Entity::Deployment(record) => {
            let mut all = systems(&record.spec.systems);
            for (index, agent) in record.spec.job_agents.iter().enumerate() {
                let id = JobAgentId::of(workspace, &agent.name).0;
                all.push(one(format!("spec.jobAgents[{index}].ref"), Kind::JobAgent, id));
            }
            all
        }
        Entity::Trigger(record) => {
            let source = TriggerSourceId::of(workspace, &record.spec.source).0;
            let TriggerAction::CreateVersion(create) = &record.spec.then;
            vec![
                one("spec.source".to_owned(), Kind::TriggerSource, source),
                one("spec.then.createVersion.deployment".to_owned(), Kind::Deployment, create.deployment.0),
            ]
        }
        Entity::Version(record) => {
            vec![one("spec.deployment".to_owned(), Kind::Deployment, record.spec.deployment.0)]
        }
        Entity::Approval(record) => vec![
            one("spec.version".to_owned(), Kind::Version, record.spec.version.0),
            one("spec.environment".to_owned(), Kind::Environment, record.spec.environment.0),
        ],
    }
}

/// What goes with the thing it belongs to, when that is asked for: the versions of a deployment, what was said of a
/// version or for an environment.
pub(crate) fn is_owned(kind: Kind) -> bool {
    match kind {
        Kind::Version | Kind::Approval => true,
        Kind::Workspace
        | Kind::System
        | Kind::Environment
        | Kind::Resource
        | Kind::JobAgent
        | Kind::Deployment
        | Kind::Policy
        | Kind::TriggerSource
        | Kind::Trigger => false,
    }
}
