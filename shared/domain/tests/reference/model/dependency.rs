//! "On the same resource, in whatever environment, another deployment has a target whose *current* version satisfies
//! `dependsOn`"; and "every dependency of the version is met: the named deployment's current version on the same resource
//! matches `versionSelector`."

use super::Says;
use super::means::{Broken, running, targets};
use super::scene::Scene;
use domain::Timestamp;
use domain::entity::{DeploymentDependency, Record, Version};
use domain::id::DeploymentId;
use domain::target::TargetKey;

pub(crate) fn of_policy(scene: &Scene<'_>, rule: &DeploymentDependency, target: &TargetKey) -> Says {
    let others = scene.deployments().map(|other| DeploymentId(other.meta.id));
    let mut found: Option<Timestamp> = None;
    for other in others.filter(|other| *other != target.deployment) {
        match runs(scene, other, &rule.depends_on, target) {
            Err(Broken) => return Says::Deny,
            Ok(here) => found = found.into_iter().chain(here).min(),
        }
    }
    match found {
        Some(since) => Says::Allow { since: Some(since), until: None },
        None => Says::Wait(None),
    }
}

pub(crate) fn of_version(scene: &Scene<'_>, target: &TargetKey, version: &Record<Version>) -> Says {
    let mut all = Some(None);
    for dependency in &version.spec.dependencies {
        match runs(scene, dependency.deployment, &dependency.version_selector, target) {
            Err(Broken) => return Says::Deny,
            Ok(here) => all = all.zip(here).map(|(since, here)| since.max(Some(here))),
        }
    }
    match all {
        Some(since) => Says::Allow { since, until: None },
        None => Says::Wait(None),
    }
}

/// Since when a version that matches runs of the deployment on the resource of the target, if one does.
fn runs(
    scene: &Scene<'_>,
    of: DeploymentId,
    selector: &str,
    target: &TargetKey,
) -> Result<Option<Timestamp>, Broken> {
    let mut found: Option<Timestamp> = None;
    for there in targets(scene, of).iter().filter(|there| there.resource == target.resource) {
        let Some((job, end)) = scene.current(there) else { continue };
        let Some(version) = scene.version(job.job.version) else { continue };
        if running(scene, selector, of, version)? {
            found = found.into_iter().chain([end.at]).min();
        }
    }
    Ok(found)
}
