//! Rebuilding the views from the facts: every job is folded from its first fact on into a new generation of views, which
//! then takes the place of the live one. The public status stream is not touched.

use crate::folded::Folded;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use bus::topology::JOBS;
use bus::{Bus, BusError, Change, FollowSource, From, crash_point, follow};
use domain::id::JobId;
use domain::job::JobEvent;
use domain::token::Slug;
use projections::{HistoryEntry, JobChange, ProjectionError, Projections, Rebuild};
use serde::Serialize;
use std::collections::HashMap;
use tokio_util::sync::CancellationToken;

/// How many facts are held in memory before they go to the views.
const BATCH_MAX: usize = 10_000;
/// How many jobs go to Redis in one round trip.
const JOBS_AT_ONCE: usize = 250;

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The sequence in `JOBS` up to which facts were read.
    pub sequence: u64,
    /// The last sequence of `JOBS` when it began.
    pub of: u64,
    /// How many facts were read.
    pub facts: u64,
}

/// What a rebuild did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How many facts were read.
    pub facts: u64,
    /// How many of them could not be read and were left out.
    pub unreadable: u64,
    /// The sequence in `JOBS` up to which the views are.
    pub sequence: u64,
    /// The generation that is live now.
    pub generation: String,
    /// How many keys of earlier generations were removed.
    pub removed_keys: u64,
}

/// Why a rebuild did not end well. The live views are as they were.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The facts could not be read.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The views could not be filled.
    #[error(transparent)]
    Views(#[from] ProjectionError),
}

/// Fills a new generation of views with every fact there is and makes it live. What comes in meanwhile, live writers
/// bring. `progress` is told after each batch.
///
/// # Errors
/// See [`RebuildError`]. [`ProjectionError::Busy`] while somebody else does the same.
pub async fn rebuild(
    bus: &Bus,
    views: &Projections,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Report, RebuildError> {
    crash_point("status-syncer.rebuild.before");
    let rebuild = views.begin_rebuild().await?;
    match fill(bus, &rebuild, &mut progress).await {
        Ok(filled) => {
            let rebuilt = rebuild.switch(filled.sequence).await?;
            crash_point("status-syncer.rebuild.after");
            Ok(Report {
                facts: filled.facts,
                unreadable: filled.unreadable,
                sequence: filled.sequence,
                generation: rebuilt.generation.to_string(),
                removed_keys: rebuilt.removed_keys,
            })
        }
        Err(error) => {
            if let Err(left) = rebuild.abandon().await {
                tracing::warn!(error = %left, "what an unfinished rebuild wrote stays until the next one");
            }
            Err(error)
        }
    }
}

struct Filled {
    sequence: u64,
    facts: u64,
    unreadable: u64,
}

async fn fill(
    bus: &Bus,
    rebuild: &Rebuild,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<Filled, RebuildError> {
    // What is in the stream now must be read; what comes later, live writers bring, who have heard of us by then.
    let of = bus.last_sequence(&JOBS).await?;
    let mut filled = Filled { sequence: 0, facts: 0, unreadable: 0 };
    let mut folds = Folds::default();
    loop {
        let batch = read(bus, filled.sequence).await?;
        filled.sequence = batch.sequence.max(filled.sequence);
        filled.facts += batch.facts.len() as u64;
        filled.unreadable += batch.unreadable;
        for fact in &batch.facts {
            folds.add(bus, fact).await?;
        }
        let changes = folds.take_changes();
        // An empty batch keeps our place, too.
        rebuild.apply_batch(&[]).await?;
        for changes in changes.chunks(JOBS_AT_ONCE) {
            rebuild.apply_batch(changes).await?;
        }
        progress(Progress { sequence: filled.sequence, of, facts: filled.facts });
        if batch.ended || filled.sequence >= of {
            return Ok(filled);
        }
    }
}

struct Fact {
    sequence: u64,
    previous: Option<u64>,
    event: JobEvent,
}

#[derive(Default)]
struct Batch {
    facts: Vec<Fact>,
    unreadable: u64,
    sequence: u64,
    ended: bool,
}

/// The next facts after a sequence, at most a batch of them.
async fn read(bus: &Bus, after: u64) -> Result<Batch, BusError> {
    let mut batch = Batch::default();
    let full = CancellationToken::new();
    let on = |change: Change| {
        if full.is_cancelled() {
            return;
        }
        match change {
            Change::Put { key, sequence, payload, headers, .. } => {
                batch.sequence = sequence;
                let previous = headers
                    .get(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE)
                    .and_then(|value| value.as_str().parse().ok());
                match serde_json::from_slice(&payload) {
                    Ok(event) => batch.facts.push(Fact { sequence, previous, event }),
                    Err(error) => {
                        batch.unreadable += 1;
                        tracing::warn!(subject = key, sequence, %error, "a fact that cannot be read is left out");
                    }
                }
                if batch.facts.len() >= BATCH_MAX {
                    full.cancel();
                }
            }
            Change::Delete { .. } => {}
            Change::CaughtUp { sequence } => {
                batch.sequence = batch.sequence.max(sequence);
                batch.ended = true;
                full.cancel();
            }
        }
    };
    let from = if after == 0 { From::All } else { From::After(after) };
    follow(bus, FollowSource::Stream(&JOBS, None), from, on, full.clone()).await?;
    Ok(batch)
}

/// The folds of the jobs that are not over; those that are over are dropped, and read again should they go on.
#[derive(Default)]
struct Folds {
    jobs: HashMap<JobId, Fold>,
}

struct Fold {
    folded: Folded,
    entries: Vec<HistoryEntry>,
}

impl Folds {
    async fn add(&mut self, bus: &Bus, fact: &Fact) -> Result<(), BusError> {
        let Fact { sequence, previous, event } = fact;
        let id = event.job.id;
        let fold = self.jobs.remove(&id);
        let fold = match fold {
            Some(fold) if fold.folded.sequence >= *sequence => fold,
            Some(fold) if Some(fold.folded.sequence) == *previous => fold.after(*sequence, event),
            None if *previous == Some(0) => Fold::first(*sequence, event),
            Some(_) | None => match Fold::read(bus, &event.job.workspace, id).await? {
                Some(fold) => fold,
                None => return Ok(()),
            },
        };
        self.jobs.insert(id, fold);
        Ok(())
    }

    fn take_changes(&mut self) -> Vec<JobChange> {
        let mut changes = Vec::new();
        self.jobs.retain(|_, fold| {
            if !fold.entries.is_empty() {
                let history = std::mem::take(&mut fold.entries);
                changes.push(JobChange { view: fold.folded.view(), history });
            }
            !fold.folded.state.is_finished()
        });
        changes
    }
}

impl Fold {
    fn first(sequence: u64, event: &JobEvent) -> Self {
        let (folded, entry) = Folded::after(None, sequence, event);
        Self { folded, entries: vec![entry] }
    }

    fn after(self, sequence: u64, event: &JobEvent) -> Self {
        let Self { folded, mut entries } = self;
        let (folded, entry) = Folded::after(Some(folded), sequence, event);
        entries.push(entry);
        Self { folded, entries }
    }

    async fn read(bus: &Bus, workspace: &Slug, job: JobId) -> Result<Option<Self>, BusError> {
        let events = bus.jobs().events(workspace, job).await?;
        Ok(Folded::of(&events).map(|(folded, entries)| Self { folded, entries }))
    }
}
