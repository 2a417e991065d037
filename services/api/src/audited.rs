//! What the audit calls things: a tag, or the word pin, names nothing without where it belongs.

use domain::audit::Object;
use domain::entity::{Entity, Kind, Version};
use domain::id::{EnvironmentId, ResourceId, VersionId};
use domain::job::{JobRef, Purpose};
use domain::target::TargetKey;
use domain::token::Slug;
use uuid::Uuid;

use crate::lookup::Lookup;

/// An entity, as the audit names it.
pub(crate) fn called(catalog: &Lookup, entity: &Entity) -> String {
    let meta = entity.meta();
    let names = Names { catalog, workspace: &meta.workspace };
    match entity {
        Entity::Version(version) => names.tag(&version.spec),
        Entity::Pin(pin) => {
            let place = names.place(pin.spec.deployment.0, pin.spec.environment, pin.spec.resource);
            format!("{} on {place}", names.of(Kind::Version, pin.spec.version.0))
        }
        Entity::Redeploy(redeploy) => names.target(&redeploy.spec.target),
        Entity::RolloutControl(control) => {
            let environment = names.of(Kind::Environment, control.spec.environment.0);
            format!("{} → {environment}", names.version(control.spec.version))
        }
        Entity::Workspace(_)
        | Entity::System(_)
        | Entity::Environment(_)
        | Entity::ResourceProvider(_)
        | Entity::Resource(_)
        | Entity::JobAgent(_)
        | Entity::Deployment(_)
        | Entity::RelationshipRule(_)
        | Entity::VariableSet(_)
        | Entity::Policy(_)
        | Entity::TriggerSource(_)
        | Entity::Trigger(_)
        | Entity::Approval(_)
        | Entity::Skip(_)
        | Entity::Freeze(_)
        | Entity::Workflow(_)
        | Entity::WorkflowRun(_) => meta.name.clone(),
    }
}

/// A job, as the audit tells it.
pub(crate) fn job(catalog: &Lookup, job: &JobRef) -> Object {
    Object { kind: "Job".to_owned(), id: job.id.to_string(), name: job_name(catalog, job) }
}

fn job_name(catalog: &Lookup, job: &JobRef) -> String {
    let names = Names { catalog, workspace: &job.workspace };
    if let Purpose::Workflow { workflow, .. } = &job.purpose {
        return format!("{} {}", names.of(Kind::Workflow, workflow.0), job.tag);
    }
    let TargetKey { deployment, environment, resource } = job.target;
    let [deployment, environment, resource] =
        [(Kind::Deployment, deployment.0), (Kind::Environment, environment.0), (Kind::Resource, resource.0)]
            .map(|(kind, id)| names.of(kind, id));
    format!("{deployment} {} → {environment} / {resource}", job.tag)
}

struct Names<'a> {
    catalog: &'a Lookup,
    workspace: &'a Slug,
}

impl Names<'_> {
    /// Its name; its id where it is gone.
    fn of(&self, kind: Kind, id: Uuid) -> String {
        self.catalog.name(self.workspace, kind, id).unwrap_or_else(|| id.to_string())
    }

    fn tag(&self, version: &Version) -> String {
        format!("{} {}", self.of(Kind::Deployment, version.deployment.0), version.tag)
    }

    fn version(&self, id: VersionId) -> String {
        match self.catalog.get(self.workspace, Kind::Version, id.0) {
            Some(Entity::Version(version)) => self.tag(&version.spec),
            _ => id.to_string(),
        }
    }

    fn target(&self, target: &TargetKey) -> String {
        self.place(target.deployment.0, Some(target.environment), Some(target.resource))
    }

    fn place(
        &self,
        deployment: Uuid,
        environment: Option<EnvironmentId>,
        resource: Option<ResourceId>,
    ) -> String {
        let environment = environment.map(|id| self.of(Kind::Environment, id.0));
        let resource = resource.map(|id| self.of(Kind::Resource, id.0));
        let within: Vec<String> = environment.into_iter().chain(resource).collect();
        let deployment = self.of(Kind::Deployment, deployment);
        if within.is_empty() { deployment } else { format!("{deployment} → {}", within.join(" / ")) }
    }
}
