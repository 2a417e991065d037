//! "`intervalSeconds` since the last deploy of *another* version to this target *ended* (as `successful` or `failure`);
//! while such a job is on its way it waits for its end. The version that was deployed last may go at once."

use super::Says;
use super::scene::Scene;
use chrono::TimeDelta;
use domain::entity::{Record, Version, VersionCooldown};
use domain::job::TerminalStatus;
use domain::target::TargetKey;

pub(crate) fn judge(
    scene: &Scene<'_>,
    rule: &VersionCooldown,
    target: &TargetKey,
    version: &Record<Version>,
) -> Says {
    let same = |id: domain::id::VersionId| id.0 == version.meta.id;
    if scene.active(target).is_some_and(|active| !same(active.job.version)) {
        return Says::Wait(None);
    }
    let deployed = scene
        .ended(target)
        .into_iter()
        .rfind(|(_, end)| matches!(end.status, TerminalStatus::Successful | TerminalStatus::Failure));
    match deployed {
        None => Says::YES,
        Some((job, _)) if same(job.job.version) => Says::YES,
        Some((_, end)) => {
            let rested = end.at + TimeDelta::seconds(i64::from(rule.interval_seconds));
            if scene.now < rested {
                Says::Wait(Some(rested))
            } else {
                Says::Allow { since: Some(rested), until: None }
            }
        }
    }
}
