//! What was decided before, on this target and on others.

use crate::decision::TargetDecision;
use crate::id::ResourceId;
use crate::target::TargetKey;
use std::collections::BTreeMap;

/// The decisions that are known.
pub trait Decided {
    /// The decision on a target.
    fn decision(&self, target: &TargetKey) -> Option<&TargetDecision>;

    /// The targets on a resource, of any deployment, that were decided on.
    fn on_resource(&self, resource: ResourceId) -> Vec<TargetKey>;
}

/// Nothing was decided before.
impl Decided for () {
    fn decision(&self, _target: &TargetKey) -> Option<&TargetDecision> {
        None
    }

    fn on_resource(&self, _resource: ResourceId) -> Vec<TargetKey> {
        Vec::new()
    }
}

impl Decided for BTreeMap<TargetKey, TargetDecision> {
    fn decision(&self, target: &TargetKey) -> Option<&TargetDecision> {
        self.get(target)
    }

    fn on_resource(&self, resource: ResourceId) -> Vec<TargetKey> {
        self.keys().filter(|target| target.resource == resource).copied().collect()
    }
}
