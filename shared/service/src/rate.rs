//! Token buckets: how often somebody may do something, on average and at once. Pure; the moment is an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many are remembered; beyond that those who may do everything again are forgotten, then the longest idle.
const KNOWN_MAX: usize = 20_000;

/// How often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// On average.
    pub per_second: f64,
    /// At once.
    pub burst: u32,
}

impl Rate {
    /// So often a second, and so often at once.
    pub fn per_second(times: u32, burst: u32) -> Self {
        Self { per_second: times.into(), burst }
    }

    /// So often a minute, and so often at once.
    pub fn per_minute(times: u32, burst: u32) -> Self {
        Self { per_second: f64::from(times) / 60.0, burst }
    }
}

/// What somebody may still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether this once is allowed.
    pub allowed: bool,
    /// How often at once at most.
    pub limit: u32,
    /// How often more now.
    pub remaining: u32,
    /// When as often as at most is allowed again, in seconds.
    pub reset_seconds: u64,
    /// When the next is allowed, in seconds: at least one.
    pub retry_seconds: u64,
}

/// A bucket of tokens for each.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Rate,
    known: Mutex<HashMap<K, Tokens>>,
}

#[derive(Debug, Clone, Copy)]
struct Tokens {
    left: f64,
    at: Instant,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// Full ones.
    pub fn new(rate: Rate) -> Self {
        Self { rate, known: Mutex::default() }
    }

    /// The same; `None` for a rate of zero, which is no limit.
    pub fn limiting(rate: Rate) -> Option<Self> {
        (rate.per_second > 0.0).then(|| Self::new(rate))
    }

    /// Takes a token, if there is one.
    pub fn take(&self, who: &K, now: Instant) -> Verdict {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX && !known.contains_key(who) {
            self.make_room(&mut known, now);
        }
        let full = Tokens { left: self.burst(), at: now };
        let tokens = known.entry(who.clone()).or_insert(full);
        tokens.left = self.left(*tokens, now);
        tokens.at = now;
        let allowed = tokens.left >= 1.0;
        if allowed {
            tokens.left -= 1.0;
        }
        self.verdict(allowed, tokens.left)
    }

    /// Whether [`Buckets::take`] would be allowed; takes nothing.
    pub fn look(&self, who: &K, now: Instant) -> Verdict {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let left = known.get(who).map_or(self.burst(), |tokens| self.left(*tokens, now));
        self.verdict(left >= 1.0, left)
    }

    fn burst(&self) -> f64 {
        f64::from(self.rate.burst)
    }

    fn left(&self, tokens: Tokens, now: Instant) -> f64 {
        let since = now.saturating_duration_since(tokens.at).as_secs_f64();
        (tokens.left + since * self.rate.per_second).min(self.burst())
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole tokens of at most a u32; a float becomes the nearest number there is"
    )]
    fn verdict(&self, allowed: bool, left: f64) -> Verdict {
        let seconds = |tokens: f64| (tokens.max(0.0) / self.rate.per_second).ceil() as u64;
        Verdict {
            allowed,
            limit: self.rate.burst,
            remaining: left as u32,
            reset_seconds: seconds(self.burst() - left),
            retry_seconds: seconds(1.0 - left).max(1),
        }
    }

    fn make_room(&self, known: &mut HashMap<K, Tokens>, now: Instant) {
        known.retain(|_, tokens| self.left(*tokens, now) < self.burst());
        if known.len() < KNOWN_MAX {
            return;
        }
        let mut idle: Vec<Duration> =
            known.values().map(|tokens| now.saturating_duration_since(tokens.at)).collect();
        let middle = idle.len() / 2;
        let (_, median, _) = idle.select_nth_unstable(middle);
        let median = *median;
        known.retain(|_, tokens| now.saturating_duration_since(tokens.at) < median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_burst_is_allowed_and_then_so_many_a_second() {
        let buckets = Buckets::new(Rate { per_second: 0.5, burst: 3 });
        let now = Instant::now();
        let taken: Vec<Verdict> = (0..4).map(|_| buckets.take(&"ann", now)).collect();
        assert_eq!(
            taken.iter().map(|verdict| verdict.allowed).collect::<Vec<_>>(),
            [true, true, true, false]
        );
        assert_eq!(taken.iter().map(|verdict| verdict.remaining).collect::<Vec<_>>(), [2, 1, 0, 0]);
        assert_eq!((taken[3].limit, taken[3].reset_seconds, taken[3].retry_seconds), (3, 6, 2));
        assert!(buckets.take(&"bob", now).allowed, "each has an own one");
        assert!(!buckets.take(&"ann", now + seconds(1)).allowed);
        assert!(buckets.look(&"ann", now + seconds(2)).allowed, "looking takes nothing");
        assert!(buckets.take(&"ann", now + seconds(2)).allowed);
        assert!(!buckets.take(&"ann", now + seconds(2)).allowed);
        assert_eq!(buckets.look(&"ann", now + seconds(3_600)).remaining, 3);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_who_was_refused_last_is_remembered() {
        let buckets = Buckets::new(Rate { per_second: 0.001, burst: 1 });
        let now = Instant::now();
        for n in 0..(3 * KNOWN_MAX as u64) {
            buckets.take(&n, now + Duration::from_micros(n));
        }
        assert!(buckets.known.lock().unwrap().len() <= KNOWN_MAX);
        assert!(!buckets.look(&(3 * KNOWN_MAX as u64 - 1), now + seconds(1)).allowed);
    }
}
