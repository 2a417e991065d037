//! How a version on its way stands on each target, and when there is nothing more to wait for: what `--wait` of the
//! command line and the API's long answer to CI go by.

use crate::Timestamp;
use crate::decision::{JobOnTarget, TargetDecision, TargetState, VersionOnTarget};
use crate::id::VersionId;
use crate::job::JobStatus;
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt;

/// What a decision says of a target, as far as it is needed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OnTarget {
    /// In one word.
    pub state: TargetState,
    /// In one sentence.
    pub summary: String,
    /// What should run.
    pub desired: Option<VersionOnTarget>,
    /// What runs.
    pub current: Option<VersionOnTarget>,
    /// The job under way.
    pub active: Option<JobOnTarget>,
    /// The last job that ended.
    pub last: Option<JobOnTarget>,
    /// When this was decided.
    pub decided_at: Timestamp,
}

impl From<&TargetDecision> for OnTarget {
    fn from(decision: &TargetDecision) -> Self {
        Self {
            state: decision.state,
            summary: decision.summary.clone(),
            desired: decision.desired.clone(),
            current: decision.current.clone(),
            active: decision.active.clone(),
            last: decision.last.clone(),
            decided_at: decision.decided_at,
        }
    }
}

/// How a version stands on a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It runs there.
    UpToDate,
    /// On its way, or not decided yet.
    Moving,
    /// For time or people.
    Waiting(String),
    /// By what only people can change.
    Blocked(String),
    /// Its last job there ended badly.
    Failed(String),
    /// By a newer version.
    Overtaken(String),
}

/// How all targets stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is where it should be.
    Done,
    /// Look again.
    GoOn,
    /// Nothing moves: it is over if that stays so.
    Standstill(Outcome),
}

/// What it comes to when nothing moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did not get everywhere.
    Failed,
    /// It may not go on.
    Blocked,
    /// No target at all.
    Nowhere,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UpToDate => f.write_str("up to date"),
            Self::Moving => f.write_str("on its way"),
            Self::Waiting(why) => write!(f, "waiting: {why}"),
            Self::Blocked(why) => write!(f, "blocked: {why}"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Overtaken(by) => write!(f, "overtaken by {by}"),
        }
    }
}

/// How the version stands on the target; `None` where the target is gone. `since`: what was decided before knew nothing
/// of it. `order`: the deployment's versions, the newest 0.
pub fn standing(
    target: &OnTarget,
    version: VersionId,
    since: Timestamp,
    order: &HashMap<VersionId, usize>,
) -> Option<Standing> {
    let is_newer = |other: VersionId| match (order.get(&other), order.get(&version)) {
        (Some(other), Some(mine)) => other < mine,
        (Some(_) | None, Some(_) | None) => false,
    };
    if target.state == TargetState::Gone {
        return None;
    }
    if target.current.as_ref().is_some_and(|current| current.version == version) {
        return Some(Standing::UpToDate);
    }
    if target.active.as_ref().is_some_and(|active| active.version == version) {
        return Some(Standing::Moving);
    }
    if let Some(last) =
        target.last.as_ref().filter(|last| last.version == version && last.status != JobStatus::Successful)
    {
        return Some(Standing::Failed(format!("the job is {}; {}", last.status, target.summary)));
    }
    let there = [
        target.desired.as_ref().map(|desired| (desired.version, &desired.tag)),
        target.active.as_ref().map(|active| (active.version, &active.tag)),
        target.current.as_ref().map(|current| (current.version, &current.tag)),
    ];
    if let Some((_, tag)) = there.into_iter().flatten().find(|(other, _)| is_newer(*other)) {
        return Some(Standing::Overtaken(tag.clone()));
    }
    if target.decided_at < since {
        return Some(Standing::Moving);
    }
    Some(match target.state {
        TargetState::Waiting => Standing::Waiting(target.summary.clone()),
        TargetState::Blocked => Standing::Blocked(target.summary.clone()),
        TargetState::NoVersion
        | TargetState::UpToDate
        | TargetState::Deploying
        | TargetState::Failed
        | TargetState::Gone => Standing::Moving,
    })
}

/// What all of it comes to.
pub fn verdict<'a>(standings: impl Iterator<Item = &'a Standing>) -> Verdict {
    let (mut any, mut moving, mut waiting, mut blocked, mut failed) = (false, false, false, false, false);
    for standing in standings {
        any = true;
        match standing {
            Standing::UpToDate => {}
            Standing::Moving => moving = true,
            Standing::Waiting(_) => waiting = true,
            Standing::Blocked(_) => blocked = true,
            Standing::Failed(_) | Standing::Overtaken(_) => failed = true,
        }
    }
    match (any, moving, waiting, blocked, failed) {
        (false, ..) => Verdict::Standstill(Outcome::Nowhere),
        (true, true, ..) => Verdict::GoOn,
        // Whatever else waits: it did not get where it should.
        (true, false, _, _, true) => Verdict::Standstill(Outcome::Failed),
        (true, false, true, _, false) => Verdict::GoOn,
        (true, false, false, true, false) => Verdict::Standstill(Outcome::Blocked),
        (true, false, false, false, false) => Verdict::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::derive;
    use serde_json::json;

    fn id(tag: &str) -> VersionId {
        VersionId(derive(&["version", tag]))
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + chrono::TimeDelta::minutes(minute)
    }

    /// A target in that state; then `current`, `desired`, `active` and `last`, the last with its status.
    fn target(state: &str, versions: [&str; 4]) -> OnTarget {
        let release = derive(&["release"]);
        let version = |tag: &str| {
            (!tag.is_empty())
                .then(|| json!({ "version": id(tag), "tag": tag, "release": release, "since": at(0) }))
        };
        let job = |text: &str| {
            let (tag, status) = text.split_once(' ').unwrap_or((text, "pending"));
            (!tag.is_empty()).then(|| {
                json!({ "job": release, "release": release, "version": id(tag), "tag": tag, "attempt": 1,
                    "status": status, "at": at(0) })
            })
        };
        let [current, desired, active, last] = versions;
        serde_json::from_value(json!({
            "state": state, "summary": "so it is",
            "current": version(current), "desired": version(desired), "active": job(active), "last": job(last),
            "decidedAt": at(1),
        }))
        .unwrap()
    }

    #[test]
    fn a_version_stands_differently_on_each_target() {
        let order: HashMap<VersionId, usize> = [(id("v3"), 0), (id("v2"), 1), (id("v1"), 2)].into();
        let so = "so it is".to_owned();
        for (state, versions, expected) in [
            ("upToDate", ["v2", "v2", "", "v2 successful"], Standing::UpToDate),
            ("deploying", ["v2", "v3", "v3", ""], Standing::UpToDate),
            ("deploying", ["v1", "v2", "v2", ""], Standing::Moving),
            ("deploying", ["v1", "v2", "v2", "v2 failure"], Standing::Moving),
            ("upToDate", ["v1", "v1", "", ""], Standing::Moving),
            ("noVersion", ["", "", "", ""], Standing::Moving),
            ("waiting", ["v1", "v1", "", ""], Standing::Waiting(so.clone())),
            ("blocked", ["v1", "v1", "", ""], Standing::Blocked(so)),
            (
                "failed",
                ["v1", "v2", "", "v2 failure"],
                Standing::Failed("the job is failure; so it is".to_owned()),
            ),
            ("upToDate", ["v3", "v3", "", ""], Standing::Overtaken("v3".to_owned())),
        ] {
            assert_eq!(
                standing(&target(state, versions), id("v2"), at(1), &order),
                Some(expected),
                "{state} {versions:?}"
            );
        }
        let early = standing(&target("blocked", ["v1", "v1", "", ""]), id("v2"), at(2), &order);
        assert_eq!(
            early,
            Some(Standing::Moving),
            "what was decided before the version came says nothing of it"
        );
        assert_eq!(standing(&target("gone", ["v1", "", "", ""]), id("v2"), at(1), &order), None);
    }

    #[test]
    fn it_is_over_when_nothing_moves() {
        let (up, moving) = (Standing::UpToDate, Standing::Moving);
        let (waiting, blocked) = (Standing::Waiting(String::new()), Standing::Blocked(String::new()));
        let (failed, overtaken) = (Standing::Failed(String::new()), Standing::Overtaken(String::new()));
        for (standings, expected) in [
            (vec![&up, &up], Verdict::Done),
            (vec![&up, &moving], Verdict::GoOn),
            (vec![&failed, &moving], Verdict::GoOn),
            (vec![&up, &waiting], Verdict::GoOn),
            (vec![&blocked, &waiting], Verdict::GoOn),
            (vec![&up, &blocked], Verdict::Standstill(Outcome::Blocked)),
            (vec![&up, &failed, &waiting], Verdict::Standstill(Outcome::Failed)),
            (vec![&up, &overtaken], Verdict::Standstill(Outcome::Failed)),
            (vec![], Verdict::Standstill(Outcome::Nowhere)),
        ] {
            assert_eq!(verdict(standings.iter().copied()), expected, "{standings:?}");
        }
    }
}
