//! Facts: how every job stands, folded from the last event of each. It knows no catalog and no policy.
//!
//! Only the last event of a job counts, so that a fold that began with a snapshot (last event per job)
//! and one that saw every event say the same.

use crate::Timestamp;
use crate::id::{JobId, ResourceId, VersionId};
use crate::job::{JobEvent, JobFact, JobRef, JobStatus, Purpose, Reason, TerminalStatus};
use crate::target::TargetKey;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::hash::Hash;

/// How every job stands.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    jobs: FxHashMap<JobId, JobStanding>,
    /// Jobs that bring releases.
    of_target: FxHashMap<TargetKey, BTreeSet<JobId>>,
    of_version: FxHashMap<VersionId, BTreeSet<JobId>>,
    /// Jobs that verify what another one brought.
    verifying: FxHashMap<JobId, BTreeSet<JobId>>,
    on_resource: FxHashMap<ResourceId, BTreeSet<TargetKey>>,
    sequence: u64,
}

/// How one job stands, by the last thing that happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStanding {
    /// Which job, and what it is for.
    pub job: JobRef,
    /// The sequence in `JOBS` of its last event.
    pub sequence: u64,
    /// When that was recorded.
    pub at: Timestamp,
    /// Active or over.
    pub standing: Standing,
}

/// Active or over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not over; a finished job that runs again is active again.
    Active {
        /// Whether the last thing that happened is a wish that it end.
        cancelling: bool,
    },
    /// Over, since the event's time.
    Over {
        /// How.
        status: TerminalStatus,
        /// Why.
        reason: Option<Reason>,
    },
}

/// What an event changed, for those who must look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactChange {
    /// Old news, or nothing that a decision could depend on.
    Nothing,
    /// A job that was unknown is active.
    Started,
    /// A job that was over is active again.
    Reopened,
    /// A job is over.
    Ended,
    /// A job that was over ended once more: of what lies between nothing was told.
    EndedAgain,
}

impl Facts {
    /// Takes in an event with its sequence in `JOBS`. An event that is not newer than the job's last is ignored.
    pub fn apply(&mut self, event: &JobEvent, sequence: u64) -> FactChange {
        self.reached(sequence);
        self.anticipate(event, sequence)
    }

    /// Takes in an event that is known to be recorded before the stream has told it, and so says nothing
    /// of what else was recorded up to there.
    pub fn anticipate(&mut self, event: &JobEvent, sequence: u64) -> FactChange {
        let id = event.job.id;
        let before = self.jobs.get(&id);
        if before.is_some_and(|known| known.sequence >= sequence) {
            return FactChange::Nothing;
        }
        let standing = standing_after(&event.fact);
        let change = match (before.map(|known| known.standing), standing) {
            (Some(Standing::Over { .. }), Standing::Over { .. }) => FactChange::EndedAgain,
            (_, Standing::Over { .. }) => FactChange::Ended,
            (Some(Standing::Active { .. }), Standing::Active { .. }) => FactChange::Nothing,
            (None, Standing::Active { .. }) => FactChange::Started,
            (Some(Standing::Over { .. }), Standing::Active { .. }) => FactChange::Reopened,
        };
        let known = JobStanding { job: event.job.clone(), sequence, at: event.at, standing };
        if before.is_none() {
            self.index(&known);
        }
        self.jobs.insert(id, known);
        change
    }

    /// The sequence of `JOBS` up to which this is true.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Notes that everything up to `sequence` was seen.
    pub fn reached(&mut self, sequence: u64) {
        self.sequence = self.sequence.max(sequence);
    }

    /// A job, if anything is known of it.
    pub fn job(&self, id: JobId) -> Option<&JobStanding> {
        self.jobs.get(&id)
    }

    /// The jobs that bring releases to a target, in no telling order. Those that were withdrawn bring none.
    pub fn jobs_of(&self, target: &TargetKey) -> impl Iterator<Item = &JobStanding> {
        self.decided_for(target).filter(|job| !job.is_withdrawn())
    }

    /// The same with those that were withdrawn.
    pub(super) fn decided_for(&self, target: &TargetKey) -> impl Iterator<Item = &JobStanding> {
        self.of_target.get(target).into_iter().flatten().filter_map(|id| self.jobs.get(id))
    }

    /// The jobs that bring a version to any target, in no telling order.
    pub fn jobs_of_version(&self, version: VersionId) -> impl Iterator<Item = &JobStanding> {
        let jobs = self.of_version.get(&version).into_iter().flatten().filter_map(|id| self.jobs.get(id));
        jobs.filter(|job| !job.is_withdrawn())
    }

    /// The jobs that verify what a job brought, in no telling order.
    pub fn verifications_of(&self, job: JobId) -> impl Iterator<Item = &JobStanding> {
        self.verifying.get(&job).into_iter().flatten().filter_map(|id| self.jobs.get(id))
    }

    /// The targets on a resource, of any deployment, to which jobs have gone.
    pub fn targets_on(&self, resource: ResourceId) -> impl Iterator<Item = &TargetKey> {
        self.on_resource.get(&resource).into_iter().flatten()
    }

    /// Whether the health of a rollout may be another one since the job turned: it ended badly, or it was, or runs again
    /// beside, one that did.
    pub fn changes_health(&self, job: &JobRef, change: FactChange) -> bool {
        let ended_badly = |job: &JobStanding| job.is_over() && !job.succeeded();
        let is_bad =
            |job: &JobStanding| ended_badly(job) || self.verifications_of(job.job.id).any(ended_badly);
        let beside =
            || self.jobs_of(&job.target).filter(|other| other.job.version == job.version).any(is_bad);
        match change {
            FactChange::Nothing | FactChange::Started => false,
            FactChange::Reopened | FactChange::EndedAgain => true,
            FactChange::Ended => self.job(job.id).is_some_and(is_bad) || beside(),
        }
    }

    /// How many jobs are known.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether no job is known.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Forgets jobs that were over before `instant`: the stream has forgotten them too.
    pub fn forget_over_before(&mut self, instant: Timestamp) {
        let old: Vec<JobId> = self
            .jobs
            .values()
            .filter(|job| job.is_over() && job.at < instant)
            .map(|job| job.job.id)
            .collect();
        for id in old {
            self.forget(id);
        }
    }

    /// What a job is for, and for which target and version, never changes.
    fn index(&mut self, known: &JobStanding) {
        let JobRef { id, target, version, purpose, .. } = known.job;
        match purpose {
            Purpose::Deploy => {
                self.of_target.entry(target).or_default().insert(id);
                self.of_version.entry(version).or_default().insert(id);
                self.on_resource.entry(target.resource).or_default().insert(target);
            }
            Purpose::Verify { of, .. } => {
                self.verifying.entry(of).or_default().insert(id);
            }
            // A run knows the ids of its jobs.
            Purpose::Workflow { .. } => {}
        }
    }

    fn forget(&mut self, id: JobId) {
        let Some(known) = self.jobs.remove(&id) else { return };
        let JobRef { target, version, purpose, .. } = known.job;
        match purpose {
            Purpose::Deploy => {
                remove_from(&mut self.of_target, &target, &id);
                remove_from(&mut self.of_version, &version, &id);
                if !self.of_target.contains_key(&target) {
                    remove_from(&mut self.on_resource, &target.resource, &target);
                }
            }
            Purpose::Verify { of, .. } => remove_from(&mut self.verifying, &of, &id),
            Purpose::Workflow { .. } => {}
        }
    }
}

impl JobStanding {
    /// Whether it is over, until a new attempt.
    pub fn is_over(&self) -> bool {
        matches!(self.standing, Standing::Over { .. })
    }

    /// Whether it is active, and the last thing that happened to it is a wish that it end.
    pub fn is_cancelling(&self) -> bool {
        matches!(self.standing, Standing::Active { cancelling: true })
    }

    /// Whether it was decided, and taken back before anybody asked for it.
    pub fn is_withdrawn(&self) -> bool {
        matches!(self.standing, Standing::Over { reason: Some(Reason::Withdrawn), .. })
    }

    /// Whether it ended well.
    pub fn succeeded(&self) -> bool {
        matches!(self.standing, Standing::Over { status: TerminalStatus::Successful, .. })
    }

    /// Its status as decisions show it: `pending` until it is over.
    pub fn status(&self) -> (JobStatus, Option<Reason>) {
        match self.standing {
            Standing::Active { .. } => (JobStatus::Pending, None),
            Standing::Over { status, reason } => (status.into(), reason),
        }
    }
}

fn standing_after(fact: &JobFact) -> Standing {
    match fact {
        JobFact::Finished(snapshot) => Standing::Over { status: snapshot.status, reason: snapshot.reason },
        JobFact::CancelRequested { .. } | JobFact::CancelSent { .. } => Standing::Active { cancelling: true },
        JobFact::Requested { .. }
        | JobFact::Held { .. }
        | JobFact::Dispatched(_)
        | JobFact::TriggerStarted { .. }
        | JobFact::Triggered { .. }
        | JobFact::TriggerUnknown { .. }
        | JobFact::Observed(_)
        | JobFact::RetryRequested { .. } => Standing::Active { cancelling: false },
    }
}

fn remove_from<K: Hash + Eq, V: Ord>(index: &mut FxHashMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(values) = index.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DeploymentId, EnvironmentId, ReleaseId, ResourceId, derive};
    use crate::job::CancelReason;

    fn event(job: &str, fact: JobFact) -> JobEvent {
        let id = |name: &str| derive(&[name]);
        let target = TargetKey {
            deployment: DeploymentId(id("d")),
            environment: EnvironmentId(id("e")),
            resource: ResourceId(id("r")),
        };
        let job = JobRef {
            workspace: "acme".parse().unwrap(),
            id: JobId(id(job)),
            target,
            version: VersionId(id("v")),
            tag: "v".into(),
            release: ReleaseId(id("rel")),
            attempt: 1,
            deployment: "web".parse().unwrap(),
            environment: "prod".parse().unwrap(),
            purpose: Default::default(),
            content: None,
        };
        JobEvent { job, at: Timestamp::UNIX_EPOCH, cause: None, traceparent: None, fact }
    }

    fn requested() -> JobFact {
        JobFact::Requested { catalog_revision: 1, grounds: None }
    }

    fn done() -> JobFact {
        JobFact::ended(TerminalStatus::Successful, None, "done")
    }

    #[test]
    fn the_last_fact_of_a_job_counts_and_old_news_does_not() {
        let cancel = JobFact::CancelRequested { by: "ann".into(), reason: CancelReason::User };
        let retry = JobFact::RetryRequested { by: "ann".into() };
        let mut facts = Facts::default();
        for (sequence, fact, change, active, successes) in [
            (1, requested(), FactChange::Started, Some(false), 0),
            (3, cancel, FactChange::Nothing, Some(true), 0),
            (4, done(), FactChange::Ended, None, 1),
            (2, requested(), FactChange::Nothing, None, 1),
            (4, done(), FactChange::Nothing, None, 1),
            (5, retry, FactChange::Reopened, Some(false), 0),
            (6, done(), FactChange::Ended, None, 1),
        ] {
            let event = event("j", fact);
            assert_eq!(facts.apply(&event, sequence), change, "{sequence}");
            let job = facts.job(event.job.id).unwrap();
            let cancelling = match job.standing {
                Standing::Active { cancelling } => Some(cancelling),
                Standing::Over { .. } => None,
            };
            assert_eq!(cancelling, active, "{sequence}");
            let succeeded = facts.jobs_of_version(event.job.version).filter(|job| job.succeeded()).count();
            assert_eq!(succeeded, successes, "{sequence}");
            assert_eq!(facts.jobs_of(&event.job.target).count(), 1);
        }
        assert_eq!(facts.sequence(), 6);
    }

    #[test]
    fn what_is_anticipated_claims_nothing_of_what_lies_between_and_its_echo_is_no_news() {
        let mut facts = Facts::default();
        assert_eq!(facts.anticipate(&event("j", requested()), 9), FactChange::Started);
        assert_eq!(facts.sequence(), 0);
        assert_eq!(facts.apply(&event("j", requested()), 9), FactChange::Nothing);
        assert_eq!(facts.sequence(), 9);
    }

    #[test]
    fn old_ends_are_forgotten_and_what_is_active_is_not() {
        let mut facts = Facts::default();
        facts.apply(&event("over", done()), 1);
        facts.apply(&event("active", requested()), 2);
        facts.forget_over_before(Timestamp::UNIX_EPOCH);
        assert_eq!(facts.len(), 2);
        facts.forget_over_before(Timestamp::UNIX_EPOCH + chrono::TimeDelta::seconds(1));
        assert_eq!(facts.len(), 1);
        assert!(facts.jobs_of_version(VersionId(derive(&["v"]))).all(|job| !job.is_over()));
    }
}
