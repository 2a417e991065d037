//! The dispatcher's own settings.

use serde::{Deserialize, Serialize};
use service::{Documented, Invalid, Setting};
use std::time::Duration;

/// The dispatcher's own settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// How many facts are worked at once.
    pub slots: usize,
    /// Seconds between two looks at all slots of all agents.
    pub sweep_seconds: u64,
}

impl Settings {
    /// Between two sweeps.
    pub(crate) fn sweep(&self) -> Duration {
        Duration::from_secs(self.sweep_seconds)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { slots: 64, sweep_seconds: 60 }
    }
}

impl Documented for Settings {
    const SETTINGS: &'static [Setting] = &[
        Setting::new("slots", "How many job facts are worked at once."),
        Setting::new("sweep_seconds", "Seconds between two looks at the slots of all agents with a limit."),
    ];

    fn check(&self) -> Result<(), Invalid> {
        let at_least_one = |key, ok: bool| {
            if ok { Ok(()) } else { Err(Invalid { key, reason: "must be at least 1".to_owned() }) }
        };
        at_least_one("slots", self.slots > 0)?;
        at_least_one("sweep_seconds", self.sweep_seconds > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_documented() {
        service::assert_documented::<Settings>();
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Settings { slots: 0, ..Settings::default() }.check().is_err());
        assert!(Settings { sweep_seconds: 0, ..Settings::default() }.check().is_err());
    }
}
