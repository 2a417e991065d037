//! News of workflows: a bounded history that streams read on from, and what goes wrong on the way, scripted or by seed.

use misbehaviour::Dice;
use serde_json::Value;
use std::collections::VecDeque;

/// How many changes are remembered, as the Kubernetes API does for some minutes.
const KEPT: usize = 4_096;

/// What goes wrong with one change on its way to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewsFault {
    /// It is never told.
    Drop,
    /// It is told twice.
    Repeat,
    /// The stream ends before it.
    Cut,
}

/// Chances, 0.0 to 1.0, that a change goes wrong; drawn from the fake's seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewsChaos {
    pub drop: f64,
    pub repeat: f64,
    pub cut: f64,
}

/// One change.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) version: u64,
    /// `ADDED`, `MODIFIED`, `DELETED`.
    pub(crate) kind: &'static str,
    pub(crate) object: Value,
    pub(crate) fault: Option<NewsFault>,
}

/// What happened, as far as it is remembered.
#[derive(Debug)]
pub(crate) struct History {
    changes: VecDeque<Change>,
    /// Who was last told of is older than this cannot be told what came after.
    forgotten: u64,
    scripted: VecDeque<NewsFault>,
    chaos: NewsChaos,
    dice: Dice,
}

impl History {
    pub(crate) fn new(chaos: NewsChaos, seed: u64) -> Self {
        let (changes, scripted) = (VecDeque::new(), VecDeque::new());
        Self { changes, forgotten: 0, scripted, chaos, dice: Dice::new(seed) }
    }

    pub(crate) fn push(&mut self, version: u64, kind: &'static str, object: Value) {
        let fault = self.scripted.pop_front().or_else(|| self.draw());
        self.changes.push_back(Change { version, kind, object, fault });
        if self.changes.len() > KEPT {
            self.forgotten = self.changes.pop_front().map_or(self.forgotten, |change| change.version);
        }
    }

    /// What came after that version; `None` where that is not remembered any more.
    pub(crate) fn after(&self, version: u64) -> Option<impl Iterator<Item = &Change>> {
        (version >= self.forgotten)
            .then(|| self.changes.iter().filter(move |change| change.version > version))
    }

    pub(crate) fn forget(&mut self, now: u64) {
        self.changes.clear();
        self.forgotten = now;
    }

    /// Nothing goes wrong with that change any more.
    pub(crate) fn mend(&mut self, version: u64) {
        for change in self.changes.iter_mut().filter(|change| change.version == version) {
            change.fault = None;
        }
    }

    pub(crate) fn script(&mut self, faults: &[NewsFault]) {
        self.scripted.extend(faults);
    }

    fn draw(&mut self) -> Option<NewsFault> {
        let mut roll = self.dice.unit();
        let NewsChaos { drop, repeat, cut } = self.chaos;
        for (chance, fault) in [(drop, NewsFault::Drop), (repeat, NewsFault::Repeat), (cut, NewsFault::Cut)] {
            if roll < chance {
                return Some(fault);
            }
            roll -= chance;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(seed: u64) -> Vec<Option<NewsFault>> {
        let mut history = History::new(NewsChaos { drop: 0.2, repeat: 0.2, cut: 0.1 }, seed);
        (1..=200).for_each(|version| history.push(version, "MODIFIED", Value::Null));
        history.after(0).unwrap().map(|change| change.fault).collect()
    }

    #[test]
    fn the_same_seed_goes_wrong_in_the_same_places() {
        assert_eq!(faults(7), faults(7));
        assert_ne!(faults(7), faults(8));
        let wrong = faults(7).iter().flatten().count();
        assert!((60..140).contains(&wrong), "{wrong} of 200 at 50 %");
    }

    #[test]
    fn what_is_forgotten_cannot_be_read_on_from() {
        let mut history = History::new(NewsChaos::default(), 1);
        (1..=3).for_each(|version| history.push(version, "ADDED", Value::Null));
        assert_eq!(history.after(1).unwrap().count(), 2);
        history.forget(3);
        assert!(history.after(2).is_none());
        assert_eq!(history.after(3).unwrap().count(), 0);
    }
}
