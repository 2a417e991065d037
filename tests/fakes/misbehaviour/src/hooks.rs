//! Misbehaviour of webhooks: deliveries lost, repeated, late or out of order, scripted or by seed.

use crate::Dice;
use std::time::Duration;

/// The next `times` deliveries that match go wrong.
#[derive(Clone, Debug)]
pub struct HookFault {
    /// As the platform names it, for example `workflow_run`; `None` is any.
    pub event: Option<String>,
    /// What it tells: an action or a status, for example `completed`; `None` is any.
    pub tells: Option<String>,
    pub times: u32,
    pub kind: HookFaultKind,
}

impl HookFault {
    /// One delivery of this event that tells this.
    pub fn once(event: &str, tells: &str, kind: HookFaultKind) -> Self {
        Self { event: Some(event.to_owned()), tells: Some(tells.to_owned()), times: 1, kind }
    }
}

/// How a delivery goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookFaultKind {
    /// Never sent; listed as failed, so that it can be asked for again.
    Drop,
    /// Sent this many times more, with the same id.
    Repeat(u32),
    Delay(Duration),
    /// Sent after the next delivery about the same run, or after a second if none comes.
    Reorder,
}

/// Chances, 0.0 to 1.0, that a delivery goes wrong; drawn from the fake's seed.
#[derive(Clone, Debug, Default)]
pub struct HookChaos {
    pub drop: f64,
    pub repeat: f64,
    pub reorder: f64,
    pub delay: f64,
    /// Upper bound of a delay.
    pub delay_max: Duration,
}

/// What is still to go wrong.
#[derive(Debug, Default)]
pub struct HookFaults {
    pub chaos: HookChaos,
    scripted: Vec<HookFault>,
}

impl HookFaults {
    pub fn add(&mut self, fault: HookFault) {
        self.scripted.push(fault);
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// What happens to this delivery, if anything.
    pub fn take(&mut self, event: &str, tells: &str, dice: &mut Dice) -> Option<HookFaultKind> {
        let matches = |f: &HookFault| {
            f.event.as_deref().is_none_or(|e| e == event) && f.tells.as_deref().is_none_or(|t| t == tells)
        };
        if let Some(at) = self.scripted.iter().position(matches) {
            let fault = &mut self.scripted[at];
            fault.times = fault.times.saturating_sub(1);
            let kind = fault.kind.clone();
            if fault.times == 0 {
                self.scripted.remove(at);
            }
            return Some(kind);
        }
        let HookChaos { drop, repeat, reorder, delay, delay_max } = self.chaos;
        let mut roll = dice.unit();
        for (chance, kind) in [
            (drop, HookFaultKind::Drop),
            (repeat, HookFaultKind::Repeat(1)),
            (reorder, HookFaultKind::Reorder),
            (delay, HookFaultKind::Delay(delay_max.mul_f64(dice.unit()))),
        ] {
            if roll < chance {
                return Some(kind);
            }
            roll -= chance;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_goes_wrong_in_the_same_places() {
        let draw = |seed| {
            let chaos = HookChaos { drop: 0.2, repeat: 0.2, reorder: 0.2, ..HookChaos::default() };
            let mut faults = HookFaults { chaos, ..HookFaults::default() };
            let mut dice = Dice::new(seed);
            (0..200).map(|_| faults.take("workflow_run", "completed", &mut dice)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let wrong = draw(7).iter().flatten().count();
        assert!((80..160).contains(&wrong), "{wrong} of 200 at 60 %");
    }
}
