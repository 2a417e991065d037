//! Takes in what is kept of a workspace, message by message: whole instants, and no more than fits.

use super::past::{CatalogMoment, Extent, JobMoment, Past};
use super::report::{Cut, CutBy, Unreadable};
use crate::Timestamp;
use crate::id::JobId;
use crate::job::JobEvent;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// How much of the past a back-test takes in: all of it is in memory at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// So many facts of jobs. Of a job from before the time in question only the last fact counts.
    pub facts: u64,
    /// So many changes of the catalog.
    pub changes: u64,
    /// So many bytes of messages: half of it for facts, half for changes.
    pub bytes: u64,
    /// So many seconds for all of it.
    pub seconds: u64,
}

/// No limits.
impl Default for Limits {
    fn default() -> Self {
        Self { facts: u64::MAX, changes: u64::MAX, bytes: u64::MAX, seconds: u64::MAX }
    }
}

/// What was taken in so far.
#[derive(Debug)]
pub struct Reading {
    since: Timestamp,
    until: Timestamp,
    /// The last fact of each job from before `since`, and its bytes.
    before: HashMap<JobId, (JobMoment, u64)>,
    facts: Vec<JobMoment>,
    changes: Vec<CatalogMoment>,
    /// Of facts, and of changes.
    bytes: [u64; 2],
    extent: Extent,
}

impl Reading {
    /// Takes in what happened up to `until`; jobs are judged from `since` on.
    pub fn of(since: Timestamp, until: Timestamp, limits: Limits) -> Self {
        Self {
            since,
            until,
            before: HashMap::new(),
            facts: Vec::new(),
            changes: Vec::new(),
            bytes: [0; 2],
            extent: Extent { limits, ..Extent::default() },
        }
    }

    /// Takes in a fact, which must come in the order of its stream, and tells whether more of them are wanted. One
    /// that cannot be read is counted.
    pub fn fact(&mut self, at: Timestamp, sequence: u64, subject: &str, payload: &[u8]) -> ControlFlow<()> {
        if !self.wants(at) {
            return ControlFlow::Break(());
        }
        let event: JobEvent = match serde_json::from_slice(payload) {
            Ok(event) => event,
            Err(error) => {
                self.extent.unreadable.fact(at, sequence, subject, error.to_string());
                return ControlFlow::Continue(());
            }
        };
        self.extent.oldest_fact.get_or_insert(at);
        let bytes = payload.len() as u64;
        let moment = JobMoment { at, sequence, event };
        if at < self.since {
            // Nothing is judged yet: how a job stands is what its last fact says.
            if let Some((_, replaced)) = self.before.remove(&moment.event.job.id) {
                self.bytes[0] -= replaced;
                self.extent.folded += 1;
            }
            self.take(at, bytes, CutBy::Facts)?;
            self.before.insert(moment.event.job.id, (moment, bytes));
        } else {
            self.take(at, bytes, CutBy::Facts)?;
            self.facts.push(moment);
        }
        ControlFlow::Continue(())
    }

    /// Takes in a change of the catalog, which must come in the order of its bucket, and tells whether more of them
    /// are wanted.
    pub fn change(&mut self, change: CatalogMoment) -> ControlFlow<()> {
        if !self.wants(change.at) {
            return ControlFlow::Break(());
        }
        let bytes = change.key.len() + change.value.as_ref().map_or(0, Vec::len);
        self.take(change.at, bytes as u64, CutBy::Changes)?;
        self.changes.push(change);
        ControlFlow::Continue(())
    }

    /// What was taken in, without the instant at which there was too much: of that one something is missing.
    pub fn finish(self, revisions_kept: usize) -> Past {
        let before = self.before.into_values().map(|(moment, _)| moment);
        let facts = before.chain(self.facts).collect();
        Past::of(self.changes, facts, revisions_kept).within(self.extent)
    }

    fn wants(&self, at: Timestamp) -> bool {
        at <= self.until && self.extent.cut.as_ref().is_none_or(|cut| at < cut.at)
    }

    /// Makes room for one more message, or ends the past where it would come.
    fn take(&mut self, at: Timestamp, bytes: u64, kind: CutBy) -> ControlFlow<()> {
        let limits = &self.extent.limits;
        // Each has its half: many facts must not leave no room for the catalog they happened under.
        let (taken, max, of) = match kind {
            CutBy::Changes => (self.changes.len(), limits.changes, &mut self.bytes[1]),
            CutBy::Facts | CutBy::Bytes | CutBy::Time => {
                (self.before.len() + self.facts.len(), limits.facts, &mut self.bytes[0])
            }
        };
        let by = if taken as u64 >= max {
            kind
        } else if bytes > (limits.bytes / 2).saturating_sub(*of) {
            CutBy::Bytes
        } else {
            *of += bytes;
            return ControlFlow::Continue(());
        };
        self.extent.cut = Some(Cut { at, by });
        ControlFlow::Break(())
    }
}

impl Unreadable {
    /// How many are told one by one.
    const TOLD_MAX: usize = 5;

    fn fact(&mut self, at: Timestamp, sequence: u64, subject: &str, why: String) {
        self.facts += 1;
        self.tell(at, sequence, subject, why);
    }

    pub(super) fn change(&mut self, at: Timestamp, revision: u64, key: &str, why: String) {
        self.changes += 1;
        self.tell(at, revision, key, why);
    }

    fn tell(&mut self, at: Timestamp, sequence: u64, key: &str, why: String) {
        if self.first.len() < Self::TOLD_MAX {
            self.first.push(super::UnreadableMessage { key: key.to_owned(), sequence, at, why });
        }
    }
}
