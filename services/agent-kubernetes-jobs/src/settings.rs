//! The agent's own settings. What belongs to one cluster or namespace is in the config of its job agent instead.

use cluster::{AllowedHosts, Options};
use platform::agent::AgentSettings;
use serde::{Deserialize, Serialize};
use service::{Documented, Invalid, Setting, at_least_one};
use std::path::PathBuf;
use std::time::Duration;

/// The agent's own settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// How many commands are worked at once.
    pub slots: usize,
    /// Seconds until a call (all its requests together) is given up.
    pub call_deadline_seconds: u64,
    /// Seconds after a start that got no answer during which its Job may still appear.
    pub search_lag_seconds: u64,
    /// How many requests of one credential this process has in flight at most.
    pub concurrent_calls: usize,
    /// Hosts that tokens named in a config may be sent to; empty for loopback only.
    pub hosts: Vec<String>,
    /// The kubeconfig for configs that name no cluster.
    pub kubeconfig: Option<PathBuf>,
    /// The API server as a pod of the agent's own cluster sees it.
    pub api_server: String,
    /// Where a pod finds its service account.
    pub service_account_dir: PathBuf,
}

impl Settings {
    pub(crate) fn agent(&self) -> AgentSettings {
        AgentSettings::new(self.slots, Duration::from_secs(self.call_deadline_seconds))
    }

    /// A call is up to three requests; each may take half of its time, so that one that hangs is told from a lost call.
    pub(crate) fn request_deadline(&self) -> Duration {
        Duration::from_secs(self.call_deadline_seconds) / 2
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
            search_lag_seconds: 5,
            concurrent_calls: 20,
            hosts: Vec::new(),
            kubeconfig: None,
            api_server: Options::IN_CLUSTER_SERVER.to_owned(),
            service_account_dir: PathBuf::from(Options::SERVICE_ACCOUNT_DIR),
        }
    }
}

impl Documented for Settings {
    const SETTINGS: &'static [Setting] = &[
        Setting::new("slots", "How many commands are worked at once."),
        Setting::new(
            "call_deadline_seconds",
            "Seconds until a call to a cluster is given up; its effect is then unknown and looked for.",
        ),
        Setting::new(
            "search_lag_seconds",
            "Seconds after a start that got no answer during which its Job may still appear.",
        ),
        Setting::new("concurrent_calls", "How many requests of one credential are in flight at most."),
        Setting::new(
            "hosts",
            "API servers (with a port where it is unusual) that a tokenSecret may be sent to, and no others; none: loopback \
             only.",
        ),
        Setting::new(
            "kubeconfig",
            "The kubeconfig file for job agents whose config names no cluster; without it they mean the cluster this \
             agent runs in.",
        ),
        Setting::new("api_server", "The API server as pods of the agent's own cluster see it."),
        Setting::new(
            "service_account_dir",
            "Where a pod finds its service account: token (read again as it is renewed) and ca.crt.",
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
        let settings = Settings::default();
        assert!(settings.request_deadline() < settings.agent().call_deadline);
    }
}
