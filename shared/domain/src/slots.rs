//! The slots of one agent: who holds one, who waits, in which order. Pure; the bucket keeps it by compare-and-set.

use crate::Timestamp;
use crate::id::{JobAgentId, JobId};
use crate::token::Slug;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The record of one agent in the `slots` bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slots {
    /// Jobs that hold a slot.
    pub held: Vec<Slot>,
    /// Jobs that wait for one, first come first served.
    pub waiting: VecDeque<Slot>,
}

/// The key of an agent's record in the `slots` bucket.
pub fn key(workspace: &Slug, agent: JobAgentId) -> String {
    format!("{workspace}.{agent}")
}

/// A job's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slot {
    /// The job.
    pub job: JobId,
    /// Since when it holds or waits.
    pub since: Timestamp,
}

/// The answer to a job that asks for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It holds one.
    Granted,
    /// It waits.
    Waits {
        /// How many wait before it.
        ahead: u32,
    },
}

impl Slots {
    /// Asks for a slot under the limit. Asking again changes nothing.
    pub fn ask(&mut self, job: JobId, limit: usize, now: Timestamp) -> Asked {
        if self.holds(job) {
            return Asked::Granted;
        }
        if let Some(ahead) = self.waiting.iter().position(|slot| slot.job == job) {
            return Asked::Waits { ahead: count(ahead) };
        }
        if self.waiting.is_empty() && self.held.len() < limit {
            self.held.push(Slot { job, since: now });
            return Asked::Granted;
        }
        self.waiting.push_back(Slot { job, since: now });
        Asked::Waits { ahead: count(self.waiting.len() - 1) }
    }

    /// Gives back whatever the job has.
    pub fn release(&mut self, job: JobId) {
        self.held.retain(|slot| slot.job != job);
        self.waiting.retain(|slot| slot.job != job);
    }

    /// Gives free slots to those who wait longest, and says who got one. `None`: there is no limit any more.
    pub fn promote(&mut self, limit: Option<usize>, now: Timestamp) -> Vec<JobId> {
        let mut promoted = Vec::new();
        while limit.is_none_or(|limit| self.held.len() < limit) {
            let Some(next) = self.waiting.pop_front() else { break };
            self.held.push(Slot { job: next.job, since: now });
            promoted.push(next.job);
        }
        promoted
    }

    /// Whether the job holds a slot.
    pub fn holds(&self, job: JobId) -> bool {
        self.held.iter().any(|slot| slot.job == job)
    }

    /// Whether the job holds a slot or waits for one.
    pub fn knows(&self, job: JobId) -> bool {
        self.holds(job) || self.waiting.iter().any(|slot| slot.job == job)
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(n: u128) -> JobId {
        JobId(uuid::Uuid::from_u128(n))
    }

    fn now() -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn held(slots: &Slots) -> Vec<u128> {
        slots.held.iter().map(|slot| slot.job.0.as_u128()).collect()
    }

    #[test]
    fn slots_go_in_the_order_of_asking_and_never_beyond_the_limit() {
        let mut slots = Slots::default();
        let answers: Vec<Asked> = (1..=4).map(|n| slots.ask(job(n), 2, now())).collect();
        assert_eq!(
            answers,
            [Asked::Granted, Asked::Granted, Asked::Waits { ahead: 0 }, Asked::Waits { ahead: 1 }]
        );
        slots.release(job(1));
        assert_eq!(slots.ask(job(5), 2, now()), Asked::Waits { ahead: 2 }, "nobody overtakes those who wait");
        assert_eq!(slots.promote(Some(2), now()), [job(3)]);
        assert_eq!(held(&slots), [2, 3]);
    }

    #[test]
    fn asking_and_releasing_again_change_nothing() {
        let mut slots = Slots::default();
        slots.ask(job(1), 1, now());
        slots.ask(job(2), 1, now());
        let before = slots.clone();
        assert_eq!(slots.ask(job(1), 1, now()), Asked::Granted);
        assert_eq!(slots.ask(job(2), 1, now()), Asked::Waits { ahead: 0 });
        slots.release(job(9));
        assert_eq!(slots, before);
    }

    #[test]
    fn a_job_that_waits_may_leave_and_a_lifted_limit_lets_all_in() {
        let mut slots = Slots::default();
        for n in 1..=4 {
            slots.ask(job(n), 1, now());
        }
        slots.release(job(2));
        assert!(!slots.knows(job(2)));
        slots.promote(None, now());
        assert_eq!(held(&slots), [1, 3, 4]);
    }

    #[test]
    fn a_lowered_limit_waits_for_those_who_hold() {
        let mut slots = Slots::default();
        for n in 1..=4 {
            slots.ask(job(n), 3, now());
        }
        slots.promote(Some(1), now());
        assert_eq!(held(&slots), [1, 2, 3]);
        slots.release(job(1));
        slots.promote(Some(1), now());
        assert_eq!(held(&slots), [2, 3]);
    }
}
