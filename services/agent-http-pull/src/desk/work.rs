//! What the holder of a claim says: that it lives, how the job stands, that it gives the job back.

use super::Desk;
use crate::auth::Puller;
use crate::effects::{RELEASED, RENEWED, REPORTED};
use crate::record::{No, Record};
use crate::refusal::Refusal;
use crate::store::{Place, Stored};
use crate::wire::{HeartbeatBody, Lease, ReleaseBody, ReportBody};
use domain::id::JobId;
use platform::agent::Mask;

impl Desk {
    /// Extends the lease, and says whether somebody wishes the job to end.
    pub(crate) async fn heartbeat(
        &self,
        puller: &Puller,
        job: JobId,
        body: &HeartbeatBody,
    ) -> Result<Lease, Refusal> {
        let place = puller.place(job);
        let (lease_seconds, now) = (body.lease_seconds(&self.settings)?, self.clock.now());
        let renewed = self
            .store
            .change(RENEWED, &place, |record| record.renew(body.fence, lease_seconds, now).map(|_| true));
        let stored = self.changed(&place, renewed.await?)?;
        Ok(Lease::of(&stored.record))
    }

    /// Takes a report of the claim's holder.
    pub(crate) async fn report(
        &self,
        puller: &Puller,
        job: JobId,
        body: ReportBody,
    ) -> Result<Lease, Refusal> {
        let place = puller.place(job);
        let (fence, now) = (body.fence, self.clock.now());
        let report = body.report(&self.mask(&place).await?)?;
        let reported = self.store.change(REPORTED, &place, |record: &mut Record| {
            let before = record.clone();
            record.report(fence, report.clone(), now)?;
            Ok::<_, No>(*record != before)
        });
        let stored = self.changed(&place, reported.await?)?;
        self.told(&place, &stored, fence).await
    }

    /// Puts the job back into its queue, under a new fence.
    pub(crate) async fn release(
        &self,
        puller: &Puller,
        job: JobId,
        body: ReleaseBody,
    ) -> Result<Lease, Refusal> {
        let place = puller.place(job);
        let (fence, now) = (body.fence, self.clock.now());
        let message = body.message(&self.mask(&place).await?);
        let released = self
            .store
            .change(RELEASED, &place, |record: &mut Record| record.release(fence, message.as_deref(), now));
        let stored = self.changed(&place, released.await?)?;
        self.told(&place, &stored, fence).await
    }

    async fn told(&self, place: &Place, stored: &Stored, fence: u32) -> Result<Lease, Refusal> {
        if !self.tell(place, stored, Some(format!("fence {fence}"))).await? {
            return Err(No::Gone.into());
        }
        Ok(Lease::of(&stored.record))
    }

    fn changed(&self, place: &Place, outcome: Option<Result<Stored, No>>) -> Result<Stored, Refusal> {
        let stored = outcome.ok_or_else(|| Refusal::no_job(place.job))??;
        self.see(place, &stored);
        Ok(stored)
    }

    /// What hides the job's secrets in the words of its puller.
    async fn mask(&self, place: &Place) -> Result<Mask, Refusal> {
        let stored = self.store.load(place).await?.ok_or_else(|| Refusal::no_job(place.job))?;
        let names = stored.record.command.secrets.values();
        Ok(Mask::of_names(&*self.secrets, &place.workspace, names))
    }
}
