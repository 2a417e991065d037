//! Shows when a status was last confirmed: follows the bucket `confirmations` and notes it in the views, the newest of each
//! job, many at once. While the views are away the newest waits.

use bus::topology::CONFIRMATIONS;
use bus::{Bus, BusError, Change, FollowSource, From, follow};
use domain::Timestamp;
use domain::id::JobId;
use domain::job::Confirmation;
use domain::token::Slug;
use projections::{Confirmed, Projections};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How many go to the views in one round trip.
const BATCH: usize = 256;
/// After the views did not take them.
const PAUSE: Duration = Duration::from_secs(1);

/// What is not shown yet.
#[derive(Debug, Default)]
struct Waiting {
    newest: Mutex<HashMap<(Slug, JobId), Timestamp>>,
    more: Notify,
}

/// Shows confirmations until the drain.
pub(crate) async fn run(bus: Bus, views: Projections, drain: CancellationToken) -> Result<(), BusError> {
    let waiting = Arc::new(Waiting::default());
    let on = |change: Change| match change {
        Change::Put { key, payload, .. } => {
            let read = serde_json::from_slice::<Confirmation>(&payload);
            match (Confirmation::job_of(&key), read) {
                (Some(job), Ok(Confirmation { at })) => waiting.put([(job, at)]),
                (None, _) | (_, Err(_)) => {
                    tracing::warn!(key, "a confirmation that cannot be read is left out")
                }
            }
        }
        Change::Delete { .. } | Change::CaughtUp { .. } => {}
    };
    let source = FollowSource::Bucket(&CONFIRMATIONS, None);
    let followed = follow(&bus, source, From::LastPerSubject, on, drain.clone());
    let (followed, ()) = futures::future::join(followed, show(&waiting, &views, &drain)).await;
    followed
}

async fn show(waiting: &Waiting, views: &Projections, drain: &CancellationToken) {
    loop {
        let batch = waiting.take(BATCH);
        if batch.is_empty() {
            match drain.run_until_cancelled(waiting.more.notified()).await {
                Some(()) => continue,
                None => return,
            }
        }
        let looks: Vec<Confirmed> = batch
            .iter()
            .map(|((workspace, job), at)| Confirmed { workspace: workspace.clone(), job: *job, at: *at })
            .collect();
        if let Err(error) = views.confirm(&looks).await {
            tracing::debug!(%error, "the views did not take when statuses were confirmed, trying again");
            waiting.put(batch);
            if drain.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                return;
            }
        }
    }
}

impl Waiting {
    fn put(&self, looks: impl IntoIterator<Item = ((Slug, JobId), Timestamp)>) {
        let mut newest = self.newest();
        for (job, at) in looks {
            let known = newest.entry(job).or_insert(at);
            *known = at.max(*known);
        }
        drop(newest);
        self.more.notify_one();
    }

    fn take(&self, count_max: usize) -> Vec<((Slug, JobId), Timestamp)> {
        let mut newest = self.newest();
        let jobs: Vec<(Slug, JobId)> = newest.keys().take(count_max).cloned().collect();
        jobs.into_iter().filter_map(|job| newest.remove_entry(&job)).collect()
    }

    fn newest(&self) -> MutexGuard<'_, HashMap<(Slug, JobId), Timestamp>> {
        // Every statement leaves the map whole.
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
