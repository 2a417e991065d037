//! The agent's own settings. What belongs to one repository is in the config of its job agent instead.

use crate::github::AllowedHosts;
use platform::agent::AgentSettings;
use platform::http::HttpOptions;
use platform::recovery::RecoverySettings;
use serde::{Deserialize, Serialize};
use service::{Documented, Invalid, Setting, at_least_one};
use std::time::Duration;

/// The agent's own settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// How many commands, and as many webhooks of each kind, are worked at once.
    pub slots: usize,
    /// Seconds until a call (a request, and what it takes to be let in) is given up.
    pub call_deadline_seconds: u64,
    /// Seconds after a dispatch during which a search may still not show its run.
    pub search_lag_seconds: u64,
    /// Writes per minute and credential on github.com, where a job agent's config says nothing.
    pub writes_per_minute: u32,
    /// How many requests of one credential this process has in flight at most.
    pub concurrent_calls: usize,
    /// Hosts credentials may be sent to; empty for api.github.com, over https.
    pub hosts: Vec<String>,
    /// Seconds between two looks at GitHub's log of webhook deliveries; 0 for none.
    pub recover_seconds: u64,
}

impl Settings {
    pub(crate) fn agent(&self) -> AgentSettings {
        AgentSettings::new(self.slots, Duration::from_secs(self.call_deadline_seconds))
    }

    /// One request takes two thirds of a call at most: a token may have to be minted first.
    pub(crate) fn http(&self) -> HttpOptions {
        let deadline = Duration::from_secs(self.call_deadline_seconds) * 2 / 3;
        let user_agent = concat!("ctrlplane-agent-github-actions/", env!("CARGO_PKG_VERSION"));
        HttpOptions::new(user_agent, deadline)
    }

    /// How missed deliveries are looked for; `None`: they are not.
    pub(crate) fn recovery(&self) -> Option<RecoverySettings> {
        let call_deadline = Duration::from_secs(self.call_deadline_seconds);
        RecoverySettings::every(Duration::from_secs(self.recover_seconds), call_deadline)
    }

    pub(crate) fn search_lag(&self) -> Duration {
        Duration::from_secs(self.search_lag_seconds)
    }

    pub(crate) fn hosts(&self) -> AllowedHosts {
        AllowedHosts::new(self.hosts.iter().cloned())
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slots: 64,
            call_deadline_seconds: 15,
            search_lag_seconds: 60,
            writes_per_minute: 80,
            concurrent_calls: 10,
            hosts: Vec::new(),
            recover_seconds: 120,
        }
    }
}

impl Documented for Settings {
    const SETTINGS: &'static [Setting] = &[
        Setting::new("slots", "How many commands, and as many webhooks of each kind, are worked at once."),
        Setting::new(
            "call_deadline_seconds",
            "Seconds until a call to GitHub is given up; its effect is then unknown and looked for.",
        ),
        Setting::new(
            "search_lag_seconds",
            "Seconds after a dispatch that got no answer during which its run may still appear, or GitHub's search not show it.",
        ),
        Setting::new(
            "writes_per_minute",
            "Workflow starts per minute and credential on github.com, over all replicas, where a job agent's \
             rateLimit.writesPerMinute says nothing; 0 is no pace.",
        ),
        Setting::new("concurrent_calls", "How many requests of one credential are in flight at most."),
        Setting::new(
            "hosts",
            "API hosts (with a port where it is unusual) that credentials may be sent to, and no others; none: api.github.com over https, and \
             loopback.",
        ),
        Setting::new(
            "recover_seconds",
            "Seconds between two looks at GitHub's log of webhook deliveries, to ask for what did not reach us (while \
             something is missing, every half minute); 0 is never.",
        ),
    ];

    fn check(&self) -> Result<(), Invalid> {
        at_least_one("slots", self.slots)?;
        at_least_one("call_deadline_seconds", self.call_deadline_seconds)?;
        at_least_one("concurrent_calls", self.concurrent_calls)
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
            Settings { call_deadline_seconds: 0, ..Settings::default() },
            Settings { concurrent_calls: 0, ..Settings::default() },
        ];
        assert!(bad.iter().all(|settings| settings.check().is_err()));
        assert!(Settings::default().check().is_ok());
    }

    #[test]
    fn a_request_ends_before_its_call() {
        for seconds in [1, 15, 60] {
            let settings = Settings { call_deadline_seconds: seconds, ..Settings::default() };
            let (http, agent) = (settings.http(), settings.agent());
            assert!(http.connect_timeout <= http.deadline && http.deadline < agent.call_deadline);
        }
    }
}
