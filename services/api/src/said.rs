//! What was said before and is said again: the same word, which keeps its instant, or another one. Reads the catalog and
//! the decisions; `changes` does what follows from it.

use chrono::TimeDelta;
use domain::Timestamp;
use domain::decision::TargetDecision;
use domain::entity::{Approval, ApprovalStatus, Entity, Kind, PolicyRule, Record, Redeploy};

use crate::applicable::Places;
use crate::lookup::Lookup;

/// Notes of which content of its version a word is said, as this replica knows the version.
pub(crate) fn of_content(catalog: &Lookup, word: &mut Entity) {
    if let Entity::Approval(word) = word {
        let version = catalog.get(&word.meta.workspace, Kind::Version, word.spec.version.0);
        word.spec.of_content = match version {
            Some(Entity::Version(version)) => Some(version.content()),
            _ => None,
        };
    }
}

/// Whether a yes counts no more for a rule that governs it, so that saying it again is another word: the version was
/// changed since, or it has expired. The shortest `expiresAfterSeconds` of the enabled policies of the version's targets in
/// the environment says when. A no does not expire.
pub(crate) fn has_expired(catalog: &Lookup, yes: &Record<Approval>, now: Timestamp) -> bool {
    let spec = &yes.spec;
    if spec.status != ApprovalStatus::Approved {
        return false;
    }
    let Some(Entity::Version(version)) = catalog.get(&yes.meta.workspace, Kind::Version, spec.version.0)
    else {
        return false;
    };
    // It was said of what the version brought then.
    if !spec.is_about(&version) {
        return true;
    }
    let places =
        Places { deployment: version.spec.deployment, environment: Some(spec.environment), resource: None };
    let policies = catalog.policies(&yes.meta.workspace, places);
    let rules = policies.iter().filter(|policy| policy.spec.enabled).flat_map(|policy| &policy.spec.rules);
    let shortest =
        rules.filter_map(PolicyRule::any_approval).filter_map(|rule| rule.expires_after_seconds).min();
    shortest.is_some_and(|seconds| spec.at + TimeDelta::seconds(seconds.into()) <= now)
}

/// Whether a wish to redeploy is not over: no job was asked for because of it yet, or the one that was is on its way. A
/// version that was held back after the wish needs another one.
pub(crate) fn is_open(wish: &Redeploy, decision: Option<&TargetDecision>) -> bool {
    let Some(decision) = decision else { return true };
    let held_since =
        decision.held.iter().any(|held| wish.version == Some(held.version) && held.since >= wish.at);
    let begun = decision.active.as_ref().filter(|active| active.at >= wish.at);
    match &decision.redeployed {
        _ if held_since => false,
        Some(answered) if answered.at > wish.at => false,
        Some(answered) if answered.at == wish.at => begun
            .is_some_and(|active| (active.release, active.attempt) == (answered.release, answered.attempt)),
        Some(_) | None => begun.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::{DeploymentId, EnvironmentId, ReleaseId, ResourceId, VersionId};
    use domain::target::TargetKey;
    use serde_json::{Value, json};
    use uuid::Uuid;

    const ID: Uuid = Uuid::nil();

    fn at(second: u32) -> String {
        format!("2026-01-01T00:00:{second:02}Z")
    }

    fn decision(parts: &Value) -> TargetDecision {
        let mut decision = json!({ "workspace": "acme", "state": "upToDate", "summary": "v1 runs", "decidedAt": at(0),
            "target": { "deployment": ID, "environment": ID, "resource": ID } });
        decision.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
        serde_json::from_value(decision).unwrap()
    }

    fn active(attempt: u32, second: u32) -> Value {
        json!({ "job": ID, "release": ReleaseId(ID), "version": ID, "tag": "v1", "attempt": attempt,
            "status": "pending", "at": at(second) })
    }

    #[test]
    fn a_wish_is_open_until_the_job_it_asked_for_is_over() {
        let wish = Redeploy {
            target: TargetKey {
                deployment: DeploymentId(ID),
                environment: EnvironmentId(ID),
                resource: ResourceId(ID),
            },
            version: Some(VersionId(ID)),
            at: at(10).parse().unwrap(),
            reason: None,
            by: "ann".into(),
        };
        let answered = |second| json!({ "at": at(second), "release": ID, "attempt": 2 });
        let held = |second| json!([{ "version": ID, "tag": "v1", "release": ID, "job": ID, "reason": "x", "since": at(second) }]);
        assert!(is_open(&wish, None), "nobody looked at the target yet");
        for (parts, open) in [
            (json!({}), true),
            (json!({ "redeployed": answered(5) }), true),
            // A job of before it is on its way: the wish waits for its end.
            (json!({ "active": active(1, 9) }), true),
            // A job that began after it fulfils it.
            (json!({ "active": active(1, 11) }), false),
            (json!({ "redeployed": answered(10), "active": active(2, 11) }), true),
            (json!({ "redeployed": answered(10), "active": active(3, 12) }), false),
            (json!({ "redeployed": answered(10) }), false),
            (json!({ "redeployed": answered(12) }), false),
            (json!({ "held": held(9) }), true),
            (json!({ "held": held(11) }), false),
        ] {
            assert_eq!(is_open(&wish, Some(&decision(&parts))), open, "{parts}");
        }
    }
}
