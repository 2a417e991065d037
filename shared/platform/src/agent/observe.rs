//! The observe command: look at the run and record what it says. The state is loaded before the look, so that the look
//! is the newer of both.

use super::adopt::Sighting;
use super::confirm::confirms;
use super::effects::SNAPSHOT;
use super::step::{delta, last_order};
use super::trigger::cause;
use super::{Agent, later};
use crate::platform::{CallError, Platform, Seen};
use bus::{Base, Delivery, Failure, Known};
use domain::Timestamp;
use domain::command::AgentCommand;
use domain::id::JobId;
use domain::job::{
    ExternalRef, JobFact, JobState, Links, Phase, RawStatus, Snapshot, Source, TerminalStatus,
};
use serde_json::{Map, Value};
use std::time::Duration;

/// What people are told when a run is not there, before that is believed.
const ABSENT: &str =
    "the platform does not know the run at the moment; if it still does not a while from now, the job ends";

/// A look that does not succeed for so long is dropped: the next sweep asks again.
const GIVE_UP: Duration = Duration::from_secs(60);

impl<P: Platform> Agent<P> {
    /// Looks at a job's run.
    pub(super) async fn observe(&self, command: &AgentCommand, delivery: &Delivery) -> Result<(), Failure> {
        if self.is_overtaken(command.job.id, delivery) {
            return Ok(());
        }
        let cause = cause(delivery);
        let known = self.load(command).await?;
        match &known.state.phase {
            Phase::Requested | Phase::Held { .. } | Phase::Dispatched | Phase::Finished { .. } => Ok(()),
            Phase::Cancelling(cancelling) if cancelling.fence.is_none() => {
                let why = "cancelled before it was started";
                self.end(&known, TerminalStatus::Cancelled, None, why, cause).await
            }
            Phase::Running { .. } | Phase::Cancelling(_) => match nameable_run(&known.state) {
                Some(run) => {
                    let looked = self.look_at(&command.config, &known, &run, cause).await;
                    self.or_the_next_time(looked, delivery)
                }
                None => self.look_for_it(command, delivery, known, cause).await,
            },
            Phase::Triggering { .. } | Phase::Unknown { .. } => {
                self.look_for_it(command, delivery, known, cause).await
            }
        }
    }

    /// Looks for a run whose name is not known. Starting another is the trigger command's business.
    async fn look_for_it(
        &self,
        command: &AgentCommand,
        delivery: &Delivery,
        known: Known,
        cause: Option<String>,
    ) -> Result<(), Failure> {
        let found = match self.look_for(&known, &command.config).await {
            Ok(found) => found,
            Err(error) => return self.or_the_next_time(self.say(&known, error, cause).await, delivery),
        };
        let lost = match &known.state.phase {
            // A try that had no effect waits here for the platform's limits: its deadline is the trigger's business.
            Phase::Triggering { .. } => false,
            Phase::Unknown { .. } | Phase::Running { .. } | Phase::Cancelling(_) => self.is_lost(&known),
            Phase::Requested | Phase::Held { .. } | Phase::Dispatched | Phase::Finished { .. } => false,
        };
        match found {
            Some(Sighting { external, snapshot }) => {
                self.adopt(known, Sighting { external, snapshot }, cause).await
            }
            None if lost => self.not_found(&known, cause).await,
            None => Ok(()),
        }
    }

    /// Looks at a run and records what it says.
    pub(super) async fn look_at(
        &self,
        config: &Map<String, Value>,
        known: &Known,
        run: &ExternalRef,
        cause: Option<String>,
    ) -> Result<(), Failure> {
        let begun = self.clock.now();
        match self.in_time(self.platform.observe(config, run)).await {
            Ok(Seen::Snapshot(snapshot)) => {
                let seen = snapshot.status;
                let snapshot = self.mask(&known.state).snapshot(Snapshot { external: None, ..*snapshot });
                let base = Base::Known(Box::new(known.clone()));
                let recorded = self.snapshot(&known.state.job, snapshot, base, cause).await?;
                if confirms(&recorded, seen) {
                    self.confirm(&known.state.job, begun).await;
                }
                Ok(())
            }
            Ok(Seen::Unchanged) => {
                self.confirm(&known.state.job, begun).await;
                Ok(())
            }
            Ok(Seen::UnknownWords { raw }) => {
                let raw = self.mask(&known.state).raw(raw);
                let platform = self.platform.name().to_string();
                tracing::warn!(job = %known.state.job.id, status = raw.status, conclusion = raw.conclusion, "the platform uses words we do not know");
                metrics::counter!("platform_unknown_words_total", "platform" => platform).increment(1);
                let message = "the platform uses words we do not know; the last status stays";
                self.note(known, message, Some(raw), cause).await
            }
            Ok(Seen::Gone) => self.gone(known, cause).await,
            Err(error) => self.say(known, error, cause).await,
        }
    }

    /// The platform does not know the run: believed only when it still does not a while after people were told so.
    pub(super) async fn gone(&self, known: &Known, cause: Option<String>) -> Result<(), Failure> {
        let now = self.clock.now();
        let is_believed = match absent_since(&known.state) {
            None => return self.note(known, ABSENT, None, cause).await,
            Some(since) => now >= since + delta(self.settings.gone_grace),
        };
        match &known.state.phase {
            Phase::Cancelling(_) if is_believed => {
                let why = "the platform does not know the run any more";
                self.end(known, TerminalStatus::Cancelled, None, why, cause).await
            }
            Phase::Running { .. } if is_believed && self.may_be_missing(known) => {
                let why = "the platform does not know the run any more: it was deleted there, or is out of our sight";
                self.end(known, TerminalStatus::ExternalRunNotFound, None, why, cause).await
            }
            Phase::Requested
            | Phase::Held { .. }
            | Phase::Dispatched
            | Phase::Triggering { .. }
            | Phase::Unknown { .. }
            | Phase::Running { .. }
            | Phase::Cancelling(_)
            | Phase::Finished { .. } => Ok(()),
        }
    }

    /// Whether the job's run may be called missing: not where many are at once.
    pub(super) fn may_be_missing(&self, known: &Known) -> bool {
        let may = self.missing.admits(self.clock.now());
        if !may {
            let platform = self.platform.name().to_string();
            tracing::error!(job = %known.state.job.id, platform,
                "many runs seem to be missing at once, so this one is not called so yet: look whether we may still see them");
            metrics::counter!("agent_missing_refused_total", "platform" => platform).increment(1);
        }
        may
    }

    /// What an error says to the people who wait for the job. The job is not over because we cannot see it.
    pub(super) async fn say(
        &self,
        known: &Known,
        error: CallError,
        cause: Option<String>,
    ) -> Result<(), Failure> {
        match self.mask(&known.state).error(error) {
            CallError::Unauthorized(why) | CallError::Invalid(why) => {
                tracing::warn!(job = %known.state.job.id, "the run cannot be looked at: {}", telemetry::redact(&why));
                self.note(known, &format!("the run cannot be reached: {why}"), None, cause).await
            }
            CallError::RateLimited { after, why } => Err(later(after, why)),
            CallError::Transient(why) | CallError::Ambiguous(why) => Err(later(Duration::from_secs(5), why)),
        }
    }

    /// Records words about a run that leave its status as it is.
    async fn note(
        &self,
        known: &Known,
        message: &str,
        raw: Option<RawStatus>,
        cause: Option<String>,
    ) -> Result<(), Failure> {
        let Some(status) = known.state.phase.seen() else { return Ok(()) };
        let noted = Snapshot {
            status,
            order: Some(last_order(&known.state)),
            raw,
            reason: known.state.reason,
            message: Some(telemetry::redact(message).into_owned()),
            links: Links::new(),
            source: Source::Ctrlplane,
            external: None,
        };
        let base = Base::Known(Box::new(known.clone()));
        SNAPSHOT.effect(self.jobs.record(&known.state.job, JobFact::Observed(noted), base, cause)).await?;
        Ok(())
    }

    /// Whether a later look at the job was asked for. Sweeps go on while a platform does not answer: were every look
    /// tried again beside those that came after it, they would keep a slow platform down.
    fn is_overtaken(&self, job: JobId, delivery: &Delivery) -> bool {
        if self.looks.get(&job).is_some_and(|newest| newest > delivery.sequence) {
            tracing::debug!(%job, "a later look was asked for");
            metrics::counter!("agent_looks_overtaken_total").increment(1);
            return true;
        }
        self.looks.put(job, delivery.sequence);
        false
    }

    /// Sweeps ask again and again: a look that is put off for too long is not worth keeping.
    fn or_the_next_time(&self, looked: Result<(), Failure>, delivery: &Delivery) -> Result<(), Failure> {
        let old = self.clock.now() >= delivery.published_at + delta(GIVE_UP);
        match looked {
            Err(Failure::Later { why, .. }) if old => {
                tracing::warn!(
                    subject = delivery.subject,
                    "not looked at, the next sweep will ask again: {why}"
                );
                Ok(())
            }
            other => other,
        }
    }
}

/// Since when the run is known to be absent: people were told so, and nothing was heard of it since.
fn absent_since(state: &JobState) -> Option<Timestamp> {
    (state.message.as_deref() == Some(ABSENT)).then_some(state.updated_at)
}

/// The run that can be looked at. One that is to run again and was not seen to is not that run yet.
pub(super) fn nameable_run(state: &JobState) -> Option<ExternalRef> {
    state.phase.seen()?;
    state.external.clone()
}
