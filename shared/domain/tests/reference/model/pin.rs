//! "The narrowest pin of the target (environment and resource, then resource, then environment, then neither) names this
//! version."

use super::Says;
use super::scene::Scene;
use domain::entity::{Pin, Record, Version};
use domain::target::TargetKey;

pub(crate) fn judge(scene: &Scene<'_>, target: &TargetKey, version: &Record<Version>) -> Says {
    match narrowest(scene, target) {
        Some(pin) if pin.spec.version.0 != version.meta.id => Says::Deny,
        Some(_) | None => Says::YES,
    }
}

pub(crate) fn narrowest<'a>(scene: &Scene<'a>, target: &TargetKey) -> Option<&'a Record<Pin>> {
    let here = |pin: &Pin| {
        pin.deployment == target.deployment
            && pin.environment.is_none_or(|environment| environment == target.environment)
            && pin.resource.is_none_or(|resource| resource == target.resource)
    };
    let width = |pin: &&Record<Pin>| match (pin.spec.environment, pin.spec.resource) {
        (Some(_), Some(_)) => 0,
        (None, Some(_)) => 1,
        (Some(_), None) => 2,
        (None, None) => 3,
    };
    scene.pins().filter(|pin| here(&pin.spec)).min_by_key(width)
}
