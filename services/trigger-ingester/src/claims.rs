//! Remembers delivery ids for the days in which a sender may deliver again: longer than the stream remembers message
//! ids. It does not know what is delivered.

use crate::intake::NotStored;
use bus::topology::{DELIVERIES, TRIGGERS};
use bus::{Bucket, Bus, BusError, CasError, clock};
use chrono::TimeDelta;
use domain::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

/// A claim as young as this is followed by a publish without looking: the stream itself knows the message id. Far
/// below the stream's memory of one hour, for clocks that differ and publishes that come late.
const YOUNG: TimeDelta = TimeDelta::minutes(5);
/// A message is at most so far from its claim: the stream's memory. What is further off was not published for it.
const REACH: TimeDelta = TimeDelta::hours(1);
/// Chances to win a claim against other replicas.
const RACES_MAX: usize = 16;

/// What is known of a delivery id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// Its message is in the stream.
    Stored,
    /// It is to be published; if it is there already, the stream knows its id and drops the second.
    ToPublish,
}

/// A delivery id that came in, in the `deliveries` bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    /// When it was claimed; the message was stored right after, if at all.
    at: Timestamp,
    /// A sequence of `TRIGGERS` before which the message cannot be.
    after: u64,
}

/// The delivery ids.
pub(crate) struct Claims {
    bus: Bus,
    bucket: Bucket,
    /// The highest sequence of `TRIGGERS` this replica has seen.
    seen: AtomicU64,
}

impl Claims {
    /// The claims on this bus.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub(crate) async fn new(bus: Bus) -> Result<Self, BusError> {
        let seen = AtomicU64::new(bus.last_sequence(&TRIGGERS).await?);
        Ok(Self { bucket: bus.bucket(&DELIVERIES), bus, seen })
    }

    /// Claims the id. One round trip for an id that is new; an old claim is looked up in the stream, for a crash may
    /// have come between the claim and its message.
    ///
    /// # Errors
    /// When the bus does not answer, or others win the claim all the time.
    pub(crate) async fn claim(&self, id: &str, event_subject: &str) -> Result<Claimed, NotStored> {
        for _ in 0..RACES_MAX {
            let now = clock::now();
            let mine = Claim { at: now, after: self.seen.load(Ordering::Relaxed) };
            match self.bucket.create_json(id, &mine).await {
                Ok(_) => return Ok(Claimed::ToPublish),
                Err(CasError::Conflict) => {}
                Err(CasError::Bus(error)) => return Err(error.into()),
            }
            let Some((theirs, revision)) = self.bucket.get_json::<Claim>(id).await? else { continue };
            if now < theirs.at + YOUNG {
                return Ok(Claimed::ToPublish);
            }
            if self.is_in_stream(id, event_subject, &theirs).await? {
                return Ok(Claimed::Stored);
            }
            // Its message may still come late, and then ours is dropped: it stays within what is looked through.
            let late = now < theirs.at + REACH + REACH;
            let renewed = Claim { at: now, after: if late { theirs.after } else { mine.after } };
            match self.bucket.update_json(id, &renewed, revision).await {
                Ok(_) => return Ok(Claimed::ToPublish),
                Err(CasError::Conflict) => {}
                Err(CasError::Bus(error)) => return Err(error.into()),
            }
        }
        Err(NotStored::Contended)
    }

    /// Notes how far the stream has come, so that later claims are looked up quickly.
    pub(crate) fn saw(&self, sequence: u64) {
        self.seen.fetch_max(sequence, Ordering::Relaxed);
    }

    async fn is_in_stream(&self, id: &str, event_subject: &str, claim: &Claim) -> Result<bool, BusError> {
        let mut sequence = self.long_before(event_subject, claim).await?;
        while let Some(stored) = self.bus.next_of_subject(&TRIGGERS, event_subject, sequence + 1).await? {
            if stored.message_id.as_deref() == Some(id) {
                return Ok(true);
            }
            if stored.published_at > claim.at + REACH {
                return Ok(false);
            }
            sequence = stored.sequence;
        }
        Ok(false)
    }

    /// A sequence before which the message cannot be, near it even if the claim was made by a replica that had seen
    /// nothing for long: no message of the subject stands between that is older than the claim's reach.
    async fn long_before(&self, event_subject: &str, claim: &Claim) -> Result<u64, BusError> {
        let is_old = |at: Timestamp| at < claim.at - REACH;
        let next = self.bus.next_of_subject(&TRIGGERS, event_subject, claim.after + 1).await?;
        let Some(first) = next.filter(|stored| is_old(stored.published_at)) else { return Ok(claim.after) };
        let end = self.bus.last_sequence(&TRIGGERS).await? + 1;
        let mut old = Halving { low: first.sequence, end };
        while let Some(middle) = old.middle() {
            let next = self.bus.next_of_subject(&TRIGGERS, event_subject, middle).await?;
            old.saw(middle, next.filter(|stored| is_old(stored.published_at)).map(|stored| stored.sequence));
        }
        Ok(old.low)
    }
}

/// Finds the last old message from `low`, which is one, and before `end`: what is old comes before what is not.
struct Halving {
    low: u64,
    end: u64,
}

impl Halving {
    /// Where to look next: for the first message at or after this.
    fn middle(&self) -> Option<u64> {
        (self.low + 1 < self.end).then(|| self.low + (self.end - self.low) / 2)
    }

    /// What was found there: its sequence, if there is one and it is old.
    fn saw(&mut self, middle: u64, old: Option<u64>) {
        match old {
            Some(sequence) => self.low = sequence,
            None => self.end = middle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Halving;

    #[test]
    fn the_last_old_message_is_found_in_few_looks() {
        // Messages of a subject stand at every seventh sequence; those up to `last` are old.
        for (last, end) in [(7, 8), (7, 100_000), (49_000, 100_000), (99_995, 100_000), (99_995, 99_996)] {
            let (mut old, mut looks) = (Halving { low: 7, end }, 0);
            while let Some(middle) = old.middle() {
                looks += 1;
                let next = middle.div_ceil(7) * 7;
                old.saw(middle, (next <= last).then_some(next));
            }
            assert_eq!(old.low, last);
            assert!(looks <= 20, "{looks} looks for {last} of {end}");
        }
    }
}
