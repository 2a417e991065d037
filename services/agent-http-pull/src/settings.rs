//! The service's own settings. Who may pull is in the catalog and the secrets.

use bus::Limits;
use serde::{Deserialize, Serialize};
use service::{Documented, Invalid, Setting};
use std::time::Duration;

/// The service's own settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// How many commands are worked at once.
    pub slots: usize,
    /// How many requests over the bus are answered at once.
    pub requests: usize,
    /// A lease where the puller asks for none.
    pub lease_seconds: u32,
    /// The longest lease a puller may ask for.
    pub lease_seconds_max: u32,
    /// The longest a puller may wait for a job in one request.
    pub wait_seconds_max: u32,
    /// After so many lost leases of one attempt a job is over.
    pub lost_leases_max: u32,
    /// Requests of an agent's pullers per second, on average; 0: as many as they like.
    pub requests_per_second: u32,
    /// Requests of an agent's pullers at once.
    pub requests_at_once: u32,
    /// Wrong keys per address and minute, on average; 0: as many as they like.
    pub failures_per_minute: u32,
    /// Wrong keys per address at once.
    pub failures_at_once: u32,
    /// How many proxies of ours stand in front, each of which adds an address to X-Forwarded-For.
    pub forwarded_hops: u32,
}

impl Settings {
    pub(crate) fn commands(&self) -> Limits {
        Limits { slots: self.slots, ..Limits::default() }
    }

    pub(crate) fn wait(&self, asked_seconds: Option<u32>) -> Duration {
        Duration::from_secs(asked_seconds.unwrap_or(0).min(self.wait_seconds_max).into())
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slots: 64,
            requests: 1_024,
            lease_seconds: 60,
            lease_seconds_max: 3_600,
            wait_seconds_max: 60,
            lost_leases_max: 3,
            requests_per_second: 200,
            requests_at_once: 2_000,
            failures_per_minute: 30,
            failures_at_once: 30,
            forwarded_hops: 0,
        }
    }
}

impl Documented for Settings {
    const SETTINGS: &'static [Setting] = &[
        Setting::new("slots", "How many commands are worked at once."),
        Setting::new(
            "requests",
            "How many requests over the bus are answered at once, those that wait for a job included.",
        ),
        Setting::new(
            "lease_seconds",
            "How many seconds a claimed job stays with a puller that gives no sign of life, unless it asks for another lease.",
        ),
        Setting::new("lease_seconds_max", "The longest lease a puller may ask for, in seconds."),
        Setting::new("wait_seconds_max", "How many seconds one request may wait for a job."),
        Setting::new(
            "lost_leases_max",
            "After how many lost leases of one attempt a job is not given out again but ends as external_run_not_found.",
        ),
        Setting::new(
            "requests_per_second",
            "How many requests per second the pullers of one agent may make on average, at each replica; 0 is no limit.",
        ),
        Setting::new("requests_at_once", "How many requests they may make at once beyond that."),
        Setting::new(
            "failures_per_minute",
            "How many wrong keys per minute may come from an address on average, at each replica; 0 is no limit. Beyond that \
             no key is tried that comes from there.",
        ),
        Setting::new("failures_at_once", "How many wrong keys may come from an address at once beyond that."),
        Setting::new(
            "forwarded_hops",
            "How many proxies of yours stand in front of pullers' HTTP, each adding an address to X-Forwarded-For; 0 takes the \
             address of the connection.",
        ),
    ];

    fn check(&self) -> Result<(), Invalid> {
        let positive = [
            ("slots", self.slots as u64),
            ("requests", self.requests as u64),
            ("lease_seconds", self.lease_seconds.into()),
            ("lost_leases_max", self.lost_leases_max.into()),
            ("requests_at_once", self.requests_at_once.into()),
            ("failures_at_once", self.failures_at_once.into()),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(Invalid { key, reason: "must be at least 1".to_owned() });
        }
        if self.lease_seconds_max < self.lease_seconds {
            let reason = "must not be less than lease_seconds".to_owned();
            return Err(Invalid { key: "lease_seconds_max", reason });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_documented_and_the_defaults_do() {
        service::assert_documented::<Settings>();
        assert_eq!(Settings::default().check(), Ok(()));
    }

    #[test]
    fn nonsense_is_refused_by_its_name() {
        let wrong = [
            ("slots", Settings { slots: 0, ..Settings::default() }),
            ("requests", Settings { requests: 0, ..Settings::default() }),
            ("lease_seconds", Settings { lease_seconds: 0, ..Settings::default() }),
            ("lost_leases_max", Settings { lost_leases_max: 0, ..Settings::default() }),
            ("failures_at_once", Settings { failures_at_once: 0, ..Settings::default() }),
            ("lease_seconds_max", Settings { lease_seconds_max: 59, ..Settings::default() }),
        ];
        for (key, settings) in wrong {
            assert_eq!(settings.check().map_err(|invalid| invalid.key), Err(key));
        }
    }
}
