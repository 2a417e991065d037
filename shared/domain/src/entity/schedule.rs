//! Rules about time: rollouts, windows, cooldowns. What they mean is in `evaluate`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Targets of an environment get a version one after the other, in an order that is stable for the version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GradualRollout {
    /// How `timeScaleInterval` is read. Default `linear`.
    #[serde(default)]
    pub rollout_type: RolloutType,
    /// Seconds: between one target and the next (`linear`), or for all of them (`linear-normalized`).
    pub time_scale_interval: u32,
    /// More failures than this among the targets that came earlier pause the rollout. Default 0.
    #[serde(default)]
    pub max_failures: u32,
    /// Whether failures pause it at all. Default true.
    #[serde(default = "super::yes")]
    pub pause_on_failure: bool,
}

/// How a rollout spreads over time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutType {
    /// The i-th target may start i × interval after the rollout.
    #[default]
    Linear,
    /// The i-th of n targets may start i ÷ n × interval after the rollout.
    LinearNormalized,
}

/// Versions may go (or may not go) while a recurring window is open. The first deployment to a target ignores it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentWindow {
    /// Recurrence rule of the openings (RFC 5545), e.g. `FREQ=WEEKLY;BYDAY=MO,TU;BYHOUR=9;BYMINUTE=0;BYSECOND=0`, optionally
    /// after a `DTSTART` line. Without one it is anchored at the creation of the policy.
    pub rrule: String,
    /// How long it stays open, in minutes.
    #[schemars(range(min = 1))]
    pub duration_minutes: u32,
    /// IANA time zone of the recurrence. Default `UTC`.
    #[serde(default = "utc")]
    pub timezone: String,
    /// Whether versions may go inside the window (true, the default) or outside of it.
    #[serde(default = "super::yes")]
    pub allow_window: bool,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// A target rests for a while after a deploy of another version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VersionCooldown {
    /// Seconds since the last deploy of another version to the target ended.
    #[schemars(range(min = 1))]
    pub interval_seconds: u32,
}
