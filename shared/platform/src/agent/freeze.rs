//! The last look before a start: whether a freeze came, went or began since the job was dispatched. Then it goes back to the
//! dispatcher, who knows the freezes; the agent knows only that there is something to know.

use super::Agent;
use super::effects::HELD;
use super::step::delta;
use crate::platform::{CallError, Platform};
use bus::{Base, BusError, Failure, Known};
use domain::command::AgentCommand;
use domain::job::{HeldWhy, JobFact};
use std::time::Duration;

/// A look at the freezes is good for so long.
const LOOK_GOOD_FOR: Duration = Duration::from_millis(250);

impl<P: Platform> Agent<P> {
    /// Whether the platform can be called, and why a freeze sends the job back, if one does. Both are asked at once; where
    /// the platform takes its time, the freezes are asked again.
    pub(super) async fn ready(
        &self,
        command: &AgentCommand,
    ) -> Result<(Result<(), CallError>, Option<&'static str>), BusError> {
        let begun = self.clock.now();
        let ready = self.in_time(self.platform.ready(&command.config));
        let (ready, overtaken) = futures::future::join(ready, self.overtaken(command)).await;
        let overtaken = overtaken?;
        if overtaken.is_none() && self.clock.now() > begun + delta(LOOK_GOOD_FOR) {
            return Ok((ready, self.overtaken(command).await?));
        }
        Ok((ready, overtaken))
    }

    /// Why the job goes back. Verifications start nothing.
    async fn overtaken(&self, command: &AgentCommand) -> Result<Option<&'static str>, BusError> {
        if !command.job.purpose.may_be_frozen() {
            return Ok(None);
        }
        let changed_at = self.freezes.changed_at(&command.job.workspace).await?;
        Ok(if changed_at > command.freezes_seen {
            Some("a freeze was declared or lifted since the dispatch")
        } else if command.freeze_begins_at.is_some_and(|begins| begins <= self.clock.now()) {
            Some("a freeze began since the dispatch")
        } else {
            None
        })
    }

    /// Gives the job back instead of starting it: as long as no intent is recorded, whoever appends first wins.
    pub(super) async fn send_back(
        &self,
        known: Known,
        reason: &'static str,
        cause: Option<String>,
    ) -> Result<(), Failure> {
        let job = known.state.job.clone();
        let why = HeldWhy::Freeze { freeze: None, reason: reason.to_owned(), until: None };
        let base = Base::Known(Box::new(known));
        HELD.effect(self.jobs.record(&job, JobFact::Held { why }, base, cause)).await?;
        tracing::info!(job = %job.id, reason, "sent back to the dispatcher");
        Ok(())
    }
}
