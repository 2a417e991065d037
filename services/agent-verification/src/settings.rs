//! The agent's own settings. What is measured is in the policies.

use crate::network::{Network, NotANetwork};
use bus::Limits;
use platform::agent::AgentSettings;
use serde::{Deserialize, Serialize};
use service::{Documented, Invalid, Setting, at_least_one};

/// The agent's own settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// How many commands are worked at once.
    pub slots: usize,
    /// How many measurements this process makes at once.
    pub measurements: usize,
    /// Networks beside the public internet that may be reached.
    pub networks: Vec<String>,
}

impl Settings {
    pub(crate) fn agent(&self) -> AgentSettings {
        let limits = Limits { slots: self.slots, ..Limits::default() };
        AgentSettings { commands: limits, events: limits, ..AgentSettings::default() }
    }

    pub(crate) fn networks(&self) -> Result<Vec<Network>, NotANetwork> {
        self.networks.iter().map(|text| text.parse()).collect()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { slots: 64, measurements: 64, networks: Vec::new() }
    }
}

impl Documented for Settings {
    const SETTINGS: &'static [Setting] = &[
        Setting::new("slots", "How many commands are worked at once."),
        Setting::new("measurements", "How many measurements are made at once."),
        Setting::new(
            "networks",
            "Networks (as in 10.0.0.0/8) that measurements may reach beside the public internet: every loopback, private, \
             link-local or otherwise special address in none of them is refused.",
        ),
    ];

    fn check(&self) -> Result<(), Invalid> {
        at_least_one("slots", self.slots)?;
        at_least_one("measurements", self.measurements)?;
        match self.networks() {
            Ok(_) => Ok(()),
            Err(error) => Err(Invalid { key: "networks", reason: error.to_string() }),
        }
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
        let bad = [
            Settings { slots: 0, ..Settings::default() },
            Settings { measurements: 0, ..Settings::default() },
            Settings {
                networks: vec!["10.0.0.0/8".to_owned(), "intranet".to_owned()],
                ..Settings::default()
            },
        ];
        assert!(bad.iter().all(|settings| settings.check().is_err()));
        assert!(Settings::default().check().is_ok());
    }
}
