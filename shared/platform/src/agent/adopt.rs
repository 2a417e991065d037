//! How a run becomes a job's: as the answer to our call, or found by the job id it carries. And how a job ends without one.

use super::effects::{ENDED, SNAPSHOT, TRIGGERED};
use super::step::{delta, last_order, run_to_repeat};
use super::{Agent, later};
use crate::platform::{CallError, CorrelationKey, Found, Platform, Seen};
use bus::{Base, Failure, Known, Recorded};
use chrono::TimeDelta;
use domain::command::AgentCommand;
use domain::job::{
    ExternalRef, JobFact, JobRef, Links, Phase, Reason, Refusal, Snapshot, SnapshotStatus, Source,
    TerminalStatus,
};
use serde_json::{Map, Value};

/// The platform's clock may be behind ours by this much: what a search asks for begins earlier.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(2);

/// A run that carries a job's id, and how it stands.
#[derive(Debug)]
pub(super) struct Sighting {
    pub(super) external: ExternalRef,
    pub(super) snapshot: Snapshot<SnapshotStatus>,
}

impl<P: Platform> Agent<P> {
    /// Looks for the run of a try whose outcome is unknown.
    pub(super) async fn look_for(
        &self,
        known: &Known,
        config: &Map<String, Value>,
    ) -> Result<Option<Sighting>, CallError> {
        let state = &known.state;
        let mask = self.mask(state);
        if let Some(run) = run_to_repeat(state) {
            // The run is known; what is looked for is its next attempt.
            return match self.in_time(self.platform.observe(config, run)).await? {
                Seen::Snapshot(snapshot) => {
                    Ok(snapshot.order.map(|order| order.attempt).filter(|n| *n > run.attempt).map(
                        |attempt| Sighting {
                            external: ExternalRef { attempt, ..run.clone() },
                            snapshot: mask.snapshot(*snapshot),
                        },
                    ))
                }
                Seen::Unchanged | Seen::UnknownWords { .. } | Seen::Gone => Ok(None),
            };
        }
        let key = CorrelationKey { job: state.job.id, config };
        let since = state.dispatched_at.unwrap_or(state.created_at) - CLOCK_SKEW;
        match self.in_time(self.platform.find(&key, since)).await? {
            Found::Run { external, snapshot } => {
                Ok(Some(Sighting { external: mask.run(external), snapshot: mask.snapshot(*snapshot) }))
            }
            Found::None => Ok(None),
            Found::Several { external, snapshot, count } => {
                tracing::warn!(job = %state.job.id, run = external.id, count, "several runs carry this job's id; the oldest is taken");
                metrics::counter!("platform_several_runs_total", "platform" => external.platform.to_string())
                    .increment(1);
                Ok(Some(Sighting { external: mask.run(external), snapshot: mask.snapshot(*snapshot) }))
            }
        }
    }

    /// Makes a run that was found the job's, and records how it stands.
    pub(super) async fn adopt(
        &self,
        known: Known,
        found: Sighting,
        cause: Option<String>,
    ) -> Result<(), Failure> {
        let Sighting { external, mut snapshot } = found;
        let job = known.state.job.clone();
        tracing::info!(job = %job.id, run = external.id, attempt = external.attempt, "found the run of this job");
        let base = Base::Known(Box::new(known.clone()));
        let links = snapshot.links.clone();
        match self.triggered(&job, external.clone(), links, base, cause.clone()).await? {
            Recorded::Appended { .. } | Recorded::AlreadySo(_) => {
                snapshot.external = None;
                self.snapshot(&job, snapshot, Base::Look, cause).await?;
            }
            // Accepted without a name: the first look that knows the run names it.
            Recorded::Refused(Refusal::OtherRun, Some(known)) if known.state.external.is_none() => {
                snapshot.external = Some(external);
                self.snapshot(&job, snapshot, Base::Known(known), cause).await?;
            }
            Recorded::Refused(..) => {}
        }
        Ok(())
    }

    /// Records that the platform has the run, and whose run it is. Both are there when this returns.
    pub(super) async fn triggered(
        &self,
        job: &JobRef,
        external: ExternalRef,
        links: Links,
        base: Base,
        cause: Option<String>,
    ) -> Result<Recorded, Failure> {
        let fact = JobFact::Triggered { external: external.clone(), links };
        let (owned, recorded) = futures::future::join(
            self.own(job, &external),
            TRIGGERED.effect(self.jobs.record(job, fact, base, cause)),
        )
        .await;
        owned?;
        let recorded = recorded?;
        if let Recorded::Refused(refusal, known) = &recorded {
            let awaited = known
                .as_ref()
                .is_some_and(|known| known.state.external.is_none() && !known.state.is_finished());
            if !awaited {
                tracing::error!(job = %job.id, run = external.id, host = external.host, scope = external.scope, %refusal,
                    "a run exists on the platform that no job waits for: look at it there");
                metrics::counter!("platform_orphan_runs_total", "platform" => external.platform.to_string())
                    .increment(1);
            }
        }
        Ok(recorded)
    }

    /// Records a look at a run.
    pub(super) async fn snapshot(
        &self,
        job: &JobRef,
        snapshot: Snapshot<SnapshotStatus>,
        base: Base,
        cause: Option<String>,
    ) -> Result<Recorded, Failure> {
        Ok(SNAPSHOT.effect(self.jobs.record(job, snapshot.into_fact(), base, cause)).await?)
    }

    /// Ends a job by our own word, unless a newer look at its run says otherwise.
    pub(super) async fn end(
        &self,
        known: &Known,
        status: TerminalStatus,
        reason: Option<Reason>,
        why: &str,
        cause: Option<String>,
    ) -> Result<(), Failure> {
        let ending = Snapshot {
            status,
            order: may_have_a_run(&known.state.phase).then(|| last_order(&known.state)),
            raw: None,
            reason,
            message: Some(telemetry::redact(why).into_owned()),
            links: Links::new(),
            source: Source::Ctrlplane,
            external: None,
        };
        let base = Base::Known(Box::new(known.clone()));
        let job = &known.state.job;
        tracing::info!(job = %job.id, ?status, ?reason, "ends the job: {}", telemetry::redact(why));
        ENDED.effect(self.jobs.record(job, JobFact::Finished(ending), base, cause)).await?;
        Ok(())
    }

    /// What is known of the job of a command; at least what the command was born from.
    pub(super) async fn load(&self, command: &AgentCommand) -> Result<Known, Failure> {
        let known = self.jobs.load(&command.job.workspace, command.job.id).await?;
        known.filter(|known| known.sequence >= command.after).ok_or_else(|| {
            Failure::retry(format!("the history of job {} ends before this command", command.job.id))
        })
    }

    /// What is known of a job by now.
    pub(super) async fn reload(&self, job: &JobRef) -> Result<Known, Failure> {
        let known = self.jobs.load(&job.workspace, job.id).await?;
        known.ok_or_else(|| Failure::retry(format!("job {} has no history", job.id)))
    }

    /// A run that cannot be found: put the command back, or call the run lost when it has been too long.
    pub(super) async fn not_found(&self, known: &Known, cause: Option<String>) -> Result<(), Failure> {
        if self.is_lost(known) {
            if !self.may_be_missing(known) {
                return Err(later(
                    std::time::Duration::from_secs(60),
                    "many runs seem to be missing at once",
                ));
            }
            let why = "the platform took the job, but no run that carries its id could be found";
            return self
                .end(known, TerminalStatus::ExternalRunNotFound, Some(Reason::Lost), why, cause)
                .await;
        }
        Err(later(std::time::Duration::from_secs(5), "the platform does not show the run yet"))
    }

    /// Whether a run has been looked for in vain for too long.
    pub(super) fn is_lost(&self, known: &Known) -> bool {
        self.clock.now() >= known.state.phase_since + delta(self.settings.lost_after)
    }
}

/// Whether a look at a run may be recorded behind our back.
fn may_have_a_run(phase: &Phase) -> bool {
    match phase {
        Phase::Requested | Phase::Held { .. } | Phase::Dispatched | Phase::Finished { .. } => false,
        Phase::Triggering { .. } | Phase::Unknown { .. } | Phase::Running { .. } | Phase::Cancelling(_) => {
            true
        }
    }
}
