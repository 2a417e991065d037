//! Which entities an entity names: they must exist when it is written, and may not go while it is there.

use domain::entity::{CatalogKey, Entity, Kind, TriggerAction};
use domain::id::{EnvironmentId, JobAgentId, ResourceId, TriggerSourceId};
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
        | Entity::TriggerSource(_)
        | Entity::Freeze(_)
        | Entity::VariableSet(_)
        | Entity::RelationshipRule(_) => Vec::new(),
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
            let mut all = vec![one("spec.deployment".to_owned(), Kind::Deployment, record.spec.deployment.0)];
            for (index, dependency) in record.spec.dependencies.iter().enumerate() {
                let field = format!("spec.dependencies[{index}].deployment");
                all.push(one(field, Kind::Deployment, dependency.deployment.0));
            }
            all
        }
        Entity::Skip(record) => {
            let mut all = vec![
                one("spec.policy".to_owned(), Kind::Policy, record.spec.policy.0),
                one("spec.version".to_owned(), Kind::Version, record.spec.version.0),
            ];
            all.extend(scope(&one, record.spec.environment, record.spec.resource));
            all
        }
        Entity::Pin(record) => {
            let mut all = vec![
                one("spec.deployment".to_owned(), Kind::Deployment, record.spec.deployment.0),
                one("spec.version".to_owned(), Kind::Version, record.spec.version.0),
            ];
            all.extend(scope(&one, record.spec.environment, record.spec.resource));
            all
        }
        Entity::Redeploy(record) => {
            let target = record.spec.target;
            let mut all =
                vec![one("spec.target.deployment".to_owned(), Kind::Deployment, target.deployment.0)];
            all.push(one("spec.target.environment".to_owned(), Kind::Environment, target.environment.0));
            all.push(one("spec.target.resource".to_owned(), Kind::Resource, target.resource.0));
            all.extend(record.spec.version.map(|id| one("spec.version".to_owned(), Kind::Version, id.0)));
            all
        }
        Entity::RolloutControl(record) => vec![
            one("spec.version".to_owned(), Kind::Version, record.spec.version.0),
            one("spec.environment".to_owned(), Kind::Environment, record.spec.environment.0),
        ],
        Entity::Approval(record) => vec![
            one("spec.version".to_owned(), Kind::Version, record.spec.version.0),
            one("spec.environment".to_owned(), Kind::Environment, record.spec.environment.0),
        ],
    }
}

/// What narrows a scope.
fn scope(
    one: &impl Fn(String, Kind, Uuid) -> Reference,
    environment: Option<EnvironmentId>,
    resource: Option<ResourceId>,
) -> impl Iterator<Item = Reference> {
    let environment = environment.map(|id| one("spec.environment".to_owned(), Kind::Environment, id.0));
    environment.into_iter().chain(resource.map(|id| one("spec.resource".to_owned(), Kind::Resource, id.0)))
}

/// What goes with the thing it belongs to, when that is asked for: the versions of a deployment, what was said of a
/// version or for an environment.
pub(crate) fn is_owned(kind: Kind) -> bool {
    match kind {
        Kind::Version | Kind::Approval | Kind::Skip | Kind::Pin | Kind::Redeploy | Kind::RolloutControl => {
            true
        }
        Kind::Freeze
        | Kind::VariableSet
        | Kind::RelationshipRule
        | Kind::Workspace
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
