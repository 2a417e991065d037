//! What a puller can do, whichever way it asks. Everything is written down, by compare-and-set and then as a fact of the job,
//! before it is answered.

mod claim;
mod list;
mod work;

use crate::agenda::Agenda;
use crate::effects::CLOSED;
use crate::facts::{Told, is_current, tell};
use crate::freeze::Frost;
use crate::settings::Settings;
use crate::store::{Place, Store, StoreError, Stored};
use bus::{BusError, CasError, JobLog};
use domain::job::Phase;
use platform::{Clock, SecretSource};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// The queues of all pull agents.
pub(crate) struct Desk {
    pub(crate) jobs: JobLog,
    pub(crate) store: Store,
    pub(crate) frost: Frost,
    pub(crate) secrets: Arc<dyn SecretSource>,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) agenda: Mutex<Agenda>,
    /// Counts changes of the queues, for those who wait for a job.
    pub(crate) changes: watch::Sender<u64>,
    pub(crate) due_changed: Notify,
    /// Who waits for a job waits no longer.
    pub(crate) drain: CancellationToken,
    /// What had ended shortly before we started: a crash may have left it untold.
    pub(crate) ended: Mutex<Vec<Place>>,
}

impl Desk {
    /// The agenda, for a moment: nothing is awaited under this lock.
    pub(crate) fn agenda(&self) -> MutexGuard<'_, Agenda> {
        // Every change leaves each job whole but for the one being changed, which its next record puts right.
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change of a queue; `false` when none came in time, or nobody is to wait any more.
    pub(crate) async fn another(&self, changes: &mut watch::Receiver<u64>, until: Instant) -> bool {
        tokio::select! {
            () = self.drain.cancelled() => false,
            changed = timeout_at(until, changes.changed()) => matches!(changed, Ok(Ok(()))),
        }
    }

    /// Notes a record as it was read or written.
    pub(crate) fn see(&self, place: &Place, stored: &Stored) {
        let is_news = self.agenda().see(place.clone(), stored.clone());
        if is_news {
            self.due_changed.notify_one();
            self.changes.send_modify(|changes| *changes += 1);
        }
    }

    /// Tells people how a job stands. A record that the history has overtaken is no job of ours any more: `false`.
    pub(crate) async fn tell(
        &self,
        place: &Place,
        stored: &Stored,
        cause: Option<String>,
    ) -> Result<bool, BusError> {
        match tell(&self.jobs, &stored.record, cause).await? {
            Told::Yes => Ok(true),
            Told::Overtaken => {
                tracing::info!(job = %place.job, "overtaken: it is not in the queue any more");
                self.withdraw(place, stored).await?;
                Ok(false)
            }
        }
    }

    /// Takes a job out of the queue, unless somebody changed it meanwhile.
    pub(crate) async fn withdraw(&self, place: &Place, stored: &Stored) -> Result<(), BusError> {
        let mut record = stored.record.clone();
        if !record.withdraw() {
            return Ok(());
        }
        match self.store.write(CLOSED, place, record, Some(stored.revision)).await {
            Ok(stored) => {
                self.see(place, &stored);
                Ok(())
            }
            Err(CasError::Conflict) => Ok(()),
            Err(CasError::Bus(error)) => Err(error),
        }
    }

    /// Whether a job that waits for its first claim is still to be had. One that was cancelled, held or ended leaves the queue.
    pub(crate) async fn check(&self, place: &Place) -> Result<bool, StoreError> {
        let Some(stored) = self.store.load(place).await? else {
            self.agenda().forget(place);
            return Ok(false);
        };
        self.see(place, &stored);
        if !stored.record.is_fresh() {
            return Ok(!stored.record.is_over());
        }
        match self.jobs.load(&place.workspace, place.job).await? {
            Some(known) if is_current(&known, &stored.record) => Ok(true),
            // Dispatched anew: the command is on its way.
            Some(known) if known.state.phase == Phase::Dispatched => Ok(false),
            Some(_) | None => {
                self.withdraw(place, &stored).await?;
                Ok(false)
            }
        }
    }
}
