//! Claiming, renewing, giving back, running out.

use super::{Claim, No, RETURNS_MAX, Record, Stage, Words};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::job::{Reason, TerminalStatus};

/// Who claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claimant {
    pub(crate) by: String,
    pub(crate) claim_id: Option<String>,
    pub(crate) lease_seconds: u32,
}

impl Record {
    /// Whether a claim is this puller's own, whose answer was lost.
    pub(crate) fn is_claimed_by(&self, claimant: &Claimant) -> bool {
        match &self.stage {
            Stage::Claimed(claim) => claim.claim_id.is_some() && claim.claim_id == claimant.claim_id,
            Stage::Waiting { .. } | Stage::Over { .. } | Stage::Withdrawn => false,
        }
    }

    /// Whether it could be claimed now.
    pub(crate) fn claimable(&self) -> Result<(), No> {
        match &self.stage {
            Stage::Waiting { .. } => Ok(()),
            Stage::Claimed(claim) => Err(No::Taken { by: claim.by.clone() }),
            Stage::Over { status, .. } => Err(over(*status)),
            Stage::Withdrawn => Err(No::Gone),
        }
    }

    /// Gives it to a puller, under the fence it waited with.
    pub(crate) fn claim(&mut self, claimant: Claimant, now: Timestamp) -> Result<(), No> {
        self.claimable()?;
        let Claimant { by, claim_id, lease_seconds } = claimant;
        self.words = Words::default();
        self.begun = true;
        self.version += 1;
        self.stage = Stage::Claimed(Claim { by, claim_id, lease_seconds, until: end(now, lease_seconds) });
        Ok(())
    }

    /// A sign of life. A late one counts as long as nobody noticed that the lease had run out.
    pub(crate) fn renew(
        &mut self,
        fence: u32,
        lease_seconds: Option<u32>,
        now: Timestamp,
    ) -> Result<Timestamp, No> {
        let claim = self.held(fence)?;
        claim.lease_seconds = lease_seconds.unwrap_or(claim.lease_seconds);
        claim.until = end(now, claim.lease_seconds).max(claim.until);
        Ok(claim.until)
    }

    /// Back to the queue, by the puller's own word. `false`: it was given back before.
    pub(crate) fn release(&mut self, fence: u32, message: Option<&str>, now: Timestamp) -> Result<bool, No> {
        if self.released == Some(fence) {
            return Ok(false);
        }
        let by = self.held(fence)?.by.clone();
        let why = match message {
            Some(message) => format!("given back by {by}: {message}"),
            None => format!("given back by {by}"),
        };
        self.released = Some(fence);
        self.come_back(why, false, now);
        Ok(true)
    }

    /// The lease has run out: back to the queue under a new fence, or over when that happened too often.
    pub(crate) fn lose(&mut self, lost_max: u32, now: Timestamp) -> bool {
        let Stage::Claimed(claim) = &self.stage else { return false };
        let (by, silence) = (claim.by.clone(), claim.lease_seconds);
        self.lost += 1;
        let silent = format!("{by} gave no sign of life for {silence} s");
        if self.lost >= lost_max && !self.cancelling {
            let why = format!(
                "{silent}; {lost} leases were lost, so the job is not given out again. Look at the pullers of job agent {agent:?} \
                 and at what the last of them may have left running, then retry the job",
                lost = self.lost,
                agent = self.agent_name
            );
            self.close(TerminalStatus::ExternalRunNotFound, Some(Reason::Lost), why);
            return true;
        }
        let why = format!("{silent}: back in the queue (lost lease {} of {lost_max})", self.lost);
        self.come_back(why, true, now);
        true
    }

    fn come_back(&mut self, why: String, lost: bool, now: Timestamp) {
        if self.cancelling {
            self.close(TerminalStatus::Cancelled, None, format!("cancelled; {why}"));
            return;
        }
        self.returned += 1;
        if self.returned >= RETURNS_MAX {
            let why = format!("{why}; it came back {RETURNS_MAX} times, so it is not given out again");
            self.close(TerminalStatus::Failure, None, why);
            return;
        }
        self.fence += 1;
        self.version += 1;
        self.queued_at = now;
        self.stage = Stage::Waiting { why: Some(why), lost };
    }

    /// The claim of that fence.
    pub(super) fn held(&mut self, fence: u32) -> Result<&mut Claim, No> {
        let stale = No::Stale { asked: fence, now: self.fence };
        match &mut self.stage {
            Stage::Claimed(claim) if self.fence == fence => Ok(claim),
            Stage::Over { by_fence: Some(by), status, .. } if *by == fence => Err(over(*status)),
            Stage::Claimed(_) | Stage::Waiting { .. } | Stage::Over { .. } | Stage::Withdrawn => Err(stale),
        }
    }
}

pub(super) fn over(status: TerminalStatus) -> No {
    No::Over { status: domain::job::JobStatus::from(status).to_string() }
}

fn end(now: Timestamp, lease_seconds: u32) -> Timestamp {
    now + TimeDelta::seconds(lease_seconds.into())
}
