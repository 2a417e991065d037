//! What an operator may set.

use serde::{Deserialize, Serialize};
use service::{Documented, Invalid, Setting};
use std::time::Duration;

/// The evaluator's own settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// How often every target is looked at whatever happened, in minutes.
    pub full_pass_minutes: u32,
    /// How many decisions of one deployment are written at once.
    pub writes_in_flight: usize,
    /// How many hints are published, and how many are worked, at once.
    pub hints_in_flight: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { full_pass_minutes: 5, writes_in_flight: 64, hints_in_flight: 32 }
    }
}

impl Settings {
    pub(crate) fn full_pass(&self) -> Duration {
        Duration::from_secs(u64::from(self.full_pass_minutes) * 60)
    }
}

impl Documented for Settings {
    const SETTINGS: &'static [Setting] = &[
        Setting::new(
            "full_pass_minutes",
            "How often every target is looked at whatever happened, in minutes.",
        ),
        Setting::new("writes_in_flight", "How many decisions of one deployment are written at once."),
        Setting::new("hints_in_flight", "How many hints are published, and how many are worked, at once."),
    ];

    fn check(&self) -> Result<(), Invalid> {
        for (key, ok, range) in [
            ("full_pass_minutes", (1..=1440).contains(&self.full_pass_minutes), "1 and 1440"),
            ("writes_in_flight", (1..=1024).contains(&self.writes_in_flight), "1 and 1024"),
            ("hints_in_flight", (1..=1024).contains(&self.hints_in_flight), "1 and 1024"),
        ] {
            if !ok {
                return Err(Invalid { key, reason: format!("must be between {range}") });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_documented_and_the_defaults_fit() {
        service::assert_documented::<Settings>();
        assert_eq!(Settings::default().check(), Ok(()));
        let none = Settings { writes_in_flight: 0, ..Settings::default() };
        assert_eq!(none.check().map_err(|invalid| invalid.key), Err("writes_in_flight"));
    }
}
