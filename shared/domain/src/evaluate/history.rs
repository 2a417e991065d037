//! What happened on one target: what runs there, what is on its way, what ended last.
//!
//! The facts say it; where the stream has forgotten, or has not yet heard, the previous decision does.

use super::facts::{Facts, JobStanding, Standing};
use super::version_cooldown::Deploy;
use crate::decision::{EndedBadly, JobOnTarget, ReleaseAttempts, TargetDecision, VersionOnTarget};
use crate::id::{JobId, ReleaseId, VersionId};
use crate::job::{JobStatus, Reason, TerminalStatus};
use crate::target::TargetKey;

/// How many releases a decision remembers the attempts of.
const RELEASES_MAX: usize = 16;
/// How many of the versions that ran before a decision remembers.
const EARLIER_MAX: usize = 4;

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
    /// The versions that ran here before, the last first.
    pub(super) earlier: Vec<VersionOnTarget>,
    attempts: Vec<ReleaseAttempts>,
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

impl<'a> History<'a> {
    pub(super) fn of(facts: &'a Facts, target: &TargetKey, previous: Option<&'a TargetDecision>) -> Self {
        let (withdrawn, mut jobs): (Vec<&JobStanding>, Vec<&JobStanding>) =
            facts.decided_for(target).partition(|job| job.is_withdrawn());
        jobs.sort_unstable_by_key(|job| job.sequence);
        let current = current(&jobs, previous);
        let active = active(&jobs, previous, facts);
        let last = last(&jobs, previous, facts);
        let earlier = earlier(&jobs, current.as_ref(), previous);
        let attempts = attempts(&jobs, &withdrawn, previous);
        Self { jobs, previous, current, active, last, earlier, attempts }
    }

    /// The number of the next job of a release.
    pub(super) fn next_attempt(&self, release: ReleaseId) -> u32 {
        let known = self.jobs.iter().map(|job| (job.job.release, job.job.attempt));
        let decided = self.previous.and_then(|previous| previous.active.as_ref());
        let decided = decided.map(|job| (job.release, job.attempt));
        let ended = self.attempts.iter().map(|ended| (ended.release, ended.attempt));
        let used = known
            .chain(decided)
            .chain(ended)
            .filter(|(of, _)| *of == release)
            .map(|(_, attempt)| attempt)
            .max();
        used.map_or(1, |used| used.saturating_add(1))
    }

    /// How often the releases of which a job ended here were tried, the last that ended first, and how the last jobs of
    /// each fared.
    pub(super) fn attempts(&self) -> &[ReleaseAttempts] {
        &self.attempts
    }

    /// How the release fared, if its last job speaks against another. Being superseded does not: that says nothing
    /// about the release. Nor does a failure before something else succeeded here, or before somebody wished for
    /// another try.
    pub(super) fn tried(&self, release: ReleaseId) -> Option<EndedBadly> {
        self.attempts.iter().find(|tried| tried.release == release)?.badly
    }

    /// The job that ended last, as far as the facts show it.
    pub(super) fn last_known(&self) -> Option<&'a JobStanding> {
        self.jobs.iter().rev().find(|job| job.is_over()).copied()
    }

    /// The last success, as far as the facts show it.
    pub(super) fn last_success(&self) -> Option<&'a JobStanding> {
        self.jobs.iter().rev().find(|job| job.succeeded()).copied()
    }

    /// Whether a job of the version ever succeeded here.
    pub(super) fn has_run(&self, version: VersionId) -> bool {
        let remembered = self.current.iter().chain(&self.earlier);
        remembered.map(|remembered| remembered.version).any(|known| known == version)
            || self.jobs.iter().any(|job| job.succeeded() && job.job.version == version)
    }

    /// Whether something succeeded here after that job; so it is taken where the job is known no more.
    pub(super) fn succeeded_after(&self, job: JobId) -> bool {
        let known = self.jobs.iter().find(|known| known.job.id == job);
        known.is_none_or(|known| {
            self.jobs.iter().any(|other| other.succeeded() && other.sequence > known.sequence)
        })
    }

    /// The last deploy that ended as a success or a failure.
    pub(super) fn last_deploy(&self) -> Option<Deploy<'_>> {
        let touched = |job: &&&JobStanding| match job.standing {
            Standing::Over { status: TerminalStatus::Successful | TerminalStatus::Failure, .. } => true,
            Standing::Over { .. } | Standing::Active { .. } => false,
        };
        let known = self.jobs.iter().rev().find(touched).map(|job| Deploy {
            version: job.job.version,
            tag: &job.job.tag,
            ended_at: Some(job.at),
        });
        let remembered = || {
            let last = self
                .last
                .as_ref()
                .filter(|last| matches!(last.status, JobStatus::Successful | JobStatus::Failure));
            last.map(|last| Deploy { version: last.version, tag: &last.tag, ended_at: Some(last.at) })
        };
        let current = || {
            let current = self.current.as_ref();
            current.map(|c| Deploy { version: c.version, tag: &c.tag, ended_at: Some(c.since) })
        };
        known.or_else(remembered).or_else(current)
    }

    /// The deploy that is on its way.
    pub(super) fn on_its_way(&self) -> Option<Deploy<'_>> {
        let active = self.active.as_ref()?;
        Some(match active.behind() {
            Some(running) => Deploy { version: running.job.version, tag: &running.job.tag, ended_at: None },
            None => Deploy { version: active.on_target.version, tag: &active.on_target.tag, ended_at: None },
        })
    }
}

/// A job that was taken back before it was asked for says nothing of its release, but its number is used.
fn attempts(
    jobs: &[&JobStanding],
    withdrawn: &[&JobStanding],
    previous: Option<&TargetDecision>,
) -> Vec<ReleaseAttempts> {
    let known = jobs.iter().rev().filter(|job| job.is_over()).chain(withdrawn);
    let known = known.map(|job| (job.job.release, job.job.attempt));
    let last = previous.and_then(|previous| previous.last.as_ref());
    let last = last.map(|job| (job.release, job.attempt));
    let remembered = previous.into_iter().flat_map(|previous| &previous.attempts);
    let remembered = remembered.map(|tried| (tried.release, tried.attempt));
    let mut attempts: Vec<ReleaseAttempts> = Vec::new();
    for (release, attempt) in known.chain(last).chain(remembered) {
        if let Some(listed) = attempts.iter_mut().find(|listed| listed.release == release) {
            listed.attempt = listed.attempt.max(attempt);
        } else if attempts.len() < RELEASES_MAX {
            attempts.push(ReleaseAttempts { release, attempt, badly: None });
        }
    }
    for listed in &mut attempts {
        listed.badly = ended_badly(listed.release, jobs, previous);
    }
    attempts
}

/// The row of bad ends that the last jobs of a release make: as the facts show it, and before them as the previous
/// decision remembers it.
fn ended_badly(
    release: ReleaseId,
    jobs: &[&JobStanding],
    previous: Option<&TargetDecision>,
) -> Option<EndedBadly> {
    let wish = previous.and_then(|previous| previous.redeployed.as_ref());
    let counts_from = wish.filter(|wish| wish.release == release).map_or(1, |wish| wish.attempt);
    let row_begins = jobs.iter().rev().find(|job| job.succeeded()).map_or(0, |job| job.sequence);
    let remembered = previous.and_then(|previous| {
        let tried = previous.attempts.iter().find(|tried| tried.release == release)?;
        // A job that the facts have forgotten is older than all that they know.
        let known = jobs.iter().find(|job| job.job.release == release && job.job.attempt == tried.attempt);
        let ended_at = known.map_or(0, |job| job.sequence);
        let lasts = tried.attempt >= counts_from && (row_begins == 0 || row_begins < ended_at);
        Some((tried.attempt, tried.badly.filter(|_| lasts)?))
    });
    let (upto, before) = remembered.map_or((0, 0), |(attempt, badly)| (attempt, badly.failed));
    let of_release = || jobs.iter().filter(|job| job.job.release == release);
    let Some(last) = of_release().max_by_key(|job| job.job.attempt) else {
        return remembered.map(|(_, badly)| badly);
    };
    let bad_end = |job: &JobStanding| match job.standing {
        Standing::Over { status, reason }
            if speaks_against(status.into(), reason)
                && job.sequence > row_begins
                && job.job.attempt >= counts_from =>
        {
            Some((status, reason))
        }
        Standing::Over { .. } | Standing::Active { .. } => None,
    };
    if !last.is_over() {
        // Its end will tell; until then what is remembered must not be lost.
        return remembered.map(|(_, badly)| badly);
    }
    let (status, reason) = bad_end(last)?;
    let bad = of_release().filter(|job| bad_end(job).is_some());
    let (all, later) =
        bad.fold((0_u32, 0_u32), |(all, later), job| (all + 1, later + u32::from(job.job.attempt > upto)));
    Some(EndedBadly { failed: all.max(before.saturating_add(later)), status, reason, at: last.at })
}

pub(super) fn speaks_against(status: JobStatus, reason: Option<Reason>) -> bool {
    match status {
        JobStatus::Pending
        | JobStatus::Queued
        | JobStatus::InProgress
        | JobStatus::ActionRequired
        | JobStatus::Successful => false,
        JobStatus::Cancelled => !matches!(reason, Some(Reason::Superseded | Reason::Withdrawn)),
        JobStatus::Failure
        | JobStatus::Skipped
        | JobStatus::InvalidJobAgent
        | JobStatus::InvalidIntegration
        | JobStatus::ExternalRunNotFound => true,
    }
}

pub(super) fn current(jobs: &[&JobStanding], previous: Option<&TargetDecision>) -> Option<VersionOnTarget> {
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

/// Every version that succeeded here, each once, the last first, but for the one that runs.
fn earlier(
    jobs: &[&JobStanding],
    current: Option<&VersionOnTarget>,
    previous: Option<&TargetDecision>,
) -> Vec<VersionOnTarget> {
    let mut earlier: Vec<VersionOnTarget> = Vec::new();
    let is_listed = |version, earlier: &[VersionOnTarget]| {
        earlier.len() >= EARLIER_MAX
            || current.into_iter().chain(earlier).any(|listed| listed.version == version)
    };
    for job in jobs.iter().rev().filter(|job| job.succeeded()) {
        if !is_listed(job.job.version, &earlier) {
            earlier.push(version_of(job));
        }
    }
    for version in previous.into_iter().flat_map(|previous| previous.current.iter().chain(&previous.earlier))
    {
        if !is_listed(version.version, &earlier) {
            earlier.push(version.clone());
        }
    }
    earlier
}

fn version_of(job: &JobStanding) -> VersionOnTarget {
    VersionOnTarget {
        version: job.job.version,
        tag: job.job.tag.clone(),
        release: job.job.release,
        since: job.at,
        content: job.job.content,
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
        content: job.job.content,
    }
}

fn last(jobs: &[&JobStanding], previous: Option<&TargetDecision>, facts: &Facts) -> Option<JobOnTarget> {
    let known = jobs.iter().rev().find(|job| job.is_over()).map(|job| on_target(job));
    // What the previous decision saw end, and the stream has forgotten since.
    let remembered =
        previous.and_then(|previous| previous.last.as_ref()).filter(|last| facts.job(last.job).is_none());
    known.or_else(|| remembered.cloned())
}
