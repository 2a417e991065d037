//! "One rule of one policy, for one version, everywhere or in one environment, on one resource: it allows until the skip
//! expires."

use super::Says;
use super::scene::Scene;
use domain::entity::{Policy, Record, Skip, Version};
use domain::target::TargetKey;

pub(crate) fn of<'a>(
    scene: &Scene<'a>,
    policy: &Record<Policy>,
    index: u32,
    target: &TargetKey,
    version: &Record<Version>,
) -> Option<&'a Record<Skip>> {
    let rules = &policy.spec.rules;
    let name = rules[index as usize].name();
    let alone = rules.iter().filter(|rule| rule.name() == name).count() == 1;
    let applies = |skip: &Skip| {
        skip.policy.0 == policy.meta.id
            && skip.version.0 == version.meta.id
            && skip.rule == name
            // "A skip that names no rule index means the only rule of that name in the policy; where there are several none."
            && skip.rule_index.map_or(alone, |of| of == index)
            && skip.environment.is_none_or(|environment| environment == target.environment)
            && skip.resource.is_none_or(|resource| resource == target.resource)
            && skip.expires_at.is_none_or(|end| scene.now < end)
    };
    // "It holds as long as its policy stays as it was when the skip was made."
    let of_now = |skip: &Record<Skip>| policy.meta.updated_at <= skip.meta.created_at;
    let mut skips: Vec<_> = scene.skips().filter(|skip| applies(&skip.spec) && of_now(skip)).collect();
    skips.sort_by_key(|skip| skip.meta.created_at);
    skips.into_iter().next()
}

/// "a skipped rule: the creation of the skip"
pub(crate) fn says(skip: &Record<Skip>) -> Says {
    Says::Allow { since: Some(skip.meta.created_at), until: skip.spec.expires_at }
}
