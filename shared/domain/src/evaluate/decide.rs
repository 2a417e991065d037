//! The decision on one release target: from what is declared, what happened and what time it is,
//! to what should run, what must be asked for, and why nothing more happens.

use super::facts::Facts;
use super::history::{Active, History, Tried, on_target};
use super::review::{Floor, Review, review};
use super::summary::{Picture, Step, describe};
use super::view::{DeploymentView, Place};
use crate::Timestamp;
use crate::catalog::WorkspaceCatalog;
use crate::decision::{JobOnTarget, TargetDecision, TargetState, VersionOnTarget};
use crate::entity::{OnNewVersion, Record, Version, VersionStatus};
use crate::id::{JobId, ReleaseId, VersionId};
use crate::job::{JobRef, JobStatus, Purpose};
use crate::target::TargetKey;

/// A decision and what it asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What is decided.
    pub decision: TargetDecision,
    /// The job to record `Requested` for. The same job may be asked for again: its id is the same,
    /// and a job that was requested stays requested once.
    pub request: Option<JobRef>,
    /// The job that makes way for a newer version.
    pub supersede: Option<JobRef>,
}

/// Decides on one target; for many targets of one deployment make one [`DeploymentView`] and ask it.
pub fn decide_target(
    ws: &WorkspaceCatalog,
    facts: &Facts,
    target: &TargetKey,
    previous: Option<&TargetDecision>,
    now: Timestamp,
    cause: Option<String>,
) -> Outcome {
    DeploymentView::of(ws, facts, target.deployment, now).decide(target, previous, cause)
}

/// Whether two decisions say the same, whenever, for whatever cause and on whichever revision they were made.
pub fn same_decision(one: &TargetDecision, other: &TargetDecision) -> bool {
    let TargetDecision {
        workspace,
        target,
        state,
        summary,
        desired,
        current,
        active,
        last,
        attempts,
        earlier,
        held,
        verifications,
        redeployed_at,
        considered,
        next_look,
        catalog_revision: _,
        decided_at: _,
        cause: _,
    } = one;
    (workspace, target, state, summary) == (&other.workspace, &other.target, &other.state, &other.summary)
        && (desired, current, active, last) == (&other.desired, &other.current, &other.active, &other.last)
        && (attempts, considered, next_look) == (&other.attempts, &other.considered, &other.next_look)
        && (earlier, held) == (&other.earlier, &other.held)
        && (verifications, redeployed_at) == (&other.verifications, &other.redeployed_at)
}

impl<'a> DeploymentView<'a> {
    /// Decides on one of the deployment's targets.
    pub fn decide(
        &self,
        target: &TargetKey,
        previous: Option<&TargetDecision>,
        cause: Option<String>,
    ) -> Outcome {
        let history = History::of(self.facts, target, previous);
        let Some(place) = self.place(target) else {
            return self.gone(target, history, previous, cause);
        };
        let floor = self.floor(&history);
        let review = review(self, &place, &floor);
        let step = self.step(&place, &history, &review);
        self.outcome(&place, history, review, step, previous, cause)
    }

    /// What runs, or is on its way, is not replaced by an older version unless it was rejected.
    fn floor(&self, history: &History<'_>) -> Floor {
        let active = history.active.as_ref().map(|active| (active.on_target.version, active.on_target.at));
        let current = history.current.as_ref().map(|current| (current.version, current.since));
        for (version, since) in active.into_iter().chain(current) {
            match self.version(version) {
                None => return Floor::After(since),
                Some(record) if !is_rejected(record) => return Floor::Version(version),
                Some(_) => {}
            }
        }
        Floor::None
    }

    fn step(&self, place: &Place<'_>, history: &History<'_>, review: &Review<'_>) -> Step {
        let chosen = review.chosen.map(|(_, release)| release);
        let supersede = match place.deployment.spec.on_new_version {
            OnNewVersion::Wait => false,
            OnNewVersion::Supersede => true,
        };
        if let Some(behind) = history.active.as_ref().and_then(Active::behind) {
            let makes_way = chosen.is_some_and(|release| release != behind.job.release);
            return if supersede && makes_way { Step::Supersede } else { Step::Behind };
        }
        match (&history.active, chosen) {
            (Some(active), Some(release)) if active.on_target.release != release => {
                if supersede {
                    Step::Supersede
                } else {
                    Step::WaitForActive
                }
            }
            (Some(_), _) => Step::Active,
            (None, None) => Step::Keep,
            (None, Some(release)) => {
                if history.current.as_ref().is_some_and(|current| current.release == release) {
                    return Step::Keep;
                }
                match history.tried(release) {
                    Tried::Badly(status, reason) => Step::TriedBadly(status, reason),
                    Tried::No => Step::Request,
                }
            }
        }
    }

    fn outcome(
        &self,
        place: &Place<'_>,
        history: History<'_>,
        review: Review<'_>,
        step: Step,
        previous: Option<&TargetDecision>,
        cause: Option<String>,
    ) -> Outcome {
        let mut request = None;
        let mut supersede = None;
        // A yes is still needed only while its job is not asked for.
        let yes_until = match step {
            Step::WaitForActive | Step::Supersede | Step::Behind => review.chosen_until,
            Step::Active | Step::Request | Step::Keep | Step::TriedBadly(..) => None,
        };
        let next_look = review.next_look.into_iter().chain(yes_until).min();
        let attempts = history.attempts();
        let running = history.active.as_ref().and_then(|active| active.running).map(|running| &running.job);
        let next = review.chosen.map(|(version, release)| (version, release, history.next_attempt(release)));
        let active = match (&step, history.active, next) {
            (Step::Request, _, Some((version, release, attempt))) => {
                let job = place.job(version, release, attempt);
                let active = requested(&job, self.now);
                request = Some(job);
                Some(active)
            }
            (_, Some(Active { on_target, running: None }), _) => {
                request = Some(place.job_again(&on_target));
                Some(on_target)
            }
            (_, Some(Active { on_target, running: Some(running) }), _) => {
                let makes_way = step == Step::Supersede && !running.is_cancelling();
                supersede = makes_way.then(|| running.job.clone());
                Some(on_target)
            }
            (_, None, _) => None,
        };
        let desired = self.desired(&review, active.as_ref(), history.current.as_ref(), previous);
        let picture = Picture {
            step: &step,
            desired: desired.as_ref(),
            current: history.current.as_ref(),
            active: active.as_ref(),
            running,
            considered: &review.considered,
            rejected: history
                .current
                .as_ref()
                .is_some_and(|c| self.version(c.version).is_some_and(is_rejected)),
        };
        let (state, summary) = describe(&picture);
        let decision = TargetDecision {
            workspace: place.deployment.meta.workspace.clone(),
            target: place.key,
            state,
            summary,
            desired,
            current: history.current,
            active,
            last: history.last,
            attempts,
            earlier: Vec::new(),
            held: Vec::new(),
            verifications: Vec::new(),
            redeployed_at: None,
            considered: review.considered,
            next_look,
            catalog_revision: self.catalog_revision,
            decided_at: self.now,
            cause,
        };
        Outcome { decision, request, supersede }
    }

    /// The chosen version; where none passes, what runs or is on its way stays desired unless it was rejected.
    fn desired(
        &self,
        review: &Review<'_>,
        active: Option<&JobOnTarget>,
        current: Option<&VersionOnTarget>,
        previous: Option<&TargetDecision>,
    ) -> Option<VersionOnTarget> {
        let chosen = review.chosen.map(|(version, release)| VersionOnTarget {
            version: VersionId(version.meta.id),
            tag: version.spec.tag.clone(),
            release,
            since: self.now,
        });
        let kept = || {
            let active = active.map(|job| VersionOnTarget {
                version: job.version,
                tag: job.tag.clone(),
                release: job.release,
                since: job.at,
            });
            active
                .into_iter()
                .chain(current.cloned())
                .find(|kept| !self.version(kept.version).is_some_and(is_rejected))
        };
        let mut desired = chosen.or_else(kept)?;
        let before = previous.and_then(|previous| previous.desired.as_ref());
        if let Some(before) = before.filter(|before| before.release == desired.release) {
            desired.since = before.since;
        }
        Some(desired)
    }

    /// Nothing is asked for where nothing is selected any more. A job on its way ends by itself: a selector
    /// that cannot be evaluated for a moment must not cancel what runs.
    fn gone(
        &self,
        target: &TargetKey,
        history: History<'_>,
        previous: Option<&TargetDecision>,
        cause: Option<String>,
    ) -> Outcome {
        let attempts = history.attempts();
        let active = history.active.and_then(|active| match active.behind() {
            Some(behind) => Some(on_target(behind)),
            None => active.running.map(|_| active.on_target),
        });
        let decision = TargetDecision {
            workspace: previous
                .map_or_else(|| self.workspace().clone(), |previous| previous.workspace.clone()),
            target: *target,
            state: TargetState::Gone,
            summary: self.why_gone(target),
            desired: None,
            current: history.current,
            active,
            last: history.last,
            attempts,
            earlier: Vec::new(),
            held: Vec::new(),
            verifications: Vec::new(),
            redeployed_at: None,
            considered: Vec::new(),
            next_look: None,
            catalog_revision: self.catalog_revision,
            decided_at: self.now,
            cause,
        };
        Outcome { decision, request: None, supersede: None }
    }
}

impl DeploymentView<'_> {
    fn why_gone(&self, target: &TargetKey) -> String {
        match self.selection_problem(target) {
            Some(problem) => format!("whether the target is selected cannot be told: {problem}"),
            None => {
                "the target is gone: deployment, environment or resource is deleted or not selected any more"
                    .to_owned()
            }
        }
    }
}

impl Place<'_> {
    fn job(&self, version: &Record<Version>, release: ReleaseId, attempt: u32) -> JobRef {
        JobRef {
            workspace: self.deployment.meta.workspace.clone(),
            id: JobId::of(release, attempt),
            target: self.key,
            version: VersionId(version.meta.id),
            tag: version.spec.tag.clone(),
            release,
            attempt,
            deployment: self.deployment.spec.slug.clone(),
            environment: self.environment_slug(),
            purpose: Purpose::Deploy,
        }
    }

    /// The job of an earlier decision, of which the facts know nothing.
    fn job_again(&self, decided: &JobOnTarget) -> JobRef {
        JobRef {
            workspace: self.deployment.meta.workspace.clone(),
            id: decided.job,
            target: self.key,
            version: decided.version,
            tag: decided.tag.clone(),
            release: decided.release,
            attempt: decided.attempt,
            deployment: self.deployment.spec.slug.clone(),
            environment: self.environment_slug(),
            purpose: Purpose::Deploy,
        }
    }
}

fn requested(job: &JobRef, now: Timestamp) -> JobOnTarget {
    JobOnTarget {
        job: job.id,
        release: job.release,
        version: job.version,
        tag: job.tag.clone(),
        attempt: job.attempt,
        status: JobStatus::Pending,
        reason: None,
        at: now,
    }
}

fn is_rejected(version: &Record<Version>) -> bool {
    version.spec.status == VersionStatus::Rejected
}
