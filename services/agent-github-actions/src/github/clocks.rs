//! How far GitHub's clocks are from ours, by what their answers say. Times we send are by their clock: a JWT must not be
//! from the future, and a search must not begin after the run it looks for.

use chrono::{DateTime, TimeDelta};
use domain::Timestamp;
use http::HeaderMap;
use http::header::DATE;
use platform::Clock;
use platform::http::text;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// How many hosts are remembered.
const HOSTS_MAX: usize = 1_000;
/// What the way of an answer and whole seconds explain is no difference.
const EXPLAINED: TimeDelta = TimeDelta::seconds(10);

/// The clocks of all hosts.
#[derive(Debug)]
pub(super) struct Clocks {
    ours: Clock,
    ahead: Mutex<HashMap<String, TimeDelta>>,
}

impl Clocks {
    pub(super) fn new(ours: Clock) -> Self {
        Self { ours, ahead: Mutex::default() }
    }

    /// Now, by our clock.
    pub(super) fn now(&self) -> Timestamp {
        self.ours.now()
    }

    /// A moment of our clock by the host's.
    pub(super) fn by(&self, host: &str, moment: Timestamp) -> Timestamp {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        moment + ahead.get(host).copied().unwrap_or_else(TimeDelta::zero)
    }

    /// Takes note of an answer's `Date`. Whether it changed what we believed.
    pub(super) fn heard(&self, host: &str, headers: &HeaderMap) -> bool {
        let date = text(headers, DATE.as_str()).and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        let Some(date) = date else { return false };
        let ahead = date.to_utc() - self.ours.now();
        let mut known = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let believed = known.get(host).copied().unwrap_or_else(TimeDelta::zero);
        if (ahead - believed).abs() <= EXPLAINED {
            return false;
        }
        tracing::warn!(host, ahead_seconds = ahead.num_seconds(), "GitHub's clock differs from ours");
        if known.len() >= HOSTS_MAX {
            known.clear();
        }
        known.insert(host.to_owned(), ahead);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_difference_is_believed_until_it_changes() {
        let (ours, hand) = Clock::movable();
        let clocks = Clocks::new(ours.clone());
        let answer = |seconds: i64| {
            let date = (bus::clock::now() + TimeDelta::seconds(seconds)).to_rfc2822().replace("+0000", "GMT");
            HeaderMap::from_iter([(DATE, date.parse().unwrap())])
        };
        assert!(!clocks.heard("a", &answer(3)), "the way of an answer explains it");
        assert!(!clocks.heard("a", &HeaderMap::new()));
        assert!(clocks.heard("a", &answer(-3_600)));
        assert!(!clocks.heard("a", &answer(-3_601)));
        let now = ours.now();
        let differs = now - clocks.by("a", now);
        assert!((3_595..=3_605).contains(&differs.num_seconds()), "{differs}");
        assert_eq!(clocks.by("b", now), now);
        hand.pass(Duration::from_secs(60));
        assert!(clocks.heard("a", &answer(-3_600)), "ours was put forward");
    }
}
