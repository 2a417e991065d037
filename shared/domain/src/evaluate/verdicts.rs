//! What some policies say of one version on one target, whether or not it would be considered there.

use super::history::History;
use super::review::{Extent, Floor, OnTarget};
use super::view::DeploymentView;
use crate::decision::RuleVerdict;
use crate::id::{PolicyId, VersionId};
use crate::target::TargetKey;
use std::collections::BTreeSet;

impl DeploymentView<'_> {
    /// What the gates of these policies say of the version on the target, in the order in which decisions show them.
    /// `None`: there is no such target, or no such version. Nothing is asked for; what was chosen does not matter.
    pub fn verdicts(
        &self,
        target: &TargetKey,
        version: VersionId,
        policies: &BTreeSet<PolicyId>,
    ) -> Option<Vec<RuleVerdict>> {
        let place = self.place(target)?;
        let version = self.version(version)?;
        let history = History::of(self.facts, target, self.decided.decision(target));
        let rulings = OnTarget::of(self, &place, &history, &Floor::None).rulings(version, Extent::All);
        let said = rulings.into_iter().map(|named| named.into_verdict());
        Some(said.filter(|said| said.policy.is_some_and(|policy| policies.contains(&policy))).collect())
    }
}
