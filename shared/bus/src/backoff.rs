//! How long to wait before trying again: doubling from a first delay up to a cap. Knows no clock.

use std::time::Duration;

/// Doubling delays.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    cap: Duration,
    tries: u32,
}

impl Backoff {
    /// Delays `first`, `2 × first`, … up to `cap`.
    pub(crate) const fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, tries: 0 }
    }

    /// For asking a server again: 20 ms to 1 s.
    pub(crate) const fn of_server() -> Self {
        Self::new(Duration::from_millis(20), Duration::from_secs(1))
    }

    /// The next delay.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let delay = doubled(self.first, self.tries, self.cap);
        self.tries = self.tries.saturating_add(1);
        delay
    }

    /// Begins again with the first delay.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

/// `first` doubled `times` times, at most `cap`.
pub(crate) fn doubled(first: Duration, times: u32, cap: Duration) -> Duration {
    first.saturating_mul(2u32.saturating_pow(times)).min(cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_begin_again() {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(100));
        let delays: Vec<u128> = (0..5).map(|_| backoff.next_delay().as_millis()).collect();
        assert_eq!(delays, [20, 40, 80, 100, 100]);
        backoff.reset();
        assert_eq!(backoff.next_delay().as_millis(), 20);
        assert_eq!(doubled(Duration::from_secs(1), 4_000_000, Duration::from_secs(9)).as_secs(), 9);
    }
}
