//! `gradualRollout`: the targets of an environment get a version one after the other, as long as it goes well.

use super::open_time::{Start, Stop};
use super::ruling::{Ruling, rfc};
use crate::Timestamp;
use crate::decision::{ConsideredVersion, RolloutPlace, RuleInputs, TargetDecision};
use crate::entity::{GradualRollout, Policy, Record, RolloutAction, RolloutControl, RolloutType};
use crate::id::VersionId;
use crate::target::TargetKey;
use chrono::TimeDelta;
use rustc_hash::FxHashSet;

/// How many places a target is given in rollouts in which it waits. Where all are given, the next rollout waits for one:
/// a place that is not remembered could move.
pub(super) const PLACES_MAX: usize = 1_000;

/// Of how many more versions a decision remembers the places, of which it is unlikely that anybody asks for them.
const SPARE_MAX: usize = 8;

/// Who may ask for a place that a target was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// The target still waits there, or others wait there for what failed on it.
    Kept,
    /// Somebody may, if the version comes back.
    Spare,
    /// Nobody: there is no such version, or no such rule, any more.
    Gone,
}

/// Where a target stands in the rollout of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    /// From 0.
    pub(super) position: u32,
    /// Of how many.
    pub(super) targets: u32,
    /// Seconds after the start.
    pub(super) offset: u64,
}

/// What the rollout of a version must know of a target to say whether it may start.
pub(super) struct Turn<'a> {
    pub(super) placed: Placed,
    /// When the rollout started; `None`: other gates are not met.
    pub(super) start: Option<&'a Start<'a>>,
    /// When it stood still since.
    pub(super) stops: Vec<Stop>,
    /// Targets whose turn comes before on which the version failed.
    pub(super) failures: usize,
    /// A person's word on it.
    pub(super) control: Option<&'a RolloutControl>,
    /// Whether the version runs on the target already.
    pub(super) runs: bool,
}

impl Placed {
    /// The place of the target that is the n-th of so many.
    pub(super) fn new(rule: &GradualRollout, position: usize, targets: usize) -> Self {
        let interval = u64::from(rule.time_scale_interval);
        let (i, n) = (position as u64, (targets as u64).max(1));
        let offset = match rule.rollout_type {
            RolloutType::Linear => i.saturating_mul(interval),
            RolloutType::LinearNormalized => i.saturating_mul(interval) / n,
        };
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { position: small(position), targets: small(targets), offset }
    }

    /// By what it comes before others.
    pub(super) fn turn(&self) -> (u64, u32) {
        (self.offset, self.position)
    }

    /// The place that an earlier decision gave the target by a rule, where the policy is as it was then.
    pub(super) fn remembered(place: &RolloutPlace, policy: &Record<Policy>) -> Option<Self> {
        let RolloutPlace { position, targets, offset_seconds: offset, .. } = *place;
        (place.policy_updated_at == policy.meta.updated_at).then_some(Self { position, targets, offset })
    }
}

/// The places of versions that are not shown, of those given now and those given before.
pub(super) fn places(
    shown: &[ConsideredVersion],
    hidden: &[ConsideredVersion],
    previous: Option<&TargetDecision>,
    need: impl Fn(&RolloutPlace) -> Need,
) -> Vec<RolloutPlace> {
    let shown = shown.iter().flat_map(ConsideredVersion::places);
    let mut listed: FxHashSet<_> = shown.map(|place| place.rule()).collect();
    let given = hidden.iter().flat_map(ConsideredVersion::places);
    let before = previous.into_iter().flat_map(TargetDecision::rollout_places);
    let mut spare: Vec<VersionId> = Vec::new();
    let mut is_spared = |version| {
        let is_one_more = !spare.contains(&version) && spare.len() < SPARE_MAX;
        spare.extend(is_one_more.then_some(version));
        spare.contains(&version)
    };
    let places = given.chain(before).filter(|place| {
        listed.insert(place.rule())
            && match need(place) {
                Need::Kept => true,
                Need::Spare => is_spared(place.version),
                Need::Gone => false,
            }
    });
    places.collect()
}

/// The order of targets: by a hash of target and version, so that no target is always the first. Wire law: replicas of
/// different releases must agree on it.
pub(super) fn rank_of(target: &TargetKey, version: VersionId) -> (u64, TargetKey) {
    let mut hash = 0x9e37_79b9_7f4a_7c15;
    for id in [version.0, target.resource.0, target.environment.0, target.deployment.0] {
        let (high, low) = id.as_u64_pair();
        hash = mix(hash ^ high);
        hash = mix(hash ^ low);
    }
    (hash, *target)
}

/// The finalizer of splitmix64.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// What a rollout says to a target that has no place in it and cannot be given one.
pub(super) fn without_place() -> Ruling {
    let why = format!(
        "the target waits in {PLACES_MAX} rollouts already: one of them must pass or be rejected first"
    );
    Ruling::wait(why, None)
}

pub(super) fn judge(rule: &GradualRollout, turn: &Turn<'_>, now: Timestamp) -> Ruling {
    let Placed { position, targets, offset } = turn.placed;
    let due_at = turn.start.and_then(|start| {
        let offset = TimeDelta::try_seconds(i64::try_from(offset).unwrap_or(i64::MAX));
        start.due(offset.unwrap_or(TimeDelta::MAX), &turn.stops)
    });
    let inputs = RuleInputs::Rollout {
        position,
        targets,
        offset_seconds: offset,
        started_at: turn.start.map(|start| start.at),
        due_at,
        failures: u32::try_from(turn.failures).unwrap_or(u32::MAX),
        max_failures: rule.max_failures,
    };
    let place = format!("place {} of {targets}", position.saturating_add(1));
    let ruling = if turn.runs {
        Ruling::allow(format!("the version runs here already ({place})"), None)
    } else if let Some(paused) = turn.control.filter(|control| control.action == RolloutAction::Pause) {
        let why = paused.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        Ruling::wait(format!("{place}; paused by {}{why}", paused.by), None)
    } else if rule.pause_on_failure && turn.failures > rule.max_failures as usize {
        let reason = format!(
            "{place}; paused: the version failed on {} earlier targets, {} may",
            turn.failures, rule.max_failures
        );
        Ruling::wait(reason, None)
    } else {
        match due_at {
            None if turn.start.is_some() => Ruling::deny(format!(
                "{place}; its turn never comes: the windows do not open for long enough"
            )),
            None => Ruling::wait(format!("{place}; the rollout starts when the other rules allow it"), None),
            Some(due) if now < due => {
                Ruling::wait(format!("{place}; its turn comes at {}", rfc(due)), Some(due))
            }
            Some(due) => Ruling::allow(format!("{place}; its turn came at {}", rfc(due)), Some(due)),
        }
    };
    ruling.on(inputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Verdict;
    use crate::id::{EnvironmentId, derive};

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    const RULE: GradualRollout = GradualRollout {
        rollout_type: RolloutType::Linear,
        time_scale_interval: 60,
        max_failures: 1,
        pause_on_failure: true,
    };

    fn start(second: i64) -> Start<'static> {
        Start { at: at(second), windows: Vec::new() }
    }

    fn turn<'a>(start: Option<&'a Start<'a>>, failures: usize) -> Turn<'a> {
        let placed = Placed::new(&RULE, 2, 5);
        Turn { placed, start, stops: Vec::new(), failures, control: None, runs: false }
    }

    #[test]
    fn a_turn_comes_to_the_exact_second_and_failures_pause() {
        let until = |second: Option<i64>| Verdict::Wait { until: second.map(at) };
        let start = start(10);
        for (start, failures, now, verdict) in [
            (None, 0, 500, until(None)),
            (Some(&start), 0, 129, until(Some(130))),
            (Some(&start), 1, 130, Verdict::Allow),
            (Some(&start), 2, 130, until(None)),
        ] {
            assert_eq!(judge(&RULE, &turn(start, failures), at(now)).verdict, verdict, "{failures} {now}");
        }
        let stopped = Turn { stops: vec![Stop { from: at(20), until: at(50) }], ..turn(Some(&start), 0) };
        assert_eq!(judge(&RULE, &stopped, at(130)).verdict, until(Some(160)));
        let careless = GradualRollout { pause_on_failure: false, ..RULE };
        assert_eq!(judge(&careless, &turn(Some(&start), 9), at(130)).verdict, Verdict::Allow);
        let here = Turn { runs: true, ..turn(None, 9) };
        assert_eq!(judge(&RULE, &here, at(0)).verdict, Verdict::Allow);
    }

    #[test]
    fn a_normalized_rollout_fills_its_interval() {
        let rule = GradualRollout { rollout_type: RolloutType::LinearNormalized, ..RULE };
        let offsets: Vec<u64> = (0..4).map(|i| Placed::new(&rule, i, 4).offset).collect();
        assert_eq!(offsets, [0, 15, 30, 45]);
    }

    #[test]
    fn a_persons_word_pauses_and_resumes() {
        let word = |action| RolloutControl {
            version: VersionId(derive(&["v"])),
            environment: EnvironmentId(derive(&["e"])),
            action,
            at: at(0),
            reason: Some("a look first".into()),
            by: "ann".into(),
            pauses: Vec::new(),
        };
        let (pause, resume) = (word(RolloutAction::Pause), word(RolloutAction::Resume));
        let start = start(0);
        let paused = judge(&RULE, &Turn { control: Some(&pause), ..turn(Some(&start), 0) }, at(900));
        assert_eq!(paused.verdict, Verdict::Wait { until: None });
        assert_eq!(paused.reason, "place 3 of 5; paused by ann: a look first");
        let resumed = judge(&RULE, &Turn { control: Some(&resume), ..turn(Some(&start), 0) }, at(900));
        assert_eq!(resumed.verdict, Verdict::Allow);
    }

    #[test]
    fn the_order_is_wire_law() {
        let target = |n: &str| TargetKey {
            deployment: crate::id::DeploymentId(derive(&["d"])),
            environment: EnvironmentId(derive(&["e"])),
            resource: crate::id::ResourceId(derive(&[n])),
        };
        let order = |version: &str| {
            let mut names = ["a", "b", "c", "d", "e"];
            names.sort_by_key(|name| rank_of(&target(name), VersionId(derive(&[version]))));
            names.concat()
        };
        assert_eq!((order("v1"), order("v2")), ("beacd".to_owned(), "beadc".to_owned()));
    }
}
