//! What an operator may set.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use service::{Documented, Invalid, Setting};

/// The API's own settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Who may call.
    pub auth: AuthSettings,
    /// Live events.
    pub events: EventSettings,
}

/// Who may call. With neither file every request is refused.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthSettings {
    /// Lines `name:role:sha256hex[:workspace]`.
    pub keys_file: Option<PathBuf>,
    /// A file that holds one key, in clear, which may do everything.
    pub bootstrap_key_file: Option<PathBuf>,
}

/// Live events.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct EventSettings {
    /// How many clients may listen at once.
    pub clients_max: usize,
    /// How long a client may leave its buffer full before it is cut off, in seconds.
    pub slow_client_seconds: u64,
}

impl EventSettings {
    pub(crate) fn slow_client(&self) -> Duration {
        Duration::from_secs(self.slow_client_seconds)
    }
}

impl Default for EventSettings {
    fn default() -> Self {
        Self { clients_max: 2_000, slow_client_seconds: 20 }
    }
}

impl Documented for Settings {
    const SETTINGS: &'static [Setting] = &[
        Setting::new(
            "auth.keys_file",
            "File of API keys, one per line: name:role:sha256hex[:workspace]; roles viewer, operator, approver, admin. \
             Read at the start.",
        ),
        Setting::new(
            "auth.bootstrap_key_file",
            "File that holds one API key, in clear, with the role admin.",
        ),
        Setting::new("events.clients_max", "How many clients may listen to live events at once."),
        Setting::new(
            "events.slow_client_seconds",
            "How many seconds a client may leave its buffer of live events full before it is cut off.",
        ),
    ];

    fn check(&self) -> Result<(), Invalid> {
        if self.events.clients_max == 0 {
            return Err(Invalid { key: "events.clients_max", reason: "must be at least 1".to_owned() });
        }
        if self.events.slow_client_seconds == 0 {
            return Err(Invalid {
                key: "events.slow_client_seconds",
                reason: "must be at least 1".to_owned(),
            });
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
    }
}
