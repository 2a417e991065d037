//! What the syncer can be told.

use serde::{Deserialize, Serialize};
use service::{Documented, Invalid, Setting};
use std::time::Duration;

/// The syncer's own settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// How many facts are worked at once.
    pub slots: usize,
    /// When active jobs are looked at.
    pub sweep: Sweep,
    /// What is done when time is up.
    pub deadlines: Deadlines,
    /// The views.
    pub views: Views,
}

/// When active jobs are looked at.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Sweep {
    /// While webhooks arrive.
    pub slow_seconds: u32,
    /// While they do not.
    pub fast_seconds: u32,
    /// While nobody knows whether the platform heard us.
    pub unknown_seconds: u32,
    /// Without a webhook of the platform for so long, webhooks do not arrive.
    pub quiet_seconds: u32,
}

/// What is done when time is up.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Deadlines {
    /// How many jobs may be called lost in ten minutes, whatever the number of active jobs.
    pub lost_at_least: u32,
    /// … and how many percent of the active jobs.
    pub lost_percent: u32,
}

/// The views.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Views {
    /// How long a finished job is shown.
    pub keep_days: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { slots: 64, sweep: Sweep::default(), deadlines: Deadlines::default(), views: Views::default() }
    }
}

impl Default for Sweep {
    fn default() -> Self {
        Self { slow_seconds: 300, fast_seconds: 15, unknown_seconds: 10, quiet_seconds: 600 }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { lost_at_least: 5, lost_percent: 10 }
    }
}

impl Default for Views {
    fn default() -> Self {
        Self { keep_days: 30 }
    }
}

impl Sweep {
    pub(crate) fn quiet(&self) -> Duration {
        Duration::from_secs(self.quiet_seconds.into())
    }
}

impl Documented for Settings {
    const SETTINGS: &'static [Setting] = &[
        Setting::new("slots", "How many facts are worked at once."),
        Setting::new(
            "sweep.slow_seconds",
            "Seconds between two looks at a running job while webhooks can be relied on: the platform's log says that nothing \
             is missing, or without a log, one was heard lately. The longest pause between looks.",
        ),
        Setting::new(
            "sweep.fast_seconds",
            "Seconds between two looks at a running job while webhooks are missing, refused or silent. The shortest pause.",
        ),
        Setting::new(
            "sweep.unknown_seconds",
            "How often a job is looked at while it is unknown whether its call arrived.",
        ),
        Setting::new(
            "sweep.quiet_seconds",
            "Where a platform's log of deliveries says nothing: after so many seconds without any webhook of it the sweep becomes \
             fast.",
        ),
        Setting::new("deadlines.lost_at_least", "How many jobs may always be called lost in ten minutes."),
        Setting::new(
            "deadlines.lost_percent",
            "How many percent of the active jobs may be called lost in ten minutes.",
        ),
        Setting::new(
            "views.keep_days",
            "How many days after its creation a finished job stays in the views.",
        ),
    ];

    fn check(&self) -> Result<(), Invalid> {
        let positive = [
            ("slots", self.slots as u64),
            ("sweep.slow_seconds", self.sweep.slow_seconds.into()),
            ("sweep.fast_seconds", self.sweep.fast_seconds.into()),
            ("sweep.unknown_seconds", self.sweep.unknown_seconds.into()),
            ("views.keep_days", self.views.keep_days.into()),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(Invalid { key, reason: "must be at least 1".to_owned() });
        }
        if self.slots > 1_000 {
            return Err(Invalid { key: "slots", reason: "must be at most 1000".to_owned() });
        }
        if self.deadlines.lost_percent > 100 {
            return Err(Invalid { key: "deadlines.lost_percent", reason: "must be at most 100".to_owned() });
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
        let wrong = Settings { slots: 0, ..Settings::default() };
        assert_eq!(wrong.check().unwrap_err().key, "slots");
    }
}
