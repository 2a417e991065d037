//! The agent's own settings. What belongs to one Argo is in the config of its job agent instead.

use crate::argo::AllowedHosts;
use platform::agent::AgentSettings;
use platform::http::HttpOptions;
use serde::{Deserialize, Serialize};
use service::{Documented, Invalid, Setting, at_least_one};
use std::path::PathBuf;
use std::time::Duration;

/// The longest answer that is read. A workflow of ten thousand nodes takes about ten megabytes.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The agent's own settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// How many commands are worked at once.
    pub slots: usize,
    /// Seconds until a call is given up.
    pub call_deadline_seconds: u64,
    /// How many requests of one credential this process has in flight at most.
    pub concurrent_calls: usize,
    /// Hosts credentials may be sent to; empty for loopback only.
    pub hosts: Vec<String>,
    /// The kubeconfig for job agents that go through the Kubernetes API and name no cluster; else the cluster the agent runs in.
    pub kubeconfig: Option<PathBuf>,
}

impl Settings {
    pub(crate) fn agent(&self) -> AgentSettings {
        AgentSettings::new(self.slots, Duration::from_secs(self.call_deadline_seconds))
    }

    /// One request takes two thirds of a call at most: after a refusal the workflow of that name may have to be read.
    pub(crate) fn http(&self) -> HttpOptions {
        let deadline = Duration::from_secs(self.call_deadline_seconds) * 2 / 3;
        let user_agent = concat!("ctrlplane-agent-argo-workflows/", env!("CARGO_PKG_VERSION"));
        HttpOptions { body_bytes_max: BODY_BYTES_MAX, ..HttpOptions::new(user_agent, deadline) }
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
            concurrent_calls: 10,
            hosts: Vec::new(),
            kubeconfig: None,
        }
    }
}

impl Documented for Settings {
    const SETTINGS: &'static [Setting] = &[
        Setting::new("slots", "How many commands are worked at once."),
        Setting::new(
            "call_deadline_seconds",
            "Seconds until a call to Argo is given up; its effect is then unknown and looked for.",
        ),
        Setting::new("concurrent_calls", "How many requests of one credential are in flight at most."),
        Setting::new(
            "hosts",
            "Hosts of Argo Servers and Kubernetes APIs (with a port where it is unusual) that credentials may be sent to, \
             and no others; none: loopback only.",
        ),
        Setting::new(
            "kubeconfig",
            "The kubeconfig file for job agents that go through the Kubernetes API and name no cluster; none: the \
             cluster the agent runs in.",
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
