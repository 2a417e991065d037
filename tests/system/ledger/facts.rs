//! What the system itself says happened: every fact of every job, as they are recorded.

use bus::topology::JOBS;
use bus::{Bus, Change, FollowSource, From, follow};
use domain::id::JobId;
use domain::job::{JobEvent, JobFact};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The facts of each job, oldest first, each with its sequence.
pub(crate) type Histories = BTreeMap<JobId, Vec<(u64, JobEvent)>>;

/// How far the jobs are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Their agent has begun to start so many.
    pub(crate) started: usize,
    /// So many are over.
    pub(crate) ended: usize,
}

impl Progress {
    pub(crate) fn steps(self) -> usize {
        self.started + self.ended
    }
}

#[derive(Debug, Default)]
struct Known {
    histories: Histories,
    started: BTreeSet<JobId>,
    ended: BTreeSet<JobId>,
}

/// Follows the facts for as long as it lives.
pub(crate) struct Facts {
    known: Arc<Mutex<Known>>,
    pub(crate) progress: watch::Receiver<Progress>,
    _end: DropGuard,
}

impl Facts {
    pub(crate) fn follow(bus: &Bus) -> Self {
        let (known, end) = (Arc::new(Mutex::new(Known::default())), CancellationToken::new());
        let (told, progress) = watch::channel(Progress::default());
        let on = {
            let known = Arc::clone(&known);
            move |change: Change| {
                if let Change::Put { sequence, payload, .. } = change {
                    let event: JobEvent = serde_json::from_slice(&payload).unwrap();
                    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                    let progress = known.learn(sequence, event);
                    told.send_if_modified(|before| std::mem::replace(before, progress) != progress);
                }
            }
        };
        let (bus, drain) = (bus.clone(), end.clone());
        tokio::spawn(async move {
            follow(&bus, FollowSource::Stream(&JOBS, None), From::All, on, drain).await.unwrap();
        });
        Self { known, progress, _end: end.drop_guard() }
    }

    pub(crate) fn histories(&self) -> Histories {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).histories.clone()
    }
}

impl Known {
    fn learn(&mut self, sequence: u64, event: JobEvent) -> Progress {
        let job = event.job.id;
        if matches!(event.fact, JobFact::TriggerStarted { .. }) {
            self.started.insert(job);
        }
        if matches!(event.fact, JobFact::Finished(_)) {
            self.ended.insert(job);
        } else {
            self.ended.remove(&job);
        }
        self.histories.entry(job).or_default().push((sequence, event));
        Progress { started: self.started.len(), ended: self.ended.len() }
    }
}
