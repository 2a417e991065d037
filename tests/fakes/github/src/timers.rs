//! What happens later.

use crate::hooks::Hook;
use crate::model::Conclusion;
use crate::shared::State;
use misbehaviour::{Timed, Timers};

/// Something that happens later.
pub(crate) enum Timer {
    /// The run leaves the queue.
    Start {
        run: u64,
        epoch: u64,
    },
    Finish {
        run: u64,
        epoch: u64,
        conclusion: Conclusion,
    },
    /// A delayed delivery goes out.
    Send(Box<Hook>),
    /// A delivery that was to be overtaken has waited long enough.
    GiveUpOvertaking {
        run: u64,
    },
}

impl Timed for State {
    type Timer = Timer;

    fn timers(&mut self) -> &mut Timers<Timer> {
        &mut self.timers
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Start { run, epoch } => self.start(run, epoch),
            Timer::Finish { run, epoch, conclusion } => self.finish_planned(run, epoch, conclusion),
            Timer::Send(hook) => self.post(*hook),
            Timer::GiveUpOvertaking { run } => self.give_up_overtaking(run),
        }
    }
}
