//! A look that finds nothing new is no fact: it goes to the bucket `confirmations`, from where the syncer shows people when a
//! status was last confirmed. Losing one loses nothing but that.

use super::Agent;
use crate::platform::Platform;
use bus::Recorded;
use domain::Timestamp;
use domain::job::{Confirmation, JobRef, Phase, SnapshotStatus};

impl<P: Platform> Agent<P> {
    /// Notes that the platform said at `at` what is known of the job: the moment the look began, so that no news that came
    /// meanwhile is covered by it.
    pub(super) async fn confirm(&self, job: &JobRef, at: Timestamp) {
        let key = Confirmation::key(&job.workspace, job.id);
        if let Err(error) = self.confirmations.put_json(&key, &Confirmation { at }).await {
            tracing::debug!(job = %job.id, %error, "that its status was confirmed could not be noted");
        }
    }
}

/// Whether the history says of the run what the look said: then the look confirms it. A look older than the history says
/// nothing of it.
pub(super) fn confirms(recorded: &Recorded, seen: SnapshotStatus) -> bool {
    let Recorded::AlreadySo(known) = recorded else { return false };
    match (&known.state.phase, seen) {
        (Phase::Running { status }, SnapshotStatus::Active(seen)) => *status == seen,
        (Phase::Cancelling(cancelling), SnapshotStatus::Active(seen)) => cancelling.seen == Some(seen),
        (
            Phase::Requested
            | Phase::Held { .. }
            | Phase::Dispatched
            | Phase::Triggering { .. }
            | Phase::Unknown { .. }
            | Phase::Finished { .. },
            SnapshotStatus::Active(_),
        )
        | (_, SnapshotStatus::Terminal(_)) => false,
    }
}
