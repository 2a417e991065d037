//! Now, as the shell of this crate asks for it: the bus' clock, or one that a test moves.

use chrono::TimeDelta;
use domain::Timestamp;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Tells the time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The real time.
    pub fn real() -> Self {
        Self(Arc::new(bus::clock::now))
    }

    /// The real time, and a hand that moves it: grace periods pass without waiting.
    pub fn movable() -> (Self, ClockHand) {
        let hand = ClockHand(Arc::new(AtomicI64::new(0)));
        let moved = hand.clone();
        let clock = move || bus::clock::now() + TimeDelta::milliseconds(moved.0.load(Ordering::Relaxed));
        (Self(Arc::new(clock)), hand)
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

/// Moves a clock made by [`Clock::movable`].
#[derive(Debug, Clone)]
pub struct ClockHand(Arc<AtomicI64>);

impl ClockHand {
    /// Lets this long pass.
    pub fn pass(&self, time: std::time::Duration) {
        self.0.fetch_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}
