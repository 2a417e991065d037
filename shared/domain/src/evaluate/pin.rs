//! `pin`, built in: where a version is pinned, no other may go.

use super::ruling::Ruling;
use crate::decision::RuleInputs;
use crate::entity::{Pin, Record};
use crate::id::{PinId, VersionId};
use crate::target::TargetKey;

/// The narrowest of the pins that concern the target: resource and environment, resource, environment, neither.
pub(super) fn narrowest<'a>(
    pins: impl Iterator<Item = &'a Record<Pin>>,
    target: &TargetKey,
) -> Option<&'a Record<Pin>> {
    let concern = pins.filter(|pin| {
        pin.spec.environment.is_none_or(|id| id == target.environment)
            && pin.spec.resource.is_none_or(|id| id == target.resource)
    });
    concern.max_by_key(|pin| (pin.spec.resource.is_some(), pin.spec.environment.is_some(), pin.meta.id))
}

pub(super) fn judge(pin: &Record<Pin>, pinned_tag: Option<&str>, version: VersionId) -> Ruling {
    let Pin { version: pinned, reason, created_by, .. } = &pin.spec;
    let tag = pinned_tag.unwrap_or("a version that is gone");
    let reason = format!("{tag} is pinned by {created_by}: {reason}");
    let ruling = if *pinned == version { Ruling::allow(reason, None) } else { Ruling::deny(reason) };
    ruling.on(RuleInputs::Pin { pin: PinId(pin.meta.id), version: *pinned })
}
