//! The decision on one release target: from what is declared, what happened and what time it is,
//! to what should run, what must be asked for, and why nothing more happens.

use super::decided::Decided;
use super::facts::Facts;
use super::facts::JobStanding;
use super::gradual_rollout::{self, Need};
use super::history::{Active, History, on_target};
use super::review::{Depth, Floor, Review, review};
use super::rollback::Holds;
use super::ruling::{Named, after};
use super::summary::{Picture, Step, describe};
use super::verification::Verified;
use super::view::{DeploymentView, Place};
use crate::Timestamp;
use crate::catalog::WorkspaceCatalog;
use crate::decision::{
    ConsideredVersion, JobOnTarget, Redeployed, TargetDecision, TargetState, Verdict, VersionOnTarget,
};
use crate::entity::{OnNewVersion, Record, Version, VersionStatus};
use crate::id::{JobId, ReleaseId, VersionId};
use crate::job::{JobRef, JobStatus, Purpose};
use crate::target::TargetKey;
use chrono::TimeDelta;
use std::collections::BTreeSet;
use uuid::Uuid;

/// After so long a job that was decided is taken to have been forgotten by who was to ask for it, where the facts do not
/// show it: until then they may only be behind.
const RECORDED_WITHIN: TimeDelta = TimeDelta::seconds(10);

/// A decision and what it asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What is decided.
    pub decision: TargetDecision,
    /// The job to record `Requested` for. The same job may be asked for again: its id is the same,
    /// and a job that was requested stays requested once.
    pub request: Option<JobRef>,
    /// The job that was decided, that nobody recorded `Requested` for, and that the gates do not let go any more: to be
    /// ended, if it is still true that nobody did.
    pub withdraw: Option<JobRef>,
    /// The job that makes way for a newer version.
    pub supersede: Option<JobRef>,
    /// The jobs to record `Requested` for that measure what runs.
    pub verifications: Vec<JobRef>,
}

impl Outcome {
    /// Whether there is anything to record beside the decision.
    pub fn asks(&self) -> bool {
        let Self { decision: _, request, withdraw, supersede, verifications } = self;
        request.is_some() || withdraw.is_some() || supersede.is_some() || !verifications.is_empty()
    }
}

/// Decides on one target; for many targets of one deployment make one [`DeploymentView`] and ask it.
pub fn decide_target(
    ws: &WorkspaceCatalog,
    facts: &Facts,
    decided: &dyn Decided,
    target: &TargetKey,
    now: Timestamp,
    cause: Option<String>,
) -> Outcome {
    DeploymentView::of(ws, facts, decided, target.deployment, now).decide(target, cause)
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
        redeployed,
        considered,
        left_out,
        waits_for,
        places,
        next_look,
        catalog_revision: _,
        decided_at: _,
        cause: _,
    } = one;
    (workspace, target, state, summary) == (&other.workspace, &other.target, &other.state, &other.summary)
        && (desired, current, active, last) == (&other.desired, &other.current, &other.active, &other.last)
        && (attempts, considered, next_look) == (&other.attempts, &other.considered, &other.next_look)
        && (earlier, held) == (&other.earlier, &other.held)
        && (verifications, redeployed) == (&other.verifications, &other.redeployed)
        && (waits_for, places) == (&other.waits_for, &other.places)
        && left_out == &other.left_out
}

/// Whether two decisions differ in nothing but sentences and in what rules looked at: no state, no version, no job, no
/// verdict, no instant, nothing that is remembered.
pub fn same_but_for_words(one: &TargetDecision, other: &TargetDecision) -> bool {
    let without_words = |decision: &TargetDecision| {
        let mut bare = TargetDecision { summary: String::new(), ..decision.clone() };
        for rule in bare.considered.iter_mut().flat_map(|considered| &mut considered.rules) {
            rule.reason.clear();
            rule.inputs = None;
        }
        bare
    };
    same_decision(&without_words(one), &without_words(other))
}

impl<'a> DeploymentView<'a> {
    /// Decides on one of the deployment's targets.
    pub fn decide(&self, target: &TargetKey, cause: Option<String>) -> Outcome {
        let previous = self.decided.decision(target);
        let history = History::of(self.facts, target, previous);
        let Some(place) = self.place(target) else {
            return self.gone(target, history, previous, cause);
        };
        let Reviewed { floor, review, holds, verified } =
            self.reviewed(&place, &history, previous, Depth::Shown);
        let course = self.course(&place, &history, &holds, floor, review);
        self.outcome(&place, history, course, holds, verified, previous, cause)
    }

    /// The candidates for the target now, newest first, with what every rule says of each, and how many more do not pass
    /// either: of more than `most` only the one that passes is told. A decision shows ten.
    pub fn considered(&self, target: &TargetKey, most: usize) -> (Vec<ConsideredVersion>, usize) {
        let previous = self.decided.decision(target);
        let history = History::of(self.facts, target, previous);
        let place = self.place(target);
        place
            .map(|place| self.reviewed(&place, &history, previous, Depth::Of(most)).review.all())
            .unwrap_or_default()
    }

    fn reviewed(
        &self,
        place: &Place<'a>,
        history: &History<'a>,
        previous: Option<&TargetDecision>,
        depth: Depth,
    ) -> Reviewed<'a> {
        let success = running_success(history);
        let verified = success.map(|success| self.verified(place, success)).unwrap_or_default();
        let holds = self.holds(place, history, Some(&verified), previous);
        let floor = self.floor(place, history, &holds);
        let mut review = review(self, place, &floor, history, &holds, depth);
        self.tell_afterwards(place, history, &holds, &verified, &mut review);
        Reviewed { floor, review, holds, verified }
    }

    /// What runs, or is on its way, is not replaced by an older version unless it was rejected, is held back, or
    /// another one is pinned.
    fn floor(&self, place: &Place<'_>, history: &History<'_>, holds: &Holds) -> Floor {
        let active = history.active.as_ref().map(|active| (active.on_target.version, active.on_target.at));
        let current = history.current.as_ref().map(|current| (current.version, current.since));
        let pinned = self.pin(&place.key).map(|pin| pin.spec.version);
        let mut is_rejected_here = false;
        for (version, since) in active.into_iter().chain(current) {
            if pinned.is_some_and(|pinned| pinned != version) {
                return Floor::None;
            }
            match self.version(version) {
                None => return Floor::After(since),
                Some(record) if is_rejected(record) => is_rejected_here = true,
                Some(_) if holds.of(version).is_some() => {}
                Some(_) => return Floor::Version(version),
            }
        }
        // What is to be brought back is not passed over for something older, and where nothing is, what failed is no
        // reason to try something older.
        let back = holds.restore.as_ref().map(|restore| restore.version);
        let floor = back.or(holds.open).filter(|_| !is_rejected_here);
        let floor = floor.filter(|floor| pinned.is_none_or(|pinned| pinned == *floor));
        floor.map_or(Floor::None, Floor::Version)
    }

    /// What happens, by what was chosen and what is under way.
    fn course(
        &self,
        place: &Place<'a>,
        history: &History<'a>,
        holds: &Holds,
        floor: Floor,
        mut review: Review<'a>,
    ) -> Course<'a> {
        let chosen = review.chosen.map(|(_, release)| release);
        let open = self.redeploy(&place.key).filter(|wish| {
            let answered = match self.decided.decision(&place.key) {
                Some(before) => {
                    before.redeployed.as_ref().filter(|wish| !self.was_withdrawn(wish)).map(|wish| wish.at)
                }
                None => history.last.as_ref().map(|last| last.at),
            };
            let begun = history.active.as_ref().map(|active| active.on_target.at);
            [answered, begun].into_iter().flatten().all(|at| at < wish.spec.at)
        });
        let wish = open.filter(|wish| {
            let chosen = review.chosen.map(|(version, _)| VersionId(version.meta.id));
            wish.spec.version.is_none() || wish.spec.version == chosen
        });
        let supersede = match place.deployment.spec.on_new_version {
            OnNewVersion::Wait => false,
            OnNewVersion::Supersede => true,
        };
        let mut retry_at = None;
        let step = if let Some(behind) = history.active.as_ref().and_then(Active::behind) {
            let makes_way = chosen.is_some_and(|release| release != behind.job.release);
            if supersede && makes_way { Step::Supersede } else { Step::Behind }
        } else {
            match (&history.active, chosen) {
                (Some(active), Some(release)) if active.on_target.release != release => {
                    if supersede {
                        Step::Supersede
                    } else {
                        Step::WaitForActive
                    }
                }
                (Some(_), _) => Step::Active,
                (None, None) if open.is_some() => Step::WishWaits,
                (None, None) => Step::Keep,
                (None, Some(_)) if wish.is_some() => Step::Request,
                (None, Some(release)) => {
                    let runs = history.current.as_ref().is_some_and(|current| current.release == release);
                    let comes_back = holds.restore.is_some();
                    match history.tried(release) {
                        _ if runs && !comes_back => Step::Keep,
                        None => Step::Request,
                        Some(tried) => {
                            let said = self.retries(place, &tried);
                            let step = self.retried(&said, &mut retry_at);
                            review.tell_retries(said);
                            step.unwrap_or(Step::TriedBadly(tried.status.into(), tried.reason))
                        }
                    }
                }
            }
        };
        let put_off = open.filter(|_| wish.is_none() && step != Step::WishWaits);
        let put_off = put_off.and_then(|wish| self.version(wish.spec.version?));
        let wished_at = wish.map(|wish| wish.spec.at);
        let floor = match (&step, review.chosen) {
            (Step::Request, Some((version, _))) => Floor::Version(VersionId(version.meta.id)),
            _ => floor,
        };
        Course { step, floor, review, retry_at, wished_at, put_off }
    }

    /// Whether the job that a wish brought was taken back before it was asked for: then the wish is as open as before.
    fn was_withdrawn(&self, wish: &Redeployed) -> bool {
        self.facts.job(JobId::of(wish.release, wish.attempt)).is_some_and(JobStanding::is_withdrawn)
    }

    /// Whether a release that ended badly is tried again: now, or when. All that are asked must allow it.
    fn retried(&self, said: &[Named<'_>], retry_at: &mut Option<Timestamp>) -> Option<Step> {
        let mut latest = None;
        for named in said {
            match named.ruling.verdict {
                Verdict::Allow => {}
                Verdict::Deny => return None,
                Verdict::Wait { until } => latest = latest.max(until),
            }
        }
        *retry_at = latest;
        Some(latest.map_or(Step::Request, Step::RetryAt))
    }

    #[allow(clippy::too_many_arguments, reason = "each is one thing that was found out on the way")]
    fn outcome(
        &self,
        place: &Place<'a>,
        history: History<'a>,
        course: Course<'a>,
        holds: Holds,
        verified: Verified,
        previous: Option<&TargetDecision>,
        cause: Option<String>,
    ) -> Outcome {
        let Course { step, floor, review, retry_at, wished_at, put_off } = course;
        let mut request = None;
        let (mut withdraw, mut withdraw_at) = (None, None);
        let mut supersede = None;
        // A yes is needed as long as its job is not asked for, and may have to be asked for again.
        let yes_until = match step {
            Step::WaitForActive
            | Step::Supersede
            | Step::Behind
            | Step::RetryAt(_)
            | Step::TriedBadly(..) => review.chosen_until,
            Step::Active | Step::Request | Step::Keep | Step::WishWaits => None,
        };
        let need = |given: &_| self.need(place, &history, &floor, given);
        let places = gradual_rollout::places(&review.considered, &review.hidden, previous, need);
        let attempts = history.attempts().to_vec();
        let running = history.active.as_ref().and_then(|active| active.running).map(|running| &running.job);
        let chosen_release = review.chosen.map(|(_, release)| release);
        let next = review.chosen.map(|(version, release)| (version, release, history.next_attempt(release)));
        let active = match (&step, history.active, next) {
            (Step::Request, _, Some((version, release, attempt))) => {
                let job = place.job(version, release, attempt, self.content_of(version));
                let active = requested(&job, self.now);
                request = Some(job);
                Some(active)
            }
            (_, Some(active), _) => {
                let is_asked_for = active.running.is_some() && active.behind().is_none();
                let may_go = chosen_release == Some(active.on_target.release);
                if !is_asked_for && !may_go {
                    let patience = after(active.on_target.at, RECORDED_WITHIN);
                    let is_over = patience <= self.now;
                    withdraw = is_over.then(|| place.job_again(&active.on_target));
                    withdraw_at = (!is_over).then_some(patience);
                } else if active.running.is_none() {
                    request = Some(place.job_again(&active.on_target));
                }
                let makes_way = active.running.filter(|running| !running.is_cancelling());
                supersede = makes_way.filter(|_| step == Step::Supersede).map(|running| running.job.clone());
                Some(active.on_target)
            }
            (_, None, _) => None,
        };
        let times = review.next_look.into_iter().chain(yes_until).chain(retry_at).chain(withdraw_at);
        let next_look = times.min();
        let redeployed = match (&request, wished_at) {
            (Some(job), Some(at)) => Some(Redeployed { at, release: job.release, attempt: job.attempt }),
            _ => previous.and_then(|previous| previous.redeployed.clone()),
        };
        let desired = self.desired(&review, active.as_ref(), history.current.as_ref(), previous);
        let picture = Picture {
            step: &step,
            desired: desired.as_ref(),
            current: history.current.as_ref(),
            active: active.as_ref(),
            running,
            considered: &review.considered,
            put_off: put_off.map(|version| version.spec.tag.as_str()),
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
            earlier: history.earlier,
            held: holds.held,
            verifications: verified.known,
            redeployed,
            left_out: count(review.hidden.len() + review.untold),
            considered: review.considered,
            waits_for: review.waits_for.into_iter().map(str::to_owned).collect(),
            places,
            next_look,
            catalog_revision: self.catalog_revision,
            decided_at: self.now,
            cause,
        };
        Outcome { decision, request, withdraw, supersede, verifications: verified.missing }
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
            content: None,
        });
        let kept = || {
            let active = active.map(|job| VersionOnTarget {
                version: job.version,
                tag: job.tag.clone(),
                release: job.release,
                since: job.at,
                content: None,
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
        let attempts = history.attempts().to_vec();
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
            earlier: history.earlier,
            held: previous.map(|previous| previous.held.clone()).unwrap_or_default(),
            verifications: Vec::new(),
            redeployed: previous.and_then(|previous| previous.redeployed.clone()),
            considered: Vec::new(),
            left_out: 0,
            waits_for: BTreeSet::new(),
            places: gradual_rollout::places(&[], &[], previous, |_| Need::Kept),
            next_look: None,
            catalog_revision: self.catalog_revision,
            decided_at: self.now,
            cause,
        };
        Outcome { decision, request: None, withdraw: None, supersede: None, verifications: Vec::new() }
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

/// What was found of the candidates, and on the way to them.
struct Reviewed<'a> {
    floor: Floor,
    review: Review<'a>,
    holds: Holds,
    verified: Verified,
}

/// What was found to happen.
struct Course<'a> {
    step: Step,
    /// What is not replaced by an older version from then on.
    floor: Floor,
    review: Review<'a>,
    /// When a release that ended badly is tried again.
    retry_at: Option<Timestamp>,
    /// When somebody wished for the job that is to be asked for.
    wished_at: Option<Timestamp>,
    /// The version somebody wished for once more that is not the one that was chosen.
    put_off: Option<&'a Record<Version>>,
}

/// The job that brought what runs, where the facts know it still.
fn running_success<'a>(history: &History<'a>) -> Option<&'a JobStanding> {
    let current = history.current.as_ref()?;
    history.last_success().filter(|success| success.job.release == current.release)
}

impl Place<'_> {
    fn job(&self, version: &Record<Version>, release: ReleaseId, attempt: u32, content: Uuid) -> JobRef {
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
            content: Some(content),
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
            content: decided.content,
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
        content: job.content,
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

pub(super) fn is_rejected(version: &Record<Version>) -> bool {
    version.spec.status == VersionStatus::Rejected
}
