//! The only clock of the system: everything else takes `now` as an argument, or a [`Clock`] that a test can move.

use chrono::TimeDelta;
use domain::Timestamp;
use std::time::Duration;
use tokio::sync::watch;

/// The present moment.
#[allow(clippy::disallowed_methods, reason = "this is the replacement the lint names")]
pub fn now() -> Timestamp {
    chrono::Utc::now()
}

/// The moment of that many nanoseconds since the epoch, as the server stamps messages.
/// Nanoseconds that no stream can hold (before 1677, after 2262) become the epoch.
pub(crate) fn of_nanos(nanos: i128) -> Timestamp {
    chrono::DateTime::from_timestamp_nanos(i64::try_from(nanos).unwrap_or(0))
}

/// Tells the time, and wakes who waits for an instant.
#[derive(Debug, Clone)]
pub struct Clock {
    /// How far a hand has moved it; absent: nobody can.
    ahead: Option<watch::Receiver<TimeDelta>>,
}

/// Moves a clock made by [`Clock::movable`].
#[derive(Debug, Clone)]
pub struct ClockHand(watch::Sender<TimeDelta>);

impl Clock {
    /// The real time.
    pub fn real() -> Self {
        Self { ahead: None }
    }

    /// The real time, and a hand that moves it: soaks, windows and grace periods pass without waiting.
    pub fn movable() -> (Self, ClockHand) {
        let (hand, ahead) = watch::channel(TimeDelta::zero());
        (Self { ahead: Some(ahead) }, ClockHand(hand))
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.ahead.as_ref().map_or_else(now, |ahead| now() + *ahead.borrow())
    }

    /// Waits until the instant has come, or `longest` has passed, or somebody moved the clock: who waits asks again.
    pub async fn until(&self, instant: Timestamp, longest: Duration) {
        // Watched before the time is read, so that no move falls between.
        let watched = self.ahead.clone().map(|mut ahead| {
            ahead.mark_unchanged();
            ahead
        });
        let left = (instant - self.now()).to_std().unwrap_or(Duration::ZERO).min(longest);
        let slept = tokio::time::sleep(left);
        match watched {
            None => slept.await,
            Some(mut ahead) => {
                tokio::select! {
                    () = slept => {}
                    Ok(()) = ahead.changed() => {}
                }
            }
        }
    }
}

impl ClockHand {
    /// Lets this long pass.
    pub fn pass(&self, time: Duration) {
        let time = TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
        self.0.send_modify(|ahead| *ahead = ahead.checked_add(&time).unwrap_or(TimeDelta::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hand_moves_the_clock_and_wakes_who_waits() {
        let (clock, hand) = Clock::movable();
        let before = clock.now();
        let instant = before + TimeDelta::hours(1);
        let (waiting, hour) = (clock.clone(), Duration::from_secs(3600));
        let waits = async move {
            while waiting.now() < instant {
                waiting.until(instant, hour).await;
            }
        };
        let moves = async {
            tokio::task::yield_now().await;
            hand.pass(hour);
        };
        let both = async { tokio::join!(waits, moves) };
        tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
        assert!(clock.now() >= instant);
    }
}
