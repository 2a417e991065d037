//! The trigger command: record the intent, call, record the answer. Whoever comes after a crash, or after an answer that was
//! lost, looks for the run before another intent may be recorded.

use super::effects::{ACCEPTED, CALL, STARTED, UNKNOWN};
use super::secrets::Filled;
use super::step::{LOOK_AGAIN, Step, delta, last_order, look_again, run_to_repeat, start_until, step};
use super::{Agent, later};
use crate::platform::{CallError, Platform, TriggerRequest, Triggered};
use bus::{Base, Delivery, Failure, Known, Recorded};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::command::AgentCommand;
use domain::id::JobId;
use domain::job::{
    ActiveStatus, ExternalRef, JobFact, Links, Phase, Reason, Snapshot, SnapshotStatus, Source,
    TerminalStatus,
};
use std::time::Duration;

/// A command older than this was overtaken by something: look before believing it.
const FRESH: Duration = Duration::from_secs(10);
/// What people are told, no more often than so, while it cannot be looked up whether a run was started.
const NOT_LOOKED_UP: &str =
    "the platform did not answer, and whether it started a run cannot be looked up yet";
const SAY_AGAIN: TimeDelta = TimeDelta::minutes(1);
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// A recorded intent: its writer, and nobody else, may call.
struct Intent {
    fence: u32,
    /// The sequence of the fact.
    sequence: u64,
    /// Not later than the fact.
    since: Timestamp,
    /// The run to run again.
    repeats: Option<ExternalRef>,
}

enum Start {
    Ours(Intent),
    /// The history did not admit it: somebody else was there.
    Not(Option<Box<Known>>),
}

impl<P: Platform> Agent<P> {
    /// Starts a job.
    pub(super) async fn trigger(&self, command: &AgentCommand, delivery: &Delivery) -> Result<(), Failure> {
        let cause = cause(delivery);
        let fresh = delivery.attempt == 1 && self.clock.now() < delivery.published_at + delta(FRESH);
        if !fresh {
            let known = self.load(command).await?;
            return self.resume(command, known, cause).await;
        }
        // The ordinary case does not look the job up: the command was born from its last fact.
        let (ready, overtaken) = self.ready(command).await?;
        if let Some(reason) = overtaken {
            let known = self.load(command).await?;
            if known.sequence != command.after {
                return self.resume(command, known, cause).await;
            }
            return self.send_back(known, reason, cause).await;
        }
        let filled = match ready.and_then(|()| self.filled(command)) {
            Ok(filled) => filled,
            Err(CallError::RateLimited { after, why }) => {
                return Err(self.put_off(command.job.id, after, &why));
            }
            Err(CallError::Transient(why) | CallError::Ambiguous(why)) => {
                return Err(self.put_off(command.job.id, BACKOFF_FIRST, &why));
            }
            Err(error @ (CallError::Unauthorized(_) | CallError::Invalid(_))) => {
                let known = self.load(command).await?;
                return match step(&known.state, self.window(), self.platform.search_lag()) {
                    Step::Start if command.after == known.sequence => {
                        self.had_no_effect(&known, 1, error, cause).await
                    }
                    Step::Start
                    | Step::Look { .. }
                    | Step::Find
                    | Step::Known
                    | Step::Cancel
                    | Step::Nothing => self.resume(command, known, cause).await,
                };
            }
        };
        match self
            .start(command, 1, Base::After(command.after), command.rerun_of.clone(), cause.clone())
            .await?
        {
            Start::Ours(intent) => self.call(command, &filled, intent, cause).await,
            Start::Not(Some(known)) => self.resume(command, *known, cause).await,
            Start::Not(None) => Err(Failure::retry(format!("job {} has no history", command.job.id))),
        }
    }

    /// Goes on wherever an earlier delivery stopped.
    async fn resume(
        &self,
        command: &AgentCommand,
        known: Known,
        cause: Option<String>,
    ) -> Result<(), Failure> {
        match step(&known.state, self.window(), self.platform.search_lag()) {
            Step::Start if command.after < known.sequence => {
                tracing::info!(job = %command.job.id, "a command of an earlier dispatch is dropped");
                Ok(())
            }
            Step::Start => self.try_once_more(command, known, 1, cause).await,
            // Where the intent is the last fact, no answer to it was recorded either.
            Step::Look { fence, .. } if self.without_effect.get(&command.job.id) == Some(known.sequence) => {
                self.try_once_more(command, known, fence + 1, cause).await
            }
            Step::Look { fence, not_before } => match self.look_for(&known, &command.config).await {
                Ok(Some(found)) => self.adopt(known, found, cause).await,
                Ok(None) => match (not_before - self.clock.now()).to_std() {
                    Ok(left) if !left.is_zero() => {
                        let pause = self.look_again(&known);
                        Err(later(left.min(pause), "whether the platform heard is not known yet"))
                    }
                    Ok(_) | Err(_) => self.try_once_more(command, known, fence + 1, cause).await,
                },
                Err(error) => self.cannot_look(known, error, cause).await,
            },
            Step::Find => match self.look_for(&known, &command.config).await {
                Ok(Some(found)) => self.adopt(known, found, cause).await,
                Ok(None) => self.not_found(&known, cause).await,
                Err(error) => self.cannot_look(known, error, cause).await,
            },
            Step::Known => match &known.state.external {
                Some(run) => Ok(self.own(&known.state.job, run).await?),
                None => Ok(()),
            },
            Step::Cancel => self.end_run(&command.config, known, None, cause).await,
            Step::Nothing => Ok(()),
        }
    }

    /// Records the next intent and calls, unless it is too late for that.
    async fn try_once_more(
        &self,
        command: &AgentCommand,
        known: Known,
        fence: u32,
        cause: Option<String>,
    ) -> Result<(), Failure> {
        if start_until(&known.state).is_some_and(|until| self.clock.now() >= until) {
            let why = self.too_late(&known);
            return self.end(&known, TerminalStatus::Failure, Some(Reason::TimedOut), &why, cause).await;
        }
        let (ready, overtaken) = self.ready(command).await?;
        // A job of which an intent is recorded is on its way, as people see it: no freeze takes it back.
        if let (Some(reason), Phase::Dispatched) = (overtaken, &known.state.phase) {
            return self.send_back(known, reason, cause).await;
        }
        let filled = match ready.and_then(|()| self.filled(command)) {
            Ok(filled) => filled,
            Err(error) => return self.had_no_effect(&known, fence, error, cause).await,
        };
        let repeats = run_to_repeat(&known.state).cloned();
        let base = Base::Known(Box::new(known));
        match self.start(command, fence, base, repeats, cause.clone()).await? {
            Start::Ours(intent) => self.call(command, &filled, intent, cause).await,
            Start::Not(_) => Err(later(LOOK_AGAIN, "another replica is starting the job")),
        }
    }

    /// Records the intent to call.
    async fn start(
        &self,
        command: &AgentCommand,
        fence: u32,
        base: Base,
        repeats: Option<ExternalRef>,
        cause: Option<String>,
    ) -> Result<Start, Failure> {
        let since = self.clock.now();
        let fact = JobFact::TriggerStarted { fence };
        match STARTED.effect(self.jobs.record(&command.job, fact, base, cause)).await? {
            Recorded::Appended { sequence } => Ok(Start::Ours(Intent { fence, sequence, since, repeats })),
            Recorded::AlreadySo(known) => Ok(Start::Not(Some(known))),
            Recorded::Refused(_, known) => Ok(Start::Not(known)),
        }
    }

    /// Calls the platform, which only the writer of the intent may, and only soon.
    async fn call(
        &self,
        command: &AgentCommand,
        filled: &Filled,
        intent: Intent,
        cause: Option<String>,
    ) -> Result<(), Failure> {
        let job = &command.job;
        if self.clock.now() >= intent.since + delta(self.settings.lease) {
            self.without_effect.put(job.id, intent.sequence);
            return Err(later(Duration::from_millis(50), "the intent took too long to record"));
        }
        let answer = CALL
            .effect(self.in_time(async {
                match &intent.repeats {
                    None => {
                        self.platform.trigger(&TriggerRequest { job: job.id, config: filled.config() }).await
                    }
                    Some(run) => self.platform.rerun(filled.config(), run).await,
                }
            }))
            .await;
        let base = Base::After(intent.sequence);
        let error = match (filled.masked(answer), intent.repeats) {
            (Ok(Triggered::Run { external, links }), _) => {
                tracing::info!(job = %job.id, run = external.id, attempt = external.attempt, "the platform has the job");
                self.triggered(job, external, links, base, cause).await?;
                return Ok(());
            }
            (Ok(Triggered::Accepted), Some(run)) => {
                let external = ExternalRef { attempt: run.attempt + 1, ..run };
                self.triggered(job, external, Links::new(), base, cause).await?;
                return Ok(());
            }
            (Ok(Triggered::Accepted), None) => return self.accepted(command, cause).await,
            (Err(error), _) => error,
        };
        if let CallError::Ambiguous(why) = &error {
            let message = telemetry::redact(why).into_owned();
            let fact = JobFact::TriggerUnknown { fence: intent.fence, message: message.clone() };
            UNKNOWN.effect(self.jobs.record(job, fact, base, cause)).await?;
            return Err(later(LOOK_AGAIN.min(self.platform.search_lag()), message));
        }
        self.without_effect.put(job.id, intent.sequence);
        match error {
            CallError::RateLimited { after, why } => Err(self.put_off(job.id, after, &why)),
            CallError::Transient(why) | CallError::Ambiguous(why) => {
                Err(self.put_off(job.id, backoff(intent.fence), &why))
            }
            error @ (CallError::Unauthorized(_) | CallError::Invalid(_)) => {
                let known = self.reload(job).await?;
                self.had_no_effect(&known, intent.fence, error, cause).await
            }
        }
    }

    /// The platform took the job and named no run: say so, then look for it. From here on nobody calls again.
    async fn accepted(&self, command: &AgentCommand, cause: Option<String>) -> Result<(), Failure> {
        let known = self.load(command).await?;
        let accepted = Snapshot {
            status: SnapshotStatus::Active(ActiveStatus::Queued),
            order: Some(last_order(&known.state)),
            raw: None,
            reason: None,
            message: Some("the platform took the job; its run does not show yet".to_owned()),
            links: Links::new(),
            source: Source::Ctrlplane,
            external: None,
        };
        let base = Base::Known(Box::new(known));
        ACCEPTED.effect(self.jobs.record(&command.job, accepted.into_fact(), base, cause.clone())).await?;
        let give_up = tokio::time::Instant::now() + self.settings.find_within;
        let mut pause = Duration::from_millis(250);
        loop {
            // A webhook may have named the run meanwhile, and written down whose it is.
            let known = self.load(command).await?;
            if known.state.external.is_some() {
                return Ok(());
            }
            if tokio::time::Instant::now() + pause >= give_up {
                return Err(later(LOOK_AGAIN, "the platform does not show the run yet"));
            }
            match self.look_for(&known, &command.config).await {
                Ok(Some(found)) => return self.adopt(known, found, cause).await,
                Ok(None) => {}
                Err(error) => return self.cannot_look(known, error, cause).await,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    /// What an answer means that had no effect.
    async fn had_no_effect(
        &self,
        known: &Known,
        fence: u32,
        error: CallError,
        cause: Option<String>,
    ) -> Result<(), Failure> {
        match error {
            CallError::Unauthorized(why) => {
                self.end(known, TerminalStatus::InvalidIntegration, None, &why, cause).await
            }
            CallError::Invalid(why) => {
                self.end(known, TerminalStatus::InvalidJobAgent, None, &why, cause).await
            }
            CallError::RateLimited { after, why } => Err(self.put_off(known.state.job.id, after, &why)),
            CallError::Transient(why) | CallError::Ambiguous(why) => {
                // The longer it does not work, the more rarely it is tried.
                let age = (self.clock.now() - known.state.phase_since).to_std().unwrap_or_default();
                let after = (age / 4).clamp(backoff(fence), BACKOFF_MAX);
                Err(self.put_off(known.state.job.id, after, &why))
            }
        }
    }

    /// How long after a look that found nothing the next one is due.
    fn look_again(&self, known: &Known) -> Duration {
        look_again((self.clock.now() - known.state.phase_since).to_std().unwrap_or_default())
    }

    /// Not now, but then, and why is remembered.
    fn put_off(&self, job: JobId, after: Duration, why: &str) -> Failure {
        self.put_off.put(job, telemetry::redact(why).into_owned());
        later(after, why)
    }

    /// Why a job ends whose queue deadline passed before it was started: with what stood in the way last, if this process
    /// or the job's history knows.
    fn too_late(&self, known: &Known) -> String {
        let said = self.put_off.get(&known.state.job.id).or_else(|| match known.state.phase {
            Phase::Unknown { .. } => known.state.message.clone(),
            Phase::Requested
            | Phase::Held { .. }
            | Phase::Dispatched
            | Phase::Triggering { .. }
            | Phase::Running { .. }
            | Phase::Cancelling(_)
            | Phase::Finished { .. } => None,
        });
        let late = "the job could not be started on the platform before its queue deadline passed";
        said.map_or_else(|| late.to_owned(), |said| format!("{late}; last: {said}"))
    }

    /// The run of a try could not be looked for.
    pub(super) async fn cannot_look(
        &self,
        known: Known,
        error: CallError,
        cause: Option<String>,
    ) -> Result<(), Failure> {
        match self.mask(&known.state).error(error) {
            CallError::Unauthorized(why) => {
                let why = format!("{why}; whether a run was started could not be looked up");
                self.end(&known, TerminalStatus::InvalidIntegration, None, &why, cause).await
            }
            CallError::Invalid(why) => {
                let why = format!("{why}; whether a run was started could not be looked up");
                self.end(&known, TerminalStatus::InvalidJobAgent, None, &why, cause).await
            }
            CallError::RateLimited { after, why } => {
                self.still_unknown(known, &why, cause).await?;
                Err(later(after, why))
            }
            CallError::Transient(why) | CallError::Ambiguous(why) => {
                let pause = self.look_again(&known);
                self.still_unknown(known, &why, cause).await?;
                Err(later(pause, why))
            }
        }
    }

    /// Tells people now and then why it is not known yet whether a run was started.
    async fn still_unknown(&self, known: Known, why: &str, cause: Option<String>) -> Result<(), Failure> {
        let Phase::Unknown { fence } = known.state.phase else { return Ok(()) };
        let message = format!("{} ({})", NOT_LOOKED_UP, telemetry::redact(why));
        if known.state.message.as_ref() == Some(&message)
            || self.clock.now() < known.state.updated_at + SAY_AGAIN
        {
            return Ok(());
        }
        let job = known.state.job.clone();
        let fact = JobFact::TriggerUnknown { fence, message };
        UNKNOWN.effect(self.jobs.record(&job, fact, Base::Known(Box::new(known)), cause)).await?;
        Ok(())
    }
}

/// What a fact is caused by: the command.
pub(super) fn cause(delivery: &Delivery) -> Option<String> {
    Some(format!("{} {}", delivery.subject, delivery.sequence))
}

/// How long to wait after the n-th try that did not reach the platform.
fn backoff(fence: u32) -> Duration {
    BACKOFF_FIRST.saturating_mul(1 << fence.saturating_sub(1).min(10)).min(BACKOFF_MAX)
}
