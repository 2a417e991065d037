//! Misbehaviour of webhooks: deliveries lost, repeated, late or out of order, scripted or by seed.

use std::time::Duration;

/// The next `times` deliveries that match go wrong.
#[derive(Clone, Debug)]
pub struct HookFault {
    /// For example `Pipeline Hook`; `None` is any.
    pub event: Option<String>,
    /// The status it tells, for example `success`; `None` is any.
    pub status: Option<String>,
    pub times: u32,
    pub kind: HookFaultKind,
}

impl HookFault {
    /// One delivery of this event that tells this status.
    pub fn once(event: &str, status: &str, kind: HookFaultKind) -> Self {
        Self { event: Some(event.to_owned()), status: Some(status.to_owned()), times: 1, kind }
    }
}

/// How a delivery goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookFaultKind {
    /// Never sent; listed as failed, so that it can be asked for again.
    Drop,
    /// Sent this many times more, with the same idempotency key.
    Repeat(u32),
    Delay(Duration),
    /// Sent after the next delivery about the same pipeline, or after a second if none comes.
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
pub(crate) struct HookFaults {
    pub(crate) chaos: HookChaos,
    scripted: Vec<HookFault>,
}

impl HookFaults {
    pub(crate) fn add(&mut self, fault: HookFault) {
        self.scripted.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What happens to this delivery, if anything.
    pub(crate) fn take(&mut self, event: &str, status: &str, dice: &mut Dice) -> Option<HookFaultKind> {
        let matches = |f: &HookFault| {
            f.event.as_deref().is_none_or(|e| e == event) && f.status.as_deref().is_none_or(|s| s == status)
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

/// A small seeded generator (SplitMix64): repeatable, not secret.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly in 0.0..1.0.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
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
            (0..200).map(|_| faults.take("Pipeline Hook", "success", &mut dice)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let wrong = draw(7).iter().flatten().count();
        assert!((80..160).contains(&wrong), "{wrong} of 200 at 60 %");
    }
}
