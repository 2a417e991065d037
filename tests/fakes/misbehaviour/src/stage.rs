//! The state of a stand-in behind one lock that is held shortly, the way to wait for a change of it, and the task that
//! brings about what was to happen later.

use crate::timers::Timers;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How many timers fire under one hold of the lock.
const BATCH: usize = 64;

/// A state in which things happen later.
pub trait Timed {
    /// Something that happens later.
    type Timer;

    /// All that was set.
    fn timers(&mut self) -> &mut Timers<Self::Timer>;

    /// It happens now.
    fn fire(&mut self, timer: Self::Timer);
}

/// Where a stand-in keeps its state.
#[derive(Debug)]
pub struct Stage<S> {
    state: Mutex<S>,
    changed: watch::Sender<u64>,
    earlier: Notify,
    stop: CancellationToken,
}

impl<S: Timed> Stage<S> {
    /// Holds that state.
    pub fn new(state: S) -> Self {
        Self {
            state: Mutex::new(state),
            changed: watch::Sender::new(0),
            earlier: Notify::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Cancelled when the stand-in is shut down.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Looks without announcing a change.
    pub fn lock(&self) -> MutexGuard<'_, S> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes whoever waits for a change.
    pub fn change<T>(&self, act: impl FnOnce(&mut S) -> T) -> T {
        let mut state = self.lock();
        let result = act(&mut state);
        let earlier = state.timers().take_earlier();
        drop(state);
        if earlier {
            self.earlier.notify_one();
        }
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
        result
    }

    /// Waits until `look` finds something; `None` when the time is up or the stand-in was shut down.
    pub async fn wait<T>(&self, timeout: Duration, mut look: impl FnMut(&S) -> Option<T>) -> Option<T> {
        let mut changes = self.changed.subscribe();
        let found = async {
            loop {
                if let Some(found) = look(&self.lock()) {
                    return Some(found);
                }
                changes.changed().await.ok()?;
            }
        };
        tokio::select! {
            found = found => found,
            () = tokio::time::sleep(timeout) => None,
            () = self.stop.cancelled() => None,
        }
    }

    /// Fires timers until the stand-in stops.
    pub async fn run(&self) {
        loop {
            let next = self.change(fire);
            let wait = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                () = self.earlier.notified() => {}
                () = self.stop.cancelled() => return,
            }
        }
    }
}

/// Fires what is due; says when to come back.
fn fire<S: Timed>(state: &mut S) -> Option<Instant> {
    let now = Instant::now();
    for _ in 0..BATCH {
        let Some(timer) = state.timers().due(now) else { break };
        state.fire(timer);
    }
    state.timers().next()
}
