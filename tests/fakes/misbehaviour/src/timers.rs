//! What a stand-in does later: all of it in one heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;
use tokio::time::Instant;

/// Timers by time, then by order of setting.
#[derive(Debug)]
pub struct Timers<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    set: u64,
    earlier: bool,
}

impl<T> Timers<T> {
    /// Has it come after so long.
    pub fn set(&mut self, after: Duration, timer: T) {
        let entry = Entry { at: Instant::now() + after, order: self.set, timer };
        self.set += 1;
        self.earlier |= self.heap.peek().is_none_or(|first| entry < first.0);
        self.heap.push(Reverse(entry));
    }

    /// Whether the next timer became an earlier one since the last time asked.
    pub(crate) fn take_earlier(&mut self) -> bool {
        std::mem::take(&mut self.earlier)
    }

    pub(crate) fn due(&mut self, now: Instant) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|entry| entry.0.timer)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|entry| entry.0.at)
    }
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), set: 0, earlier: false }
    }
}

#[derive(Debug)]
struct Entry<T> {
    at: Instant,
    order: u64,
    timer: T,
}

impl<T> Entry<T> {
    fn place(&self) -> (Instant, u64) {
        (self.at, self.order)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_come_by_time_and_then_as_they_were_set() {
        let mut timers = Timers::default();
        for (after, name) in [(2, "c"), (1, "a"), (1, "b"), (3, "d")] {
            timers.set(Duration::from_secs(after), name);
        }
        assert!(timers.take_earlier() && !timers.take_earlier());
        timers.set(Duration::from_secs(9), "e");
        assert!(!timers.take_earlier(), "the next one is still the next one");
        assert_eq!(timers.due(Instant::now()), None);
        let later = Instant::now() + Duration::from_secs(5);
        let due: Vec<_> = std::iter::from_fn(|| timers.due(later)).collect();
        assert_eq!(due, ["a", "b", "c", "d"]);
        assert!(timers.next().is_some_and(|at| at > later));
    }
}
