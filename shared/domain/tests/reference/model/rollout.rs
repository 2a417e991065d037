//! "The targets of the environment that the policy governs get the version one after the other."

use super::Says;
use super::gates::{Asked, Gate};
use super::means::{place, targets};
use super::scene::{End, Job, Placed, Scene, creation};
use super::window;
use chrono::TimeDelta;
use domain::Timestamp;
use domain::entity::{GradualRollout, Policy, PolicyRule, Record, RolloutAction, RolloutType, Version};
use domain::id::{PolicyId, VersionId};
use domain::job::{Reason, TerminalStatus};
use domain::target::TargetKey;

/// One rule of a policy, asked about a version.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) rule: &'a GradualRollout,
    pub(crate) policy: &'a Record<Policy>,
    pub(crate) index: u32,
    pub(crate) version: &'a Record<Version>,
}

pub(crate) fn judge(scene: &Scene<'_>, q: Question<'_>, target: &TargetKey, others: &[Asked<'_>]) -> Says {
    let version = VersionId(q.version.meta.id);
    // "Targets on which the version runs already are past the rule."
    if scene.current(target).is_some_and(|(job, _)| job.job.version == version) {
        return Says::YES;
    }
    // "While another gate does not allow, the rollout has not started: it waits, and says so."
    if others.iter().any(|asked| !asked.says.allows()) {
        return Says::Wait(None);
    }
    let Some(mine) = turn(scene, q, target) else { return Says::Wait(None) };
    // "Pausing is until resumed: an event ends it, not time."
    let control = scene
        .controls()
        .map(|control| &control.spec)
        .find(|control| control.version == version && control.environment == target.environment);
    if control.is_some_and(|control| control.action == RolloutAction::Pause) {
        return Says::Wait(None);
    }
    let resumed_at =
        control.filter(|control| control.action == RolloutAction::Resume).map(|control| control.at);
    let bad = bad(scene, q, target, mine, resumed_at);
    let still = bad.iter().filter(|(_, until)| until.is_none()).count();
    if q.rule.pause_on_failure && still > q.rule.max_failures as usize {
        return Says::Wait(None);
    }
    let (start, windows) = start(scene, q.version, target, others);
    let mut stops: Vec<Span> =
        control.into_iter().flat_map(|control| &control.pauses).map(|p| (p.from, p.until)).collect();
    if q.rule.pause_on_failure {
        stops.extend(paused_by_failures(&bad, q.rule.max_failures as usize, scene.now));
    }
    let due = due(start, TimeDelta::seconds(mine.0 as i64), &windows, &stops);
    if scene.now < due { Says::Wait(Some(due)) } else { Says::YES }
}

type Span = (Timestamp, Timestamp);

/// "Its clock stands still while a window is closed, while it is paused": the time that was lost until then comes on top,
/// and what was lost in that time as well, until nothing more is.
fn due(start: Timestamp, offset: TimeDelta, windows: &[window::Window<'_>], stops: &[Span]) -> Timestamp {
    let mut due = start + offset;
    loop {
        let mut closed: Vec<Span> = windows.iter().flat_map(|window| window.closed(start, due)).collect();
        closed.extend(stops);
        closed.sort();
        let (mut lost, mut seen) = (TimeDelta::zero(), start);
        for (from, until) in closed {
            // It counts from the start, and where it holds at the instant itself, to its end.
            if from <= due && until > seen {
                lost += until - from.max(seen);
                seen = until;
            }
        }
        let later = start + offset + lost;
        if later <= due {
            return due;
        }
        due = later;
    }
}

/// "More than `maxFailures` such targets pause the rollout."
fn paused_by_failures(bad: &[(Timestamp, Option<Timestamp>)], most: usize, now: Timestamp) -> Vec<Span> {
    let mut instants: Vec<Timestamp> =
        bad.iter().flat_map(|(from, until)| [Some(*from), *until]).flatten().collect();
    instants.push(now);
    instants.sort();
    let holds = |at: Timestamp| {
        bad.iter().filter(|(from, until)| *from <= at && until.is_none_or(|until| at < until)).count() > most
    };
    instants.windows(2).filter(|pair| holds(pair[0])).map(|pair| (pair[0], pair[1])).collect()
}

/// "*start* is the latest instant at which all other gates of the target were met: the latest of their *satisfied at*;
/// where windows govern it, the first instant from then on at which all of them are open."
fn start<'a>(
    scene: &Scene<'_>,
    version: &Record<Version>,
    target: &TargetKey,
    others: &[Asked<'a>],
) -> (Timestamp, Vec<window::Window<'a>>) {
    let mut start = creation(version);
    let mut windows = Vec::new();
    for asked in others {
        match asked.gate {
            Gate::Rule(PolicyRule::DeploymentWindow(rule), policy, _) if asked.skip.is_none() => {
                if !window::is_first(scene, target) {
                    windows.push(window::Window::of(rule, policy));
                }
            }
            _ => match asked.says {
                Says::Allow { since, .. } => start = start.max(since.unwrap_or(start)),
                Says::Deny | Says::Wait(_) => {}
            },
        }
    }
    loop {
        let later = windows.iter().filter_map(|window| window.allows_from(start)).max();
        match later {
            Some(later) if later > start => start = later,
            _ => return (start, windows),
        }
    }
}

/// "The i-th (from 0) may start at `start + i × timeScaleInterval` seconds (`linear`) or
/// `start + i ÷ n × timeScaleInterval` of n targets … its offset is kept in its decision (a changed policy places anew)."
/// The offset, and i.
fn turn(scene: &Scene<'_>, q: Question<'_>, target: &TargetKey) -> Option<(u64, u32)> {
    let version = VersionId(q.version.meta.id);
    let policy = PolicyId(q.policy.meta.id);
    let kept = scene.remembered.get(target).and_then(|remembered| {
        let same = |placed: &&Placed| {
            (placed.version, placed.policy, placed.rule_index, placed.policy_updated_at)
                == (version, policy, q.index, q.policy.meta.updated_at)
        };
        remembered.placed.iter().find(same)
    });
    if let Some(kept) = kept {
        return Some((kept.offset_seconds, kept.position));
    }
    let i = (scene.position)(target, version, policy, q.index)?;
    let position = u64::from(i);
    let interval = u64::from(q.rule.time_scale_interval);
    let n = governed(scene, q, target).len() as u64;
    let offset = match q.rule.rollout_type {
        RolloutType::Linear => position * interval,
        RolloutType::LinearNormalized => position * interval / n,
    };
    Some((offset, i))
}

/// "The targets *of the environment* that the policy governs".
pub(crate) fn governed(scene: &Scene<'_>, q: Question<'_>, target: &TargetKey) -> Vec<TargetKey> {
    let mut governed = targets(scene, target.deployment);
    governed.retain(|other| other.environment == target.environment);
    governed.retain(|other| place(scene, &q.policy.spec.selector, other) == Ok(true));
    governed
}

/// "A target with a smaller offset (of equal ones: a smaller i) counts as failed when the last job of this version there ended badly (not
/// `successful`, not superseded) or its verification failed … after a resume, failures from before it count no more."
/// From when, and until when: "until they are repaired (a retry or redeploy that succeeds), or until somebody resumes it".
fn bad(
    scene: &Scene<'_>,
    q: Question<'_>,
    target: &TargetKey,
    mine: (u64, u32),
    resumed_at: Option<Timestamp>,
) -> Vec<(Timestamp, Option<Timestamp>)> {
    let failed_at = |job: &Job, end: End| {
        if end.badly() {
            return Some(end.at);
        }
        if end.superseded() {
            return None;
        }
        scene
            .verifications(job)
            .into_iter()
            .filter_map(|verification| verification.end)
            .filter(|end| end.status == TerminalStatus::Failure && end.reason != Some(Reason::Inconclusive))
            .map(|end| end.at)
            .max()
    };
    let mut bad = Vec::new();
    for other in governed(scene, q, target) {
        if other == *target || turn(scene, q, &other).is_none_or(|theirs| theirs >= mine) {
            continue;
        }
        let mut ended = scene.ended(&other);
        ended.retain(|(job, _)| job.job.version.0 == q.version.meta.id);
        for (nth, (job, end)) in ended.iter().enumerate() {
            let Some(from) = failed_at(job, *end) else { continue };
            let next = ended.get(nth + 1).map(|(_, end)| end.at);
            let resumed = resumed_at.filter(|resumed| *resumed >= from);
            bad.push((from, [next, resumed].into_iter().flatten().min()));
        }
    }
    bad
}
