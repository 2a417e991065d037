//! "On the same resource, in whatever environment, another deployment has a target whose *current* version satisfies
//! `dependsOn`"; and "every dependency of the version is met: the named deployment's current version on the same resource
//! matches `versionSelector`."

use super::Says;
use super::means::{Broken, running, targets};
use super::scene::Scene;
use domain::entity::{DeploymentDependency, Record, Version};
use domain::id::DeploymentId;
use domain::target::TargetKey;

pub(crate) fn of_policy(scene: &Scene<'_>, rule: &DeploymentDependency, target: &TargetKey) -> Says {
    let others = scene.deployments().map(|other| DeploymentId(other.meta.id));
    let mut found = false;
    for other in others.filter(|other| *other != target.deployment) {
        match runs(scene, other, &rule.depends_on, target) {
            Err(Broken) => return Says::Deny,
            Ok(here) => found |= here,
        }
    }
    if found { Says::YES } else { Says::Wait(None) }
}

pub(crate) fn of_version(scene: &Scene<'_>, target: &TargetKey, version: &Record<Version>) -> Says {
    let mut all = true;
    for dependency in &version.spec.dependencies {
        match runs(scene, dependency.deployment, &dependency.version_selector, target) {
            Err(Broken) => return Says::Deny,
            Ok(here) => all &= here,
        }
    }
    if all { Says::YES } else { Says::Wait(None) }
}

/// Whether a version that matches runs of the deployment on the resource of the target.
fn runs(scene: &Scene<'_>, of: DeploymentId, selector: &str, target: &TargetKey) -> Result<bool, Broken> {
    let mut found = false;
    for there in targets(scene, of).iter().filter(|there| there.resource == target.resource) {
        let current = scene.current(there).and_then(|(job, _)| scene.version(job.job.version));
        if let Some(version) = current {
            found |= running(scene, selector, of, version)?;
        }
    }
    Ok(found)
}
