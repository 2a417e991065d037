//! The points around each durable effect at which a test lets the process die.

use bus::crash_point;

/// The places where a crash is tried: before and after everything that is made durable here.
pub const CRASH_POINTS: &[&str] = &[
    "pull.queued.before",
    "pull.queued.after",
    "pull.claimed.before",
    "pull.claimed.after",
    "pull.started.before",
    "pull.started.after",
    "pull.told.before",
    "pull.told.after",
    "pull.renewed.before",
    "pull.renewed.after",
    "pull.reported.before",
    "pull.reported.after",
    "pull.released.before",
    "pull.released.after",
    "pull.lost.before",
    "pull.lost.after",
    "pull.wished.before",
    "pull.wished.after",
    "pull.cancelsent.before",
    "pull.cancelsent.after",
    "pull.held.before",
    "pull.held.after",
    "pull.closed.before",
    "pull.closed.after",
];

/// The two points around an effect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around(&'static str, &'static str);

pub(crate) const QUEUED: Around = Around("pull.queued.before", "pull.queued.after");
pub(crate) const CLAIMED: Around = Around("pull.claimed.before", "pull.claimed.after");
pub(crate) const STARTED: Around = Around("pull.started.before", "pull.started.after");
pub(crate) const TOLD: Around = Around("pull.told.before", "pull.told.after");
pub(crate) const RENEWED: Around = Around("pull.renewed.before", "pull.renewed.after");
pub(crate) const REPORTED: Around = Around("pull.reported.before", "pull.reported.after");
pub(crate) const RELEASED: Around = Around("pull.released.before", "pull.released.after");
pub(crate) const LOST: Around = Around("pull.lost.before", "pull.lost.after");
pub(crate) const WISHED: Around = Around("pull.wished.before", "pull.wished.after");
pub(crate) const CANCEL_SENT: Around = Around("pull.cancelsent.before", "pull.cancelsent.after");
pub(crate) const HELD: Around = Around("pull.held.before", "pull.held.after");
pub(crate) const CLOSED: Around = Around("pull.closed.before", "pull.closed.after");

impl Around {
    /// Makes the effect.
    pub(crate) async fn effect<T>(self, effect: impl Future<Output = T>) -> T {
        crash_point(self.0);
        let made = effect.await;
        crash_point(self.1);
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_listed_once() {
        let used = [
            QUEUED,
            CLAIMED,
            STARTED,
            TOLD,
            RENEWED,
            REPORTED,
            RELEASED,
            LOST,
            WISHED,
            CANCEL_SENT,
            HELD,
            CLOSED,
        ];
        let used: Vec<&str> = used.iter().flat_map(|around| [around.0, around.1]).collect();
        assert_eq!(used, CRASH_POINTS);
    }
}
