//! Whether a service can do its work now: the sum of gates that its parts open and close. It does not check anything itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// The gates of one service; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, GateState>>>);

/// What a gate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GateState {
    /// Open.
    pub ready: bool,
    /// Why, for a person; no secret.
    pub reason: String,
}

/// One condition of readiness, held by the part that knows it.
#[derive(Clone, Debug)]
pub struct Gate {
    name: String,
    all: Readiness,
}

impl Readiness {
    /// A new gate, closed until it is set. Make all gates of a service before setting any. Asking for a name again gives
    /// the same gate, closed again.
    pub fn gate(&self, name: &str) -> Gate {
        let gate = Gate { name: name.to_owned(), all: self.clone() };
        gate.set(false, "starting");
        gate
    }

    /// All gates are open, and there is one at least: a service that has not said anything is not ready.
    pub fn is_ready(&self) -> bool {
        let gates = self.lock();
        !gates.is_empty() && gates.values().all(|gate| gate.ready)
    }

    /// All gates by name.
    pub fn gates(&self) -> BTreeMap<String, GateState> {
        self.lock().clone()
    }

    /// Every statement leaves the map whole, so a poisoned lock can be used.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, GateState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    /// Opens or closes the gate, saying why. A change of state is logged, once.
    pub fn set(&self, ready: bool, reason: &str) {
        let state = GateState { ready, reason: telemetry::redact(reason).into_owned() };
        let before = self.all.lock().insert(self.name.clone(), state);
        if before.is_none_or(|before| before.ready != ready) {
            tracing::info!(gate = self.name, ready, reason, "readiness");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_when_every_gate_is_open() {
        let readiness = Readiness::default();
        assert!(!readiness.is_ready(), "nothing was said yet");
        let (bus, store) = (readiness.gate("bus"), readiness.gate("store"));
        assert!(!readiness.is_ready());
        bus.set(true, "connected");
        assert!(!readiness.is_ready());
        store.set(true, "connected");
        assert!(readiness.is_ready());
        bus.set(false, "lost nats://u:hunter2@bus");
        assert!(!readiness.is_ready());
        let gates = readiness.gates();
        assert_eq!(gates["bus"], GateState { ready: false, reason: "lost nats://u:[redacted]@bus".into() });
        assert!(gates["store"].ready);
    }
}
