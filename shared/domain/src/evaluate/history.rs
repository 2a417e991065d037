//! What happened on one target: what runs there, what is on its way, what ended last.
//!
//! The facts say it; where the stream has forgotten, or has not yet heard, the previous decision does.

use super::facts::{Facts, JobStanding, Standing};
use crate::decision::{JobOnTarget, ReleaseAttempts, TargetDecision, VersionOnTarget};
use crate::id::ReleaseId;
use crate::job::{JobStatus, Reason};
use crate::target::TargetKey;

/// How many releases a decision remembers the attempts of.
const RELEASES_MAX: usize = 16;

/// What happened on one target.
pub(super) struct History<'a> {
    jobs: Vec<&'a JobStanding>,
    previous: Option<&'a TargetDecision>,
    /// The version that runs: the last that was brought here with success.
    pub(super) current: Option<VersionOnTarget>,
    /// The job on its way.
    pub(super) active: Option<Active<'a>>,
    /// The job that ended last.
    pub(super) last: Option<JobOnTarget>,
}

/// The job on its way.
pub(super) struct Active<'a> {
    /// As the decision shows it.
    pub(super) on_target: JobOnTarget,
    /// The job that the facts show to be active. Absent where none is, because the one on its way was decided and
    /// they do not know it yet; another one where such a job must wait, since one runs at a time.
    pub(super) running: Option<&'a JobStanding>,
}

impl<'a> Active<'a> {
    /// The job that must end before the one that was decided can be asked for.
    pub(super) fn behind(&self) -> Option<&'a JobStanding> {
        self.running.filter(|running| running.job.id != self.on_target.job)
    }
}

/// How the last job of a release stands that is not active.
pub(super) enum Tried {
    /// There is none, or it says nothing against another try.
    No,
    /// It ended badly, and nothing else has been brought here since.
    Badly(JobStatus, Option<Reason>),
}

impl<'a> History<'a> {
    pub(super) fn of(facts: &'a Facts, target: &TargetKey, previous: Option<&'a TargetDecision>) -> Self {
        let mut jobs: Vec<&JobStanding> = facts.jobs_of(target).collect();
        jobs.sort_unstable_by_key(|job| job.sequence);
        let current = current(&jobs, previous);
        let active = active(&jobs, previous, facts);
        let last = last(&jobs, previous, facts);
        Self { jobs, previous, current, active, last }
    }

    /// The number of the next job of a release.
    pub(super) fn next_attempt(&self, release: ReleaseId) -> u32 {
        let known = self.jobs.iter().map(|job| (job.job.release, job.job.attempt));
        let decided = self.previous.and_then(|previous| previous.active.as_ref());
        let decided = decided.map(|job| (job.release, job.attempt));
        let ended = self.attempts().into_iter().map(|ended| (ended.release, ended.attempt));
        let used = known
            .chain(decided)
            .chain(ended)
            .filter(|(of, _)| *of == release)
            .map(|(_, attempt)| attempt)
            .max();
        used.map_or(1, |used| used.saturating_add(1))
    }

    /// The releases of which a job ended here, the last that ended first, with the numbers of their last jobs.
    pub(super) fn attempts(&self) -> Vec<ReleaseAttempts> {
        let known = self.jobs.iter().rev().filter(|job| job.is_over());
        let known = known.map(|job| (job.job.release, job.job.attempt));
        let last = self.previous.and_then(|previous| previous.last.as_ref());
        let last = last.map(|job| (job.release, job.attempt));
        let remembered = self.previous.into_iter().flat_map(|previous| &previous.attempts);
        let remembered = remembered.map(|tried| (tried.release, tried.attempt));
        let mut attempts: Vec<ReleaseAttempts> = Vec::new();
        for (release, attempt) in known.chain(last).chain(remembered) {
            if let Some(listed) = attempts.iter_mut().find(|listed| listed.release == release) {
                listed.attempt = listed.attempt.max(attempt);
            } else if attempts.len() < RELEASES_MAX {
                attempts.push(ReleaseAttempts { release, attempt });
            }
        }
        attempts
    }

    /// Whether the last job of the release speaks against another. Being superseded does not:
    /// that says nothing about the release. Nor does a failure before something else succeeded here.
    pub(super) fn tried(&self, release: ReleaseId) -> Tried {
        let of_release = self.jobs.iter().filter(|job| job.job.release == release);
        let Some(job) = of_release.max_by_key(|job| job.job.attempt) else {
            return self.tried_as_remembered(release);
        };
        let superseded_by_success =
            self.jobs.iter().any(|other| other.succeeded() && other.sequence > job.sequence);
        match job.standing {
            Standing::Over { status, reason }
                if speaks_against(status.into(), reason) && !superseded_by_success =>
            {
                Tried::Badly(status.into(), reason)
            }
            Standing::Over { .. } | Standing::Active { .. } => Tried::No,
        }
    }

    fn tried_as_remembered(&self, release: ReleaseId) -> Tried {
        let last = self.previous.and_then(|previous| previous.last.as_ref());
        match last {
            Some(last)
                if last.release == release
                    && speaks_against(last.status, last.reason)
                    && !self.jobs.iter().any(|other| other.succeeded()) =>
            {
                Tried::Badly(last.status, last.reason)
            }
            Some(_) | None => Tried::No,
        }
    }
}

fn speaks_against(status: JobStatus, reason: Option<Reason>) -> bool {
    match status {
        JobStatus::Pending
        | JobStatus::Queued
        | JobStatus::InProgress
        | JobStatus::ActionRequired
        | JobStatus::Successful => false,
        JobStatus::Cancelled => reason != Some(Reason::Superseded),
        JobStatus::Failure
        | JobStatus::Skipped
        | JobStatus::InvalidJobAgent
        | JobStatus::InvalidIntegration
        | JobStatus::ExternalRunNotFound => true,
    }
}

fn current(jobs: &[&JobStanding], previous: Option<&TargetDecision>) -> Option<VersionOnTarget> {
    let remembered = previous.and_then(|previous| previous.current.as_ref());
    let known = jobs.iter().rev().find(|job| job.succeeded()).map(|job| version_of(job));
    let (known, remembered) = match (known, remembered) {
        (None, remembered) => return remembered.cloned(),
        (Some(known), None) => return Some(known),
        (Some(known), Some(remembered)) => (known, remembered),
    };
    // Their order in the stream is the truth; clocks decide only about what the stream does not show:
    // a success that is being run again, or that the stream has forgotten.
    let shown = jobs.iter().any(|job| job.succeeded() && job.job.release == remembered.release);
    if !shown && remembered.since >= known.since { Some(remembered.clone()) } else { Some(known) }
}

fn version_of(job: &JobStanding) -> VersionOnTarget {
    VersionOnTarget {
        version: job.job.version,
        tag: job.job.tag.clone(),
        release: job.job.release,
        since: job.at,
    }
}

fn active<'a>(
    jobs: &[&'a JobStanding],
    previous: Option<&TargetDecision>,
    facts: &'a Facts,
) -> Option<Active<'a>> {
    let running = jobs.iter().rev().find(|job| !job.is_over()).copied();
    let decided = previous.and_then(|previous| previous.active.as_ref());
    if let Some(decided) = decided {
        match facts.job(decided.job) {
            None => return Some(Active { on_target: decided.clone(), running }),
            Some(known) if !known.is_over() => {
                let on_target = JobOnTarget { at: decided.at, ..on_target(known) };
                return Some(Active { on_target, running: Some(known) });
            }
            Some(_) => {}
        }
    }
    running.map(|job| Active { on_target: on_target(job), running: Some(job) })
}

pub(super) fn on_target(job: &JobStanding) -> JobOnTarget {
    let (status, reason) = job.status();
    JobOnTarget {
        job: job.job.id,
        release: job.job.release,
        version: job.job.version,
        tag: job.job.tag.clone(),
        attempt: job.job.attempt,
        status,
        reason,
        at: job.at,
    }
}

fn last(jobs: &[&JobStanding], previous: Option<&TargetDecision>, facts: &Facts) -> Option<JobOnTarget> {
    let known = jobs.iter().rev().find(|job| job.is_over()).map(|job| on_target(job));
    // What the previous decision saw end, and the stream has forgotten since.
    let remembered =
        previous.and_then(|previous| previous.last.as_ref()).filter(|last| facts.job(last.job).is_none());
    known.or_else(|| remembered.cloned())
}
