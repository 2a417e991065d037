//! The queues as this replica sees them, and what is due when: in memory, out of the records. A restart fills it again, and
//! whatever is done about it is decided by compare-and-set.

use crate::record::{Record, Stage};
use crate::store::{Place, Stored};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::id::JobAgentId;
use domain::token::Slug;
use std::collections::{BTreeSet, HashMap};

/// A job that nobody claims ends so long before its queue deadline, so that the end says why.
const AHEAD: TimeDelta = TimeDelta::seconds(1);

/// The jobs that are not over.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    jobs: HashMap<Place, Entry>,
    due: BTreeSet<(Timestamp, Place)>,
    /// Since when pullers could reach this replica without a break: a lease that nobody could renew has not run out.
    since: Option<Timestamp>,
}

#[derive(Debug)]
struct Entry {
    stored: Stored,
    due: Option<Timestamp>,
}

impl Agenda {
    /// A record was seen. One that is no newer than the last changes nothing: `false`.
    pub(crate) fn see(&mut self, place: Place, stored: Stored) -> bool {
        if self.jobs.get(&place).is_some_and(|known| known.stored.revision >= stored.revision) {
            return false;
        }
        let was_there = self.forget(&place);
        if stored.record.is_over() {
            return was_there;
        }
        let due = due(&stored.record, self.since);
        if let Some(at) = due {
            self.due.insert((at, place.clone()));
        }
        self.jobs.insert(place, Entry { stored, due });
        true
    }

    /// There is no such record, or it needs nobody. Whether it was there.
    pub(crate) fn forget(&mut self, place: &Place) -> bool {
        let Some(entry) = self.jobs.remove(place) else { return false };
        if let Some(at) = entry.due {
            self.due.remove(&(at, place.clone()));
        }
        true
    }

    /// Pullers can reach us from now on: every lease has its whole length again before it runs out.
    pub(crate) fn reachable_since(&mut self, since: Timestamp) {
        self.since = Some(since);
        self.due.clear();
        for (place, entry) in &mut self.jobs {
            entry.due = due(&entry.stored.record, self.since);
            self.due.extend(entry.due.map(|at| (at, place.clone())));
        }
    }

    /// What is due, and not again before `again`.
    pub(crate) fn take_due(&mut self, now: Timestamp, again: Timestamp, max: usize) -> Vec<Place> {
        let due: Vec<(Timestamp, Place)> =
            self.due.iter().take_while(|(at, _)| *at <= now).take(max).cloned().collect();
        for key in &due {
            self.due.remove(key);
            if let Some(entry) = self.jobs.get_mut(&key.1) {
                entry.due = Some(again);
                self.due.insert((again, key.1.clone()));
            }
        }
        due.into_iter().map(|(_, place)| place).collect()
    }

    /// When something is due next.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The jobs of an agent, longest waiting first.
    pub(crate) fn of_agent(&self, workspace: &Slug, agent: JobAgentId) -> Vec<(Place, Record)> {
        let mut found: Vec<(Place, Record)> = self
            .jobs
            .iter()
            .filter(|(place, _)| place.agent == agent && place.workspace == *workspace)
            .map(|(place, entry)| (place.clone(), entry.stored.record.clone()))
            .collect();
        found.sort_by(|(one, a), (other, b)| (a.queued_at, one).cmp(&(b.queued_at, other)));
        found
    }

    /// The jobs of a workspace that wait for their first claim.
    pub(crate) fn fresh(&self, workspace: &Slug) -> Vec<Place> {
        let fresh = |(place, entry): (&Place, &Entry)| {
            (place.workspace == *workspace && entry.stored.record.is_fresh()).then(|| place.clone())
        };
        self.jobs.iter().filter_map(fresh).collect()
    }

    /// Every job.
    pub(crate) fn everything(&self) -> Vec<Place> {
        self.jobs.keys().cloned().collect()
    }

    /// Every job that waits for its first claim.
    pub(crate) fn all_fresh(&self) -> Vec<Place> {
        let fresh = self.jobs.iter().filter(|(_, entry)| entry.stored.record.is_fresh());
        fresh.map(|(place, _)| place.clone()).collect()
    }

    /// How many wait, and how many are claimed.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let claimed =
            self.jobs.values().filter(|entry| matches!(entry.stored.record.stage, Stage::Claimed(_))).count();
        (self.jobs.len() - claimed, claimed)
    }
}

/// When the record must be looked at; a lease runs out no sooner than it could have been renewed.
fn due(record: &Record, since: Option<Timestamp>) -> Option<Timestamp> {
    match &record.stage {
        Stage::Claimed(claim) => {
            let renewable = since.map(|since| since + TimeDelta::seconds(claim.lease_seconds.into()));
            Some(renewable.map_or(claim.until, |renewable| renewable.max(claim.until)))
        }
        Stage::Waiting { .. } if record.is_fresh() => {
            let timed_out = record.queue_until - AHEAD;
            Some(record.command.freeze_begins_at.map_or(timed_out, |begins| begins.min(timed_out)))
        }
        Stage::Waiting { .. } | Stage::Over { .. } | Stage::Withdrawn => None,
    }
}

/// Whether the deadline of the queue is what is due.
pub(crate) fn is_timed_out(record: &Record, now: Timestamp) -> bool {
    record.is_fresh() && record.queue_until - AHEAD <= now
}

/// Whether the lease has run out.
pub(crate) fn has_run_out(record: &Record, since: Option<Timestamp>, now: Timestamp) -> bool {
    matches!(record.stage, Stage::Claimed(_)) && due(record, since).is_some_and(|at| at <= now)
}

impl Agenda {
    /// Since when pullers could reach this replica.
    pub(crate) fn since(&self) -> Option<Timestamp> {
        self.since
    }
}
