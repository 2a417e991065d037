//! What is to be measured when, in memory, out of the records as they were last seen. Pure; a restart fills it again.

use crate::record::Record;
use domain::Timestamp;
use domain::id::JobId;
use domain::token::Slug;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The verifications that are not over, and what people have not been told yet.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    jobs: HashMap<JobId, Seen>,
    due: BTreeSet<(Timestamp, JobId, usize)>,
    /// Metrics this process is measuring.
    busy: HashSet<(JobId, usize)>,
    untold: BTreeMap<JobId, News>,
}

#[derive(Debug)]
struct Seen {
    record: Record,
    revision: u64,
    vouched: bool,
}

/// A measurement that is due.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    /// Of which verification.
    pub(crate) job: JobId,
    /// Which metric, by its place.
    pub(crate) metric: usize,
    /// The record as it was last seen.
    pub(crate) record: Record,
    /// Its revision.
    pub(crate) revision: u64,
    /// Whether the job is known to be what the record says.
    pub(crate) vouched: bool,
}

/// Something people can see has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct News {
    /// The tenant.
    pub(crate) workspace: Slug,
    /// The attempt.
    pub(crate) attempt: u32,
    /// What people can see, counted.
    pub(crate) version: i64,
}

impl Agenda {
    /// A record was seen. Older ones than the last change nothing. With `tell`, people are to hear of what is new in it.
    pub(crate) fn see(&mut self, job: JobId, record: Record, revision: u64, tell: bool) {
        let before = self.jobs.get(&job);
        if before.is_some_and(|seen| seen.revision >= revision) {
            return;
        }
        let is_news = before.is_none_or(|seen| seen.record.version < record.version);
        if tell && is_news {
            let (attempt, version) = (record.attempt, record.version);
            self.untold.insert(job, News { workspace: record.config.workspace.clone(), attempt, version });
        }
        let vouched = before.is_some_and(|seen| seen.vouched && seen.record.attempt == record.attempt);
        self.forget(job);
        if !record.is_over() {
            self.schedule(job, &record);
            self.jobs.insert(job, Seen { record, revision, vouched });
        }
    }

    /// There is no record any more, or none that can be read.
    pub(crate) fn forget(&mut self, job: JobId) {
        if let Some(Seen { record, .. }) = self.jobs.remove(&job) {
            for (metric, at) in record.due() {
                self.due.remove(&(at, job, metric));
            }
        }
    }

    /// The job is what the record says.
    pub(crate) fn vouch(&mut self, job: JobId, attempt: u32) {
        if let Some(seen) = self.jobs.get_mut(&job).filter(|seen| seen.record.attempt == attempt) {
            seen.vouched = true;
        }
    }

    /// What is due, earliest first, at most that many; it is this process' until it is [`Agenda::done`].
    pub(crate) fn take(&mut self, now: Timestamp, count_max: usize) -> Vec<Task> {
        let mut taken = Vec::new();
        while taken.len() < count_max
            && let Some((at, job, metric)) = self.due.first().copied()
            && at <= now
        {
            self.due.pop_first();
            let Some(seen) = self.jobs.get(&job) else { continue };
            self.busy.insert((job, metric));
            let Seen { record, revision, vouched } = seen;
            taken.push(Task { job, metric, record: record.clone(), revision: *revision, vouched: *vouched });
        }
        taken
    }

    /// Nobody here measures it any more.
    pub(crate) fn done(&mut self, job: JobId, metric: usize) {
        self.busy.remove(&(job, metric));
        if let Some(seen) = self.jobs.get(&job) {
            let due = seen.record.due().into_iter().filter(|(n, _)| *n == metric);
            self.due.extend(due.map(|(n, at)| (at, job, n)));
        }
    }

    /// When the next measurement is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _, _)| *at)
    }

    /// How many verifications are not over.
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// What people have not been told, and now are.
    pub(crate) fn take_news(&mut self) -> Vec<(JobId, News)> {
        std::mem::take(&mut self.untold).into_iter().collect()
    }

    /// It could not be told: it still is to be, unless something newer is.
    pub(crate) fn put_back(&mut self, job: JobId, news: News) {
        self.untold.entry(job).or_insert(news);
    }

    fn schedule(&mut self, job: JobId, record: &Record) {
        let due = record.due().into_iter().filter(|(metric, _)| !self.busy.contains(&(job, *metric)));
        self.due.extend(due.map(|(metric, at)| (at, job, metric)).collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Ended;
    use domain::verification::Reading;
    use serde_json::json;
    use uuid::Uuid;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn job(n: u128) -> JobId {
        JobId(Uuid::from_u128(n))
    }

    fn record(started: i64) -> Record {
        let config = json!({ "workspace": "acme", "metrics": [
            { "name": "home", "intervalSeconds": 10, "count": 2, "provider": { "type": "http", "url": "http://x" } },
            { "name": "settle", "provider": { "type": "sleep", "durationSeconds": 30 } },
        ] });
        Record::begin(serde_json::from_value(config).unwrap(), at(started))
    }

    fn taken(agenda: &mut Agenda, now: i64) -> Vec<(JobId, usize)> {
        agenda.take(at(now), 10).into_iter().map(|task| (task.job, task.metric)).collect()
    }

    #[test]
    fn what_is_due_is_taken_once_earliest_first() {
        let mut agenda = Agenda::default();
        agenda.see(job(1), record(5), 1, true);
        agenda.see(job(2), record(0), 2, true);
        assert_eq!(agenda.next(), Some(at(0)));
        assert_eq!(taken(&mut agenda, 6), [(job(2), 0), (job(1), 0)]);
        assert_eq!(taken(&mut agenda, 6), []);
        assert_eq!(agenda.next(), Some(at(30)), "the pauses");
        let mut measured = record(0);
        measured.claim(0, Uuid::nil(), at(6));
        // Our own claim comes back to us while we measure: nothing to do about it.
        agenda.see(job(2), measured.clone(), 3, true);
        measured.settle(0, Uuid::nil(), Reading::Good, "");
        agenda.see(job(2), measured, 4, true);
        assert_eq!(agenda.next(), Some(at(30)));
        agenda.done(job(2), 0);
        assert_eq!((agenda.next(), taken(&mut agenda, 16)), (Some(at(16)), vec![(job(2), 0)]));
    }

    #[test]
    fn what_others_claimed_is_due_when_the_claim_dies_and_old_news_is_none() {
        let mut agenda = Agenda::default();
        let mut claimed = record(0);
        claimed.claim(0, Uuid::nil(), at(0));
        agenda.see(job(1), claimed, 2, true);
        agenda.see(job(1), record(0), 1, true);
        assert_eq!(agenda.next(), Some(at(25)));
        let mut ended = record(0);
        ended.end(Ended::Cancelled, "cancelled");
        agenda.see(job(1), ended, 3, true);
        assert_eq!((agenda.next(), agenda.len()), (None, 0));
    }

    #[test]
    fn people_hear_of_what_they_can_see_once() {
        let mut agenda = Agenda::default();
        let versions = |agenda: &mut Agenda| -> Vec<i64> {
            agenda.take_news().into_iter().map(|(_, news)| news.version).collect()
        };
        let mut seen = record(0);
        agenda.see(job(1), seen.clone(), 1, true);
        seen.claim(0, Uuid::nil(), at(0));
        agenda.see(job(1), seen.clone(), 2, true);
        assert_eq!(versions(&mut agenda), [1]);
        seen.settle(0, Uuid::nil(), Reading::Good, "");
        agenda.see(job(1), seen.clone(), 3, true);
        let news = agenda.take_news();
        seen.end(Ended::Cancelled, "cancelled");
        agenda.see(job(1), seen.clone(), 4, true);
        for (job, news) in news {
            agenda.put_back(job, news);
        }
        assert_eq!(versions(&mut agenda), [3], "what is newer says it all");
        agenda.see(job(2), seen, 5, false);
        assert!(versions(&mut agenda).is_empty());
    }

    #[test]
    fn a_job_is_vouched_for_as_long_as_its_attempt_lasts() {
        let mut agenda = Agenda::default();
        let first = record(0);
        agenda.see(job(1), first.clone(), 1, true);
        agenda.vouch(job(1), 2);
        assert!(!agenda.take(at(0), 1)[0].vouched);
        agenda.vouch(job(1), 1);
        agenda.see(job(1), first.clone(), 2, true);
        agenda.done(job(1), 0);
        assert!(agenda.take(at(0), 1)[0].vouched);
        agenda.see(job(1), first.again(first.config.clone(), at(0)), 3, true);
        agenda.done(job(1), 0);
        assert!(!agenda.take(at(0), 1)[0].vouched);
    }
}
