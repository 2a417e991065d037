//! What the few selectors of these worlds mean: comparisons of known names with a text, joined by `&&`. Anything else
//! cannot be evaluated.

use super::scene::Scene;
use domain::entity::{Record, Version};
use domain::id::{DeploymentId, EnvironmentId, ResourceId};
use domain::target::TargetKey;

/// An expression that cannot be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

/// A name and what it stands for here.
type Names<'a> = [(&'a str, &'a str)];

pub(crate) fn means(expression: &str, names: &Names<'_>) -> Result<bool, Broken> {
    if expression == "true" {
        return Ok(true);
    }
    for part in expression.split(" && ") {
        let (name, equal, text) = match (part.split_once(" == "), part.split_once(" != ")) {
            (Some((name, text)), None) => (name, true, text),
            (None, Some((name, text))) => (name, false, text),
            _ => return Err(Broken),
        };
        let text = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).ok_or(Broken)?;
        let value = names.iter().find(|(known, _)| *known == name).ok_or(Broken)?.1;
        if (value == text) != equal {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A selector over `environment`, `deployment`, `resource`.
pub(crate) fn place(scene: &Scene<'_>, expression: &str, target: &TargetKey) -> Result<bool, Broken> {
    means(expression, &names(scene, target))
}

/// A selector over `version`, `environment`, `resource`, `deployment`.
pub(crate) fn version(
    scene: &Scene<'_>,
    expression: &str,
    target: &TargetKey,
    version: &Record<Version>,
) -> Result<bool, Broken> {
    let mut all = names(scene, target).to_vec();
    all.push(("version.tag", &version.spec.tag));
    means(expression, &all)
}

/// A selector over a `deployment` and the `version` that runs.
pub(crate) fn running(
    scene: &Scene<'_>,
    expression: &str,
    deployment: DeploymentId,
    version: &Record<Version>,
) -> Result<bool, Broken> {
    let deployment = &scene.deployment(deployment).meta.name;
    means(expression, &[("deployment.name", deployment), ("version.tag", &version.spec.tag)])
}

fn names<'a>(scene: &Scene<'a>, target: &TargetKey) -> [(&'static str, &'a str); 3] {
    [
        ("environment.name", &scene.environment(target.environment).meta.name),
        ("deployment.name", &scene.deployment(target.deployment).meta.name),
        ("resource.identifier", &scene.resource(target).spec.identifier),
    ]
}

/// The targets of a deployment: with every environment that shares a system with it, on every resource in it.
/// A resource of these worlds says by its metadata in which environments it is.
pub(crate) fn targets(scene: &Scene<'_>, deployment: DeploymentId) -> Vec<TargetKey> {
    let mut targets = Vec::new();
    let Some(of) = scene.deployments().find(|of| of.meta.id == deployment.0) else { return targets };
    for environment in scene.environments() {
        if !environment.spec.systems.iter().any(|system| of.spec.systems.contains(system)) {
            continue;
        }
        for resource in scene.resources() {
            if resource.meta.metadata.get(&environment.meta.name).map(String::as_str) == Some("yes") {
                targets.push(TargetKey {
                    deployment,
                    environment: EnvironmentId(environment.meta.id),
                    resource: ResourceId(resource.meta.id),
                });
            }
        }
    }
    targets.sort();
    targets
}
