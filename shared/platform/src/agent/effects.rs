//! The points around each durable effect at which a test lets the process die.

use bus::crash_point;

/// Every crash point of an agent. Each lies right before or right after an effect that outlives the process.
pub const CRASH_POINTS: &[&str] = &[
    "agent.held.before",
    "agent.held.after",
    "agent.started.before",
    "agent.started.after",
    "agent.call.before",
    "agent.call.after",
    "agent.triggered.before",
    "agent.triggered.after",
    "agent.run.before",
    "agent.run.after",
    "agent.accepted.before",
    "agent.accepted.after",
    "agent.unknown.before",
    "agent.unknown.after",
    "agent.snapshot.before",
    "agent.snapshot.after",
    "agent.ended.before",
    "agent.ended.after",
    "agent.cancel.before",
    "agent.cancel.after",
    "agent.cancelsent.before",
    "agent.cancelsent.after",
];

/// The two points around an effect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around(&'static str, &'static str);

pub(super) const HELD: Around = Around("agent.held.before", "agent.held.after");
pub(super) const STARTED: Around = Around("agent.started.before", "agent.started.after");
pub(super) const CALL: Around = Around("agent.call.before", "agent.call.after");
pub(super) const TRIGGERED: Around = Around("agent.triggered.before", "agent.triggered.after");
pub(super) const RUN: Around = Around("agent.run.before", "agent.run.after");
pub(super) const ACCEPTED: Around = Around("agent.accepted.before", "agent.accepted.after");
pub(super) const UNKNOWN: Around = Around("agent.unknown.before", "agent.unknown.after");
pub(super) const SNAPSHOT: Around = Around("agent.snapshot.before", "agent.snapshot.after");
pub(super) const ENDED: Around = Around("agent.ended.before", "agent.ended.after");
pub(super) const CANCEL: Around = Around("agent.cancel.before", "agent.cancel.after");
pub(super) const CANCEL_SENT: Around = Around("agent.cancelsent.before", "agent.cancelsent.after");

impl Around {
    /// Makes the effect.
    pub(super) async fn effect<T>(self, effect: impl Future<Output = T>) -> T {
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
        let used =
            [HELD, STARTED, CALL, TRIGGERED, RUN, ACCEPTED, UNKNOWN, SNAPSHOT, ENDED, CANCEL, CANCEL_SENT];
        let used: Vec<&str> = used.iter().flat_map(|around| [around.0, around.1]).collect();
        assert_eq!(used, CRASH_POINTS);
    }
}
