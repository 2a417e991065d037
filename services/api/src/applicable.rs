//! Which policies are about a deployment, in the places something is said for.

use domain::catalog::{WorkspaceCatalog, deployment_context, environment_context, resource_context};
use domain::entity::{Policy, Record};
use domain::id::{DeploymentId, EnvironmentId, ResourceId};
use domain::selector::{Scope, Selector, value_of};
use domain::target::TargetKey;

/// A deployment, everywhere or somewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    pub(crate) deployment: DeploymentId,
    pub(crate) environment: Option<EnvironmentId>,
    pub(crate) resource: Option<ResourceId>,
}

/// The release targets there.
pub(crate) fn targets(workspace: &WorkspaceCatalog, places: Places) -> Vec<TargetKey> {
    let mut targets = workspace.targets_of(places.deployment);
    targets.retain(|target| {
        places.environment.is_none_or(|id| id == target.environment)
            && places.resource.is_none_or(|id| id == target.resource)
    });
    targets
}

/// The policies whose selector is true of a release target there.
pub(crate) fn policies(workspace: &WorkspaceCatalog, places: Places) -> Vec<Record<Policy>> {
    let scopes: Vec<Scope> =
        targets(workspace, places).iter().filter_map(|target| scope(workspace, target)).collect();
    let matches = |policy: &&Record<Policy>| {
        let selector = Selector::compile(&policy.spec.selector, &["environment", "deployment", "resource"]);
        // One that cannot be evaluated holds everything up, but no rule of it does.
        selector.is_ok_and(|selector| scopes.iter().any(|scope| selector.matches(scope).is_ok_and(|yes| yes)))
    };
    workspace.policies().filter(matches).cloned().collect()
}

fn scope(workspace: &WorkspaceCatalog, target: &TargetKey) -> Option<Scope> {
    let environment = environment_context(workspace.environment(target.environment)?);
    let deployment = deployment_context(workspace.deployment(target.deployment)?);
    let resource = resource_context(workspace.resource(target.resource)?);
    let scope = Scope::default()
        .with("environment", value_of(&environment).ok()?)
        .with("deployment", value_of(&deployment).ok()?)
        .with("resource", value_of(&resource).ok()?);
    Some(scope)
}
