//! What is tested: the public interface of the evaluator, in one place.

use domain::Timestamp;
use domain::catalog::WorkspaceCatalog;
use domain::decision::TargetDecision;
use domain::evaluate::{DeploymentView, Facts, Outcome};
use domain::target::TargetKey;
use std::collections::BTreeMap;

pub(crate) type Decided = BTreeMap<TargetKey, TargetDecision>;

/// Decides on one target, with what was decided on it before, or as if nothing had been.
pub(crate) fn decide(
    ws: &WorkspaceCatalog,
    facts: &Facts,
    decided: &Decided,
    target: &TargetKey,
    now: Timestamp,
) -> Outcome {
    let view = DeploymentView::of(ws, facts, decided, target.deployment, now);
    view.decide(target, Some("test".to_owned()))
}
