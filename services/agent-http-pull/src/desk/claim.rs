//! Claiming: one puller gets the job, with its secrets and under a fence.

use super::Desk;
use crate::auth::{KEY_SECRET, Puller};
use crate::effects::{CLAIMED, CLOSED};
use crate::facts::{is_current, send_back};
use crate::record::{Claimant, No, Record, Stage};
use crate::refusal::Refusal;
use crate::store::{Place, Stored};
use crate::wire::{Claimed, Lease};
use bus::{BusError, CasError};
use domain::id::JobId;
use domain::job::{JobFact, TerminalStatus};
use platform::CallError;
use platform::agent::{Filled, fill};
use serde_json::Value;
use std::time::Duration;

impl Desk {
    /// Gives the job to the puller, if nobody has it.
    pub(crate) async fn claim(
        &self,
        puller: &Puller,
        job: JobId,
        claimant: Claimant,
    ) -> Result<Claimed, Refusal> {
        let place = puller.place(job);
        let stored = self.store.load(&place).await?.ok_or_else(|| Refusal::no_job(job))?;
        if stored.record.is_claimed_by(&claimant) {
            let filled = self.filled(&place, &stored).await?;
            return self.hand_over(place, stored, filled).await;
        }
        stored.record.claimable()?;
        self.thaw(&place, &stored).await?;
        let filled = self.filled(&place, &stored).await?;
        let mut record = stored.record.clone();
        record.claim(claimant, self.clock.now())?;
        match self.store.write(CLAIMED, &place, record, Some(stored.revision)).await {
            Ok(stored) => {
                self.see(&place, &stored);
                self.hand_over(place, stored, filled).await
            }
            Err(CasError::Conflict) => {
                let now = self.store.load(&place).await?.ok_or_else(|| Refusal::no_job(job))?;
                self.see(&place, &now);
                now.record.claimable()?;
                // It came back between: it is as free as before.
                Err(No::Taken { by: "somebody else, a moment ago".to_owned() }.into())
            }
            Err(error @ CasError::Bus(_)) => Err(error.into()),
        }
    }

    /// The job that waits longest, as soon as there is one; `None` when none came in time.
    pub(crate) async fn claim_next(
        &self,
        puller: &Puller,
        claimant: Claimant,
        wait: Duration,
    ) -> Result<Option<Claimed>, Refusal> {
        let until = tokio::time::Instant::now() + wait;
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let jobs = self.agenda().of_agent(&puller.workspace, puller.agent);
            let (own, waiting): (Vec<_>, Vec<_>) = jobs
                .into_iter()
                .filter(|(_, record)| {
                    record.is_claimed_by(&claimant) || matches!(record.stage, Stage::Waiting { .. })
                })
                .partition(|(_, record)| record.is_claimed_by(&claimant));
            for (place, _) in own.into_iter().chain(waiting) {
                match self.claim(puller, place.job, claimant.clone()).await {
                    Ok(claimed) => return Ok(Some(claimed)),
                    // Somebody was faster, or it cannot be had now: the next one.
                    Err(Refusal::Conflict { .. } | Refusal::NotFound(_)) => {}
                    Err(
                        other @ (Refusal::Unauthenticated
                        | Refusal::Invalid { .. }
                        | Refusal::TooMany { .. }
                        | Refusal::Unavailable
                        | Refusal::Internal),
                    ) => return Err(other),
                }
            }
            if !self.another(&mut changes, until).await {
                return Ok(None);
            }
        }
    }

    /// Lets nobody begin what is frozen.
    async fn thaw(&self, place: &Place, stored: &Stored) -> Result<(), Refusal> {
        let (record, now) = (&stored.record, self.clock.now());
        if !record.is_fresh() {
            return match self.frost.holds(&record.command, now).await? {
                Some(why) => Err(Refusal::frozen(why)),
                None => Ok(()),
            };
        }
        let Some(known) = self.jobs.load(&place.workspace, place.job).await? else {
            return Err(No::Gone.into());
        };
        if !is_current(&known, record) {
            self.check(place).await?;
            // Somebody else's claim may have come in between: then that is the answer.
            let now = self.store.load(place).await?.ok_or_else(|| Refusal::no_job(place.job))?;
            return Err(now.record.claimable().err().unwrap_or(No::Gone).into());
        }
        if let Some(why) = self.frost.overtakes(&record.command, now).await? {
            send_back(&self.jobs, known, why, None).await?;
            self.withdraw(place, stored).await?;
            return Err(Refusal::frozen(format!("{why}; the job went back to its dispatcher")));
        }
        Ok(())
    }

    /// The job's config with its secrets. Without them it cannot be given to anybody: it ends, and says which is missing.
    async fn filled(&self, place: &Place, stored: &Stored) -> Result<Filled, Refusal> {
        let command = &stored.record.command;
        let (status, why) = match fill(&*self.secrets, &place.workspace, &command.config, &command.secrets) {
            Ok(filled) => return Ok(filled),
            Err(CallError::Unauthorized(why)) => (TerminalStatus::InvalidIntegration, why),
            Err(CallError::Invalid(why)) => (TerminalStatus::InvalidJobAgent, why),
            Err(CallError::RateLimited { .. } | CallError::Ambiguous(_) | CallError::Transient(_)) => {
                return Err(Refusal::Unavailable);
            }
        };
        let mut record = stored.record.clone();
        record.close(status, None, telemetry::redact(&why));
        let ended = self.store.write(CLOSED, place, record, Some(stored.revision)).await?;
        self.see(place, &ended);
        self.tell(place, &ended, None).await?;
        Err(Refusal::Conflict { code: "over", detail: format!("the job cannot be given out: {why}") })
    }

    /// The claim becomes a fact, then its answer.
    async fn hand_over(&self, place: Place, stored: Stored, filled: Filled) -> Result<Claimed, Refusal> {
        let by = claimed_by(&stored.record);
        if !self.tell(&place, &stored, Some(format!("claimed by {by}"))).await? {
            return Err(No::Gone.into());
        }
        metrics::counter!("pull_claims_total").increment(1);
        tracing::info!(job = %place.job, fence = stored.record.fence, by, "claimed");
        let mut config = filled.config().clone();
        config.remove(KEY_SECRET);
        Ok(Claimed {
            job: stored.record.command.job.clone().into(),
            config,
            dispatch_context: self.context(&place).await?,
            lease: Lease::of(&stored.record),
        })
    }

    /// What the templates of the job's config saw.
    async fn context(&self, place: &Place) -> Result<Value, BusError> {
        let events = self.jobs.events(&place.workspace, place.job).await?;
        let mut context = Value::Null;
        for (_, event) in events {
            if let JobFact::Dispatched(dispatch) = event.fact {
                context = dispatch.context;
            }
        }
        Ok(context)
    }
}

fn claimed_by(record: &Record) -> &str {
    match &record.stage {
        Stage::Claimed(claim) => &claim.by,
        Stage::Waiting { .. } | Stage::Over { .. } | Stage::Withdrawn => "nobody",
    }
}
