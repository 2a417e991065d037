//! What the decisions of today remember of the time before the facts that are kept.

use crate::Timestamp;
use crate::decision::{TargetDecision, TargetState};
use crate::target::TargetKey;
use std::collections::BTreeMap;

/// The decisions as far as they were true at `begin` already: on each target the version that ran, and those that had run before it.
/// Whatever else they say came later. A version that was brought again after `begin` is remembered only from then on.
pub(super) fn before<'d>(
    begin: Timestamp,
    decisions: impl IntoIterator<Item = &'d TargetDecision>,
) -> BTreeMap<TargetKey, TargetDecision> {
    decisions.into_iter().filter_map(|decision| Some((decision.target, as_of(begin, decision)?))).collect()
}

fn as_of(begin: Timestamp, decision: &TargetDecision) -> Option<TargetDecision> {
    let ran = decision.current.iter().chain(&decision.earlier);
    let mut ran = ran.filter(|version| version.since < begin).cloned();
    let current = ran.next()?;
    Some(TargetDecision {
        workspace: decision.workspace.clone(),
        target: decision.target,
        state: TargetState::UpToDate,
        summary: format!("{} runs here since before the oldest fact that is kept", current.tag),
        desired: None,
        current: Some(current),
        active: None,
        last: None,
        attempts: Vec::new(),
        earlier: ran.collect(),
        held: Vec::new(),
        verifications: Vec::new(),
        redeployed: None,
        considered: Vec::new(),
        left_out: 0,
        waits_for: Default::default(),
        places: Vec::new(),
        next_look: None,
        catalog_revision: 0,
        decided_at: begin,
        cause: None,
    })
}
