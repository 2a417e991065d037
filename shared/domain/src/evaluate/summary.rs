//! A decision in one word and one sentence.

use super::review::{Obstacle, obstacles};
use super::ruling::rfc;
use crate::Timestamp;
use crate::decision::{ConsideredVersion, JobOnTarget, TargetState, VersionOnTarget};
use crate::id::VersionId;
use crate::job::{JobRef, JobStatus, Reason};

/// What happens now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The desired release is on its way, or something is and nothing passes.
    Active,
    /// A job must end first.
    WaitForActive,
    /// A job was decided and is not asked for yet: another one runs.
    Behind,
    /// A job must make way.
    Supersede,
    /// A job is asked for.
    Request,
    /// What runs stays.
    Keep,
    /// Something is to be brought once more, and nothing passes.
    WishWaits,
    /// The desired release was tried, ended badly, and is tried again then.
    RetryAt(Timestamp),
    /// The desired release was tried, and ended so.
    TriedBadly(JobStatus, Option<Reason>),
}

/// What there is to tell.
pub(super) struct Picture<'a> {
    pub(super) step: &'a Step,
    pub(super) desired: Option<&'a VersionOnTarget>,
    pub(super) current: Option<&'a VersionOnTarget>,
    pub(super) active: Option<&'a JobOnTarget>,
    /// The job that the facts show to be active.
    pub(super) running: Option<&'a JobRef>,
    pub(super) considered: &'a [ConsideredVersion],
    /// The version somebody wished for once more that was not chosen.
    pub(super) put_off: Option<&'a str>,
    /// Whether the version that runs was rejected.
    pub(super) rejected: bool,
}

pub(super) fn describe(picture: &Picture<'_>) -> (TargetState, String) {
    let newer = newest_held_back(picture);
    let state = match picture.step {
        Step::Active | Step::WaitForActive | Step::Behind | Step::Supersede | Step::Request => {
            TargetState::Deploying
        }
        Step::RetryAt(_) | Step::WishWaits => TargetState::Waiting,
        Step::TriedBadly(..) => TargetState::Failed,
        Step::Keep => match (&newer, picture.current, picture.rejected) {
            (Some((Obstacle::Waits, _)), ..) => TargetState::Waiting,
            (Some((Obstacle::Denied, _)), ..) => TargetState::Blocked,
            (None, Some(_), false) => TargetState::UpToDate,
            (None, Some(_), true) => TargetState::Blocked,
            (None, None, _) => TargetState::NoVersion,
        },
    };
    let mut sentence = now(picture);
    if let Some((_, held_back)) = newer {
        sentence.push_str("; ");
        sentence.push_str(&held_back);
    }
    if let Some(tag) = picture.put_off {
        let wish = format!("; {tag} is to be deployed once more as soon as it is the newest that passes");
        sentence.push_str(&wish);
    }
    (state, sentence)
}

fn now(picture: &Picture<'_>) -> String {
    let desired = picture.desired.map_or("nothing", |desired| desired.tag.as_str());
    let decided = picture.active.map(|active| (active.tag.as_str(), active.attempt));
    let running = picture.running.map(|running| (running.tag.as_str(), running.attempt));
    let (active, attempt) = running.or(decided).unwrap_or(("a job", 1));
    match picture.step {
        Step::Active | Step::Request => match picture.active {
            Some(active) => format!("{} is on its way (attempt {})", active.tag, active.attempt),
            None => format!("{desired} is on its way"),
        },
        Step::WaitForActive => format!("{desired} comes when the job of {active} is over"),
        Step::Behind => {
            let waiting = decided.map_or(desired, |(tag, _)| tag);
            format!("{waiting} comes when the job of {active} (attempt {attempt}) is over")
        }
        Step::Supersede => format!("{desired} comes when the job of {active} is cancelled"),
        Step::WishWaits => {
            let runs = picture.current.map_or("nothing", |current| current.tag.as_str());
            format!("{runs} runs; it is to be deployed once more when every rule allows it")
        }
        Step::RetryAt(at) => {
            format!("the last job of {desired} ended badly; it is tried again at {}", rfc(*at))
        }
        Step::TriedBadly(status, reason) => {
            let why = reason.map(|reason| format!(", {}", words_of(reason))).unwrap_or_default();
            let runs = match picture.current {
                Some(current) => format!("{} runs", current.tag),
                None => "nothing runs".to_owned(),
            };
            format!("the last job of {desired} ended as {status}{why}; {runs}")
        }
        Step::Keep => match picture.current {
            Some(current) if picture.rejected => {
                format!("{} runs although it is rejected: no older version passes", current.tag)
            }
            Some(current) => format!("{} runs", current.tag),
            None if picture.considered.is_empty() => "the deployment has no ready version".to_owned(),
            None => "nothing runs".to_owned(),
        },
    }
}

/// The newest version that does not pass, of those newer than what runs or is on its way;
/// one that only waits is told of before one that is denied.
fn newest_held_back(picture: &Picture<'_>) -> Option<(Obstacle, String)> {
    let at_rest: [Option<VersionId>; 2] =
        [picture.active.map(|active| active.version), picture.current.map(|current| current.version)];
    let held_back = picture
        .considered
        .iter()
        .filter(|considered| !considered.allowed && !at_rest.contains(&Some(considered.version)))
        .map(|considered| (obstacles(considered), considered))
        .collect::<Vec<_>>();
    let told = held_back
        .iter()
        .find(|((obstacle, _), _)| *obstacle == Obstacle::Waits)
        .or_else(|| held_back.first());
    told.map(|((obstacle, reasons), considered)| {
        let verb = match obstacle {
            Obstacle::Waits => "waits",
            Obstacle::Denied => "is denied",
        };
        (*obstacle, format!("{} {verb}: {reasons}", considered.tag))
    })
}

fn words_of(reason: Reason) -> &'static str {
    match reason {
        Reason::TimedOut => "timed out",
        Reason::Superseded => "superseded",
        Reason::Withdrawn => "taken back",
        Reason::Lost => "lost",
        Reason::Rejected => "rejected",
        Reason::CancelledByUser => "cancelled by a person",
        Reason::Unknown => "outcome unknown",
        Reason::Concurrency => "waiting for a slot",
        Reason::NoAgent => "no agent matches",
        Reason::BadConfig => "bad config",
        Reason::StartupFailure => "could not start",
        Reason::CancelledOnPlatform => "cancelled on the platform",
        Reason::Frozen => "frozen",
        Reason::Inconclusive => "inconclusive",
    }
}
