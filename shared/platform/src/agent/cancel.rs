//! The cancel command: ask the platform to end the run, find the run first where its name is not known, and end the job
//! at once where nothing was started.

use super::effects::{CANCEL, CANCEL_SENT};
use super::observe::nameable_run;
use super::step::delta;
use super::trigger::cause;
use super::{Agent, later};
use crate::platform::{CallError, CancelAck, CancelMode, Platform};
use bus::{Base, Delivery, Failure, Known, Recorded};
use domain::command::AgentCommand;
use domain::job::{ExternalRef, JobFact, Phase, TerminalStatus};
use serde_json::{Map, Value};
use std::time::Duration;

const ASK_AGAIN: Duration = Duration::from_secs(5);

impl<P: Platform> Agent<P> {
    /// Ends a job that somebody wishes to end. What is not being cancelled any more needs nothing.
    pub(super) async fn cancel(&self, command: &AgentCommand, delivery: &Delivery) -> Result<(), Failure> {
        let known = self.load(command).await?;
        let Phase::Cancelling(cancelling) = &known.state.phase else { return Ok(()) };
        let mode = match (command.force, cancelling.sent) {
            (true, _) => Some(CancelMode::Force),
            (false, 0) => Some(CancelMode::Graceful),
            // Asked before: the same wish came twice, or the platform was asked before a crash. Force is for the deadline to ask.
            (false, _) => None,
        };
        self.end_run(&command.config, known, mode, cause(delivery)).await
    }

    /// Brings a job in `Cancelling` to its end. Without a mode the platform is asked gracefully, and only if it never was.
    pub(super) async fn end_run(
        &self,
        config: &Map<String, Value>,
        known: Known,
        mode: Option<CancelMode>,
        cause: Option<String>,
    ) -> Result<(), Failure> {
        let Phase::Cancelling(cancelling) = &known.state.phase else { return Ok(()) };
        if cancelling.fence.is_none() {
            let why = "cancelled before it was started";
            return self.end(&known, TerminalStatus::Cancelled, None, why, cause).await;
        }
        let asked = cancelling.sent > 0;
        let accepted = cancelling.seen.is_some();
        if let Some(run) = nameable_run(&known.state) {
            return match mode {
                None if asked => self.look_at(config, &known, &run, cause).await,
                None => self.ask(config, known, &run, CancelMode::Graceful, cause).await,
                Some(mode) => self.ask(config, known, &run, mode, cause).await,
            };
        }
        match self.look_for(&known, config).await {
            Ok(Some(found)) => {
                let job = known.state.job.clone();
                self.adopt(known, found, cause.clone()).await?;
                let known = self.reload(&job).await?;
                match (&known.state.phase, nameable_run(&known.state)) {
                    (Phase::Cancelling(_), Some(run)) => {
                        self.ask(config, known, &run, mode.unwrap_or(CancelMode::Graceful), cause).await
                    }
                    _ => Ok(()),
                }
            }
            Ok(None) if accepted => self.not_found(&known, cause).await,
            Ok(None) => match (known.state.updated_at + delta(self.window()) - self.clock.now()).to_std() {
                Ok(left) if !left.is_zero() => {
                    Err(later(left.min(ASK_AGAIN), "whether there is a run to cancel is not known yet"))
                }
                Ok(_) | Err(_) => {
                    let why = "cancelled; the platform has no run of it";
                    self.end(&known, TerminalStatus::Cancelled, None, why, cause).await
                }
            },
            Err(error) => self.cannot_look(known, error, cause).await,
        }
    }

    /// Asks the platform to end the run, and records that it was asked.
    async fn ask(
        &self,
        config: &Map<String, Value>,
        known: Known,
        run: &ExternalRef,
        mode: CancelMode,
        cause: Option<String>,
    ) -> Result<(), Failure> {
        let job = known.state.job.clone();
        match CANCEL.effect(self.in_time(self.platform.cancel(config, run, mode))).await {
            // Asking twice is harmless: an answer that was lost counts as asked.
            Ok(CancelAck::Requested) | Err(CallError::Ambiguous(_)) => {
                if let Some(known) = self.sent(known, mode, cause.clone()).await? {
                    self.look_once(config, &known, run, cause).await;
                }
                Ok(())
            }
            Ok(CancelAck::AlreadyOver) => {
                self.look_at(config, &known, run, cause.clone()).await?;
                let known = self.reload(&job).await?;
                if matches!(known.state.phase, Phase::Cancelling(_)) {
                    // Over, it says, and not over, it shows: asked all the same, so that the deadline of asking runs.
                    self.sent(known, mode, cause).await?;
                }
                Ok(())
            }
            Ok(CancelAck::Gone) => {
                self.gone(&known, cause).await?;
                let known = self.reload(&job).await?;
                if matches!(known.state.phase, Phase::Cancelling(_)) {
                    return Err(later(ASK_AGAIN, "the platform does not show the run; it may be too young"));
                }
                Ok(())
            }
            Err(error) => self.say(&known, error, cause).await,
        }
    }

    /// Records that the platform was asked. `None`: the job is not being cancelled any more.
    async fn sent(
        &self,
        known: Known,
        mode: CancelMode,
        cause: Option<String>,
    ) -> Result<Option<Known>, Failure> {
        let job = known.state.job.clone();
        let fact = JobFact::CancelSent { force: mode == CancelMode::Force };
        let recorded = self.jobs.record(&job, fact, Base::Known(Box::new(known)), cause);
        match CANCEL_SENT.effect(recorded).await? {
            Recorded::Appended { .. } => Ok(Some(self.reload(&job).await?)),
            Recorded::AlreadySo(_) | Recorded::Refused(..) => Ok(None),
        }
    }

    /// Looks at once whether it ended. If that fails, the next sweep looks: asking again would be worse.
    async fn look_once(
        &self,
        config: &Map<String, Value>,
        known: &Known,
        run: &ExternalRef,
        cause: Option<String>,
    ) {
        if let Err(failure) = self.look_at(config, known, run, cause).await {
            tracing::debug!(job = %known.state.job.id, "not looked at after the request to cancel: {failure}");
        }
    }
}
