//! What happens later: one heap, one task for all runs and delayed deliveries.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::hooks::Hook;
use crate::shared::{Shared, State};

/// How many timers fire under one hold of the lock.
const BATCH: usize = 64;

/// Something that happens later.
pub(crate) enum Timer {
    /// The pipeline leaves the queue.
    Start {
        run: u64,
        epoch: u64,
    },
    Finish {
        run: u64,
        epoch: u64,
        status: String,
    },
    /// A delayed delivery goes out.
    Send(Box<Hook>),
    /// A delivery that was to be overtaken has waited long enough.
    GiveUpOvertaking {
        run: u64,
    },
}

/// Timers by time, then by order of setting.
#[derive(Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<Entry>>,
    set: u64,
    earlier: bool,
}

impl Timers {
    pub(crate) fn set(&mut self, after: Duration, timer: Timer) {
        let entry = Entry { at: Instant::now() + after, order: self.set, timer };
        self.set += 1;
        self.earlier |= self.heap.peek().is_none_or(|first| entry < first.0);
        self.heap.push(Reverse(entry));
    }

    /// Whether the next timer became an earlier one since the last time asked.
    pub(crate) fn take_earlier(&mut self) -> bool {
        std::mem::take(&mut self.earlier)
    }

    fn due(&mut self, now: Instant) -> Option<Timer> {
        if self.heap.peek()?.0.at > now {
            return None;
        }
        self.heap.pop().map(|entry| entry.0.timer)
    }
}

/// Fires timers until the fake stops.
pub(crate) async fn run(cx: Arc<Shared>) {
    loop {
        let next = cx.change(fire);
        let wait = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = wait => {}
            () = cx.timer_wake.notified() => {}
            () = cx.stop.cancelled() => return,
        }
    }
}

/// Fires what is due; says when to come back.
fn fire(state: &mut State) -> Option<Instant> {
    let now = Instant::now();
    for _ in 0..BATCH {
        let Some(timer) = state.timers.due(now) else { break };
        match timer {
            Timer::Start { run, epoch } => state.start_planned(run, epoch),
            Timer::Finish { run, epoch, status } => state.finish_planned(run, epoch, &status),
            Timer::Send(hook) => state.post(*hook),
            Timer::GiveUpOvertaking { run } => state.give_up_overtaking(run),
        }
    }
    state.timers.heap.peek().map(|entry| entry.0.at)
}

struct Entry {
    at: Instant,
    order: u64,
    timer: Timer,
}

impl Entry {
    fn place(&self) -> (Instant, u64) {
        (self.at, self.order)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}
